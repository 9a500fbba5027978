"""The controls at the side of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eta_guard.play import render
from eta_guard.play.histogram import KINDS, histogram
from eta_guard.play.playground import Playground
from eta_guard.play.settings import Chosen, Dial, choices, controlled
from eta_guard.policy import GuardPolicy
from eta_guard.view_names import VIEW_NAMES


@dataclass
class Controls:
    """All controls, in the order in which their values come."""

    playground: Playground
    dials: list[Dial]
    histograms: list[gr.HTML]
    sliders: list[gr.Slider]
    fields: dict[str, Any]
    evaluators: gr.CheckboxGroup

    @property
    def inputs(self) -> list[Any]:
        """The components that hold the settings."""
        return [*self.sliders, *self.fields.values(), self.evaluators]

    def chosen(self, values: Sequence[Any]) -> Chosen:
        """What the values of ``inputs`` amount to.

        Raises:
            PolicyError: One is not valid.
        """
        *settings, evaluators = values
        names = [*(dial.key for dial in self.dials), *self.fields]
        return self.playground.chosen(dict(zip(names, settings, strict=True)), evaluators)

    def drawn(self, values: Sequence[Any]) -> list[str]:
        """The histograms with the thresholds of these values of ``inputs``."""
        scores = self.playground.scores
        return [
            render.histogram(
                histogram(
                    dial,
                    float(value),
                    scores.of(dial.kind, dial.evaluator),
                    complete=scores.complete,
                )
            )
            for dial, value in zip(self.playground.dials(), values, strict=False)
        ]

    def ranges(self) -> list[Any]:
        """The sliders over the range of the scores that are known by now."""
        return [
            gr.update(minimum=dial.low, maximum=dial.high, step=dial.step)
            for dial in self.playground.dials()
        ]


def build(playground: Playground) -> Controls:
    """Puts the controls where it is called."""
    dials, policy = playground.dials(), playground.guard.policy
    histograms, sliders = [], []
    with gr.Group(elem_classes="panel"):
        gr.HTML(
            f"<h3>Thresholds</h3><p class='hint'>over the scores of {playground.scores.told}</p>"
        )
        for dial in dials:
            histograms.append(gr.HTML(elem_classes="drawn"))
            sliders.append(
                gr.Slider(
                    dial.low,
                    dial.high,
                    value=dial.value,
                    step=dial.step,
                    label=f"Threshold of {dial.evaluator}",
                    elem_id=f"threshold-{dial.kind}-{dial.evaluator}",
                    buttons=[],
                )
            )
    with gr.Group(elem_classes="panel"):
        gr.HTML("<h3>Repair</h3>")
        makers = _makers(policy)
        fields = {name: makers[name]() for name in controlled() if name != "views"}
    with gr.Group(elem_classes="panel"):
        gr.HTML("<h3>Evaluating</h3>")
        evaluators = gr.CheckboxGroup(
            [(f"{dial.evaluator} ({KINDS[dial.kind]})", dial.key) for dial in dials],
            value=[dial.key for dial in dials],
            label="Evaluators",
            buttons=[],
        )
        if "views" in controlled():
            fields["views"] = makers["views"]()
    return Controls(playground, dials, histograms, sliders, fields, evaluators)


def _makers(policy: GuardPolicy) -> dict[str, Any]:
    return {
        "candidates": lambda: gr.Slider(
            1, 16, value=policy.candidates, step=1, label="Candidates a sentence (N)", buttons=[]
        ),
        "search_temperature": lambda: gr.Slider(
            0.1, 3.0, value=policy.search_temperature, step=0.1, label="Temperature", buttons=[]
        ),
        "prefix": lambda: gr.Textbox(policy.prefix, label="Prefix", max_lines=2),
        "search": lambda: gr.Checkbox(policy.search, label="Search sentence by sentence"),
        "aligner": lambda: gr.Radio(
            choices("aligner"), value=getattr(policy, "aligner", None), label="Aligner", buttons=[]
        ),
        "views": lambda: gr.CheckboxGroup(
            [(name.replace("_", " "), name) for name in VIEW_NAMES],
            value=list(policy.views),
            label="Views of a picture",
            buttons=[],
        ),
    }
