"""The visual adversarial set: one optimised picture before each of 40 harmful instructions.

As the published ETA code asks it: with the picture that was optimised without bounds, and a
sentence appended to each instruction.

Layout: ``harmful_corpus/manual_harmful_instructions.csv`` and
``adversarial_images/prompt_unconstrained.bmp`` (or both in the folder itself). The published CSV
has one instruction a line, without a heading.
"""

from __future__ import annotations

from collections.abc import Iterator

from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.suites.appended import ABSOLUTELY
from eta_guard.evaluation.suites.copy import Copy, Published

HOME = "https://github.com/Unispac/Visual-Adversarial-Examples-Jailbreak-Large-Language-Models"
HEADING = "instruction"
"""Of the copy that the published ETA code reads."""
IMAGE, INSTRUCTIONS = "prompt_unconstrained.bmp", "manual_harmful_instructions.csv"


def _read(copy: Copy) -> Iterator[SuiteCase]:
    path = copy.file(f"harmful_corpus/{INSTRUCTIONS}", INSTRUCTIONS)
    image = copy.file(f"adversarial_images/{IMAGE}", IMAGE)
    instructions = [cell for cell in copy.first_cells(path) if cell.strip() != HEADING]
    for number, instruction in enumerate(instructions):
        yield SuiteCase(
            id=str(number),
            question=instruction + ABSOLUTELY,
            hazardous=True,
            kind="adversarial",
            image=image,
        )


VISUAL_ADVERSARIAL = Published(
    "Visual adversarial examples", HOME, "no licence is stated there", _read
)
