"""The training command."""

from __future__ import annotations

import argparse
from pathlib import Path

from eta_guard.embedded.train.plan import STAGES, train


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m eta_guard.embedded.train",
        description="Train the small models that ship with the package, from nothing.",
    )
    parser.add_argument(
        "what", nargs="*", choices=("all", *STAGES), default="all", help="the models to train"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and batches")
    parser.add_argument("--minutes", type=float, default=75.0, help="for all the models together")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    parser.add_argument("--smoke", action="store_true", help="a few steps each: does it run?")
    given = parser.parse_args()
    wanted = STAGES if "all" in given.what else tuple(s for s in STAGES if s in given.what)
    train(
        wanted,
        given.out,
        seed=given.seed,
        minutes=given.minutes,
        resume=given.resume,
        smoke=given.smoke,
    )


if __name__ == "__main__":
    main()
