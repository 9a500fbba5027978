"""Private names of libraries that the package relies on, and what to do once one is gone.

A library may rename such a name in any release, and it is the newest releases that are installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

import eta_guard
from eta_guard.runs.streaming import listened_to

ROOT = Path(eta_guard.__file__).parent

STREAM_HANDLERS = (
    "eta_guard/runs/streaming.py tells by it whether somebody streams messages. See which callback"
    " handler `graph.stream(…, stream_mode='messages')` now adds (langgraph/pregel/main.py), and"
    " name that one in `listened_to`; without it replies are shown whole, and never chunk by chunk."
)
STATIC_ADDRESS = (
    "eta_guard/engines/local/compiled.py marks by it tensors that a CUDA graph may write to. See"
    " what transformers' StaticCache calls in its place; LocalEngine(compiled=True) needs it."
)
RELIED_ON = {
    "langgraph.pregel._messages.StreamMessagesHandler": STREAM_HANDLERS,
    "langgraph.pregel._messages.StreamMessagesHandlerV2": STREAM_HANDLERS,
    "langchain_core.tracers.context._configure_hooks": (
        "eta_guard/runs/apart.py keeps by it usage from being counted twice: a provider's calls are"
        " not seen by handlers that a context registers. See how `get_usage_metadata_callback` now"
        " registers itself (langchain_core/callbacks/usage.py)."
    ),
    "torch._dynamo.mark_static_address": STATIC_ADDRESS,
    "torch._dynamo.config.patch": (
        "eta_guard/engines/local/compiled.py raises by it the number of shapes that are compiled."
        " See torch.compiler.config for a public setting, or set `recompile_limit` by hand."
    ),
    "torch.cpu._is_avx512_bf16_supported": (
        "eta_guard/embedded/train/loop.py trains in bfloat16 where the processor is fast at it."
        " Training in float32 alone is right too, but slower: return that."
    ),
    "transformers.PreTrainedModel._from_config": (
        "eta_guard/bench/models.py makes models with random weights by it. Build them by the class"
        " itself, or by an auto class's `from_config`."
    ),
    "langchain_core.language_models.BaseChatModel._llm_type": (
        "eta_guard/engines/chat_model/engine.py names a model by it that has no name of its own."
        " Take the class's name instead."
    ),
    "langchain_core.language_models.BaseChatModel._convert_input": (
        "eta_guard/runs/calls.py looks by it at the blocks of a call before LangChain does, and"
        " EtaGuard.evaluate takes by it what `invoke` takes. See what `invoke` now calls first."
    ),
    "transformers.GenerationMixin._update_model_kwargs_for_generation": (
        "eta_guard/engines/local/after_prefill.py goes on by it where `generate` would. See what"
        " `GenerationMixin._sample` now calls between two forwards."
    ),
}
ON_OBJECTS = {
    "transformers.PreTrainedModel._from_config",
    "langchain_core.language_models.BaseChatModel._llm_type",
    "langchain_core.language_models.BaseChatModel._convert_input",
    "transformers.GenerationMixin._update_model_kwargs_for_generation",
}
"""Used on an object, where no import tells."""


@pytest.mark.parametrize("name", RELIED_ON)
def test_a_private_name_is_still_there(name: str) -> None:
    try:
        _follow(name)
    except (ImportError, AttributeError):
        pytest.fail(f"{name} is gone. {RELIED_ON[name]}", pytrace=False)


def test_these_are_all_that_are_imported() -> None:
    used = {name for path in ROOT.rglob("*.py") for name in _private(ast.parse(path.read_text()))}
    assert used == RELIED_ON.keys() - ON_OBJECTS, "Keep RELIED_ON in step, with what to do."


class _State(TypedDict):
    heard: bool


def test_the_stream_handlers_are_those_that_a_stream_of_messages_adds() -> None:
    heard: list[bool] = []

    def node(state: _State, config: RunnableConfig) -> None:
        heard.append(listened_to(config))

    graph = StateGraph(_State).add_node(node).add_edge(START, "node").compile()
    graph.invoke({"heard": False})
    list(graph.stream({"heard": False}, stream_mode="messages"))
    assert heard == [False, True], STREAM_HANDLERS


def _follow(name: str) -> None:
    """Follows a dotted name, of which any part may be a module."""
    package, *rest = name.split(".")
    found: Any = import_module(package)
    for part in rest:
        if not hasattr(found, part):
            import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)


def _private(tree: ast.Module) -> Iterator[str]:
    """Private names of other packages that a module imports or takes from an imported module."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("eta_guard"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from filter(_is_private, names)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        # The longest chain alone: a.b.c, and not a.b within it.
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            name = ast.unparse(node)
            if name.split(".")[0] in modules and _is_private(name):
                yield name


def _is_private(name: str) -> bool:
    if not re.fullmatch(r"[\w.]+", name):
        return False  # no chain of names: something is called on the way
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
