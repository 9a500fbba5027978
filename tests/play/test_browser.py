"""The playground in a real browser, with the models that ship."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eta_guard import GuardPolicy, Verdict
from eta_guard.embedded import samples
from eta_guard.errors import ImageInputError
from eta_guard.request.from_file import read_request
from tests.browser import Watched, chromium, needs_chromium

pytest.importorskip("gradio")
pytestmark = [pytest.mark.browser, pytest.mark.enable_socket, needs_chromium]

KNIFE = next(n for n, one in enumerate(samples()) if one.object == "knife")
LOCKPICK = next(n for n, one in enumerate(samples()) if one.object == "lockpick")
CAT = next(n for n, one in enumerate(samples()) if one.object == "cat")


@dataclass(frozen=True)
class Served:
    address: str
    folder: Path
    """Where the process keeps its uploads."""
    tried: Path
    """What it tried to reach beside this machine."""
    process: subprocess.Popen[str]

    def files(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("play")
    tried = folder / "tried"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.play.no_network", str(tried), "play"],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    (private,) = folder.glob("eta-guard-play-*")
    yield Served(found[0], private, tried, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    process.stdout.close()
    assert not private.exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser: Any, served: Served) -> Iterator[Callable[..., Watched]]:
    """Opens pages; at the end nothing stood in a console, and nothing else was asked."""
    pages: list[Watched] = []

    def open_page(**settings: Any) -> Watched:
        watched = Watched(browser, **{"viewport": {"width": 1280, "height": 900}, **settings})
        pages.append(watched)
        watched.page.goto(served.address)
        watched.page.locator("#samples img").first.wait_for()
        # The controls are alive once the histograms have been drawn over all samples.
        watched.page.get_by_text("of 9 hazardous").first.wait_for(timeout=60_000)
        return watched

    yield open_page
    for watched in pages:
        watched.page.close()
        assert watched.told == []
        assert watched.refused == []
    assert not served.tried.exists()


def ask(page: Any, sample: int) -> None:
    page.locator("#samples button").nth(sample).click()
    page.locator("#input img").first.wait_for()
    page.locator("#input textarea").press("Enter")
    page.locator("#question").get_by_text(samples()[sample].question).wait_for()
    page.locator(".answers").wait_for()


def move(page: Any, evaluator: str, value: str) -> None:
    number = page.locator(f"#threshold-{evaluator} input[type=number]")
    number.fill(value)
    number.press("Tab")


def mark(page: Any, where: str) -> Any:
    return page.locator(f"{where} .mark").first


def until(page: Any, holds: Callable[[], bool]) -> bool:
    """Waits the browser's way: what its pages ask for passes through this process."""
    for _ in range(200):
        if holds():
            return True
        page.wait_for_timeout(100)
    return holds()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_sample_is_seen_to_be_repaired(
    opened: Callable[..., Watched], width: int, scheme: Any, tmp_path: Path
) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 900}).page
    ask(page, LOCKPICK)
    assert mark(page, ".guarded").inner_text() == "aligned"
    nodes = [step.get_attribute("data-node") for step in page.locator(".step").all()]
    way = ["pre_evaluate", "generate", "post_evaluate", "prefix_align", "best_of_n"]
    assert nodes == [*way, "post_evaluate", "respond"]
    lights = [step.get_attribute("class") for step in page.locator(".step").all()]
    assert ["unsafe" in light for light in lights] == [True, False, True, *[False] * 4]
    assert "≥ 0.16" in page.locator(".step").first.inner_text()
    assert page.locator(".region").count() == 1  # it was found in what a plain margin surrounds
    assert page.locator(".round").count() == page.locator(".round .picked").count() > 1
    shown = page.locator(".guarded .text").inner_text()
    assert page.locator(".round .picked .text").first.inner_text() in shown
    unguarded = page.locator(".unguarded .text")
    assert not unguarded.is_visible()
    page.locator(".unguarded summary").click()
    assert unguarded.is_visible()
    assert "placeholder step" in unguarded.inner_text()
    assert re.search(r"\d\.\d s\s+\d+ tokens in, \d+ out", page.locator(".foot").inner_text())
    for part in ("body", "#main", "#settings"):
        wide = f"document.querySelector('{part}').scrollWidth"
        assert page.evaluate(wide) <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) is (scheme == "dark")
    page.screenshot(path=tmp_path / "play.png", full_page=True)
    with Image.open(tmp_path / "play.png") as screenshot:
        assert screenshot.width == width


def test_a_moved_threshold_decides_otherwise(opened: Callable[..., Watched]) -> None:
    page = opened().page
    ask(page, KNIFE)
    whatif = page.locator("#whatif")
    whatif.get_by_text("aligned").wait_for()
    move(page, "image-clip", "0.34")
    whatif.get_by_text("passed").wait_for()
    assert "instead of aligned" in whatif.inner_text()
    assert "0 of 9 hazardous" in page.locator(".histogram").first.inner_text()
    page.get_by_label("Candidates a sentence (N)").first.fill("3")
    whatif.get_by_text("From the next question on: N.").wait_for()
    ask(page, KNIFE)  # and so it does
    assert until(page, lambda: mark(page, ".guarded").inner_text() == "passed")
    move(page, "image-clip", "0.16")
    whatif.get_by_text("The plain answer was not evaluated").wait_for()


def test_what_is_taken_along_is_what_was_set(
    opened: Callable[..., Watched], tmp_path: Path
) -> None:
    page = opened().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, CAT)
    move(page, "image-clip", "0.2")
    page.locator("#whatif").get_by_text("too").wait_for()
    page.get_by_role("button", name="Copy as policy file").click()
    read = "navigator.clipboard.readText()"
    assert until(page, lambda: "image_threshold: 0.2" in page.evaluate(read))
    (tmp_path / "policy.yaml").write_text(page.evaluate(read))
    assert GuardPolicy.from_file(tmp_path / "policy.yaml") == GuardPolicy(image_threshold=0.2)
    page.get_by_role("button", name="Copy as Python").click()
    assert until(page, lambda: "image_threshold=0.2" in page.evaluate(read))
    with page.expect_download() as download:
        page.get_by_text("Save verdict").click()
    told = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert Verdict.model_validate(told).decision == "passed"


def test_two_people_at_once_see_their_own(opened: Callable[..., Watched]) -> None:
    one, other = opened().page, opened().page
    ask(one, KNIFE)
    assert other.locator(".picture").count() == 0
    ask(other, CAT)
    assert "knife" not in other.locator("#main").inner_text()
    assert "cat" in other.locator(".guarded").inner_text()
    assert other.locator(".before").count() == 0  # no earlier question
    other.get_by_role("button", name="New conversation").click()
    other.locator(".answers").wait_for(state="detached")
    # A conversation, each for itself.
    one.locator("#input textarea").fill("What can one do with it?")
    one.locator("#input textarea").press("Enter")
    one.get_by_text("A picture of an earlier turn is unsafe, and counts.").wait_for()
    assert one.locator(".before").count() == 1


def test_a_bad_file_says_what_ask_says_and_uploads_go_with_the_page(
    opened: Callable[..., Watched], served: Served, tmp_path: Path
) -> None:
    bad, mine = tmp_path / "holiday.png", tmp_path / "mine.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (40, 40), (1, 200, 3)).save(mine)
    with pytest.raises(ImageInputError) as said:
        read_request(bad, "What is this?")
    page = opened().page
    page.set_input_files("#input input[type=file]", bad)
    page.locator("#input textarea").fill("What is this?")
    page.locator("#input textarea").press("Enter")
    page.locator(".problem").wait_for()
    message = said.value.message.replace(str(bad), bad.name)
    assert page.locator(".problem p").first.inner_text() == message
    assert page.locator(".problem .hint").inner_text() == said.value.hint
    assert "holiday.png" not in served.files()
    assert stat.S_IMODE(served.folder.stat().st_mode) == 0o700
    other = opened().page
    other.set_input_files("#input input[type=file]", mine)
    assert until(other, lambda: "mine.png" in served.files())
    other.locator("#input img").first.wait_for()
    other.wait_for_timeout(1000)  # the page says whose the file is once it is there
    other.close()
    assert until(page, lambda: "mine.png" not in served.files())
