from __future__ import annotations

from eta_guard.cli.options import ModelChoice
from eta_guard.cli.suite_options import make_spread
from eta_guard.evaluation import Automatic, Here, Processes, RayWorkers, Threads
from tests.cli.conftest import Models


def test_options_say_where_the_cases_are_asked(models: Models) -> None:
    choice = ModelChoice(clip="another")
    assert make_spread(choice, 3) == Processes(3)
    assert make_spread(choice, None, "auto") == RayWorkers("auto", 2)
    assert make_spread(choice, 4, "local") == RayWorkers("local", 4)
    for spread, kind in ((make_spread(choice, 1), Here), (make_spread(choice, None), Automatic)):
        assert type(spread) is kind
        assert isinstance(spread, Here | Automatic)
        assert spread.load is not None
        spread.load()
    assert [loaded["clip"] for loaded in models.loaded] == ["another", "another"]


def test_a_chat_model_on_a_server_is_asked_from_threads(models: Models) -> None:
    choice = ModelChoice(chat_model="chat@http://127.0.0.1:8000/v1")
    for wanted, count in ((None, 16), (4, 4)):
        spread = make_spread(choice, wanted)
        assert isinstance(spread, Threads)
        assert spread.count == count
