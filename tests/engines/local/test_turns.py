"""Turns at a model: in order, handed on, and never lost."""

from __future__ import annotations

import threading
import time

import pytest

from eta_guard.cancellation import Cancelled, CancelScope
from eta_guard.engines.local.turns import Turns


def waiting(turns: Turns, number: int) -> None:
    """Returns once so many are in line."""
    while len(turns._line) < number:
        time.sleep(0.001)


def test_the_same_thread_enters_again() -> None:
    turns = Turns()
    with turns, turns:
        turns.let_others()
    with turns:
        pass
    assert turns._owner is None


def test_first_come_first_served() -> None:
    turns, order = Turns(), list[int]()

    def enter(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(5)]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            waiting(turns, number)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_turn_is_handed_on_at_any_depth_and_comes_back() -> None:
    turns, order = Turns(), list[str]()

    def other() -> None:
        with turns:
            order.append("other")

    thread = threading.Thread(target=other)
    with turns:
        with turns:
            thread.start()
            waiting(turns, 1)
            turns.let_others()
            order.append("again")
        assert turns._owner == threading.get_ident()
    thread.join()
    assert order == ["other", "again"]
    assert turns._owner is None


def test_who_has_given_up_in_line_does_not_run_and_calls_the_next() -> None:
    turns, ran = Turns(), list[str]()

    def given_up() -> None:
        with CancelScope() as scope:
            scope.cancel()
            with pytest.raises(Cancelled), turns:
                ran.append("given up")

    def after() -> None:
        with turns:
            ran.append("after")

    threads = [threading.Thread(target=one) for one in (given_up, after)]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            waiting(turns, number)
    for thread in threads:
        thread.join()
    assert ran == ["after"]
    assert turns._owner is None


def test_an_interrupt_in_line_leaves_no_turn_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    held, done = threading.Event(), threading.Event()

    def other() -> None:
        with turns:
            held.set()
            done.wait()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt), turns:
            pass
    assert not turns._line
    done.set()
    thread.join()
    with turns:  # let_others, interrupted: what is left of the block exits without harm
        owner, turns._owner = turns._owner, 0
    turns._owner, turns._depth = None, 0
    assert owner == threading.get_ident()
    with turns:
        pass
