"""The report in a headless Chromium: nothing overflows, nothing is fetched, everything has a text alternative."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spectral_edge import validate
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.report.page import write_report
from spectral_edge.validate.referee.verdict import NOT_RUN
from tests.validate.referee.browser import Browser, chromium

pytestmark = pytest.mark.slow

WIDTHS = (390, 900, 1400)

#: Elements that reach beyond their container, unless one they lie in scrolls; pictures scale as a whole.
OVERFLOWING = """
Array.from(document.querySelectorAll('body *')).filter(one => {
  if (one.ownerSVGElement || !one.getClientRects().length) return false;
  const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  for (let e = one.parentElement; e; e = e.parentElement) if (scrolls(e)) return false;
  const box = one.getBoundingClientRect(), outer = one.parentElement.getBoundingClientRect();
  const spills = !scrolls(one) && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline';
  return box.left < outer.left - 1 || box.right > outer.right + 1 || spills;
}).map(one => one.outerHTML.slice(0, 120))
"""
WIDER_THAN_THE_WINDOW = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
WITHOUT_TEXT = """
Array.from(document.querySelectorAll('svg, img, canvas'))
  .filter(one => !(one.getAttribute('aria-label') || one.getAttribute('alt') || '').trim())
  .map(one => one.outerHTML.slice(0, 120))
"""
BROKEN_ANCHORS = """
Array.from(document.querySelectorAll('a[href^="#"]')).map(a => a.getAttribute('href').slice(1))
  .filter(id => document.querySelectorAll(`[id="${id}"]`).length !== 1)
"""
#: Text of the pictures that would be smaller on the screen than this many CSS pixels.
TINY = """
Array.from(document.querySelectorAll('figure:not(.wide) svg text')).filter(text =>
  parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a < 7.5)
  .map(text => text.textContent)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        message = (
            "no Chromium found: install one (Debian: apt-get install chromium), the report is looked at in it"
        )
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(message)
        pytest.skip(message)
    tab = Browser(path)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def pages(board: validate.Scoreboard, page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of the bundled runs, and one in which nothing could be judged."""
    folder = tmp_path_factory.mktemp("reports")
    none = replace(board, verdicts=tuple(p.not_run("no data") for p in PREDICTIONS), runs=board.runs[:1])
    (folder / "bundled.html").write_text(page, encoding="utf-8")
    return {
        "bundled": folder / "bundled.html",
        "nothing run": write_report(none, folder / "none"),
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["bundled", "nothing run"])
def test_it_fits(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.open(pages[name], width)
    assert browser.evaluate(WIDER_THAN_THE_WINDOW) <= 0
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate(TINY) == []
    assert browser.complaints() == []
    assert browser.requests() == [pages[name].resolve().as_uri()]


def test_it_is_complete(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["bundled"], 1400)
    assert browser.evaluate("document.querySelectorAll('svg').length") >= 20
    assert browser.evaluate(WITHOUT_TEXT) == []
    assert browser.evaluate("document.querySelectorAll('a[href^=\"#\"]').length") >= 8
    assert browser.evaluate(BROKEN_ANCHORS) == []


def test_the_checks_see_what_they_are_for(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><title>bad</title><a href='#nowhere'>x</a><svg width=40><text font-size=5>t</text></svg>"
        "<figure><svg width=40><text font-size=5>t</text></svg></figure>"
        "<div style='width:100px'><p style='width:3000px'>wide</p></div><script>undefined_function()</script>"
        "<img src='missing.png'>"
    )
    browser.open(page, 900)
    assert browser.evaluate(WIDER_THAN_THE_WINDOW) > 0
    assert any("3000px" in one for one in browser.evaluate(OVERFLOWING))
    assert len(browser.evaluate(WITHOUT_TEXT)) == 3
    assert browser.evaluate(BROKEN_ANCHORS) == ["nowhere"]
    assert browser.evaluate(TINY) == ["t"]
    assert any("undefined_function" in one for one in browser.complaints())
    assert len(browser.requests()) == 2


def test_dark_is_dark(browser: Browser, pages: dict[str, Path]) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        browser.open(pages["bundled"], 900, scheme=scheme)
        for what in ("backgroundColor", "color"):
            colour = browser.evaluate(f"getComputedStyle(document.body).{what}")
            shades[scheme, what] = sum(int(part) for part in colour[4:-1].split(",")) / 3
    assert shades["light", "backgroundColor"] > 200 > 80 > shades["light", "color"]
    assert shades["dark", "color"] > 200 > 80 > shades["dark", "backgroundColor"]


def test_it_prints(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["bundled"], 900)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 1 < printed.count(b"/Type /Page\n") < 60


def test_not_run_is_said(pages: dict[str, Path]) -> None:
    text = pages["nothing run"].read_text()
    assert text.count(f"</span> {NOT_RUN}</span>") == 2 * len(PREDICTIONS)
    assert "Not judged: no data." in text
