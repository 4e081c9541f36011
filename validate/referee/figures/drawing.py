"""Figures become inline SVG: small panels that the page arranges, in its own ink and palette, with a text for each."""

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from spectral_edge.theory import palette
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.report import typeset

# Drawn in this colour, then given to the page's own text colour, so that pictures follow light and dark.
_INK = "#010203"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spectral-edge",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor"),
        _INK,
    ),
}
#: Colours that the page replaces by its own, which differ between light and dark.
PALETTE = {
    _INK: "currentColor",
    palette.BLACK: "currentColor",
    palette.BLUE: "var(--blue)",
    palette.ORANGE: "var(--orange)",
    palette.GREEN: "var(--green)",
    palette.RED: "var(--red)",
    palette.SKY: "var(--sky)",
}
_COLOURS = re.compile("|".join(PALETTE), re.IGNORECASE)
_LONG = re.compile(r"-?\d+\.\d{3,}")
#: Coordinates stand in tags; what stands between them is read, and stays as it is.
_TAG = re.compile(r"<[^>]*>")


@contextmanager
def style() -> Iterator[None]:
    """Draw for the page, which brings the fonts: matplotlib's needs no glyph for what stays text."""
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


#: Points of the smallest text, and characters of a label that fit in an inch of panel.
SMALLEST, CHARACTERS = 8, 10.5


class Panel(NamedTuple):
    """One picture of the page.

    Attributes
    ----------
    draw : callable
        ``draw(ax)``; the title and the legend it gives the axes go above the picture.
    description : str
        What a reader who does not see it is told.
    size : tuple of float
        Width and height, inches: about as large as it is shown.
    """

    draw: Callable[[Axes], Any]
    description: str
    size: tuple[float, float] = (4.3, 2.9)


class Picture(NamedTuple):
    """A drawn panel: its title, its SVG, and whether it is too wide to shrink to a phone."""

    title: str
    svg: str
    wide: bool = False


def picture(panel: Panel) -> Picture:
    """Draw `panel` and return it for the page."""
    with style():
        figure = Figure(figsize=panel.size, layout="constrained")
        ax = figure.subplots()
        panel.draw(ax)
        title = ax.get_title() or ax.get_title(loc="left")
        for place in ("center", "left"):
            ax.set_title("", loc=place)
        for one in figure.axes:
            _tidy_ticks(one)
            one.set_xlabel(fill(one.get_xlabel(), int(panel.size[0] * CHARACTERS)))
        for text in figure.findobj(Text):
            text.set_fontsize(max(text.get_fontsize(), SMALLEST))
        _legend_above(figure)
        return Picture(title, svg(figure, panel.description))


def _tidy_ticks(ax: Axes) -> None:
    """Few steps, and plain numbers where a logarithmic axis spans less than two decades."""
    if ax.get_xlabel() == "step" and ax.get_xscale() == "linear":
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        if axis.get_scale() == "log" and low > 0 and high / low < 3:
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("linear")
            axis.set_major_locator(MaxNLocator(5))
        figures.plain_ticks(axis)


def _legend_above(figure: Figure) -> None:
    """Move the legend of the axes out of them: inside, it would lie over data."""
    for ax in figure.axes:
        legend = ax.get_legend()
        if legend is None:
            continue
        labels = [text.get_text() for text in legend.get_texts()]
        columns = int(figure.get_figwidth() * 72 // (4.6 * max(map(len, labels), default=1) + 34))
        handles = [handle for handle in legend.legend_handles if handle is not None]
        figure.legend(
            handles, labels, loc="outside upper left", frameon=False, fontsize=8, handlelength=1.6,
            ncols=min(max(columns, 1), len(labels)), columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip
        legend.remove()


def svg(figure: Figure, description: str) -> str:
    """Return `figure` as inline SVG: transparent, in the page's own colours, with a text alternative."""
    from markupsafe import escape

    for patch in (figure.patch, *(ax.patch for ax in figure.axes)):
        patch.set(facecolor="none", edgecolor="none")
    buffer = io.StringIO()
    with style():  # by the canvas: `savefig` draws twice, once to find the layout
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = _COLOURS.sub(lambda found: PALETTE[found[0].lower()], text[text.index("<svg") :])
    text = _TAG.sub(lambda tag: _LONG.sub(lambda found: f"{float(found[0]):.2f}", tag[0]), text)
    text = typeset.svg(text)
    # neighbouring cells of a map must meet, whatever the page scales them to
    text = text.replace('<g id="QuadMesh', '<g shape-rendering="crispEdges" id="QuadMesh')
    # ids are unique within one drawing only: several share the page
    prefix = f"f{zlib.crc32(description.encode()):x}-"
    for before in ('id="', 'xlink:href="#', "url(#"):
        text = text.replace(before, before + prefix)
    label = f'<svg role="img" aria-label="{escape(description)}" preserveAspectRatio="xMidYMid meet" '
    return label + text[len("<svg ") :]
