"""The tab *Runs*: spectra, gaps, losses on one time axis; a window in full; two runs side by side."""

from collections.abc import Sequence
from html import escape
from time import monotonic
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, DataRange1d, FixedTicker, LinearColorMapper, Range1d, Span

from spectral_edge.explorer import runs
from spectral_edge.explorer.look import DASHES, Look
from spectral_edge.theory.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from spectral_edge.validate.referee import cards

#: Modes whose expected strength is drawn.
LEADING = 6
#: Milliseconds between two looks at a file that grows.
EVERY = 1500
#: Rest after a look, in units of what it took: a run that grows fast leaves time to answer to the person.
REST = 2.0
NOTHING = "no other run"
#: Of the bundled runs, one that groks.
FIRST = "single-a+b-wd1-seed42"
#: Least widths: of the widgets, of the plots of one run, of those of two (pixels).
SIDE, ONE, TWO = 270, 380, 660


class RunsTab:
    """Everything of the tab; `link` names the widgets that a link holds.

    Parameters
    ----------
    look : Look
        Colours of the page.
    found : sequence of Source
        The runs that can be chosen; `FIRST` is shown, or the first where it is not among them.
    """

    def __init__(self, look: Look, found: Sequence[runs.Source]) -> None:
        self.look = look
        self.found = {source.name: source for source in found}
        names = list(self.found)
        self.run = pn.widgets.Select(
            name="run", options=names, value=FIRST if FIRST in names else names[0], width=250
        )
        self.other = pn.widgets.Select(
            name="compare with", options=[NOTHING, *names], value=NOTHING, width=250
        )
        self.part = pn.widgets.Select(name="parameters", options=[runs.WHOLE], value=runs.WHOLE, width=250)
        self.W = pn.widgets.IntSlider(name="window W", start=3, end=32, value=10, width=250)
        self.step = pn.widgets.IntSlider(name="window that ends at step", start=0, end=1, value=0, width=250)
        self.follow = pn.widgets.Checkbox(name="follow the file while it grows", value=True)
        self.link = {"run": self.run, "beside": self.other, "layer": self.part, "window": self.W,
                     "step": self.step}  # fmt: skip
        self.note = pn.pane.HTML(sizing_mode="stretch_width", styles={"color": look.text})
        self.told = pn.pane.HTML(sizing_mode="stretch_width", styles={"color": look.text})
        self._held = False
        self.panels: list[_Panels] = []
        self.profiles: list[_Profile] = []
        self._next = 0.0  # when the files are looked at again
        self.plots = pn.Column(sizing_mode="stretch_width")
        self.detail = pn.Column(sizing_mode="stretch_width")
        self.right = pn.Column(self.detail, self.told, self.plots, sizing_mode="stretch_width", min_width=ONE)
        for widget in (self.run, self.other, self.part, self.W):
            widget.param.watch(lambda _: self.show(), "value")
        self.step.param.watch(lambda _: self._show_window(), "value")
        self.show()

    def view(self) -> pn.viewable.Viewable:
        """The tab's layout; a page that is open looks at its file every second and a half."""
        if pn.state.curdoc is not None:
            pn.state.add_periodic_callback(self.look_again, period=EVERY)
        left = pn.FlexBox(self.run, self.other, self.part, self.W, self.step, self.follow, self.note,
                          min_width=SIDE, align_content="flex-start")  # fmt: skip
        return self.look.beside(left, self.right)

    # -- what happens -------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Show what was recorded since the file was last read."""
        chosen = [self.found[name] for name in (self.run.value, self.other.value) if name in self.found]
        began = monotonic()
        if began < self._next or not self.follow.value or not any(source.changed() for source in chosen):
            return
        last = self.step.value == self.step.end
        self.show()
        if last:
            self.step.value = self.step.end
        self._next = monotonic() + REST * (monotonic() - began)

    def _offer(self, source: runs.Source, sequence: Any) -> None:
        """Let the widgets offer what the first run has: groups of parameters, widths of windows."""
        if self._held:
            return
        self._held = True  # what is set here is shown once, by who called
        try:
            parts, (low, high) = source.parts(), runs.widths(sequence)
            self.part.param.update(
                options=parts, value=self.part.value if self.part.value in parts else runs.WHOLE
            )
            self.W.param.update(start=low, end=high, value=min(max(self.W.value, low), high))
        finally:
            self._held = False

    def show(self) -> None:
        """Read the chosen runs and draw them anew."""
        if self._held:
            return
        names = [name for name in (self.run.value, self.other.value) if name in self.found]
        notes, shown = [], []
        for name in names:
            source = self.found[name]
            try:
                sequence = source.read()
                if name == names[0]:
                    self._offer(source, sequence)
                part = self.part.value if self.part.value in source.parts() else runs.WHOLE
                view = source.view(self.W.value, part)
                shown.append((name if part == runs.WHOLE else f"{name}, {part}", view))
                notes.append(_card(name, sequence, source))
            except (ValueError, OSError) as error:
                notes.append(f"<div><b>{escape(name)}</b>: {escape(str(error))}</div>")
        self.note.object = f"<div style='display:flex;flex-wrap:wrap;gap:1.5em'>{''.join(notes)}</div>"
        if not shown:
            self.plots.objects, self.detail.objects, self.panels, self.profiles = [], [], [], []
            return
        same = len(self.panels) == len(shown) and all(
            p.fits(name, view) for p, (name, view) in zip(self.panels, shown, strict=True)
        )
        if not same:
            time = DataRange1d()
            self.panels = [_Panels(self.look, name, view, time, self._tapped) for name, view in shown]
            self.profiles = [_Profile(self.look, name) for name, _ in shown]
        for panels, (_, view) in zip(self.panels, shown, strict=True):
            panels.update(view)  # before the page has them: no plot is without its numbers
        if not same:
            columns = [
                pn.Column(pn.pane.HTML(f"<b>{escape(panels.name)}</b>", styles={"color": self.look.text}),
                          *(pn.pane.Bokeh(plot, sizing_mode="stretch_width") for plot in panels.plots),
                          sizing_mode="stretch_width", min_width=310)
                for panels in self.panels
            ]  # fmt: skip
            self.detail.objects = [
                pn.Row(*(pn.pane.Bokeh(plot, sizing_mode="stretch_width", min_width=200)
                         for plot in (profile.spectrum, profile.ratios)), sizing_mode="stretch_width")
                for profile in self.profiles
            ]  # fmt: skip
            self.right.min_width = TWO if len(columns) == 2 else ONE
            self.plots.objects = [pn.Row(*columns, sizing_mode="stretch_width")]
        self.shown = shown
        steps = shown[0][1].windows.steps
        value = self.step.value if steps[0] <= self.step.value <= steps[-1] else int(steps[-1])
        stride = max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1
        end = int(max(steps[-1], steps[0] + 1))
        self.step.param.update(start=int(steps[0]), end=end, step=stride, value=value)
        self._show_window()

    def _tapped(self, event: Any) -> None:
        if event.x is not None:
            self.step.value = int(np.clip(round(event.x), self.step.start, self.step.end))

    def _show_window(self) -> None:
        if not self.panels:
            return
        lines = []
        for (name, view), panels, profile in zip(self.shown, self.panels, self.profiles, strict=True):
            at = view.at(self.step.value)
            step = int(view.windows.steps[at])
            forecast = runs.foreseen(view.sequence, view.windows.W, step)
            panels.mark(step, forecast)
            profile.update(view, at)
            lines.append(_sentence(name, view, at) + escape(forecast.told))
        self.told.object = "<br>".join(lines)


class _Panels:
    """The plots of one run over its steps, which share `time` with those of the run beside it."""

    def __init__(self, look: Look, name: str, view: runs.RunView, time: Any, tapped: Any) -> None:
        self.look, self.name, self.W = look, name, view.windows.W
        self.curves = [curve.name for curve in (*view.losses, *view.accuracies)]
        self.data = ColumnDataSource()
        self.ahead = ColumnDataSource({"steps": [], "sigma": []})
        self.marks: list[Span] = []
        self.plots: list[Any] = []
        self._time, self._tapped = time, tapped
        self._spectra()
        self._gap()
        self._heat()
        self._metrics(view)

    def fits(self, name: str, view: runs.RunView) -> bool:
        """Whether these plots can show `view` with other numbers."""
        names = [curve.name for curve in (*view.losses, *view.accuracies)]
        return self.name == name and view.windows.W == self.W and self.curves == names

    def _plot(self, title: str, **options: Any) -> Any:
        plot = self.look.figure(title=title, x_range=self._time, height=options.pop("height", 190), **options)
        mark = Span(
            location=0, dimension="height", line_color=self.look.text, line_dash="dotted", line_width=1.5
        )
        plot.add_layout(mark)
        plot.on_event(Tap, self._tapped)
        self.marks.append(mark)
        self.plots.append(plot)
        return plot

    def _spectra(self) -> None:
        plot = self._plot("Singular values σⱼ", y_axis_type="log", y_axis_label="parameter units", height=230)
        for j in range(self.W):
            colour, dash = (
                ((BLUE, "solid"), (ORANGE, "dashed"), (GREEN, "dotdash"))[j] if j < 3 else (GREY, "solid")
            )
            label = {"legend_label": f"σ{j + 1}"} if j < 3 or j == self.W - 1 else {}
            plot.line("step", f"sigma_{j + 1}", source=self.data, color=self.look.colour(colour), line_dash=dash,
                      width=2 if j < 3 else 1, alpha=1 if j < 3 else 0.6, **label)  # fmt: skip
        plot.y_range.renderers = list(plot.renderers)  # a forecast that runs off does not shrink the curves
        plot.multi_line(
            "steps", "sigma", source=self.ahead, color=self.look.text, line_dash="dotted", width=1.5
        )
        plot.line(
            [np.nan], [np.nan], color=self.look.text, line_dash="dotted", width=1.5, legend_label="expected"
        )
        self.look.legend(plot)

    def _gap(self) -> None:
        look = self.look
        ratio = self._plot("Gap ratio R, and that of noise alone", y_axis_label="R")
        ratio.line("step", "ratio", source=self.data, color=look.colour(BLUE), width=2, legend_label="R")
        ratio.line("step", "level", source=self.data, color=look.colour(RED), width=1.5, line_dash="dashed",
                   legend_label="noise, 99 %")  # fmt: skip
        look.legend(ratio)
        position = self._plot(
            "Gap position k*", y_axis_label="mode", height=140, y_range=Range1d(start=0.5, end=self.W - 0.5)
        )
        position.scatter(
            "step", "k_star", source=self.data, color=look.colour(BLUE), size=5, legend_label="plain"
        )
        position.scatter("step", "k_star_weighted", source=self.data, color=look.colour(ORANGE), size=5,
                         marker="triangle", legend_label="weighted")  # fmt: skip
        position.yaxis.ticker = FixedTicker(ticks=list(range(1, self.W, 1 + (self.W - 2) // 5)))
        look.legend(position)
        gap = self._plot(
            "Sub-leading gap λ₂ − λ₃", y_axis_type="log", y_axis_label="parameter units²", height=150
        )
        gap.line("step", "g_23", source=self.data, color=look.colour(PURPLE), width=2)
        adiabatic = self._plot("Adiabatic parameter 𝒜 (5.6)", y_axis_type="log", height=150)
        adiabatic.line("step", "adiabatic", source=self.data, color=look.colour(GREEN), width=2)
        for value in (0.1, 10):
            adiabatic.add_layout(
                Span(location=value, dimension="width", line_color=look.grid, line_dash="dashed")
            )

    def _heat(self) -> None:
        plot = self._plot("Stability αⱼ (light: stable, dark: not)", y_axis_label="mode", height=180)
        # cividis: one order of light for every kind of sight, and in grey
        mapper = LinearColorMapper(palette="Cividis256", low=0, high=1)
        self.heat = ColumnDataSource({name: [] for name in ("image", "x", "y", "dw", "dh")})
        plot.image("image", "x", "y", "dw", "dh", source=self.heat, color_mapper=mapper)
        plot.yaxis.ticker = FixedTicker(ticks=list(range(1, self.W + 1, 1 + self.W // 12)))
        plot.y_range.flipped = True

    def _metrics(self, view: runs.RunView) -> None:
        self.metrics = ColumnDataSource()
        colours = (BLUE, ORANGE, GREEN, RED, PURPLE)
        for title, curves, kind in (("Loss", view.losses, "log"), ("Accuracy", view.accuracies, "linear")):
            if not curves:
                continue
            plot = self._plot(title, y_axis_type=kind)
            for i, curve in enumerate(curves):
                plot.line("step", curve.name, source=self.metrics, color=self.look.colour(colours[i % 5]), width=2,
                          line_dash=DASHES[i % 4], legend_label=curve.name.replace("_", " "))  # fmt: skip
            self.look.legend(plot)
        self.plots[-1].xaxis.axis_label = "step"

    def update(self, view: runs.RunView) -> None:
        """Show the numbers of `view`."""
        windows = view.windows
        table = {name: np.asarray(values, dtype=float) for name, values in windows.to_dict().items()}
        n = len(windows.steps)
        table |= {"level": view.level, "adiabatic": np.append(view.adiabatic, np.nan)[:n]}
        positive = ["adiabatic", "g_23", *(f"sigma_{j + 1}" for j in range(self.W))]
        for name in positive:  # a logarithmic axis has no place for 0
            table[name] = np.where(table[name] > 0, table[name], np.nan)
        self.data.data = table
        if len(view.alpha):
            first, last = windows.steps[0], windows.steps[-1]
            self.heat.data = {
                "image": [view.alpha.T],
                "x": [first],
                "y": [0.5],
                "dw": [last - first],
                "dh": [self.W],
            }
        curves = {curve.name: curve.values for curve in (*view.losses, *view.accuracies)}
        self.metrics.data = {"step": view.sequence.steps, **curves}

    def mark(self, step: int, forecast: runs.Foreseen) -> None:
        """Draw the line where the chosen window ends, and what is expected from there."""
        for mark in self.marks:
            mark.location = step
        leading = range(min(LEADING, self.W)) if len(forecast.steps) else ()
        sigma = np.where(forecast.sigma > 0, forecast.sigma, np.nan)
        self.ahead.data = {
            "steps": [forecast.steps for _ in leading],
            "sigma": [sigma[:, j] for j in leading],
        }


def _card(name: str, sequence: Any, source: runs.Source) -> str:
    card = cards.card(sequence)
    rows = [("updates", f"{sequence.T:,}"), ("parameters", f"{sequence.P:,}" if sequence.P else "unknown")]
    rows.append(("last step", f"{sequence.steps[-1]:,}"))
    for field in ("task", "optimizer", "learning_rate", "weight_decay", "seed"):
        value = getattr(card, field)
        if value is not None:
            rows.append((field.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value)))
    cells = "".join(
        f"<tr><td>{escape(key)}</td><td style='text-align:right'>{escape(value)}</td></tr>"
        for key, value in rows
    )
    state = " <i>(being recorded)</i>" if source.growing else ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in source.notes)
    told = f"<b>{escape(name)}</b>{state}<table style='width:100%'>{cells}</table>{notes}"
    return f"<div style='flex:1 1 220px;max-width:250px'>{told}</div>"


class _Profile:
    """Figure 1 of the thesis for one window: its spectrum with the BBP threshold, and its ratios."""

    def __init__(self, look: Look, name: str) -> None:
        self.spectrum = look.figure(title=name, y_axis_type="log", height=210,
                                    x_axis_label="mode j", y_axis_label="σⱼ (parameter units)")  # fmt: skip
        self.modes = ColumnDataSource({"j": [], "sigma": []})
        self.spectrum.line("j", "sigma", source=self.modes, color=look.colour(BLUE), width=1)
        self.spectrum.scatter("j", "sigma", source=self.modes, color=look.colour(BLUE), size=7)
        self.threshold = ColumnDataSource({"j": [], "d": []})
        self.spectrum.line("j", "d", source=self.threshold, color=look.colour(RED), line_dash="dashed", width=1.5,
                           legend_label="BBP threshold")  # fmt: skip
        look.legend(self.spectrum)
        self.ratios = look.figure(height=210, x_axis_label="mode j", y_axis_label="σⱼ/σⱼ₊₁", title="Ratios")
        self.bars = ColumnDataSource({"j": [], "ratio": [], "colour": []})
        self.ratios.vbar("j", width=0.7, top="ratio", bottom=1.0, color="colour", source=self.bars)
        self.colours = look.colour(BLUE), look.colour(ORANGE)

    def update(self, view: runs.RunView, at: int) -> None:
        """Show the window `at` of `view`."""
        windows = view.windows
        j, sigma = np.arange(1, windows.W + 1), windows.sigma[at]
        self.modes.data = {"j": j[sigma > 0], "sigma": sigma[sigma > 0]}
        ends = [] if windows.threshold is None else [1, windows.W]
        self.threshold.data = {"j": ends, "d": [windows.threshold] * len(ends)}
        self.spectrum.legend[0].visible = bool(ends)
        usual, gap = self.colours
        colours = [gap if mode == windows.k_star[at] else usual for mode in j[:-1]]
        self.bars.data = {"j": j[:-1], "ratio": np.nan_to_num(windows.ratios[at], nan=1.0), "colour": colours}
        self.ratios.title.text = f"Ratios at step {windows.steps[at]:,}"


def _sentence(name: str, view: runs.RunView, at: int) -> str:
    windows = view.windows
    k, ratio = windows.k_star[at], windows.ratio[at]
    if not np.isfinite(k):
        return f"<b>{escape(name)}</b>, step {windows.steps[at]:,}: the window has numerical rank below 2, so no gap. "
    level = view.level[at]
    if not np.isfinite(level):
        known = "what noise would give cannot be said for so short a run"
    else:
        known = f"{'above' if ratio > level else 'within'} what noise alone reaches ({level:.3g})"
    return f"<b>{escape(name)}</b>, step {windows.steps[at]:,}: k* = {k:.0f}, R = {ratio:.4g}, {known}. "
