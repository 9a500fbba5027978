"""Shows the way a request took, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from eta_guard.cli import words
from eta_guard.cli.console import printable
from eta_guard.cli.thumbnail import can_show, thumbnail
from eta_guard.request.masking import cover

if TYPE_CHECKING:
    from PIL.Image import Image

    from eta_guard.panel.evaluation import CombinedEvaluation
    from eta_guard.policy import GuardPolicy
    from eta_guard.state import SentenceRound, Verdict

ROOM_FOR_TABLE = 72
"""Columns below which a candidate's scores stand over its text instead of beside it."""


_PURPOSES = {
    "pre_evaluate": "is the image safe?",
    "generate": "the plain answer",
    "post_evaluate": "is the answer safe?",
    "mask_align": "answer anew, the unsafe parts covered",
    "prefix_align": "begin anew",
    "best_of_n": "go on sentence by sentence",
    "respond": "what goes out",
}


@dataclass(frozen=True)
class Way:
    """The way of one request, to be printed by rich."""

    verdict: Verdict
    policy: GuardPolicy
    answer: str
    """The text of the reply."""
    pictures: Sequence[Image] = ()
    """Of the request, RGB, in the order of the verdict's ``images``: what was covered is drawn
    in those that are given."""

    def __rich_console__(self, console: Console, _: object) -> Iterator[RenderableType]:
        """Yields a section for each node of the route, then the summary."""
        evaluated = 0
        for place, (name, times) in enumerate(words.stretches(self.verdict), start=1):
            evaluated += name == "post_evaluate"
            yield _heading(place, name, times)
            yield Padding(Group(*self._section(name, evaluated, console)), (0, 0, 1, 3))
        yield from self._summary()

    def _section(self, name: str, evaluated: int, console: Console) -> Iterator[RenderableType]:
        sections: dict[str, Callable[[], Iterator[RenderableType]]] = {
            "pre_evaluate": self._images,
            "generate": lambda: _quoted(self.verdict.draft),
            "post_evaluate": lambda: self._answer(evaluated),
            "mask_align": lambda: self._masked(console),
            "prefix_align": self._prefix,
            "best_of_n": lambda: self._search(console.width >= ROOM_FOR_TABLE),
            "respond": self._reply,
        }
        yield from sections[name]() if name in sections else ()

    def _images(self) -> Iterator[RenderableType]:
        if not self.verdict.images:
            yield Text("No image was evaluated.", "dim")
        for image in self.verdict.images:
            yield from _evaluated("The image is", image)

    def _answer(self, evaluated: int) -> Iterator[RenderableType]:
        masked = self.verdict.masked
        if evaluated == 1:
            what, evaluation = "The plain answer is", self.verdict.response
        elif evaluated == 2 and masked:
            what, evaluation = "The answer to what is left is", masked.response
        else:
            what, evaluation = "The repaired answer is", self.verdict.final
        if evaluation is not None:
            yield from _evaluated(what, evaluation)

    def _masked(self, console: Console) -> Iterator[RenderableType]:
        for picture in self.verdict.masked.pictures if self.verdict.masked else ():
            places = [words.covered(region) for region in picture.regions]
            yield Text(f"Covered of image {picture.image + 1}: {'; '.join(places)}.")
            if picture.image < len(self.pictures) and can_show(console):
                yield thumbnail(cover(self.pictures[picture.image], picture.boxes))
        yield from _quoted(self.verdict.masked_draft, "The answer to it is not recorded.")

    def _prefix(self) -> Iterator[RenderableType]:
        prefix = self.policy.prefix
        begun = f"begins with “{printable(prefix)}”" if prefix else "begins, without a prefix"
        then = "" if self.policy.search else ", and the model continues it"
        yield Text(f"A new answer {begun}{then}.")

    def _search(self, wide: bool) -> Iterator[RenderableType]:
        yield Text("The candidate with the highest utility is kept.")
        for place, record in enumerate(self.verdict.rounds):
            texts = _texts(self.verdict, place, record)
            yield Text()
            yield Text(f"Sentence {record.sentence}", "bold")
            yield _table(record, texts) if wide else Group(*_list(record, texts))

    def _reply(self) -> Iterator[RenderableType]:
        yield Text(words.what_happened(self.verdict, self.policy))
        yield Panel(
            Text(printable(self.answer)),
            title=words.decision(self.verdict),
            title_align="left",
            border_style="default",
            box=box.ROUNDED,
        )

    def _summary(self) -> Iterator[RenderableType]:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row("Decision", words.decision(self.verdict))
        grid.add_row("Route", words.route(self.verdict))
        if spent := words.cost(self.verdict.counts):
            grid.add_row("Cost", spent)
        yield grid


def header(console: Console, image: Image, name: str, *lines: RenderableType) -> RenderableType:
    """What is being asked, beside the picture where the terminal can show it."""
    text = Group(Text(printable(name), "bold"), *lines)
    if not can_show(console):
        return text
    grid = Table.grid(padding=(0, 2))
    grid.add_row(thumbnail(image), text)
    return grid


def asked(question: str) -> Text:
    """The user's words."""
    return Text(f"“{printable(question.strip())}”", "italic")


def _heading(place: int, name: str, times: int) -> Text:
    shown = name if times == 1 else f"{name} ×{times}"
    return Text.assemble((f"{place}  ", "dim"), (shown, "bold"), f"  {_PURPOSES.get(name, '')}")


def _evaluated(what: str, evaluation: CombinedEvaluation) -> Iterator[RenderableType]:
    """The outcome, and what each evaluator said where there are several."""
    line = Text.assemble(f"{what} ", words.outcome(evaluation))
    if len(evaluation.findings) < 2:
        shown = words.against_threshold(evaluation) + words.seen_in(evaluation)
        yield line.append(f": {shown}")
        return
    yield line.append(f", by {evaluation.evaluator}")
    grid = Table.grid(padding=(0, 2))
    for found in evaluation.findings:
        grid.add_row("", found.evaluator, words.outcome(found), words.finding(found))
    yield grid


def _quoted(
    text: str | None, unknown: str = "The plain answer is not recorded."
) -> Iterator[RenderableType]:
    if text is None:
        yield Text(unknown, "dim")
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_row("“", Text(printable(text).strip() or "(nothing)"))
    yield grid


def _texts(verdict: Verdict, place: int, record: SentenceRound) -> list[str]:
    """What each candidate says; only the kept one's words where the others' are not recorded."""
    if verdict.rejected is not None and place < len(verdict.rejected):
        texts = list(verdict.rejected[place])
    else:
        texts = ["(not recorded)"] * len(record.candidates)
        if record.pick is not None and record.text:
            texts[record.pick] = record.text
    shown = [printable(text).strip() for text in texts]
    return [
        (f"{text} (ends)" if text else "(stop here)") if candidate.ended else text
        for text, candidate in zip(shown, record.candidates, strict=False)
    ]


def _table(record: SentenceRound, texts: list[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    for name in ("reward", "similarity", "utility"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    digits = words.digits_of(record)
    for index, (candidate, text) in enumerate(zip(record.candidates, texts, strict=True)):
        picked = index == record.pick
        scores = (candidate.reward, candidate.similarity, candidate.utility)
        shown = [words.number(score, digits) for score in scores]
        table.add_row(_mark(index, picked), *shown, Text(text), style="bold" if picked else "")
    return table


def _list(record: SentenceRound, texts: list[str]) -> Iterator[RenderableType]:
    digits = words.digits_of(record)
    for index, (candidate, text) in enumerate(zip(record.candidates, texts, strict=True)):
        picked = index == record.pick
        style = "bold" if picked else ""
        utility = words.number(candidate.utility, digits)
        parts = [f"reward {words.number(candidate.reward, digits)}"]
        if candidate.similarity is not None:
            parts.append(f"similarity {words.number(candidate.similarity, digits)}")
        line = f"{_mark(index, picked)}  utility {utility} ({', '.join(parts)})"
        yield Text(line, style)
        yield Padding(Text(text, style), (0, 0, 0, 2))


def _mark(index: int, picked: bool) -> str:
    return f"▶ {index + 1} pick" if picked else f"  {index + 1}"
