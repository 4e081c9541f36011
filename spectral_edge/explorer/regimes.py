"""The gap equation at one point of its parameters, and its regimes over a plane of them."""

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate, theory

Floats = NDArray[np.float64]

#: Times at which the signals are drawn, and points along each axis of the map.
TIMES, GRID = 400, 200
#: In the order of the colours of a map.
REGIMES = ("viable", "collapsing", "transient", "marginal")
#: Where a signal would be negative, so that there is no equation.
NOWHERE = 255


@dataclass(frozen=True)
class Slider:
    """The range of one parameter; `label` is what a person reads."""

    label: str
    low: float
    high: float
    step: float
    logarithmic: bool = False


SLIDERS = {
    "g0": Slider("initial gap g₀", 0.0, 12.0, 0.05),
    "d0": Slider("initial mean signal d̄₀", 0.1, 20.0, 0.05),
    "h_k": Slider("curvature hₖ", -0.5, 3.0, 0.01),
    "h_next": Slider("curvature hₖ₊₁", -0.5, 3.0, 0.01),
    "p_k": Slider("gradient power pₖ", 0.0, 10.0, 0.05),
    "p_next": Slider("gradient power pₖ₊₁", 0.0, 10.0, 0.05),
    "eta": Slider("learning rate η", 1e-5, 1e-1, 0.01, logarithmic=True),
    "omega": Slider("weight decay ω", 0.0, 2.0, 0.005),
    "W": Slider("window W", 2, 64, 1),
    "t_max": Slider("end t_max (steps)", 100.0, 100_000.0, 0.01, logarithmic=True),
}


@dataclass(frozen=True)
class Point:
    """One gap equation: the parameters of `simulate.gap_ode`, modes k and k+1 apart."""

    g0: float = 6.0
    d0: float = 7.0
    h_k: float = 0.9
    h_next: float = 0.4
    p_k: float = 2.0
    p_next: float = 2.2
    eta: float = 1e-3
    omega: float = 0.1
    W: int = 10
    t_max: float = 3000.0

    def moved(self, **values: float) -> "Point":
        """The point with some values changed; both signals stay positive, so d0 moves with g0 where it must."""
        whole: dict[str, Any] = {n: int(v) if n == "W" else float(v) for n, v in values.items()}
        point = replace(self, **whole)
        lowest = point.g0 / 2 * (1 + 1e-6)
        return point if point.d0 > lowest else replace(point, d0=point.g0 / 2 + 0.05)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `simulate.gap_ode`."""
        return {
            "g0": self.g0, "d0": self.d0, "h": (self.h_k, self.h_next), "p": (self.p_k, self.p_next),
            "eta": self.eta, "omega": self.omega, "W": self.W, "t_max": self.t_max,
        }  # fmt: skip

    @cached_property
    def run(self) -> simulate.GapRun:
        """The equation integrated."""
        return simulate.gap_ode(**self.arguments, t_eval=np.linspace(0, self.t_max, TIMES))

    @property
    def collapse_times(self) -> dict[str, float]:
        """Integrated, and by the three closed forms (steps); NaN where never."""
        signals = (self.d0 + self.g0 / 2, self.d0 - self.g0 / 2)
        given = {name: self.arguments[name] for name in ("h", "p", "eta", "omega", "W")}
        forms = {
            label: float(theory.collapse_time(signals, **given, form=form))
            for label, form in (("exact (3.6)", "exact"), ("linear in g (3.5)", "linear"),
                                ("frozen, the thesis (3.4)", "frozen"))
        }  # fmt: skip
        return {"integrated": float(self.run.collapse_time), **forms}

    def code(self) -> str:
        """Python that computes this point again."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"from spectral_edge import simulate\n\nrun = simulate.gap_ode({given})\nrun.collapse_time, run.regime\n"


@dataclass(frozen=True)
class Plane:
    """Regimes over two parameters, the others as at `point`.

    Attributes
    ----------
    x, y : (n,) float64
        Values along the axes.
    sweep : GapSweep
        The equation at every point of the plane.
    fine : (n, n) bool
        Where there is an equation: both signals positive, d0 > g0/2.
    """

    point: Point
    x_name: str
    y_name: str
    x: Floats
    y: Floats
    sweep: simulate.GapSweep
    fine: NDArray[np.bool_]

    @cached_property
    def regime(self) -> NDArray[np.uint8]:
        """(n, n) index into `REGIMES`, rows along y; `NOWHERE` where there is no equation."""
        index = np.select([self.sweep.regime == name for name in REGIMES], range(len(REGIMES)))
        return np.where(self.fine, index, NOWHERE).astype(np.uint8)

    @cached_property
    def collapse_time(self) -> Floats:
        """(n, n) float64, steps; NaN where never."""
        return np.where(self.fine, self.sweep.collapse_time, np.nan)

    def figure(self) -> Any:
        """The map as the library draws it."""
        ax = self.sweep.plot(x=self.x_name, y=self.y_name)
        ax.set(
            **{
                f"{a}scale": "log"
                for a, n in (("x", self.x_name), ("y", self.y_name))
                if SLIDERS[n].logarithmic
            }
        )
        if not self.fine.all():
            ax.contourf(self.x, self.y, ~self.fine, levels=[0.5, 1.5], colors=["white"], zorder=3)
        return ax.figure

    def code(self) -> str:
        """Python that computes this map again."""
        lines = ["import numpy as np", "", "from spectral_edge import simulate", ""]
        for name, values in ((self.x_name, self.x), (self.y_name, self.y)):
            kind = "geomspace" if SLIDERS[name].logarithmic else "linspace"
            shape = "[:, None]" if name == self.y_name else ""
            lines.append(f"{name} = np.{kind}({values[0]:g}, {values[-1]:g}, {len(values)}){shape}")
        named = {n: n if n in (self.x_name, self.y_name) else repr(v) for n, v in asdict(self.point).items()}
        pairs = {f"{n}=({named.pop(f'{n}_k')}, {named.pop(f'{n}_next')})" for n in ("h", "p")}
        given = [f"{n}={v}" for n, v in named.items()] + sorted(pairs)
        lines += [f"sweep = simulate.gap_sweep({', '.join(given)})",
                  f'sweep.plot(x="{self.x_name}", y="{self.y_name}")', ""]  # fmt: skip
        return "\n".join(lines)


def axis(name: str, low: float, high: float, n: int = GRID) -> Floats:
    """Values of a parameter along an axis of a map; windows are whole numbers, each once."""
    if name == "W":
        return np.unique(np.round(np.linspace(max(low, 2), high, n)))
    return np.geomspace(low, high, n) if SLIDERS[name].logarithmic else np.linspace(low, high, n)


def plane(point: Point, x_name: str, y_name: str, *, n: int = GRID, ranges: Any = None) -> Plane:
    """Regimes over the whole range of two parameters, or over `ranges` (name to (low, high)).

    Raises
    ------
    ValueError
        If the two are the same, or one is not a parameter.
    """
    names = tuple(f.name for f in fields(Point))
    for name in (x_name, y_name):
        if name not in names:
            raise ValueError(f"x and y must be one of {', '.join(names)}, got {name!r}")
    if x_name == y_name:
        raise ValueError(f"x and y must be two parameters, got {x_name!r} twice")
    limits = {name: (SLIDERS[name].low, SLIDERS[name].high) for name in (x_name, y_name)} | (ranges or {})
    x, y = (axis(name, limits[name][0], limits[name][1], n) for name in (x_name, y_name))
    values: dict[str, Any] = {**asdict(point), x_name: x[None, :], y_name: y[:, None]}
    fine = np.broadcast_to(np.asarray(values["d0"]) > np.asarray(values["g0"]) / 2, (y.size, x.size))
    if "d0" in (x_name, y_name) or "g0" in (x_name, y_name):
        # where a signal would be negative there is no equation: solved with a gap of 0, then left out
        values["g0"] = np.where(fine, values["g0"], 0.0)
    values |= {n: (values.pop(f"{n}_k"), values.pop(f"{n}_next")) for n in ("h", "p")}
    found = simulate.gap_sweep(**values, method="exact")
    found = replace(found, parameters={x_name: x[None, :], y_name: y[:, None]})
    return Plane(point, x_name, y_name, x, y, found, fine)


@dataclass(frozen=True)
class Feedback:
    """The α-feedback loop 7.3 over the perturbation scale.

    Attributes
    ----------
    eps : (n,) float64
        Perturbation scale (parameter units).
    unstable, open : (n,) float64
        Rest points; NaN where there are none.
    eps_c, g_sn : float
        Where the two meet; NaN where no bistable region exists (c ≥ 0 or c + b ≤ 0).
    """

    eps: Floats
    unstable: Floats
    open: Floats
    eps_c: float
    g_sn: float


def feedback(kappa: float, b: float, c: float, n: int = 300) -> Feedback:
    """Rest points of the feedback loop up to a little beyond the saddle-node."""
    threshold = theory.feedback_threshold(kappa, b, c)
    eps_c, g_sn = float(threshold.eps_c), float(threshold.g_sn)
    top = 1.3 * eps_c if np.isfinite(eps_c) else 1.0
    eps = np.unique(np.concatenate([np.linspace(top / n, top, n), [eps_c] if np.isfinite(eps_c) else []]))
    rest = theory.feedback_equilibria(kappa, b, c, eps)
    return Feedback(eps, np.asarray(rest.unstable), np.asarray(rest.open), eps_c, g_sn)
