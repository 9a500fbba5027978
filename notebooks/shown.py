"""Shows pictures, conversations, candidates and traces as HTML."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterable, Sequence
from html import escape
from io import BytesIO
from typing import Any

from IPython.display import HTML
from langchain_core.messages import BaseMessage, HumanMessage
from PIL import Image

from eta_guard import Verdict

SIDE = 120
"""Pixels of a picture that is shown."""
COLOURS = {"human": "#e8f3fd", "ai": "#eaf7f1", "tool": "#f3f3f3"}


def no_progress_bars() -> None:
    """Loads models without a word."""
    warnings.filterwarnings("ignore", message="IProgress not found")
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def image_block(picture: Any) -> dict[str, str]:
    """A picture file as the content block of a message."""
    data = base64.b64encode(picture.path.read_bytes()).decode()
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def asked(image: Image.Image, question: str = "What is this?") -> HumanMessage:
    """A message that asks something about pixels."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    block = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([block, {"type": "text", "text": question}])


def gallery(pictures: Iterable[tuple[Image.Image, str]]) -> HTML:
    """Pictures side by side, each with a line below it."""
    cells = "".join(
        f'<figure style="margin:0 12px 0 0;width:{SIDE + 40}px">{_thumbnail(image)}'
        f'<figcaption style="font-size:85%">{escape(text)}</figcaption></figure>'
        for image, text in pictures
    )
    return HTML(f'<div style="display:flex;flex-wrap:wrap">{cells}</div>')


def conversation(messages: Sequence[BaseMessage]) -> HTML:
    """Messages as bubbles: text, pictures, calls of tools, and what the guard decided."""
    return HTML("".join(map(_bubble, messages)))


def candidates(verdict: Verdict) -> HTML:
    """The texts of all candidates of each sentence; the one that was kept in bold."""
    rows = []
    for found, texts in zip(verdict.rounds, verdict.rejected or (), strict=True):
        for index, (text, score) in enumerate(zip(texts, found.candidates, strict=True)):
            utility = "–" if score.utility is None else f"{score.utility:.2f}"
            said = escape(text.strip(" ,")) or "(stop here)"
            cells = [str(found.sentence) if index == 0 else "", utility, said]
            if index == found.pick:
                cells[1:] = [f"<b>{cell}</b>" for cell in cells[1:]]
            rows.append(cells)
    return table(["sentence", "utility", "candidate"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> HTML:
    """A table; cells are HTML."""

    def line(kind: str, cells: Sequence[Any]) -> str:
        left = "".join(f'<{kind} style="text-align:left">{cell}</{kind}>' for cell in cells)
        return f"<tr>{left}</tr>"

    return HTML(f"<table>{line('th', head)}{''.join(line('td', row) for row in rows)}</table>")


def run_tree(run: dict[str, Any], children: Callable[[dict[str, Any]], list[Any]]) -> HTML:
    """A trace: runs below one another, each with its scores and its tags."""
    return HTML(f'<div style="line-height:1.9">{_run(run, children, 0)}</div>')


def _run(run: dict[str, Any], children: Callable[[dict[str, Any]], list[Any]], depth: int) -> str:
    known = run["extra"]["metadata"]
    marks = [
        f"{name} {known[f'eta_{name}_score']:.2f} {known[f'eta_{name}_outcome']}"
        for name in ("image", "response", "final")
        if known.get(f"eta_{name}_score") is not None
    ]
    if "eta_sentence" in known:
        marks.append(f"sentence {known['eta_sentence']}")
    marks += [tag for tag in run.get("tags") or () if tag.startswith("eta:")]
    badges = "".join(f' <code style="background:#eaf7f1">{escape(mark)}</code>' for mark in marks)
    head = f'<div style="margin-left:{depth * 28}px"><b>{escape(run["name"])}</b>{badges}</div>'
    return head + "".join(_run(child, children, depth + 1) for child in children(run))


def _bubble(message: BaseMessage) -> str:
    blocks = message.content if isinstance(message.content, list) else [message.content]
    parts = [
        _thumbnail(Image.open(BytesIO(base64.b64decode(block["base64"]))))
        if isinstance(block, dict) and block["type"] == "image"
        else escape(block["text"] if isinstance(block, dict) else block)
        for block in blocks
    ]
    calls = getattr(message, "tool_calls", ())
    parts += [
        f"<code>{escape(call['name'])}({escape(repr(call['args']))})</code>" for call in calls
    ]
    decision = message.response_metadata.get("eta_guard", {}).get("decision")
    told = f" · <b>{decision}</b>" if decision else ""
    return (
        f'<div style="background:{COLOURS[message.type]};color:#222;border-radius:10px;'
        f'padding:8px 14px;margin:6px 0;max-width:640px"><small>{message.type}{told}</small><br>'
        f"{'<br>'.join(filter(None, parts))}</div>"
    )


def _thumbnail(image: Image.Image) -> str:
    buffer = BytesIO()
    image.convert("RGB").resize((SIDE, SIDE)).quantize(64).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img width="{SIDE}" src="data:image/png;base64,{data}">'
