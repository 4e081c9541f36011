"""Colours, light and dark, and what every plot has in common."""

from typing import Any

from spectral_edge.theory.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

#: Colours of figures, lighter where the page is dark.
LIGHTER = {BLUE: SKY, GREEN: "#2fd0a5", RED: "#ff8a4c", PURPLE: "#e6a3c8"}
REGIME_COLOURS = (BLUE, RED, ORANGE, GREY)
DASHES = ("solid", "dashed", "dotdash", "dotted")
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
#: Ticks of a logarithmic axis: Bokeh's own are evenly spaced below two decades, and then run into one another.
TICKS = """
    const [low, high] = [cb_data.range.start, cb_data.range.end].map(Math.log10);
    const span = Math.abs(high - low);
    const mantissas = span < 1.2 ? [1, 2, 5] : span < 2.5 ? [1, 3] : [1];
    const stride = Math.max(1, Math.round(span / 5));
    const ticks = [];
    for (let decade = Math.floor(Math.min(low, high)); decade <= Math.ceil(Math.max(low, high)); decade++) {
        if (decade % stride == 0) {
            for (const mantissa of mantissas) {
                ticks.push(mantissa * 10 ** decade);
            }
        }
    }
    return ticks;
"""
LABELS = """
    const size = Math.abs(tick);
    const plain = size >= 1e-3 && size < 1e5;
    const short = Number(tick.toPrecision(6));  // 3 × 10⁻⁴ is 0.00030000000000000003 to a computer
    return plain ? String(short) : short.toExponential().replace("e+", "e").replace("e-", "e−");
"""
#: What a slider over decades shows: the value, not its logarithm.
POWERS = """
    const value = Math.pow(BASE, tick);
    const short = Number(value.toPrecision(3));
    return short >= 1e-4 && short < 1e6 ? short.toLocaleString("en", {maximumFractionDigits: 8})
        : short.toExponential().replace("e+", "e").replace("e-", "e−");
"""
#: Of a list that opens: the browser's own is black on a dark page.
ARROW = (
    "url(\"data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 5'>"
    "<path d='M0 0h8L4 5z' fill='%23COLOUR'/></svg>\")"
)
#: What is moved stays in sight while one looks further down, where it stands beside what it moves.
STAYS = """
    @media (min-width: 1000px) {
        :host { position: sticky; top: 0; align-self: flex-start; max-height: 100vh; overflow-y: auto; }
    }
"""


class Look:
    """The colours of a page.

    Parameters
    ----------
    dark : bool
        Whether the page is dark.
    """

    def __init__(self, dark: bool) -> None:
        self.dark = dark
        self.text = "#e8e8e8" if dark else "#222222"
        self.background = "#1b1e23" if dark else "#ffffff"
        self.grid = "#3a3f47" if dark else "#e3e3e3"
        self.track = "#4a515b" if dark else "#d5d9de"

    @property
    def style(self) -> str:
        """Rules for every widget of the page: where the keyboard is can be seen, and how far a slider is."""
        arrow = ARROW.replace("COLOUR", self.text[1:])
        return f"""
            :focus-visible {{ outline: 2px solid #e69f00 !important; outline-offset: 2px; }}
            .noUi-target {{ background: {self.track}; border-color: {self.track}; box-shadow: none; }}
            .noUi-connect {{ background: {self.colour(BLUE)} !important; }}
            select.bk-input {{ background-image: {arrow} !important; background-size: 0.6em; }}
        """

    def colour(self, name: str) -> str:
        """`name`, one of the colours of this module, as it is seen on this page."""
        return LIGHTER.get(name, name) if self.dark else name

    def figure(self, **options: Any) -> Any:
        """A Bokeh figure in the page's colours that fills the width it is given."""
        from bokeh.models import CustomJSTicker, CustomJSTickFormatter, LogAxis
        from bokeh.plotting import figure

        given: dict[str, Any] = {"height": 260, "sizing_mode": "stretch_width", "tools": TOOLS}
        plot: Any = figure(**given | options)
        plot.background_fill_color = plot.border_fill_color = self.background
        plot.outline_line_color = self.grid
        plot.grid.grid_line_color = self.grid
        plot.title.text_color = self.text
        plot.toolbar.logo = None
        plot.toolbar.autohide = True
        for axis in plot.axis:
            if isinstance(axis, LogAxis):
                axis.update(
                    ticker=CustomJSTicker(major_code=TICKS), formatter=CustomJSTickFormatter(code=LABELS)
                )
            axis.axis_label_text_color = axis.major_label_text_color = self.text
            axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = self.text
            axis.axis_label_text_font_style = "normal"
        return plot

    def beside(self, left: Any, right: Any) -> Any:
        """`left` beside `right`, or above it where the page is too narrow for the `min_width` of `right`."""
        import panel as pn

        left.styles = {"flex": f"1 1 {left.min_width}px"}
        left.stylesheets = [STAYS]
        right.styles = {"flex": "999 1 0"}  # takes what is there, so that `left` grows only above it
        return pn.FlexBox(left, right, flex_wrap="wrap", gap="0px 12px", sizing_mode="stretch_width")

    def legend(self, plot: Any) -> None:
        """Put the legend of `plot` above its curves, where it hides none; a click on a name hides that curve."""
        legend = plot.legend[0]
        legend.update(
            orientation="horizontal", label_text_color=self.text, label_text_font_size="9pt", spacing=8, padding=2,
            margin=0, border_line_color=None, background_fill_alpha=0, click_policy="hide",
        )  # fmt: skip
        plot.add_layout(legend, "above")


def powers(base: int) -> Any:
    """How a slider over the exponents of `base` says its value."""
    from bokeh.models import CustomJSTickFormatter

    return CustomJSTickFormatter(code=POWERS.replace("BASE", str(base)))
