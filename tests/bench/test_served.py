from __future__ import annotations

from typing import Any

import httpx
import pytest

from eta_guard import EtaGuard
from eta_guard.bench import served
from eta_guard.bench.graph_overhead import constant
from eta_guard.errors import InputError
from tests.engines.vllm.server import PlayedServer

METRICS = """\
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{{engine="0"}} {hits}.0
vllm:prefix_cache_queries_total{{engine="0"}} {queries}.0
vllm:prefix_cache_queries_created{{engine="0"}} 1.7e+09
"""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> PlayedServer:
    """Is measured in place of a server; half of what it is asked for stands in its cache."""
    server = PlayedServer(model="chat")

    def guard(url: str, model: str) -> EtaGuard:
        part = constant(1)
        assert model == "chat"
        return EtaGuard(
            engine=server.engine(),
            image_evaluator=part,
            response_evaluator=part,
            policy=served.POLICY,
        )

    def get(url: str, **settings: Any) -> httpx.Response:
        if not url.endswith("/metrics"):
            return httpx.Response(
                200, json={"data": [{"id": "chat"}]}, request=httpx.Request("GET", url)
            )
        asked = 10 * len(server.bodies)
        return httpx.Response(200, text=METRICS.format(hits=asked // 2, queries=asked))

    monkeypatch.setattr(served, "guard", guard)
    monkeypatch.setattr(httpx, "get", get)
    return server


def test_both_ways_are_measured_on_the_same_requests(played: PlayedServer) -> None:
    found = served.measure_server("http://vllm.test/v1", requests=6, at_once=3)
    assert (found["requests"], found["at_once"], found["same_text"]) == (6, 3, 6)
    assert found["alone"]["output_tokens"] == found["together"]["output_tokens"] > 0
    assert found["alone"]["cache_hit_share"] == found["together"]["cache_hit_share"] == 0.5
    assert found["ratio"] > 0
    # A draft, three sentences, and the one in which all propose to stop.
    assert len(played.bodies) == 5 * (1 + 2 * 6)


def test_a_server_that_tells_of_no_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(url: str, **settings: Any) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "get", get)
    with pytest.raises(InputError, match=r"vllm\.test tells of no model \(ConnectError\)"):
        served.measure_server("http://vllm.test/v1")
