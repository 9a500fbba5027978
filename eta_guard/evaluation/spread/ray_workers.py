"""Spreads a run over Ray Data actors, on one machine or a cluster. Imports Ray when it is used."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.records import CaseRecord
from eta_guard.evaluation.spread.protocol import Asked

if TYPE_CHECKING:
    from eta_guard.evaluation.setup import Setup

LOCAL = "local"
"""The address of this machine."""

CPUS = 0.5
"""What a worker declares. With a whole one each, workers can take every CPU there is, and the tasks
that feed them would wait for ever."""


class Worker:
    """One actor: it loads the models once and answers case after case."""

    def __init__(self, setup: Setup) -> None:
        self._runner = setup.runner()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Answers one pickled case."""
        record = self._runner.run(pickle.loads(row["case"]))
        return {"record": record.model_dump_json()}


@dataclass(frozen=True)
class RayWorkers:
    """Actors of Ray Data, each with models of its own; records in any order.

    One that dies is started anew, and what it was at is asked again. Cases are sent with their
    pictures, so that workers need no copy of the suite.
    """

    address: str = LOCAL
    """``"local"``, or that of a cluster (``"auto"``, ``"ray://HOST:10001"``)."""
    workers: int = 2

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Yields the records as they come.

        Raises:
            InputError: Ray is not installed, there is no such cluster, or the setup cannot be sent.
        """
        sent = setup.for_workers()
        ray = _connected(self.address, self.workers)
        gpus = ray.cluster_resources().get("GPU", 0)
        try:
            # A block a case: a block's results come when all of it is done.
            items = [
                {"case": pickle.dumps(replace(case, image=case.image_bytes()))} for case in cases
            ]
            answered = ray.data.from_items(items, override_num_blocks=len(items)).map(
                Worker,
                fn_constructor_kwargs={"setup": sent},
                compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(items))),
                num_cpus=CPUS,
                num_gpus=min(1.0, gpus / self.workers) if gpus else 0,
            )
            for row in answered.iter_rows():
                yield CaseRecord.model_validate_json(row["record"])
        finally:
            ray.shutdown()


def _connected(address: str, workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported home
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise InputError(
            "--ray needs Ray.", hint="Install `eta_guard[evaluate]`, or leave --ray out."
        ) from error
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address == LOCAL:
            ray.init(num_cpus=workers + 1, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(
            f"There is no Ray cluster at {address!r} ({reason}).",
            hint="Start one with `ray start --head`, or pass --ray alone for this machine.",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return ray
