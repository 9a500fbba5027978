"""The fast route: branches in one row are what each would be by itself, and cost no more."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from eta_guard.bench.models import chat_model
from eta_guard.bench.sizes import SIZES
from eta_guard.counts import Counts, counting
from eta_guard.engines.local import compiled
from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.tree import Branch, Tree
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.protocols import Candidate, Generation, Sampling, Watch
from eta_guard.request.conversation import read_conversation
from tests.engines.local.tiny import engine, llava
from tests.fakes import question

PREFIX = "As an AI assistant"
SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=12)
TEXTS = ([40, 41, 42], [50, 51, 52, 53], [60])


def session(model: LocalEngine, **settings: Any) -> Any:
    generation = Generation(**{"max_tokens": 60, **settings})
    return model.open(read_conversation([question(0.5)]), generation)


def inputs() -> dict[str, torch.Tensor]:
    return model_inputs(engine().processor, read_conversation([question(0.5)]))


def uncached(model: Any, ids: list[int]) -> torch.Tensor:
    given = inputs()
    row = torch.cat([given["input_ids"], torch.tensor([ids], dtype=torch.long)], dim=1)
    with torch.inference_mode():
        out = model(input_ids=row, pixel_values=given["pixel_values"], use_cache=False)
    logits: torch.Tensor = out.logits[0, -1].float()
    return logits


def read(tree: Tree, branches: list[Branch], texts: tuple[list[int], ...]) -> None:
    for step in range(max(map(len, texts))):
        live = [row for row, text in enumerate(texts) if len(text) > step]
        tree.extend([branches[row] for row in live], [texts[row][step] for row in live])


def difference(branch: Branch, model: Any, ids: list[int]) -> float:
    assert branch.logits is not None
    return float((branch.logits - uncached(model, ids)).abs().max())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_are_those_of_an_uncached_computation(attention: str) -> None:
    model, processor = llava(0)
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    try:
        tree = LocalEngine(model, processor).running.read_prompt(inputs())
        assert difference(tree.prompt, model, []) <= 1e-5
        answer, said = tree.prompt.fork(), list[int]()
        for pick in (1, 0, 2):
            branches = [answer.fork() for _ in TEXTS]
            read(tree, branches, TEXTS)
            for branch, text in zip(branches, TEXTS, strict=True):
                assert difference(branch, model, said + text) <= 1e-5
            answer, said = branches[pick], said + TEXTS[pick]
            tree.keep([answer])
        tree.read(answer, [70, 71, 72])
        assert difference(answer, model, [*said, 70, 71, 72]) <= 1e-5
    finally:
        model.set_attn_implementation(before)


def test_two_branches_outlive_a_third_between_them() -> None:
    model, _ = llava(0)
    tree = engine().running.read_prompt(inputs())
    branches = [tree.prompt.fork() for _ in TEXTS]
    read(tree, branches, TEXTS)
    tree.keep([branches[0], branches[2]])
    tree.extend([branches[0], branches[2]], [80, 81])
    assert difference(branches[0], model, [*TEXTS[0], 80]) <= 1e-5
    assert difference(branches[2], model, [*TEXTS[2], 81]) <= 1e-5


def searched(opened: Any, rounds: int = 3) -> list[list[Candidate]]:
    opened.prefill(PREFIX)
    found = []
    for number in range(rounds):
        found.append(opened.propose(3, SAMPLING))
        opened.accept(number % 3)
    return found


def test_both_routes_give_the_same_answers() -> None:
    fast, general = engine(), engine()
    general._shares_a_row = False
    one, two = session(fast), session(general)
    assert (type(one._reader), type(two._reader)) == (TreeReader, BatchReader)
    assert one.answer() == two.answer()
    assert searched(one) == searched(two)
    assert one.finish() == two.finish()


def test_a_model_that_ignores_masks_is_not_trusted_with_a_row() -> None:
    model, processor = llava(12)
    forward = model.forward

    def deaf(**given: Any) -> Any:
        mask = given.get("attention_mask")
        return forward(
            **{**given, "attention_mask": None if mask is None or mask.ndim == 4 else mask}
        )

    model.forward = deaf
    assert isinstance(session(LocalEngine(model, processor))._reader, BatchReader)


def counted(opened: Any, n: int) -> tuple[Counts, list[Candidate], int]:
    """A round: its counts, its candidates and how many tokens were drawn."""
    with counting() as tally:
        candidates = opened.propose(n, SAMPLING)
    return tally, candidates, int(tally["output_tokens"])


def test_a_round_reads_every_kept_token_once() -> None:
    opened = session(engine())
    opened.prefill(PREFIX)
    accepted = opened.propose(5, SAMPLING)[0]
    opened.accept(0)
    unread = int(len(accepted.token_ids) == SAMPLING.max_sentence_tokens)
    tally, candidates, drawn = counted(opened, 5)
    longest = max(len(candidate.token_ids) for candidate in candidates)
    assert tally["vlm_forwards"] <= longest + unread
    # The last token drawn in a row tells that it is over, and is not read.
    assert tally["vlm_positions"] == drawn - 5 + unread


def test_the_row_holds_little_more_than_one_answer() -> None:
    opened = session(engine())
    with counting() as tally:
        searched(opened)
    assert 1.0 <= tally["peak_cache_rows"] < 1.0 + 5 * 12 / len(opened._prompt)
    general = engine()
    general._shares_a_row = False
    opened = session(general)
    with counting() as tally:
        searched(opened)
    assert tally["peak_cache_rows"] > 3


def test_the_counts_tell_which_route_a_prompt_took() -> None:
    general = engine()
    general._shares_a_row = False
    told = []
    for model in (engine(), general):
        with counting() as tally:
            searched(session(model))
        told.append((tally["tree_prompts"], tally["batch_prompts"]))
    assert told == [(1, 0), (0, 1)]


@pytest.mark.parametrize("shares_a_row", [True, False])
def test_a_prompt_is_read_in_one_forward_as_the_model_reads_it(shares_a_row: bool) -> None:
    """Another split into forwards gives other numbers in half precision."""
    model = engine()
    model._shares_a_row = shares_a_row
    opened = session(model)
    with counting() as tally:
        opened.prefill("")
        opened.propose(2, replace(SAMPLING, max_sentence_tokens=1))
    assert (tally["vlm_forwards"], tally["vlm_positions"]) == (1, len(opened._prompt))


def listening(told: list[str]) -> Watch:
    def watch(text: str) -> bool:
        told.append(text)
        return False

    return watch


def test_a_watch_sees_the_answer_grow() -> None:
    told: list[str] = []
    answer = session(engine()).answer(listening(told))
    assert len(told) > 10
    assert all(longer.startswith(text) for text, longer in pairwise(told))
    assert told[-1] == answer.text == session(engine()).answer().text


def test_a_watch_ends_the_answer() -> None:
    whole = session(engine()).answer().text
    answer = session(engine()).answer(lambda text: len(text) >= 10)
    assert 10 <= len(answer.text) < len(whole)
    assert whole.startswith(answer.text)


def test_a_watch_is_not_told_the_beginning_of_a_stop_text() -> None:
    whole = session(engine()).answer().text
    stop = whole[12:18]
    told: list[str] = []
    answer = session(engine(), stop=(stop,)).answer(listening(told))
    assert told[-1] == answer.text == whole[: whole.index(stop)].strip()
    assert all(whole.startswith(text) for text in told)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.compile`` that traces whole steps, and leaves out what makes machine code of them."""
    compile_with = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda step, mode, **options: compile_with(step, backend="eager", **options),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_compiled_steps_give_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "ROUND", 16)  # a row must grow on the way
    model, processor = llava(0)
    fast, plain = LocalEngine(model, processor, compiled=True), engine()
    for _ in range(2):  # the second request works on rows of the first
        one, two = session(fast), session(plain)
        assert one.answer() == two.answer()
        assert searched(one) == searched(two)
        assert one.finish() == two.finish()
        del one
    assert fast.running.compiled is not None
    free = fast.running.compiled._free
    assert len(free) > 1
    assert all(len(rows) == 1 for rows in free.values())


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_compiled_steps_are_counted_with_their_full_width() -> None:
    model, processor = llava(0)
    opened = session(LocalEngine(model, processor, compiled=True))
    opened.prefill(PREFIX)
    tally, _, _ = counted(opened, 5)
    steps = int(tally["vlm_forwards"])
    assert steps > 5
    assert tally["vlm_positions"] <= 5 * (steps - 1) + len(engine().running.encode(PREFIX))


@pytest.mark.parametrize("budget", [60, 45])
def test_a_plain_answer_drawn_alongside_changes_nothing_but_the_cost(budget: int) -> None:
    apart, together = session(engine(), max_tokens=budget), session(engine(), max_tokens=budget)
    with counting() as one:
        plain = apart.answer()
        expected = searched(apart, 2)
    with counting() as two:
        together.begin_answer()
        assert not together.answered
        assert searched(together, 2) == expected
        assert together.answer() == plain
    assert together.propose(2, SAMPLING) == apart.propose(2, SAMPLING)
    assert two["vlm_forwards"] < one["vlm_forwards"]
    assert two["vlm_positions"] == one["vlm_positions"]
    assert (one["output_tokens"], one["input_tokens"]) == (
        two["output_tokens"],
        two["input_tokens"],
    )


def test_a_short_plain_answer_is_over_before_the_search() -> None:
    stop = (session(engine()).answer().text[3:6],)
    opened = session(engine(), stop=stop)
    opened.begin_answer()
    opened.prefill(PREFIX)
    opened.propose(3, SAMPLING)
    assert opened.answered
    expected = session(engine(), stop=stop).answer()
    with counting() as tally:
        assert opened.answer() == expected
    assert "vlm_forwards" not in tally


def test_a_model_that_is_deaf_to_positions_is_not_trusted_with_a_row() -> None:
    model, processor = llava(1)
    model = deepcopy(model)
    with torch.no_grad():  # so that what a few positions change drowns in half precision
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(0.4)
    model = model.to(torch.bfloat16)
    forward = model.forward
    assert isinstance(session(LocalEngine(model, processor))._reader, TreeReader)
    model.forward = lambda **given: forward(**{**given, "position_ids": None})
    assert isinstance(session(LocalEngine(model, processor))._reader, BatchReader)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_noise_of_a_deep_model_in_half_precision_is_no_reason_for_the_slow_route(
    dtype: torch.dtype,
) -> None:
    text = {**SIZES["small"].text, "hidden_size": 128, "num_hidden_layers": 32}
    torch.manual_seed(0)
    model, processor = chat_model(replace(SIZES["small"], text=text), dtype)
    assert isinstance(session(LocalEngine(model, processor))._reader, TreeReader)
    forward = model.forward
    model.forward = lambda **given: forward(**{**given, "attention_mask": None})
    assert isinstance(session(LocalEngine(model, processor))._reader, BatchReader)


@pytest.mark.parametrize("part", ["after", "within"])
@pytest.mark.parametrize("call", [1, 4])
def test_a_step_that_failed_can_be_tried_again(
    part: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, opened = session(engine()), session(engine())
    plain = expected.answer()
    opened.begin_answer()
    for one in (expected, opened):
        one.prefill(PREFIX)
    tree = opened._reader._tree
    step = tree._model.lm_head if part == "after" else tree._layers[1]
    method = "forward" if part == "after" else "update"
    calls, works = 0, getattr(step, method)

    def fails(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise torch.OutOfMemoryError
        return works(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(step, method, fails)
        with pytest.raises(torch.OutOfMemoryError):
            opened.propose(3, SAMPLING)
    assert opened.propose(3, SAMPLING) == expected.propose(3, SAMPLING)
    assert opened.answer() == plain


def test_an_answer_between_a_round_and_its_choice_changes_nothing() -> None:
    expected, opened = session(engine()), session(engine())
    opened.begin_answer()
    for one in (expected, opened):
        one.prefill(PREFIX)
        one.propose(3, SAMPLING)
        one.accept(1)
        one.propose(3, SAMPLING)
    assert opened.answer() == expected.answer()
    for one in (expected, opened):
        one.accept(1)
    assert opened.propose(3, SAMPLING) == expected.propose(3, SAMPLING)


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_compiled_rows_have_whole_capacities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a search is taken up again whose accepted text is long; and there are many."""
    monkeypatch.setattr(compiled, "ROUND", 16)
    torch._dynamo.reset()
    model, processor = llava(0)
    fast, plain = LocalEngine(model, processor, compiled=True), engine()
    capacities = set()
    for length in range(10, 180, 16):
        accepted = [Candidate("", tuple(range(60, 60 + length)), None)]
        one, two = session(fast, max_tokens=300), session(plain, max_tokens=300)
        for opened in (one, two):
            opened.prefill(PREFIX, accepted)
        assert one.propose(3, SAMPLING) == two.propose(3, SAMPLING)
        capacities.add(one._reader._tree._capacity)
    assert len(capacities) > 8
    assert all(capacity % 16 == 0 for capacity in capacities)


def test_the_model_may_be_called_with_its_ids_in_place() -> None:
    model = engine().model
    with counting() as tally, torch.no_grad():
        model(torch.tensor([[40, 41, 42]]))
    assert tally["vlm_positions"] == 3


def test_a_prompt_read_in_chunks_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    chunked = engine()
    texts = {"input_ids": torch.tensor([list(range(40, 120))])}
    texts["attention_mask"] = torch.ones_like(texts["input_ids"])
    expected = chunked.begin(texts, Generation(max_tokens=20)).answer()
    monkeypatch.setattr(chunked.model.generation_config, "prefill_chunk_size", 32)
    assert chunked.begin(texts, Generation(max_tokens=20)).answer() == expected
