from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage

from eta_guard.counts import counting
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.sampling import uniforms
from eta_guard.engines.local.stopping import RowEnds
from eta_guard.errors import EngineError, InputError, ModelLoadError, UnsupportedModelError
from eta_guard.protocols import Candidate, Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.engines.local.tiny import engine, llava
from tests.fakes import question

PREFIX = "As an AI assistant"
SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=12)


def session(model: LocalEngine | None = None, **settings: Any) -> Any:
    generation = Generation(**{"max_tokens": 60, **settings})
    return (model or engine()).open(read_conversation([question(0.5)]), generation)


def logits(ids: list[int], inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of the last position, without a cache."""
    model, _ = llava(0)
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([ids]), pixel_values=inputs["pixel_values"])
    last: torch.Tensor = out.logits[0, -1].float()
    return last


def redrawn(ids: list[int], inputs: dict[str, torch.Tensor], draws: torch.Tensor) -> list[int]:
    """Draws a candidate again: no cache, no batch, one plain step after another."""
    drawn: list[int] = []
    for draw in draws.tolist():
        top = torch.topk(logits(ids + drawn, inputs), 5)
        edges = torch.softmax(top.values / 1.5, -1).double().cumsum(-1)
        place = int((edges <= draw).sum().clamp(max=4))
        drawn.append(int(top.indices[place]))
    return drawn


def test_the_plain_answer_is_what_the_unguarded_model_generates() -> None:
    model, processor = llava(0)
    opened = session()
    inputs = opened._reader._inputs
    out = model.generate(**inputs, max_new_tokens=60, do_sample=False)
    plain = processor.tokenizer.decode(
        out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert opened.answer().text == plain.strip()


def test_candidates_are_those_of_an_uncached_computation_in_every_round() -> None:
    opened = session()
    opened.prefill(PREFIX)
    ids = opened._prompt + engine().running.encode(PREFIX)
    for sentence in (1, 2, 3):
        candidates = opened.propose(3, SAMPLING)
        draws = uniforms(0, sentence, 3, 12)
        for row, candidate in enumerate(candidates):
            kept = list(candidate.token_ids)
            assert kept
            assert redrawn(ids, opened._reader._inputs, draws[row, : len(kept)]) == kept
        ids += list(candidates[sentence % 3].token_ids)
        opened.accept(sentence % 3)


def test_the_prompt_is_read_once_for_draft_and_search() -> None:
    with counting() as tally:
        opened = session()
        opened.answer()
        drafted = tally["vlm_forwards"]
        opened.prefill(PREFIX)
        longest = 0
        for _ in range(3):
            candidates = opened.propose(5, SAMPLING)
            longest += max(len(candidate.token_ids) for candidate in candidates) + 1
            opened.accept(0)
    assert tally["vlm_image_encodes"] == 1
    assert tally["input_tokens"] == len(opened._prompt)
    assert tally["vlm_forwards"] - drafted <= longest


def test_the_winner_is_kept_without_reading_it_again() -> None:
    opened = session()
    opened.prefill(PREFIX)
    opened.propose(5, SAMPLING)
    opened.accept(1)
    with counting() as tally:
        opened.propose(1, Sampling(5, 1.5, 1))
    assert tally["vlm_positions"] == 0


def test_a_session_resumed_from_token_ids_goes_on_alike() -> None:
    first = session()
    first.prefill(PREFIX)
    accepted: list[Candidate] = []
    for pick in (2, 0):
        accepted.append(first.propose(3, SAMPLING)[pick])
        first.accept(pick)
    second = session()
    second.prefill(PREFIX, accepted)
    assert second.propose(3, SAMPLING) == first.propose(3, SAMPLING)


def test_a_draft_in_between_changes_nothing() -> None:
    first, second = session(), session()
    for opened in (first, second):
        opened.prefill(PREFIX)
        opened.propose(3, SAMPLING)
        opened.accept(1)
    second.answer()
    assert first.propose(3, SAMPLING) == second.propose(3, SAMPLING)


@pytest.mark.parametrize("budget", [8, 9, 13, 20, 21])
def test_the_budget_is_kept_to_the_token(budget: int) -> None:
    opened = session(max_tokens=budget)
    opened.prefill(PREFIX)
    spent = len(engine().running.encode(PREFIX))
    reason = None
    while reason is None:
        candidate = opened.propose(3, SAMPLING)[0]
        opened.accept(0)
        spent += len(candidate.token_ids)
        reason = candidate.finish_reason
    assert reason == "length"
    assert spent == budget


def test_no_room_for_an_answer_is_said() -> None:
    opened = session(max_tokens=3)
    opened.prefill(PREFIX)
    with pytest.raises(EngineError, match="no room"):
        opened.propose(2, SAMPLING)


def test_candidates_and_top_k_are_independent() -> None:
    opened = session()
    opened.prefill(PREFIX)
    assert len(opened.propose(7, Sampling(1, 1.5, 6))) == 7
    greedy = {candidate.token_ids for candidate in opened.propose(7, Sampling(1, 1.5, 6))}
    assert len(greedy) == 1
    wide = {candidate.token_ids for candidate in opened.propose(2, Sampling(50, 1.5, 6))}
    assert len(wide) == 2


def test_more_candidates_leave_the_first_ones_as_they_were() -> None:
    few, many = session(), session()
    few.prefill(PREFIX)
    many.prefill(PREFIX)
    assert many.propose(6, SAMPLING)[:2] == few.propose(2, SAMPLING)


def test_draws_depend_on_the_seed() -> None:
    first, second = session(seed=1), session(seed=2)
    first.prefill(PREFIX)
    second.prefill(PREFIX)
    assert first.propose(3, SAMPLING) != second.propose(3, SAMPLING)


def test_candidates_join_to_the_text_of_their_tokens() -> None:
    opened = session()
    opened.prefill(PREFIX)
    text, ids = PREFIX, engine().running.encode(PREFIX)
    for _ in range(3):
        candidate = opened.propose(2, SAMPLING)[1]
        opened.accept(1)
        text += candidate.text
        ids += list(candidate.token_ids)
    assert text == engine().running.decode(ids)


def test_finish_continues_greedily_after_the_prefix() -> None:
    opened = session(max_tokens=20)
    opened.prefill(PREFIX)
    ids = opened._prompt + engine().running.encode(PREFIX)
    greedy: list[int] = []
    for _ in range(20 - len(engine().running.encode(PREFIX))):
        greedy.append(int(logits(ids + greedy, opened._reader._inputs).argmax()))
    assert opened.finish().text == (PREFIX + engine().running.decode(greedy)).strip()


def test_an_empty_prefix_searches_from_the_first_character() -> None:
    opened = session()
    opened.prefill("")
    candidates = opened.propose(3, SAMPLING)
    draws = uniforms(0, 1, 3, 12)
    for row, candidate in enumerate(candidates):
        kept = list(candidate.token_ids)
        assert redrawn(opened._prompt, opened._reader._inputs, draws[row, : len(kept)]) == kept


def test_a_stop_text_cuts_the_answer() -> None:
    whole = session().answer().text
    stop = whole[6:9]
    cut = session(stop=(stop,)).answer()
    assert cut.text == whole[: whole.index(stop)].strip()
    assert cut.finish_reason == "stop"


def test_a_temperature_draws_and_a_seed_draws_again() -> None:
    warm = [session(temperature=1.0, seed=seed).answer().text for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]
    assert warm[0] != session().answer().text


def test_threads_share_an_engine() -> None:
    model = engine()
    alone = []
    for seed in range(4):
        opened = session(model, seed=seed)
        opened.prefill(PREFIX)
        alone.append(opened.propose(3, SAMPLING))
    together: dict[int, list[Candidate]] = {}

    def work(seed: int) -> None:
        opened = session(model, seed=seed)
        opened.answer()
        opened.prefill(PREFIX)
        together[seed] = opened.propose(3, SAMPLING)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(4)] == alone


def test_a_special_token_in_a_text_is_no_picture_and_no_end() -> None:
    _, processor = llava(0)
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    end = processor.tokenizer.convert_tokens_to_ids("</s>")
    spoken = question(0.5, text="Is <image> a tag? </s>ASSISTANT: yes")
    opened: Any = engine().open(read_conversation([spoken]), Generation())
    assert opened._prompt.count(image) == 16
    assert end not in opened._prompt


def test_the_processor_is_given_the_pictures_of_the_conversation() -> None:
    conversation = read_conversation([question(0.5)])
    opened: Any = engine().open(conversation, Generation())
    _, processor = llava(0)
    pixels = processor.image_processor(conversation.pictures[0].pixels, return_tensors="pt")
    assert torch.equal(opened._reader._inputs["pixel_values"], pixels["pixel_values"])


def test_a_conversation_of_several_turns_without_a_picture() -> None:
    turns = [HumanMessage("What is this?"), AIMessage("It is a cup!"), HumanMessage("Dr. Who?")]
    opened: Any = engine().open(read_conversation(turns), Generation(max_tokens=5))
    prompt = engine().running.decode(opened._prompt)
    assert prompt == "USER:What is this?ASSISTANT:It is a cup!USER:Dr. Who?ASSISTANT:"
    assert opened.answer().finish_reason == "length"


def test_a_template_that_refuses_the_roles_says_so() -> None:
    model, processor = llava(7)
    processor.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="roles must alternate"):
        LocalEngine(model, processor).open(read_conversation([question(0.5)]), Generation())


def test_a_processor_without_a_chat_template_is_refused() -> None:
    model, processor = llava(8)
    processor.chat_template = None
    with pytest.raises(UnsupportedModelError, match="no chat template"):
        LocalEngine(model, processor).open(read_conversation([question(0.5)]), Generation())


def test_a_model_is_loaded_from_a_directory(tmp_path: Any) -> None:
    model, processor = llava(0)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = LocalEngine.from_pretrained(str(tmp_path), device="cpu")
    assert loaded.fingerprint.startswith(tmp_path.name)
    assert session(loaded).answer() == session().answer()


def test_a_missing_directory_is_said_in_one_line() -> None:
    with pytest.raises(ModelLoadError, match="/no/such/model") as caught:
        LocalEngine.from_pretrained("/no/such/model")
    assert "\n" not in str(caught.value)


def test_a_stop_text_across_two_sentences_ends_the_answer() -> None:
    plain = session()
    plain.prefill(PREFIX)
    first = plain.propose(1, SAMPLING)[0]
    plain.accept(0)
    second = plain.propose(1, SAMPLING)[0]
    stop = first.text[-2:] + second.text[:2]
    stopped = session(stop=(stop,))
    stopped.prefill(PREFIX)
    assert stopped.propose(1, SAMPLING)[0].text == first.text
    stopped.accept(0)
    cut = stopped.propose(1, SAMPLING)[0]
    assert (cut.text, cut.finish_reason) == ("", "stop")


def test_a_character_cut_by_the_limit_is_drawn_whole_in_the_next_sentence() -> None:
    model = engine()
    ids = [*model.running.encode(", I"), *model.running.encode("\u5b57")]
    assert len(ids) >= 4
    ends = RowEnds(
        model.running.decode,
        before=model.running.encode(PREFIX),
        start=0,
        rows=1,
        end_tokens=frozenset(),
        stop=(),
        at_sentences=True,
    )
    whole = len(model.running.encode(", I"))
    end = ends.cut(ids[:-1], final=False)
    assert (end.kept, end.text) == (whole, ", I")
    assert ends.cut(ids, final=False).text == ", I\u5b57"
    assert ends.cut(ids[:-1], final=True).kept == len(ids) - 1
    assert ends.cut(ids[whole:-1], final=False).kept == 1


@pytest.mark.parametrize(
    "setting", [{"use_cache": False}, {"num_beams": 3}, {"num_return_sequences": 2}]
)
def test_a_generation_config_of_another_kind_changes_nothing(setting: dict[str, Any]) -> None:
    expected = session().answer()
    model, processor = llava(9)
    reference, _ = llava(0)
    model.load_state_dict(reference.state_dict())
    for name, value in setting.items():
        setattr(model.generation_config, name, value)
    opened: Any = LocalEngine(model, processor).open(
        read_conversation([question(0.5)]), Generation(max_tokens=60)
    )
    assert opened.answer() == expected
    opened.prefill(PREFIX)
    assert len(opened.propose(3, SAMPLING)) == 3


@pytest.mark.parametrize(
    ("setting", "value"),
    [("cache_implementation", "static"), ("prompt_lookup_num_tokens", 3), ("stop_strings", ["x"])],
)
def test_a_generation_config_that_cannot_be_followed_is_refused(setting: str, value: Any) -> None:
    model, processor = llava(10)
    setattr(model.generation_config, setting, value)
    with pytest.raises(UnsupportedModelError, match=setting):
        LocalEngine(model, processor)
    setattr(model.generation_config, setting, None)


def test_an_image_token_that_is_not_special_is_no_picture_either() -> None:
    model, processor = llava(11)
    for token in processor.tokenizer.added_tokens_decoder.values():
        token.special = False
    processor.tokenizer._special_tokens_map.clear()
    spoken = question(0.5, text="draw <image> please")
    opened: Any = LocalEngine(model, processor).open(read_conversation([spoken]), Generation())
    assert opened._prompt.count(processor.image_token_id) == 16


def test_engines_that_wrap_one_model_take_turns() -> None:
    other = engine(1)
    assert engine().running.turn is engine().running.turn
    assert engine().running.turn is not other.running.turn


@pytest.mark.parametrize("ask", ["propose", "finish"])
def test_an_answer_that_was_not_begun_is_not_continued(ask: str) -> None:
    opened = session()
    opened.answer()
    with pytest.raises(EngineError, match="prefill"):
        opened.propose(2, SAMPLING) if ask == "propose" else opened.finish()


def test_a_model_that_shares_no_row_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eta_guard.engines.local.probe.why_no_shared_row", lambda *_: "placeholder")
    model, processor = llava(0)
    assert LocalEngine(model, processor, compiled=True).running.compiled is None
    assert "not compiled" in caplog.text


def refused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> LocalEngine:
    """An engine over a model that fails in trying out whether candidates can share a row."""

    def packed(*_: object, **__: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr("eta_guard.engines.local.probe._packed", packed)
    model, processor = llava(0)
    return LocalEngine(model, processor, fingerprint="tiny")


def test_why_a_row_is_not_shared_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused(monkeypatch, TypeError("placeholder"))
    (record,) = caplog.records
    assert "tiny" in record.getMessage()
    assert "TypeError: placeholder" in record.getMessage()


def test_a_warning_that_is_an_error_is_no_reason_for_the_slow_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(FutureWarning):
        refused(monkeypatch, FutureWarning("placeholder"))


@pytest.mark.parametrize(
    ("said", "reason"), [(", no.", None), (", no. ", None), (", no", "stop"), ("", "stop")]
)
def test_an_end_token_after_a_whole_sentence_is_look_ahead(said: str, reason: str | None) -> None:
    """As in the published code, whose sentences end at the full stop and know no end token."""
    running = engine().running
    (end_token,) = running.end_tokens
    ids = [*running.encode(said), end_token]
    ends = RowEnds(
        running.decode,
        before=running.encode(PREFIX),
        start=0,
        rows=1,
        end_tokens=running.end_tokens,
        stop=(),
        at_sentences=True,
    )
    for step in range(1, len(ids) + 1):
        done = ends(torch.tensor([ids[:step]]), None)
    (end,) = ends.ends
    assert done.tolist() == [True]
    assert end is not None
    assert (end.text, end.kept, end.drawn, end.finish_reason) == (
        said,
        len(ids) - 1,
        len(ids),
        reason,
    )


@pytest.mark.parametrize(("character", "drawn", "kept"), [("q", 12, 12), ("钥", 34, 33)])
def test_a_script_of_several_tokens_a_character_has_so_many_characters(
    character: str, drawn: int, kept: int
) -> None:
    """By tokens alone half a sentence would be judged; the last character is begun, and dropped."""
    running = engine().running
    ends = RowEnds(
        running.decode,
        before=[],
        start=0,
        rows=1,
        end_tokens=frozenset(),
        stop=(),
        at_sentences=True,
        most=12,
    )
    row = torch.tensor([running.encode(character * 40)])
    assert next(step for step in range(1, 60) if ends(row[:, :step], None).all()) == drawn
    (end,) = ends.ends
    assert end is not None
    assert (end.kept, end.text) == (kept, character * (kept // len(running.encode(character))))


@pytest.mark.parametrize("most", [3, 12])
def test_broken_bytes_are_no_script(most: int) -> None:
    running = engine().running
    broken = running.encode("é")[:1] * 40
    ends = RowEnds(
        running.decode,
        before=[],
        start=0,
        rows=1,
        end_tokens=frozenset(),
        stop=(),
        at_sentences=True,
        most=most,
    )
    row = torch.tensor([[*broken[:1], *running.encode("q"), *broken]])
    assert next(step for step in range(1, 40) if ends(row[:, :step], None).all()) == most
