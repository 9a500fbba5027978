from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from eta_guard.errors import EvaluationError
from eta_guard.evaluators.model_server import ModelServer, Request, require_answers
from tests.evaluators.played_server import BASE_URL, PlayedServer

SECRET = "an answer that was not let out, canary"


def server(played: PlayedServer, **settings: Any) -> ModelServer:
    return ModelServer(BASE_URL, "guard", **{"retries": 0, **played.clients, **settings})


def echo(path: str, body: dict[str, Any]) -> Any:
    return {"path": path, "told": body}


def both(asked: ModelServer, requests: list[Request]) -> list[Any]:
    """What is answered, the same in both ways of asking."""
    found = asked.ask(requests)
    again = asyncio.run(asked.aask(requests))
    assert [str(one) for one in found] == [str(one) for one in again]
    return found


def test_requests_are_answered_in_their_order_under_the_models_name() -> None:
    played = PlayedServer(echo)
    found = both(server(played), [Request(f"/{i}", {"i": i}) for i in range(40)])
    assert found == [{"path": f"/{i}", "told": {"model": "guard", "i": i}} for i in range(40)]
    assert server(played).ask([]) == []


def test_they_go_out_at_the_same_time() -> None:
    meeting = threading.Barrier(4, timeout=20)

    def waits(path: str, body: dict[str, Any]) -> Any:
        meeting.wait()
        return {}

    assert server(PlayedServer(waits)).ask([Request("/", {})] * 4) == [{}] * 4


def test_the_key_is_sent_and_neither_it_nor_a_password_is_shown() -> None:
    played = PlayedServer(echo)
    asked = server(played, api_key="canary-key")
    both(asked, [Request("/v1/x", {})])
    assert {one.headers["authorization"] for one in played.requests} == {"Bearer canary-key"}
    asked = ModelServer("http://user:canary@vllm.test/v1/", "guard", **played.clients)
    assert repr(asked) == "ModelServer('vllm.test', 'guard')"


def test_it_is_known_by_the_models_name_and_root_asked_once() -> None:
    played = PlayedServer(echo, cards=[{"id": "x"}, {"id": "guard", "root": "org/guard-4b"}])
    asked = server(played)
    assert asked.fingerprint == asked.fingerprint == "guard (org/guard-4b)"
    assert len(played.requests) == 1
    assert server(PlayedServer(echo)).fingerprint == "guard"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(500, text="<html>"), "status 500: <html>"),
        (httpx.Response(400, json={"error": {"message": "no such thing."}}), "no such thing\\."),
        (httpx.Response(404, json={"object": "error", "message": "no model"}), "no model"),
        (httpx.Response(200, json={"error": "late"}), "status 200: late"),
        (httpx.Response(200, text="not json"), "not json"),
        (httpx.Response(503), "no message"),
    ],
)
def test_a_refusal_is_told(answer: httpx.Response, told: str) -> None:
    (error,) = both(server(PlayedServer(lambda *_: answer)), [Request("/", {})])
    with pytest.raises(EvaluationError, match=told):
        raise error


def test_a_refusal_quotes_no_text_that_is_withheld() -> None:
    refusing = PlayedServer(
        lambda path, body: httpx.Response(400, json={"message": f"cannot read {body}"})
    )
    (error,) = both(server(refusing), [Request("/", {"text": SECRET}, [SECRET])])
    assert isinstance(error, EvaluationError)
    assert "canary" not in f"{error!s}{error!r}{error.__cause__}{error.__context__}"


@pytest.mark.parametrize("failure", [httpx.ConnectError("x"), httpx.ReadTimeout("x")])
def test_a_server_that_does_not_answer_is_told_with_its_place(failure: Exception) -> None:
    def fails(path: str, body: dict[str, Any]) -> Any:
        raise failure

    clients = PlayedServer(fails).clients
    asked = ModelServer("http://user:secret@vllm.test", "guard", retries=0, **clients)
    (error,) = both(asked, [Request("/", {})])
    assert "vllm.test does not answer" in str(error)
    assert "secret" not in str(error)


def test_some_failures_are_logged_and_all_of_them_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = EvaluationError("It broke.", hint="Mend it.")
    require_answers([{}, error], "The guard")
    assert "one of 2 questions is unscored (EvaluationError)." in caplog.text
    assert "It broke" not in caplog.text  # a server may repeat what it was asked
    require_answers([], "The guard")
    with pytest.raises(EvaluationError, match="It broke"):
        require_answers([error, error], "The guard")
