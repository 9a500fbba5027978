"""The demo's stops: one sample picture each, and what it adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from eta_guard.cli import words
from eta_guard.cli.console import printable
from eta_guard.cli.show import ROOM_FOR_TABLE, asked, header

if TYPE_CHECKING:
    from PIL.Image import Image

    from eta_guard.embedded import Sample
    from eta_guard.policy import GuardPolicy
    from eta_guard.state import Verdict

INTRODUCTION = (
    "ETA evaluates, then aligns: where a picture and the plain answer to it are both unsafe, it"
    " has the model answer anew, sentence by sentence, and keeps the best of several candidates."
)
SMALL = (
    "These are small models, trained on pictograms and rendered words. Their unsafe answers are"
    " placeholders without content. They show the procedure at work, and say nothing about the"
    " safety of large models."
)


@dataclass(frozen=True)
class Stop:
    """One sample picture, answered."""

    sample: Sample
    pixels: Image
    answer: str
    verdict: Verdict
    usage: dict[str, Any]

    @property
    def unchanged(self) -> bool:
        """Whether the guarded answer is the plain one, character by character."""
        return self.answer == self.verdict.draft

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        sample = self.sample
        return {
            "file": sample.path.name,
            "object": sample.object,
            "kind": sample.kind,
            "hazardous": sample.hazardous,
            "question": sample.question,
            "plain": self.verdict.draft,
            "answer": self.answer,
            "verdict": self.verdict.model_dump(mode="json"),
            "usage": self.usage,
        }


def introduction(count: int, *, small: bool) -> RenderableType:
    """What is about to be seen."""
    title = f"{words.counted(count, 'picture')}, answered plain and behind the guard"
    paragraphs = [INTRODUCTION, *([SMALL] if small else [])]
    return Group(Text(title, "bold"), *(Padding(Text(p), (1, 0, 0, 0)) for p in paragraphs), Text())


def view(
    stop: Stop, policy: GuardPolicy, console: Console, *, place: int, count: int
) -> RenderableType:
    """One stop: the picture, the scores, and both answers side by side."""
    kind = "hazard" if stop.sample.hazardous else "safe"
    title = Text(f"{place} of {count}: {stop.sample.object} ({kind})", "bold")
    happened = Text(words.what_happened(stop.verdict, policy))
    facts: list[RenderableType] = [asked(stop.sample.question), Text(), _scores(stop.verdict)]
    answers = _side_by_side if console.width >= ROOM_FOR_TABLE else _stacked
    return Group(
        Rule(title, align="left", style="dim"),
        header(console, stop.pixels, stop.sample.path.name, *facts, Text(), happened),
        answers(stop),
        Text(),
    )


def totals(stops: Sequence[Stop]) -> dict[str, dict[str, Any]]:
    """Counts of the hazardous and of the safe pictures.

    ``judged_unsafe`` is the verdict of the small world's wording (``embedded.judge``), in which no
    model has a say; it knows the answers of the embedded models only.
    """
    kinds = {"hazardous": True, "safe": False}
    return {
        kind: _count([stop for stop in stops if stop.sample.hazardous == hazardous])
        for kind, hazardous in kinds.items()
    }


def totals_view(found: dict[str, dict[str, Any]], *, judged: bool) -> RenderableType:
    """The totals, a line a kind of picture.

    Args:
        found: What ``totals`` returns.
        judged: Whether the judge knows how the models word their answers.
    """
    lines = [_total(kind, counts, judged) for kind, counts in found.items() if counts["pictures"]]
    how = Text("Whether an answer is unsafe is read off its wording; no model judges that.", "dim")
    return Group(Rule(style="dim"), *lines, *([how] if judged else []))


def _total(kind: str, counts: dict[str, Any], judged: bool) -> Text:
    pictures, unchanged = counts["pictures"], counts["unchanged"]
    decisions = ", ".join(f"{number} {name}" for name, number in counts["decisions"].items())
    line = Text(words.counted(pictures, f"{kind} picture"), "bold")
    line.append(f": {decisions}. ", "not bold")
    line.append(f"Answers unchanged: {unchanged} of {pictures}.", "not bold")
    if judged:
        plain, guarded = (counts["judged_unsafe"][which] for which in ("plain", "guarded"))
        line.append(f" Unsafe answers: {plain} plain, {guarded} guarded.", "not bold")
    return line


def _count(stops: Sequence[Stop]) -> dict[str, Any]:
    return {
        "pictures": len(stops),
        "decisions": dict(Counter(stop.verdict.decision for stop in stops)),
        "unchanged": sum(stop.unchanged for stop in stops),
        "judged_unsafe": {
            "plain": sum(_unsafe(stop, stop.verdict.draft or "") for stop in stops),
            "guarded": sum(_unsafe(stop, stop.answer) for stop in stops),
        },
    }


def _unsafe(stop: Stop, answer: str) -> bool:
    from eta_guard.embedded import Case, judge

    sample = stop.sample
    case = Case(
        seed=0,
        object=sample.object,
        hazardous=sample.hazardous,
        kind=sample.kind,
        question=sample.question,
        image=stop.pixels,
    )
    return judge(answer, case).outcome == "unsafe"


def _scores(verdict: Verdict) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    rows = [("image", verdict.image), ("plain", verdict.response)]
    if verdict.masked and verdict.masked.response != verdict.final:
        rows.append(("masked", verdict.masked.response))
    rows.append(("repaired", verdict.final))
    for name, evaluation in rows:
        if evaluation is None:
            continue
        for found in evaluation.findings or (evaluation,):
            by = f"{name}, {found.evaluator}" if len(evaluation.findings) > 1 else name
            grid.add_row(Text(by, "bold"), words.outcome(found), words.against_threshold(found))
    return grid


def _plain(stop: Stop) -> Text:
    draft = stop.verdict.draft
    return Text("(none was drawn)", "dim") if draft is None else Text(printable(draft).strip())


def _guarded(stop: Stop) -> Text:
    return Text("= the same, unchanged", "dim") if stop.unchanged else Text(printable(stop.answer))


def _side_by_side(stop: Stop) -> RenderableType:
    table = Table(box=box.ROUNDED, expand=True, border_style="dim", header_style="default")
    table.add_column(_plain_title(stop), ratio=1, overflow="fold")
    table.add_column(_guarded_title(stop), ratio=1, overflow="fold")
    table.add_row(_plain(stop), _guarded(stop))
    return table


def _stacked(stop: Stop) -> RenderableType:
    pairs = ((_plain_title(stop), _plain(stop)), (_guarded_title(stop), _guarded(stop)))
    return Group(
        *(Panel(text, title=title, title_align="left", border_style="dim") for title, text in pairs)
    )


def _plain_title(stop: Stop) -> Text:
    title = Text("plain", "bold")
    response = stop.verdict.response
    return title if response is None else title.append("  ").append_text(words.outcome(response))


def _guarded_title(stop: Stop) -> Text:
    return Text("guarded", "bold").append("  ").append_text(words.decision(stop.verdict))
