"""The explorer as a person uses it: a Chromium opens both tabs, moves sliders, clicks the map, follows a file."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectral_edge import validate
from tests.validate.referee.browser import chromium

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

SCRIPT = Path(sys.executable).with_name("spectral-edge")
#: Milliseconds that a person would wait on a busy machine.
PATIENCE = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail("no Chromium found: install one (Debian: apt-get install chromium)")
        pytest.skip("no Chromium found")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(path), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., str]]:
    """``serve(path, …)``: the address of an explorer in a process of its own."""
    processes = []

    def start(*paths: Path) -> str:
        process = subprocess.Popen(
            [SCRIPT, "explore", *paths, "--no-open"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            found = re.search(r"http://\S+?:\d+", line)
            if found:
                return found[0]
        raise AssertionError(f"no address: {said}")

    yield start
    for process in processes:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """``visit(address, width)``: a page; at the end no page has complained, nor asked another machine for anything."""
    pages, complaints = [], []

    def open_page(address: str, width: int = 1280) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith(
                    (address.split("?")[0], address.replace("http", "ws"), "data:", "blob:")
                )
                else complaints.append(f"asked for {asked.url}")
            ),
        )
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def record(n: int, W_max: int = 16, seed: int = 3) -> validate.GramSequence:
    """A random walk with a loss, the same first steps whatever `n` is."""
    thetas = np.cumsum(np.random.default_rng(seed).normal(size=(200, 60)), axis=0)[: n + 1]
    sequence = validate.GramSequence.from_parameters(thetas, steps=np.arange(n + 1) * 10, W_max=W_max)
    sequence.metrics["test_loss"] = np.exp(-np.arange(n) / 40)
    return sequence


@pytest.fixture(scope="module")
def bundled(serve: Callable[..., str]) -> str:
    return serve()


def test_regimes_answer_to_the_sliders_and_to_a_click(bundled: str, visit: Callable[..., Any]) -> None:
    page = visit(bundled)
    told = page.get_by_text("collapse time (steps)").first
    expect(told).to_be_visible(timeout=PATIENCE)
    before = told.inner_text()
    assert "integrated" in before
    assert "exact (3.6)" in before
    handle = page.locator(".noUi-handle").nth(7)  # ω, by the keyboard
    handle.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(told).not_to_have_text(before, timeout=PATIENCE)
    expect(page).to_have_url(re.compile("omega="), timeout=PATIENCE)

    moved = told.inner_text()
    canvas = page.locator(".bk-Canvas").first
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    expect(told).not_to_have_text(moved, timeout=PATIENCE)


def test_a_link_holds_the_state(bundled: str, visit: Callable[..., Any]) -> None:
    page = visit(f"{bundled}/?omega=0.5&g0=3.0&theme=dark")
    told = page.get_by_text("collapse time (steps)").first
    expect(told).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("weight decay ω: 0.5")).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_tabs_and_sliders_are_usable_from_the_keyboard(bundled: str, visit: Callable[..., Any]) -> None:
    page = visit(bundled)
    expect(page.get_by_text("collapse time (steps)").first).to_be_visible(timeout=PATIENCE)
    page.locator(".noUi-handle").nth(6).focus()
    expect(page.get_by_role("slider", name="learning rate η: 0.001")).to_be_visible(timeout=PATIENCE)
    for key, tab in (("Enter", "Runs"), (" ", "Regimes")):
        page.locator(".bk-tab", has_text=tab).focus()
        page.keyboard.press(key)
        expect(page.locator(".bk-tab.bk-active")).to_have_text(tab, timeout=PATIENCE)
    expect(page).to_have_url(re.compile("tab=0"), timeout=PATIENCE)


@pytest.mark.parametrize("beside", ["", "/?beside=single-a%2Bb-wd0-seed42"])
@pytest.mark.parametrize("width", [1280, 800])
def test_it_fits(bundled: str, visit: Callable[..., Any], width: int, beside: str) -> None:
    page = visit(bundled + beside, width)
    expect(page.get_by_text("collapse time (steps)").first).to_be_visible(timeout=PATIENCE)
    for tab in ("Runs", "Regimes"):
        page.locator(".bk-tab", has_text=tab).click()
        page.wait_for_timeout(1500)
        assert (
            page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth") <= 0
        )


def test_a_run_its_window_and_one_beside_it(bundled: str, visit: Callable[..., Any]) -> None:
    page = visit(bundled)
    page.locator(".bk-tab", has_text="Runs").click()
    told = page.get_by_text(re.compile(r"k\* = \d+, R = ")).first
    expect(told).to_be_visible(timeout=PATIENCE)
    before = told.inner_text()
    handle = page.locator(".noUi-handle:visible").last
    handle.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(told).not_to_have_text(before, timeout=PATIENCE)
    plots = page.locator(".bk-Canvas:visible").count()
    beside = page.get_by_label("compare with")
    beside.select_option(index=3)
    expect(page.locator("b", has_text=beside.input_value()).first).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".bk-Canvas:visible").nth(plots + 5)).to_be_visible(timeout=PATIENCE)


def test_a_file_that_grows_is_followed(
    serve: Callable[..., str], visit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("growing") / "run.npz"
    record(60).save(path)
    page = visit(serve(path))
    expect(page.get_by_text("step 600").first).to_be_visible(timeout=PATIENCE)
    record(90).save(path)
    expect(page.get_by_text("step 900").first).to_be_visible(timeout=PATIENCE)


def test_layers_are_a_list(
    serve: Callable[..., str], visit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("layers") / "run.npz"
    rng = np.random.default_rng(0)
    tracker = validate.GramTracker(12, path=path, by="layer")
    params = {name: rng.normal(size=(8, 5)) for name in ("layers.0.weight", "layers.1.weight")}
    for step in range(40):
        params = {name: value + 0.1 * rng.normal(size=value.shape) for name, value in params.items()}
        tracker.update(params, step=step)
    tracker.close()
    page = visit(serve(path))
    layers = page.get_by_label("parameters", exact=True)
    expect(layers).to_be_visible(timeout=PATIENCE)
    layers.select_option("layers.1")
    expect(page.get_by_text("run, layers.1").first).to_be_visible(timeout=PATIENCE)


def test_the_check_builds_the_page() -> None:
    done = subprocess.run(
        [SCRIPT, "explore", "--check"], capture_output=True, text=True, timeout=300, check=True
    )
    assert re.search(r"page was built: \d+ plots", done.stdout)
