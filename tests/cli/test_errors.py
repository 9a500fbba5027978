from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eta_guard import ModelLoadError, pretrained
from tests.cli.conftest import Models, Run

FAKED = """
import sys, time
from eta_guard import pretrained
from eta_guard.cli import main
from tests.cli.conftest import Models

def load(*arguments, **asked):
    print("loading", file=sys.stderr, flush=True)
    time.sleep({seconds})
    return Models().load(*arguments, **asked)

pretrained.load_parts = load
sys.exit(main())
"""


def start(*arguments: str | Path, seconds: float = 0, **streams: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FAKED.format(seconds=seconds), *map(str, arguments)]
    return subprocess.Popen(command, text=True, **streams)  # type: ignore[call-overload, no-any-return]


def bad(case: str, unsafe: Path, tmp_path: Path) -> list[str]:
    """The command line of a kind of bad input."""
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("- a")
    (tmp_path / "typo.yaml").write_text("image_treshold: 0.2")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    ask = ["ask", str(unsafe), "What?"]
    return {
        "missing file": ["ask", str(tmp_path / "none.png"), "What?"],
        "a directory": ["ask", str(tmp_path), "What?"],
        "not an image": ["ask", str(tmp_path / "text.png"), "What?"],
        "an empty file": ["ask", str(tmp_path / "empty.png"), "What?"],
        "a drawing": ["ask", str(tmp_path / "drawing.svg"), "What?"],
        "empty question": ["ask", str(unsafe), " \n"],
        "question in no encoding": ["ask", str(unsafe), "\udcff"],
        "threshold out of range": [*ask, "--set", "image_threshold=16"],
        "not a number": [*ask, "--set", "response_threshold=.nan"],
        "unknown field": [*ask, "--set", "treshold=1"],
        "set without a value": [*ask, "--set", "alpha"],
        "set without a field": [*ask, "--set", "=1"],
        "missing policy": [*ask, "--policy", str(tmp_path / "none.yaml")],
        "broken policy": [*ask, "--policy", str(tmp_path / "broken.yaml")],
        "policy of no fields": [*ask, "--policy", str(tmp_path / "list.yaml")],
        "policy with a typo": [*ask, "--policy", str(tmp_path / "typo.yaml")],
        "policy that is no text": [*ask, "--policy", str(tmp_path / "binary.yaml")],
        "negative seed": [*ask, "--seed", "-1"],
        "seed of letters": [*ask, "--seed", "x"],
        "unknown dtype": [*ask, "--dtype", "float13"],
        "unknown device": [*ask, "--device", "quantum"],
        "unknown option": [*ask, "--modle", "x"],
        "missing question": ["ask", str(unsafe)],
        "unknown command": ["aks"],
        "empty tour": ["demo", "--limit", "0"],
    }[case]


@pytest.mark.parametrize(
    ("case", "told"),
    {
        "missing file": "none.png cannot be read (No such file or directory)",
        "a directory": "Is a directory",
        "not an image": "text.png: the image cannot be decoded",
        "an empty file": "empty.png is empty",
        "a drawing": "an SVG is a drawing",
        "empty question": "The question is empty.",
        "question in no encoding": "not UTF-8",
        "threshold out of range": "image_threshold = 16 is not valid",
        "not a number": "response_threshold is not valid",
        "unknown field": "There is no policy field 'treshold'. The fields are name, mode,",
        "set without a value": "--set 'alpha' is not FIELD=VALUE.",
        "set without a field": "--set '=1' is not FIELD=VALUE.",
        "missing policy": "none.yaml cannot be read",
        "broken policy": "broken.yaml cannot be read",
        "policy of no fields": "holds no mapping",
        "policy with a typo": "There is no policy field 'image_treshold'.",
        "policy that is no text": "binary.yaml cannot be read",
        "negative seed": "seed = -1 is not valid",
        "seed of letters": "Invalid value for '--seed'",
        "unknown dtype": "Invalid value for '--dtype'",
        "unknown device": "There is no device 'quantum' here.",
        "unknown option": "No such option: --modle",
        "missing question": "Missing argument 'QUESTION'. Run `eta-guard ask --help`.",
        "unknown command": "No such command 'aks'",
        "empty tour": "Invalid value for '--limit'",
    }.items(),
)
def test_bad_input_is_one_line_and_code_2(
    case: str, told: str, run: Run, models: Models, unsafe: Path, tmp_path: Path
) -> None:
    result = run(*bad(case, unsafe, tmp_path))

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert told in result.err
    assert models.loaded == []  # all of this is known before a model is loaded


def test_an_unknown_assembly(run: Run, unsafe: Path) -> None:
    result = run("ask", unsafe, "What?", "--assembly", "papre")

    assert result.code == 2
    assert result.err == ("error: There is no assembly 'papre'. Choose one of embedded, paper.\n")


@pytest.mark.parametrize("option", ["--model", "--clip", "--reward"])
def test_an_unknown_model(run: Run, unsafe: Path, option: str, models: Models) -> None:
    def load(*_: object, **asked: object) -> pretrained.Parts:
        raise ModelLoadError("There is no model\nof that name.", hint="Pass another.")

    models.load = load  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "load_parts", load)
        result = run("ask", unsafe, "What?", option, "nowhere/none")

    assert result.code == 2
    assert result.err == "error: There is no model of that name. Pass another.\n"


def test_an_image_that_never_ends(run: Run, models: Models) -> None:
    result = run("ask", "/dev/zero", "What?")

    assert result.code == 2
    assert "has more than 256 MiB" in result.err


def test_a_fault_of_the_program_is_one_line_too(
    run: Run, models: Models, safe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.engine.draft = ZeroDivisionError("a bug")

    result = run("ask", safe, "What?")

    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert "ZeroDivisionError: a bug" in result.err
    monkeypatch.setenv("ETA_GUARD_DEBUG", "1")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run("ask", safe, "What?")


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk(unsafe: Path, more: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("ask", unsafe, "What?", *more, stdout=full.fileno(), stderr=subprocess.PIPE)
        _, err = process.communicate()

    assert process.returncode == 2
    assert err.splitlines()[1:] == [
        "error: The output cannot be written (No space left on device)."
        " Free some space there and try again."
    ]


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor as a shell does")
def test_a_closed_stdout_is_found_before_the_models_load(unsafe: Path) -> None:
    command = [sys.executable, "-c", FAKED.format(seconds=0), "ask", str(unsafe), "What?"]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True
    )

    assert closed.returncode == 2
    assert closed.stderr == (
        "error: The output cannot be written (it is closed)."
        " Send it somewhere else and try again.\n"
    )


@pytest.mark.parametrize("command", [["demo", "--limit", "2"], ["demo", "--json"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(command: list[str]) -> None:
    process = start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()

    err = process.stderr.read()
    process.stderr.close()

    assert process.wait() == 141
    assert err in ("", "loading\n")


@pytest.mark.skipif(os.name != "posix", reason="sends an interrupt as a terminal does")
def test_ctrl_c(unsafe: Path) -> None:
    process = start(
        "ask", unsafe, "What?", seconds=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr
    assert process.stderr.readline() == "loading\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")
