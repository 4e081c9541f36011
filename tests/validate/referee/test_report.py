"""The report: self-contained, complete, escaped, and drawn where a browser would draw it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from spectral_edge import validate
from spectral_edge.commands.console import write_figure
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.early_warning.judge import early_warning
from spectral_edge.validate.referee.figures import predictions as prediction_figures
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.figures.drawing import Panel, picture
from spectral_edge.validate.referee.figures.thesis import thesis_figures
from spectral_edge.validate.referee.report import typeset
from spectral_edge.validate.referee.report.page import render, write_report
from spectral_edge.validate.referee.statistics import Estimate
from spectral_edge.validate.referee.verdict import SUPPORTED, Reading, Verdict

pytestmark = pytest.mark.slow


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


def test_same_board_same_page(board: validate.Scoreboard) -> None:
    small = replace(board, verdicts=board.verdicts[1:3], runs=board.runs[::3])
    assert render(small) == render(small)


def test_runs_at_every_step_are_counted(board: validate.Scoreboard) -> None:
    small = replace(board, verdicts=board.verdicts[1:2], runs=board.runs[:1])
    told = "small networks recorded at every step, each beside"
    assert f"and 36 {told}" in " ".join(render(small, dense=36).split())
    assert told not in " ".join(render(small).split())


def test_written_whole_or_not_at_all(board: validate.Scoreboard, tmp_path: Path) -> None:
    board = replace(board, runs=board.runs[:1], verdicts=board.verdicts[:1])
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
        path = write_figure(draw, tmp_path / "picture.svg")
        assert path.read_text().startswith("<?xml")


# -- pictures of what the bundled runs do not hold -----------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "shows"),
    [
        ("gap-opens-at-grokking", "records since the grok step"),
        ("gap-precedes-grokking", "records since the grok step"),
        ("adiabatic-regimes", "records since the grok step"),
        ("shift-detection", "records since the data change"),
        ("small-gap-position", "gap position k*"),
        ("optimiser-dependence", "gap position k*"),
        ("inverted-hierarchy", "slope 1"),
        ("stability-hierarchy", "mode, counted from k*"),
        ("three-phases", "share of training"),
        ("gap-tracks-loss", "without trend, length 1"),
        ("weight-decay-needed", "grok step (×: none)"),
    ],
)
def test_pictures_of_single_predictions(id: str, shows: str) -> None:
    rate = Estimate(0.5, 0.2, 0.8)
    verdict = Verdict(1, id, "A claim.", SUPPORTED, readings=(Reading("plain", rate, rate, None, None),))
    runs = worlds.planted(id, 2, with_controls=True)(0)
    panels = prediction_figures.pictures(verdict, runs)
    assert len(panels) == 2
    assert shows in picture(panels[1]).svg
    # nothing of it in runs that hold too little, and no failure
    bare = [replace(run, metrics={}, probes={}, config={"experiment": "none"}) for run in runs]
    assert 1 <= len(prediction_figures.pictures(verdict, bare)) <= 2


def test_all_figures_of_the_thesis_where_all_was_recorded(board: validate.Scoreboard) -> None:
    runs = worlds.planted("gap-opens-at-grokking", 2, with_controls=True)(0)
    found = thesis_figures(runs, 10)
    assert [one.number for one in found] == [1, 2, 3, 4]
    assert [len(one.panels) for one in found] == [4, 2, 4, 4]
    page = render(replace(board, runs=tuple(runs), verdicts=board.verdicts[:1]))
    for number in range(1, 6):
        assert f"<h3>{number}. " in page
        assert f'aria-label="Figure {number}' in page
    assert "data:image" not in page  # lines, not pixels


def test_early_warning_has_a_section_where_it_was_judged(board: validate.Scoreboard) -> None:
    runs = worlds.planted("gap-precedes-grokking", 4, with_controls=True)(0)
    families = [replace(run, config={**run.config, "operation": str(i % 2)}) for i, run in enumerate(runs)]
    warning = early_warning(families)
    small = replace(board, verdicts=board.verdicts[:1], runs=board.runs[:1])
    page = render(small, warning)
    assert 'href="#warning"' in page
    assert 'id="warning"' in page
    assert all(str(typeset.html(warner.name)) in page for warner in warning.warners)
    assert 'id="warning"' not in render(small)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("σ_W/d_crit > 5", "σ<sub>W</sub>/d<sub>crit</sub> &gt; 5"),
        ("α_jG_j^trainG_j^val", "α<sub>j</sub>G<sub>j</sub><sup>train</sup>G<sub>j</sub><sup>val</sup>"),
        ("argmax σ_j/σ_{j+1}", "argmax σ<sub>j</sub>/σ<sub>j+1</sub>"),
        ("‖ΔC‖_F and g_23", "‖ΔC‖<sub>F</sub> and g<sub>23</sub>"),
        ("Wp_j of D⁻¹Hv_j", "Wp<sub>j</sub> of D⁻¹Hv<sub>j</sub>"),
        ("weight_decay, test_loss", "weight_decay, test_loss"),
        ("the probe `from_loss` of v_1", "the probe <code>from_loss</code> of v<sub>1</sub>"),
    ],
)
def test_indices_of_formulas(text: str, shown: str) -> None:
    assert typeset.html(text) == shown


def test_indices_in_pictures_come_back_to_the_line() -> None:
    drawn = typeset.svg("<text x='1'>σ_1^2 of W_Q</text><title>a_1</title>")
    shifts = [float(shift) for shift in re.findall(r'dy="([^"]+)"', drawn)]
    assert len(shifts) == 4
    assert sum(shifts[:3]) == pytest.approx(0)
    assert drawn.endswith("<title>a_1</title>")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_small_numbers_on_an_axis_are_not_rounded(scale: str) -> None:
    """Coordinates are rounded to keep the page small; labels are not coordinates."""

    def draw(ax: Axes) -> None:
        ax.plot([1, 2, 3], [0.0021, 0.0054, 0.0093])
        ax.set_yscale(scale)
        ax.text(2, 0.005, "p = 0.0013")

    drawn = picture(Panel(draw, "small numbers")).svg
    said = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert "0.005" in said
    assert "p = 0.0013" in said
    assert len(set(said)) == len(said)
    assert not re.search(r'[ "]-?\d+\.\d{3,}', "".join(re.findall(r' d="[^"]*"', drawn)))


def test_steps_on_a_logarithmic_axis_are_marked() -> None:
    """Where runs differ much in length: marks at equal distances would have no label."""

    def draw(ax: Axes) -> None:
        ax.plot([100, 50_000], [0, 1])
        ax.set(xlabel="step", xscale="log")

    drawn = picture(Panel(draw, "steps")).svg
    below = drawn[drawn.index('matplotlib.axis_1"') : drawn.index('matplotlib.axis_2"')]
    assert re.sub(r"<[^>]*>|\s", "", below).count("10") >= 3  # powers of ten


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5.14e3 times", "5,140 times"),
        ("[-9.19e-5, 1e+07]", "[−9.19 × 10<sup>−5</sup>, 10<sup>7</sup>]"),
        ("(-9.19e-5 to 1e7)", "(−9.19 × 10<sup>−5</sup> to 10<sup>7</sup>)"),
        ("lr-1e-4, v1e3, `1e3`", "lr-1e-4, v1e3, <code>1e3</code>"),
    ],
)
def test_powers_of_ten_in_running_text(text: str, shown: str) -> None:
    assert typeset.html(text) == shown
