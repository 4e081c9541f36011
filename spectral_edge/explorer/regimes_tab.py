"""The tab *Regimes*: sliders, the two signals, the three terms, and a map that answers at once."""

from dataclasses import asdict
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from bokeh.plotting.contour import contour_data

from spectral_edge import theory
from spectral_edge.explorer import regimes
from spectral_edge.explorer.look import REGIME_COLOURS, Look, powers
from spectral_edge.theory.palette import BLUE, GREEN, ORANGE, PURPLE, RED

#: Collapse times between two contours of a map, at most.
CONTOURS = 9


class RegimesTab:
    """Everything of the tab; `link` names the widgets that a link holds.

    Parameters
    ----------
    look : Look
        Colours of the page.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.point = regimes.Point()
        self.sliders = {name: _slider(name, value) for name, value in asdict(self.point).items()}
        names = {slider.label: name for name, slider in regimes.SLIDERS.items()}
        self.x = pn.widgets.Select(name="map, horizontal", options=names, value="p_next", width=190)
        self.y = pn.widgets.Select(name="map, vertical", options=names, value="omega", width=190)
        self.b = pn.widgets.FloatSlider(
            name="feedback strength b", start=0.05, end=10, step=0.05, value=4.0, width=170
        )
        self.c = pn.widgets.FloatSlider(
            name="net driving c", start=-5, end=1, step=0.05, value=-1.0, width=170
        )
        self.kappa = pn.widgets.FloatSlider(
            name="damping κ", start=0.05, end=5, step=0.05, value=1.0, width=170
        )
        self.P = pn.widgets.FloatSlider(
            name="parameters P", start=3, end=12, step=0.1, value=8.0, width=170, format=powers(10)
        )
        self.B = pn.widgets.FloatSlider(
            name="batch size B", start=0, end=16, step=1, value=9, width=170, format=powers(2)
        )
        self.link = {**self.sliders, "x": self.x, "y": self.y, "b": self.b, "c": self.c,
                     "kappa": self.kappa, "log10_P": self.P, "log2_B": self.B}  # fmt: skip
        self._held = False
        self._build_plots()
        self.summary = pn.pane.HTML(sizing_mode="stretch_width")
        self.bbp = pn.pane.HTML(sizing_mode="stretch_width")
        self.code = pn.widgets.CodeEditor(
            language="python", readonly=True, height=210, sizing_mode="stretch_width",
            theme="tomorrow_night" if look.dark else "chrome", name="The same in Python",
        )  # fmt: skip
        for widget in self.sliders.values():
            widget.param.watch(self._slid, "value")
        for widget in (self.x, self.y):
            widget.param.watch(lambda _: self._draw_map(), "value")
        for widget in (self.b, self.c, self.kappa):
            widget.param.watch(lambda _: self._draw_feedback(), "value")
        for widget in (self.P, self.B):
            widget.param.watch(lambda _: self._draw_bbp(), "value")
        self.refresh()

    # -- layout ------------------------------------------------------------------------------------------

    def _build_plots(self) -> None:
        look = self.look
        self.signal_data = ColumnDataSource({name: [] for name in ("t", "upper", "lower")})
        self.crossing_data = ColumnDataSource({"t": [], "d": [], "label": []})
        self.signals = look.figure(
            title="Both signals", x_axis_label="time (steps)", y_axis_label="d (parameter units)"
        )
        self.signals.varea(
            "t", "lower", "upper", source=self.signal_data, color=look.colour(BLUE), alpha=0.12
        )
        self.signals.line(
            "t", "upper", source=self.signal_data, color=look.colour(BLUE), width=2.5, legend_label="dₖ"
        )
        self.signals.line("t", "lower", source=self.signal_data, color=look.colour(RED), width=2.5,
                          line_dash="dashed", legend_label="dₖ₊₁")  # fmt: skip
        self.signals.scatter("t", "d", source=self.crossing_data, size=10, fill_color=look.background,
                             line_color=look.text, line_width=2)  # fmt: skip
        self.signals.text("t", "d", "label", source=self.crossing_data, x_offset=8, y_offset=-8,
                          text_color=look.text, text_font_size="10pt")  # fmt: skip
        look.legend(self.signals)
        self.term_data = ColumnDataSource(
            {name: [] for name in ("t", "curvature", "damping", "driving", "sum", "gap")}
        )
        self.terms = look.figure(
            title="The three terms of dg/dt",
            x_axis_label="time (steps)",
            y_axis_label="rate (parameter units per step)",
            x_range=self.signals.x_range,
        )
        for name, label, colour, dash in (
            ("curvature", "curvature asymmetry", ORANGE, "dotdash"), ("damping", "damping", BLUE, "dashed"),
            ("driving", "gradient driving", GREEN, "dotted"), ("sum", "their sum", look.text, "solid"),
        ):  # fmt: skip
            self.terms.line("t", name, source=self.term_data, color=look.colour(colour), line_dash=dash, width=2,
                            legend_label=label)  # fmt: skip
        look.legend(self.terms)
        self.phase = look.figure(title="Rate of the gap against the gap", x_axis_label="gap g (parameter units)",
                                 y_axis_label="dg/dt (parameter units per step)")  # fmt: skip
        self.phase.line("gap", "sum", source=self.term_data, color=look.colour(PURPLE), width=2.5)
        self.phase.hspan(y=[0], color=look.text, line_width=0.8)
        self.phase.vspan(x=[0], color=look.text, line_width=0.8)
        self._build_map()
        self.feedback_data = ColumnDataSource({name: [] for name in ("eps", "unstable", "open")})
        self.feedback = look.figure(title="Feedback loop (7.3)", x_axis_label="perturbation scale ε (parameter units)",
                                    y_axis_label="gap at rest (parameter units)")  # fmt: skip
        self.feedback.varea("eps", "unstable", "open", source=self.feedback_data, color=look.colour(GREEN), alpha=0.15,
                            legend_label="stays open")  # fmt: skip
        self.feedback.line(
            "eps",
            "open",
            source=self.feedback_data,
            color=look.colour(BLUE),
            width=2.5,
            legend_label="open gap",
        )
        self.feedback.line("eps", "unstable", source=self.feedback_data, color=look.colour(RED), width=2.5,
                           line_dash="dashed", legend_label="threshold")  # fmt: skip
        look.legend(self.feedback)

    def _build_map(self) -> None:
        look = self.look
        self.map_data = ColumnDataSource({name: [] for name in ("image", "time", "x", "y", "dw", "dh")})
        self.here = ColumnDataSource({"x": [], "y": []})
        self.times = ColumnDataSource({"x": [], "y": [], "label": []})
        self._plots: dict[tuple[bool, bool], Any] = {}
        self.map_pane = pn.pane.Bokeh(sizing_mode="stretch_width")
        self.key = pn.pane.HTML(
            "".join(f'<span style="margin-right:1em"><span style="background:{look.colour(colour)};opacity:.75;'
                    f'display:inline-block;width:1em;height:.8em"></span> {name}</span>'
                    for name, colour in zip(regimes.REGIMES, REGIME_COLOURS, strict=True)),
            styles={"color": look.text},
        )  # fmt: skip

    def _map_plot(self, logarithmic: tuple[bool, bool]) -> Any:
        """The plot of a map; a kind of axis cannot be changed, so there is one plot for each."""
        if logarithmic not in self._plots:
            look = self.look
            x_type, y_type = ("log" if one else "linear" for one in logarithmic)
            plot = look.figure(height=420, x_axis_type=x_type, y_axis_type=y_type,
                               x_range=Range1d(start=0, end=1), y_range=Range1d(start=0, end=1),
                               tools="pan,wheel_zoom,reset,save",
                               title="Regimes; lines: collapse time (steps). Click to move the sliders")  # fmt: skip
            palette = [look.colour(colour) for colour in REGIME_COLOURS]
            mapper = LinearColorMapper(palette=palette, low=-0.5, high=3.5, high_color=look.background)
            image = plot.image(
                "image", "x", "y", "dw", "dh", source=self.map_data, color_mapper=mapper, alpha=0.6
            )
            plot.add_tools(
                HoverTool(
                    renderers=[image], tooltips=[("collapse time", "@time{0.[0]}"), ("x", "$x"), ("y", "$y")]
                )
            )
            lines = plot.contour(
                [0, 1],
                [0, 1],
                np.zeros((2, 2)),
                levels=[1.0, 2.0],
                line_color="black" if not look.dark else "white",
            )
            plot.text("x", "y", "label", source=self.times, text_font_size="8pt", text_color=look.text,
                      text_align="center", text_baseline="middle", background_fill_color=look.background,
                      background_fill_alpha=0.75, padding=2)  # fmt: skip
            plot.scatter("x", "y", source=self.here, marker="cross", size=18, line_width=3, color=look.text)
            plot.on_event(Tap, self._tapped)
            self._plots[logarithmic] = plot, lines
        return self._plots[logarithmic]

    def view(self) -> pn.viewable.Viewable:
        """The tab's layout."""
        reset = pn.widgets.Button(name="Back to the example", button_type="default", width=170)
        reset.on_click(lambda _: self.move(**asdict(regimes.Point())))
        left = pn.FlexBox(
            *self.sliders.values(), reset, self.summary, min_width=270, align_content="flex-start"
        )
        figure = pn.widgets.FileDownload(
            callback=self._figure, filename="regimes.svg", label="Map as SVG", width=140
        )
        source = pn.widgets.FileDownload(callback=lambda: StringIO(self.code.value), filename="regimes.py",
                                         label="As Python", width=140)  # fmt: skip
        right = pn.Column(
            pn.Row(self.x, self.y), pn.Row(figure, source),
            self.map_pane, self.key,
            *(pn.pane.Bokeh(plot, sizing_mode="stretch_width") for plot in (self.signals, self.terms, self.phase)),
            pn.Card(pn.Row(pn.Column(self.kappa, self.b, self.c, width=190),
                           pn.pane.Bokeh(self.feedback, sizing_mode="stretch_width", min_width=260)),
                    title="α-feedback (7.3) and its bistable region", sizing_mode="stretch_width"),
            pn.Card(pn.Row(pn.Column(self.P, self.B, width=190), self.bbp),
                    title="BBP: three scales (2.1–2.3) at the η and W of the sliders", sizing_mode="stretch_width"),
            pn.Card(self.code, title="The same in Python", collapsed=True, sizing_mode="stretch_width"),
            sizing_mode="stretch_width", min_width=380,
        )  # fmt: skip
        return self.look.beside(left, right)

    # -- what happens -------------------------------------------------------------------------------------

    def move(self, **values: float) -> None:
        """Move several sliders, then draw once."""
        self.point = self.point.moved(**values)
        self._show_point()
        self.refresh()

    def _show_point(self) -> None:
        self._held = True
        try:
            for name, value in asdict(self.point).items():
                self.sliders[name].value = _shown(name, value)
        finally:
            self._held = False

    def _slid(self, event: Any) -> None:
        if self._held:
            return
        values = {name: _meant(name, widget.value) for name, widget in self.sliders.items()}
        self.point = regimes.Point().moved(**values)
        self._show_point()  # d0 may have had to follow g0
        self.refresh()

    def _tapped(self, event: Any) -> None:
        if event.x is None or event.y is None:
            return
        values = {}
        for name, value in ((self.x.value, event.x), (self.y.value, event.y)):
            slider = regimes.SLIDERS[name]
            values[name] = min(max(value, slider.low), slider.high)
        self.move(**values)

    def refresh(self) -> None:
        """Draw everything anew from the sliders."""
        self._draw_point()
        self._draw_map()
        self._draw_feedback()
        self._draw_bbp()

    def _draw_point(self) -> None:
        run = self.point.run
        upper, lower = run.sigma.T
        self.signal_data.data = {"t": run.t, "upper": upper, "lower": lower}
        at = np.interp(run.crossings, run.t, run.d)
        self.crossing_data.data = {"t": run.crossings, "d": at, "label": [f"{t:.4g}" for t in run.crossings]}
        terms = {name: getattr(run.terms, name) for name in ("curvature", "damping", "driving")}
        self.term_data.data = {"t": run.t, "gap": run.gap, "sum": sum(terms.values()), **terms}
        rows = "".join(
            f"<tr><td>{name}</td><td style='text-align:right'>{_time(value)}</td></tr>"
            for name, value in self.point.collapse_times.items()
        )
        self.summary.object = (
            f"<div style='color:{self.look.text}'><b>{run.regime}</b><br>collapse time (steps)"
            f"<table style='width:100%'>{rows}</table></div>"
        )

    def _draw_map(self) -> None:
        x, y = self.x.value, self.y.value
        if x == y:
            return
        self.plane = found = regimes.plane(self.point, x, y)
        sliders = regimes.SLIDERS[x], regimes.SLIDERS[y]
        plot, lines = self._map_plot((sliders[0].logarithmic, sliders[1].logarithmic))
        self.map_data.data = {
            "image": [found.regime], "time": [found.collapse_time],
            "x": [found.x[0]], "y": [found.y[0]],
            "dw": [found.x[-1] - found.x[0]], "dh": [found.y[-1] - found.y[0]],
        }  # fmt: skip
        plot.x_range.update(start=found.x[0], end=found.x[-1], reset_start=found.x[0], reset_end=found.x[-1])
        plot.y_range.update(start=found.y[0], end=found.y[-1], reset_start=found.y[0], reset_end=found.y[-1])
        plot.xaxis.axis_label, plot.yaxis.axis_label = sliders[0].label, sliders[1].label
        self.times.data = _contours(lines, found)
        values = asdict(self.point)
        self.here.data = {"x": [values[x]], "y": [values[y]]}
        if self.map_pane.object is not plot:
            self.map_pane.object = plot
        self.code.value = self.point.code() + "\n\n" + found.code()

    def _draw_feedback(self) -> None:
        found = regimes.feedback(self.kappa.value, self.b.value, self.c.value)
        self.feedback_data.data = {"eps": found.eps, "unstable": found.unstable, "open": found.open}
        bistable = np.isfinite(found.eps_c)
        self.feedback.title.text = (
            f"Feedback loop: bistable below ε_c = {found.eps_c:.4g}" if bistable
            else "Feedback loop: nowhere bistable (needs c < 0 < c + b)"
        )  # fmt: skip

    def _draw_bbp(self) -> None:
        P, B = round(10**self.P.value), 2.0**self.B.value
        if P < self.point.W:
            self.bbp.object = f"<p style='color:{self.look.text}'>P must be at least W.</p>"
            return
        answer = theory.bbp_vacuity(P, self.point.W, self.point.eta, B)
        rows = "".join(
            f"<tr><td>{name}</td><td style='text-align:right;white-space:nowrap'>{value:.4g}</td>"
            f"<td style='text-align:right'>{value / answer.d_crit:.4g}</td></tr>"
            for name, value in (("detection, d_crit", answer.d_crit), ("noise floor, ν√P", answer.noise_floor),
                                ("direction half recovered", answer.direction_scale))
        )  # fmt: skip
        self.bbp.object = (
            f"<div style='color:{self.look.text}'><table><tr><th></th><th>value</th><th>in units of d_crit</th></tr>"
            f"{rows}</table><p>{answer}</p></div>"
        )

    def _figure(self) -> BytesIO:
        """The map as it is shown, as a figure for a paper."""
        buffer = BytesIO()
        self.plane.figure().savefig(buffer, format="svg")
        buffer.seek(0)
        return buffer


def _contours(lines: Any, found: regimes.Plane) -> dict[str, list[Any]]:
    """Draw lines of equal collapse time; where each has its label, and what it says."""
    times = np.ma.masked_invalid(found.collapse_time)
    known = times.compressed()
    levels = np.unique(np.quantile(known, np.linspace(0.05, 0.95, CONTOURS))) if known.size > 3 else known
    labels: dict[str, list[Any]] = {"x": [], "y": [], "label": []}
    lines.visible = levels.size > 1
    if not lines.visible:
        return labels
    data = contour_data(found.x, found.y, times, levels, want_fill=False, want_line=True)
    lines.set_data(data)
    assert data.line_data is not None  # lines were asked for
    for level, xs, ys in zip(levels, data.line_data.xs, data.line_data.ys, strict=True):
        if len(xs):
            middle = len(xs) // 2
            middle += int(np.isnan(xs[middle]))  # a gap between two pieces of the line
            labels["x"].append(xs[middle])
            labels["y"].append(ys[middle])
            labels["label"].append(f"{level:.3g}" if level < 1000 else f"{level:,.0f}")
    return labels


def _slider(name: str, value: float) -> Any:
    slider = regimes.SLIDERS[name]
    if name == "W":
        return pn.widgets.IntSlider(
            name=slider.label, start=int(slider.low), end=int(slider.high), value=int(value), width=250
        )
    low, high = _shown(name, slider.low), _shown(name, slider.high)
    shown = {"format": powers(10)} if slider.logarithmic else {}
    return pn.widgets.FloatSlider(
        name=slider.label,
        start=low,
        end=high,
        step=slider.step,
        value=_shown(name, value),
        width=250,
        **shown,
    )


def _shown(name: str, value: float) -> float:
    """Where a slider stands at a value: at its logarithm where the range spans decades."""
    return float(np.log10(value)) if regimes.SLIDERS[name].logarithmic else value


def _meant(name: str, shown: float) -> float:
    return float(10**shown) if regimes.SLIDERS[name].logarithmic else shown


def _time(value: float) -> str:
    return f"{value:,.1f}" if np.isfinite(value) else "never"
