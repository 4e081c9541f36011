"""The report: self-contained, complete, escaped, and drawn where a browser would draw it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from spectral_edge import validate
from spectral_edge.validate.referee import figures
from spectral_edge.validate.referee.report import render, save_figure, write_report


@pytest.fixture(scope="module")
def page(board: validate.Scoreboard) -> str:
    return render(board)


class Page(HTMLParser):
    VOID = frozenset({"meta", "br", "img", "link", "hr", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.external: list[str] = []
        self.pictures = 0
        self.described = 0
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a" and str(given.get("href", "")).startswith("#"):
            self.anchors.append(str(given["href"])[1:])
        if tag == "svg":
            self.pictures += 1
            self.described += bool(given.get("aria-label")) and given.get("role") == "img"
        for key in ("src", "href"):
            if str(given.get(key, "")).startswith(("http", "//")):
                self.external.append(f"{tag} {given[key]}")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_it_needs_nothing_from_outside(parsed: Page, page: str) -> None:
    assert parsed.external == []
    assert "<script" not in page
    assert "@import" not in page


def test_anchors_resolve_and_ids_are_unique(parsed: Page) -> None:
    assert parsed.anchors
    assert set(parsed.anchors) <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_reference_inside_a_picture_resolves(page: str, parsed: Page) -> None:
    references = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'xlink:href="#([^"]+)"', page))
    assert references
    assert references <= set(parsed.ids)


def test_every_picture_has_a_text_alternative(parsed: Page) -> None:
    assert parsed.pictures >= 7
    assert parsed.described == parsed.pictures


def test_it_says_every_verdict_with_its_control(board: validate.Scoreboard, page: str) -> None:
    for verdict in board:
        assert f'id="{verdict.id}"' in page
        assert verdict.verdict in page
    for run in board.runs:
        assert run.config["run"] in page


def test_names_from_data_are_escaped(board: validate.Scoreboard) -> None:
    bad = "<script>alert(1)</script>"
    run = replace(board.runs[0], config={**board.runs[0].config, "run": bad, "task": bad, "command": bad})
    verdict = replace(board.verdicts[0], meaning=bad, statistic_name=bad)
    page = render(replace(board, runs=(run,), verdicts=(verdict,)))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_same_board_same_page(board: validate.Scoreboard, page: str) -> None:
    assert render(board) == page


def test_written_whole_or_not_at_all(board: validate.Scoreboard, tmp_path: Path) -> None:
    path = write_report(board, tmp_path / "new" / "folder")
    assert path.read_text().startswith("<!doctype html>")
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        write_report(board, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_figures_of_a_run_without_metrics(tmp_path: Path) -> None:
    run = replace(validate.bundled()[0], metrics={}, P=None)
    for draw in (
        figures.window_figure(run, 5),
        figures.evolution_figure(run, 5),
        figures.evolution_figure(run, 2),
    ):
        path = save_figure(draw, tmp_path / "picture.svg")
        assert path.read_text().startswith("<?xml")
