"""100,000 gap equations to t = 5,000 at rtol 1e-8: integrated and exact, against other integrators.

    python benchmarks/gap_sweep.py [--n 100000] [--rounds 5]

heyoka (Taylor steps, vectors of trajectories, with and without events, and as an ensemble on two threads), diffrax,
CyRK, pydiffsol and scipy; one that is not installed is named as missing. All run in one process, in turn, round after
round; the table gives the median time per trajectory, the median over rounds of the ratio to the integrated sweep, and
the median error against the closed form, of the last gap (relative to the larger first signal) and of the first
crossing: speed counts at equal accuracy. Competitors that are much slower run on fewer trajectories; rows without
events locate no crossings. Compilation is done before the first round. Work spread over threads is timed as it passes,
so that heyoka's one thread is fairly compared with the row "one thread".
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from spectral_edge import simulate

ETA, OMEGA, W, T_MAX, RTOL, ATOL = 1e-3, 0.1, 10, 5000.0, 1e-8, 1e-10


def parameters(n: int) -> dict[str, Any]:
    """Curvatures and gradient powers log-uniform over 2.5 and 2 decades, signals of one decade."""
    rng = np.random.default_rng(0)
    d = np.sort(rng.uniform(0.5, 10, (n, 2)), axis=1)[:, ::-1]
    h, p = 10 ** rng.uniform(-1.5, 1, (n, 2)), 10 ** rng.uniform(-1, 1, (n, 2))
    return {"g0": d[:, 0] - d[:, 1], "d0": d.mean(axis=1), "h": h, "p": p}


Found = tuple[Any, Any]  # last gaps and first crossings, or None
Run = Callable[[dict[str, Any]], Found]


def sweep(method: str) -> Run:
    def run(c: dict[str, Any]) -> Found:
        found = simulate.gap_sweep(
            **c, eta=ETA, omega=OMEGA, W=W, t_max=T_MAX, method=method, rtol=RTOL, atol=ATOL
        )
        return found.gap, found.collapse_time

    return run


def kernel(method: str, alone: bool) -> Run:
    """The kernel without the checks of arguments and the names of regimes, on all cores or on this thread alone."""
    from spectral_edge.simulate._sweep import _Job, compute_chunk

    def run(c: dict[str, Any]) -> Found:
        constant = [np.broadcast_to(float(value), len(c["g0"])) for value in (ETA, OMEGA, W, T_MAX)]
        columns = (c["g0"], c["d0"], *c["h"].T, *c["p"].T, *constant)
        out = compute_chunk(_Job(method, None, RTOL, ATOL), columns, alone=alone)
        return out[2], out[0]

    return run


def heyoka_batch(events: bool, threads: int = 1, width: int = 8) -> Run:
    """Vectors of trajectories on one thread, or as an ensemble on several; with events, crossings are located."""
    import heyoka

    x, y = heyoka.make_vars("x", "y")
    h1, h2, p1, p2 = (heyoka.par[i] for i in range(4))
    equations = [
        (x, -ETA * (h1 + OMEGA) * x + ETA * W * p1 / x),
        (y, -ETA * (h2 + OMEGA) * y + ETA * W * p2 / y),
    ]
    first = np.empty(width)

    def seen(_: Any, t: float, direction: int, lane: int) -> None:
        first[lane] = min(first[lane], t)

    more = {"nt_events": [heyoka.nt_event_batch(x - y, seen)]} if events else {}
    made = heyoka.taylor_adaptive_batch(
        equations, np.ones((2, width)), tol=RTOL, pars=np.ones((4, width)), **more
    )

    def load(one: Any, c: dict[str, Any], i: int) -> None:
        part = slice(i * width, (i + 1) * width)
        one.set_time(0.0)
        one.state[:] = c["d0"][part] + c["g0"][part] / 2, c["d0"][part] - c["g0"][part] / 2
        one.pars[:2], one.pars[2:] = c["h"][part].T, c["p"][part].T

    def run(c: dict[str, Any]) -> Found:
        n = len(c["g0"]) // width
        gaps, crossings = np.empty((n, width)), np.full((n, width), np.nan)
        if threads > 1:

            def prepare(one: Any, i: int) -> Any:
                load(one, c, i)
                return one

            several = {"max_workers": threads, "algorithm": "thread"}
            for i, (one, *_) in enumerate(
                heyoka.ensemble_propagate_until_batch(made, T_MAX, n, prepare, **several)
            ):
                gaps[i] = one.state[0] - one.state[1]
            return gaps.ravel(), None
        for i in range(n):
            load(made, c, i)
            first[:] = np.inf
            made.propagate_until(T_MAX)
            gaps[i], crossings[i] = made.state[0] - made.state[1], np.where(first < np.inf, first, np.nan)
        return gaps.ravel(), crossings.ravel() if events else None

    return run


def scipy_rk45(c: dict[str, Any]) -> Found:
    from scipy.integrate import solve_ivp

    gaps, crossings = [], []
    for g, d, (h1, h2), (p1, p2) in zip(c["g0"], c["d0"], c["h"], c["p"], strict=True):

        def slope(t, y, h1=h1, h2=h2, p1=p1, p2=p2):
            upper, lower = y[1] + y[0] / 2, y[1] - y[0] / 2
            a, b = (
                -ETA * (h1 + OMEGA) * upper + ETA * W * p1 / upper,
                -ETA * (h2 + OMEGA) * lower + ETA * W * p2 / lower,
            )
            return [a - b, (a + b) / 2]

        found = solve_ivp(
            slope, (0, T_MAX), [g, d], method="RK45", rtol=RTOL, atol=ATOL, events=lambda t, y: y[0]
        )
        gaps.append(found.y[0, -1])
        crossings.append(found.t_events[0][0] if found.t_events[0].size else np.nan)
    return np.array(gaps), np.array(crossings)


def diffrax_dopri5(events: bool) -> Run:
    """Dopri5 under jit(vmap). With events: to the crossing, which ends a solve there, and on from it to the end."""
    import diffrax
    import jax
    import jax.numpy as jnp
    import optimistix

    jax.config.update("jax_enable_x64", True)

    def slope(t, y, args):
        h, p = args
        upper, lower = y[1] + y[0] / 2, y[1] - y[0] / 2
        a = -ETA * (h[0] + OMEGA) * upper + ETA * W * p[0] / upper
        b = -ETA * (h[1] + OMEGA) * lower + ETA * W * p[1] / lower
        return jnp.stack([a - b, (a + b) / 2])

    def solve(t0, y, args, event):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(slope), diffrax.Dopri5(), t0, T_MAX, 1.0, y, args=args, event=event,
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL), saveat=diffrax.SaveAt(t1=True),
            max_steps=100_000, adjoint=diffrax.ForwardMode(),
        )  # fmt: skip

    def one(g, d, h, p):
        y, args = jnp.stack([g, d]), (h, p)
        if not events:
            return jnp.nan, solve(0.0, y, args, None).ys
        crossing = diffrax.Event(lambda t, y, args, **_: y[0], optimistix.Newton(1e-8, 1e-8))
        first: Any = solve(0.0, y, args, crossing)
        return first.ts[-1], solve(first.ts[-1], first.ys[-1], args, None).ys

    many = jax.jit(jax.vmap(one))

    def run(c: dict[str, Any]) -> Found:
        times, last = many(*(jnp.asarray(c[name]) for name in ("g0", "d0", "h", "p")))
        first = np.asarray(times)
        return np.asarray(last)[:, -1, 0], np.where(first < T_MAX, first, np.nan) if events else None

    return run


def cyrk() -> Run:
    from CyRK import nbsolve_ivp
    from numba import njit

    @njit
    def slope(t, y, h1, h2, p1, p2):
        upper, lower = y[1] + y[0] / 2, y[1] - y[0] / 2
        a, b = (
            -ETA * (h1 + OMEGA) * upper + ETA * W * p1 / upper,
            -ETA * (h2 + OMEGA) * lower + ETA * W * p2 / lower,
        )
        out = np.empty(2)
        out[0], out[1] = a - b, (a + b) / 2
        return out

    def run(c: dict[str, Any]) -> Found:
        gaps = []
        for g, d, (h1, h2), (p1, p2) in zip(c["g0"], c["d0"], c["h"], c["p"], strict=True):
            found = nbsolve_ivp(
                slope,
                (0.0, T_MAX),
                np.array([g, d]),
                args=(h1, h2, p1, p2),
                rk_method=1,
                rtol=RTOL,
                atol=ATOL,
                warnings=False,
            )
            gaps.append(found.y[0, -1])
        return np.array(gaps), None

    return run


def pydiffsol_tsit45() -> Run:
    """Compiled equations, one solve per trajectory; no events."""
    import pydiffsol

    equations = f"""
    in_i {{ h1 = 1, h2 = 1, p1 = 1, p2 = 1, x0 = 1, y0 = 1 }}
    u_i {{ x = x0, y = y0 }}
    F_i {{
        {-ETA} * (h1 + {OMEGA}) * x + {ETA * W} * p1 / x,
        {-ETA} * (h2 + {OMEGA}) * y + {ETA * W} * p2 / y
    }}
    """
    made = pydiffsol.Ode(equations, matrix_type=pydiffsol.nalgebra_dense, ode_solver=pydiffsol.tsit45)
    made.rtol, made.atol = RTOL, ATOL

    def run(c: dict[str, Any]) -> Found:
        gaps = []
        for g, d, h, p in zip(c["g0"], c["d0"], c["h"], c["p"], strict=True):
            x, y = made.solve(np.array([*h, *p, d + g / 2, d - g / 2]), T_MAX).ys[:, -1]
            gaps.append(x - y)
        return np.array(gaps), None

    return run


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    c = parameters(chosen.n)
    entries: list[tuple[str, Run, int]] = [
        ("gap_sweep integrate", sweep("integrate"), chosen.n),
        ("gap_sweep exact", sweep("exact"), chosen.n),
        ("  kernel, integrate", kernel("integrate", False), chosen.n),
        ("  kernel, integrate, one thread", kernel("integrate", True), chosen.n),
        ("  kernel, exact", kernel("exact", False), chosen.n),
        ("scipy solve_ivp RK45, events", scipy_rk45, 30),
    ]
    for name, make, n in (
        ("heyoka batch, events, one thread", lambda: heyoka_batch(True), min(chosen.n, 4_000)),
        ("heyoka batch, no events, one thread", lambda: heyoka_batch(False), min(chosen.n, 4_000)),
        ("heyoka ensemble, no events, two threads", lambda: heyoka_batch(False, 2), min(chosen.n, 4_000)),
        ("diffrax Dopri5, jit(vmap), events", lambda: diffrax_dopri5(True), min(chosen.n, 20_000)),
        ("diffrax Dopri5, jit(vmap), no events", lambda: diffrax_dopri5(False), min(chosen.n, 20_000)),
        ("CyRK RK45 (numba), no events", cyrk, 300),
        ("pydiffsol Tsit45, no events", pydiffsol_tsit45, 2_000),
    ):
        try:
            entries.append((name, make(), n))
        except ImportError as missing:
            print(f"missing: {name} ({missing}); pip install spectral-edge[bench]")
    exact = simulate.gap_sweep(**c, eta=ETA, omega=OMEGA, W=W, t_max=T_MAX, method="exact")
    larger = c["d0"] + c["g0"] / 2
    times: dict[str, list[float]] = {name: [] for name, _, _ in entries}
    errors: dict[str, tuple[float, float]] = {}
    for number in range(chosen.rounds + 1):
        for name, run, n in entries:
            part = {key: np.ascontiguousarray(value[:n]) for key, value in c.items()}
            start = time.perf_counter()
            gap, first = run(part)
            if number:  # the first round compiles
                times[name].append((time.perf_counter() - start) / n)
            late = (
                np.nan
                if first is None
                else np.nanmedian(np.abs(first / exact.collapse_time[: len(first)] - 1))
            )
            errors[name] = (
                float(np.median(np.abs(gap - exact.gap[: len(gap)]) / larger[: len(gap)])),
                float(late),
            )
    base = times["gap_sweep integrate"]
    print(f"{chosen.n:,} gap equations to t = {T_MAX:g}, rtol {RTOL:g}, median of {chosen.rounds} rounds")
    print(f"{'':40} {'µs each':>10} {'/ integrate':>12} {'gap error':>10} {'time error':>10}")
    for name, values in times.items():
        ratio = statistics.median(value / one for value, one in zip(values, base, strict=True))
        gap_error, time_error = errors[name]
        print(
            f"{name:40} {statistics.median(values) * 1e6:10.3f} {ratio:12.4g} {gap_error:10.1e} {time_error:10.1e}"
        )
    peer, own = "heyoka batch, events, one thread", "  kernel, integrate, one thread"
    if peer in times:
        ratios = [a / b for a, b in zip(times[peer], times[own], strict=True)]
        print(
            f"heyoka with events / integrate, one thread each (to reach >= 1.3): {statistics.median(ratios):.3g}"
        )
    for method in ("gap_sweep", "  kernel,"):
        pairs = zip(times[f"{method} integrate"], times[f"{method} exact"], strict=True)
        print(f"integrate / exact, {method.strip(' ,')}: {statistics.median(a / b for a, b in pairs):.3g}")


if __name__ == "__main__":
    main()
