"""The page: what stands where, and what happens when it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from eta_guard.embedded import samples
from eta_guard.errors import EtaGuardError
from eta_guard.play import controls, copies, render
from eta_guard.play.asking import Turn
from eta_guard.play.playground import Playground
from eta_guard.play.settings import Chosen, Dial

STYLE = Path(__file__).with_name("style.css")
TITLE = "eta-guard"
THEME = gr.themes.Base(
    primary_hue="teal",
    neutral_hue="zinc",
    radius_size="lg",
    # Names of fonts that are there: none is asked for.
    font=["system-ui", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
    font_mono=["ui-monospace", "Cascadia Mono", "Menlo", "monospace"],
)
_COPY = "text => { navigator.clipboard.writeText(text); }"
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": True}
_SAMPLES = samples()


def build(playground: Playground) -> gr.Blocks:
    """Builds the page over a playground."""
    blocks: gr.Blocks = _Page(playground).blocks
    return blocks


class _Page:
    def __init__(self, playground: Playground) -> None:
        self._playground = playground
        gr.set_static_paths([_SAMPLES[0].path.parent])  # served as they lie, and never copied
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self._lay_out()
            self._connect()

    def _lay_out(self) -> None:
        with gr.Row(elem_id="head"):
            gr.HTML(f"<h1>{TITLE}</h1><p>{_models(self._playground)}</p>")
            self._anew = gr.Button("New conversation", size="sm", elem_id="anew")
        with gr.Row(elem_id="body"):
            with gr.Column(elem_id="main", scale=5, min_width=320):
                self._lay_out_main()
            with gr.Column(elem_id="settings", scale=2, min_width=300):
                self._lay_out_settings()
        self._timer = gr.Timer(1.0)

    def _lay_out_main(self) -> None:
        self._input = gr.MultimodalTextbox(
            placeholder="Drop a picture, and ask about it",
            sources=["upload"],
            file_count="multiple",
            show_label=False,
            max_plain_text_length=100_000,
            elem_id="input",
        )
        self._samples = gr.Gallery(
            [(str(sample.path), sample.object) for sample in _SAMPLES],
            columns=len(_SAMPLES),
            allow_preview=False,
            show_label=False,
            interactive=False,
            buttons=[],
            elem_id="samples",
        )
        self._question = gr.HTML(elem_id="question")
        self._way = gr.HTML(elem_id="way")
        self._answers = gr.HTML(elem_id="answers")
        self._rounds = gr.HTML(elem_id="rounds")
        self._earlier = gr.HTML(elem_id="earlier")

    def _lay_out_settings(self) -> None:
        self._whatif = gr.HTML(elem_id="whatif")
        self._controls = controls.build(self._playground)
        with gr.Group(elem_classes="panel"):
            gr.HTML("<h3>Take it along</h3>")
            with gr.Row():
                self._copy_python = gr.Button("Copy as Python", size="sm")
                self._copy_file = gr.Button("Copy as policy file", size="sm")
            with gr.Accordion("Show", open=False):
                self._python = gr.Code(language="python", label="Python", elem_id="python")
                self._file = gr.Code(language="yaml", label="Policy file", elem_id="policy")

    def _connect(self) -> None:
        inputs, settings = [self._input, *self._controls.inputs], self._controls.inputs
        shown = [self._question, self._way, self._answers, self._rounds, self._earlier]
        asking = self._input.submit(
            self._ask, inputs, [self._input, *shown], concurrency_limit=None, **_QUIET
        )
        told = [self._whatif, self._python, self._file, *self._controls.histograms]
        asking.then(self._settings, settings, told, **_QUIET)
        self._input.stop(self._stop, **_QUIET)
        self._input.change(self._uploaded, self._input, **_QUIET)
        self._samples.select(self._sample, None, self._input, **_QUIET)
        self._anew.click(self._begin_anew, None, [*shown, self._whatif], **_QUIET)
        for control in settings:
            control.change(
                self._settings,
                settings,
                told,
                concurrency_limit=None,
                trigger_mode="always_last",
                **_QUIET,
            )
        scored = [self._timer, *self._controls.sliders, *self._controls.histograms]
        self._timer.tick(self._scored, settings, scored, **_QUIET)
        self.blocks.load(self._settings, settings, told, **_QUIET)
        self._copy_python.click(None, self._python, None, js=_COPY)
        self._copy_file.click(None, self._file, None, js=_COPY)
        self.blocks.unload(self._close)

    # What follows is called by Gradio; of a parameter of this type it knows whose page it is.

    async def _ask(
        self, request: gr.Request, asked: dict[str, Any], *values: Any
    ) -> AsyncIterator[list[Any]]:
        session = self._playground.sessions.of(request.session_hash)
        files, question = asked.get("files") or [], asked.get("text") or ""
        try:
            chosen = self._controls.chosen(values)
            drawn = _Drawn(session.turns, self._controls.dials, chosen)
            async for turn in self._playground.ask(session, files, question, chosen):
                yield drawn.changes(turn)
        except EtaGuardError as error:
            said = render.problem(error.message, error.hint)
            yield [gr.skip(), gr.skip(), gr.skip(), said, gr.skip(), gr.skip()]

    def _settings(self, request: gr.Request, *values: Any) -> list[Any]:
        session = self._playground.sessions.of(request.session_hash)
        drawn = self._controls.drawn(values)
        try:
            chosen = self._controls.chosen(values)
        except EtaGuardError as error:
            said = render.problem(error.message, error.hint)
            return [said, gr.skip(), gr.skip(), *drawn]
        verdict = session.turns[-1].verdict if session.turns else None
        found = ""
        if verdict is not None and session.chosen is not None:
            found = render.whatif(verdict, session.chosen, chosen)
        on = {*(("image", n) for n in chosen.images), *(("response", n) for n in chosen.responses)}
        all_on = len(on) == len(self._controls.dials)
        python = copies.as_python(chosen, self._playground.models, all_on=all_on)
        return [found, python, copies.as_policy_file(chosen), *drawn]

    def _scored(self, *values: Any) -> list[Any]:
        """Shows scores as they come in; once they are complete, no more."""
        done = self._playground.scores.complete
        ranges = self._controls.ranges() if done else [gr.skip() for _ in self._controls.sliders]
        return [gr.Timer(active=not done), *ranges, *self._controls.drawn(values)]

    def _sample(self, chosen: gr.SelectData) -> dict[str, Any]:
        sample = _SAMPLES[chosen.index]
        return {"text": sample.question, "files": [str(sample.path)]}

    def _uploaded(self, request: gr.Request, asked: dict[str, Any] | None) -> None:
        """Remembers whose a file is, so that it goes when its page does."""
        session = self._playground.sessions.of(request.session_hash)
        files = {Path(file) for file in (asked or {}).get("files") or []}
        self._playground.sessions.forget(session, session.uploads - files)
        session.uploads |= files

    def _stop(self, request: gr.Request) -> None:
        self._playground.sessions.of(request.session_hash).cancel()

    def _begin_anew(self, request: gr.Request) -> list[str]:
        self._playground.sessions.of(request.session_hash).begin_anew()
        return ["", "", "", "", "", ""]

    def _close(self, request: gr.Request) -> None:
        self._playground.sessions.close(request.session_hash)


class _Drawn:
    """What is drawn of a conversation while a question is answered."""

    def __init__(self, turns: list[Turn], dials: list[Dial], chosen: Chosen) -> None:
        self._turns, self._dials, self._chosen = turns, dials, chosen
        self._known: list[str] = []

    def changes(self, turn: Turn) -> list[Any]:
        """The input, emptied, and the parts of the page; those that are as they were stay."""
        first = not self._known
        drawn = [
            render.pictures(turn) if first or len(turn.found) < 2 else self._known[0],
            render.way(turn, self._dials),
            render.answers(turn, self._chosen.policy),
            render.rounds(turn),
            render.earlier(self._turns[:-1]) if first else self._known[4],
        ]
        before: Sequence[str | None] = self._known or [None] * len(drawn)
        self._known = drawn
        parts = [new if new != old else gr.skip() for new, old in zip(drawn, before, strict=True)]
        return [self._input(turn, first=first), *parts]

    def _input(self, turn: Turn, *, first: bool) -> Any:
        """Emptied at once; while a question is answered it can be stopped, and not asked again."""
        if first:
            return gr.update(value={"text": "", "files": []}, submit_btn=False, stop_btn=True)
        return gr.update(submit_btn=True, stop_btn=False) if turn.over else gr.skip()


def _models(playground: Playground) -> str:
    return escape(playground.guard.engine.fingerprint)
