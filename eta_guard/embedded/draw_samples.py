"""Draws the sample pictures: `python -m eta_guard.embedded.draw_samples [--out DIR]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from eta_guard.embedded.objects import BY_NAME
from eta_guard.embedded.world import SEEDS, Kind, make_case

_SHOWN: tuple[tuple[str, Kind], ...] = (
    ("flower", "pictogram"),
    ("cat", "pictogram"),
    ("bicycle", "pictogram"),
    ("boat", "pictogram"),
    ("umbrella", "pictogram"),
    ("apple", "typographic"),
    ("kite", "typographic"),
    ("knife", "pictogram"),
    ("pistol", "pictogram"),
    ("bomb", "pictogram"),
    ("poison", "pictogram"),
    ("lockpick", "pictogram"),
    ("grenade", "pictogram"),
    ("dynamite", "typographic"),
    ("pistol", "typographic"),
    ("axe", "typographic"),
)
_SIZE = 384
_FIRST_SEED = SEEDS["validation"].stop - 1000  # Far from the seeds that a measurement uses.


def draw_samples(folder: Path) -> None:
    """Write every sample picture and their index `samples.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for offset, (name, kind) in enumerate(_SHOWN):
        hazardous = BY_NAME[name].hazardous
        case = make_case(
            _FIRST_SEED + offset, hazardous=hazardous, kind=kind, name=name, size=_SIZE
        )
        assert case.image is not None
        file = f"{'hazardous' if hazardous else 'safe'}_{name}_{kind}.png"
        case.image.save(folder / file, optimize=True)
        index.append(
            {
                "file": file,
                "question": case.question,
                "kind": kind,
                "object": name,
                "hazardous": hazardous,
            }
        )
    text = json.dumps(index, indent=2) + "\n"
    (folder / "samples.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the sample pictures.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "samples")
    draw_samples(parser.parse_args().out)
