"""Colours, light and dark, and what every plot has in common."""

from typing import Any

#: Okabe and Ito's colours, told apart by colour-blind readers; dashes and hatches carry the difference in grey.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#888888"
#: The same, lighter where the page is dark.
LIGHTER = {BLUE: "#56B4E9", GREEN: "#2fd0a5", RED: "#ff8a4c", PURPLE: "#e6a3c8"}
REGIME_COLOURS = (BLUE, RED, ORANGE, GREY)
DASHES = ("solid", "dashed", "dotdash", "dotted")
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


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

    def colour(self, name: str) -> str:
        """`name`, one of the colours of this module, as it is seen on this page."""
        return LIGHTER.get(name, name) if self.dark else name

    def figure(self, **options: Any) -> Any:
        """A Bokeh figure in the page's colours that fills the width it is given."""
        from bokeh.plotting import figure

        given: dict[str, Any] = {"height": 260, "sizing_mode": "stretch_width", "tools": TOOLS}
        plot = figure(**given | options)
        plot.background_fill_color = plot.border_fill_color = self.background
        plot.outline_line_color = self.grid
        plot.grid.grid_line_color = self.grid
        plot.title.text_color = self.text
        plot.toolbar.logo = None
        plot.toolbar.autohide = True
        for axis in plot.axis:
            axis.axis_label_text_color = axis.major_label_text_color = self.text
            axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = self.text
            axis.axis_label_text_font_style = "normal"
        return plot

    def legend(self, plot: Any, location: str = "top_right", **options: Any) -> None:
        """Set the legend of `plot`, which hides a curve when it is clicked."""
        for legend in plot.legend:
            legend.location = location
            legend.background_fill_color, legend.background_fill_alpha = self.background, 0.75
            legend.label_text_color, legend.border_line_color = self.text, None
            legend.label_text_font_size, legend.spacing, legend.padding = "9pt", 1, 4
            legend.click_policy = "hide"
            legend.update(**options)
