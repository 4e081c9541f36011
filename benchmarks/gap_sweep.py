"""100,000 gap equations to t = 5,000 at rtol 1e-8: integrated and exact, against scipy, diffrax and CyRK.

    python benchmarks/gap_sweep.py [--n 100000] [--rounds 5]

All run in one process, in turn, round after round; the table gives the median time per trajectory and the median over
rounds of the ratio to the integrated sweep. Competitors that are much slower run on fewer trajectories; rows
without events locate no crossings. Compilation is done before the first round.
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


def sweep(method: str) -> Callable[[dict[str, Any]], None]:
    def run(c: dict[str, Any]) -> None:
        simulate.gap_sweep(**c, eta=ETA, omega=OMEGA, W=W, t_max=T_MAX, method=method, rtol=RTOL, atol=ATOL)

    return run


def kernel(method: str) -> Callable[[dict[str, Any]], None]:
    """The kernel without the checks of arguments and the names of regimes."""
    from spectral_edge.simulate._sweep import _Job, compute_chunk

    def run(c: dict[str, Any]) -> None:
        constant = [np.broadcast_to(float(value), len(c["g0"])) for value in (ETA, OMEGA, W, T_MAX)]
        columns = (c["g0"], c["d0"], *c["h"].T, *c["p"].T, *constant)
        compute_chunk(_Job(method, None, RTOL, ATOL), columns, alone=False)

    return run


def scipy_rk45(c: dict[str, Any]) -> None:
    from scipy.integrate import solve_ivp

    for g, d, (h1, h2), (p1, p2) in zip(c["g0"], c["d0"], c["h"], c["p"], strict=True):

        def slope(t, y, h1=h1, h2=h2, p1=p1, p2=p2):
            upper, lower = y[1] + y[0] / 2, y[1] - y[0] / 2
            a, b = (
                -ETA * (h1 + OMEGA) * upper + ETA * W * p1 / upper,
                -ETA * (h2 + OMEGA) * lower + ETA * W * p2 / lower,
            )
            return [a - b, (a + b) / 2]

        solve_ivp(slope, (0, T_MAX), [g, d], method="RK45", rtol=RTOL, atol=ATOL, events=lambda t, y: y[0])


def diffrax_dopri5(events: bool) -> Callable[[dict[str, Any]], None]:
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
            return solve(0.0, y, args, None).ys
        crossing = diffrax.Event(lambda t, y, args, **_: y[0], optimistix.Newton(1e-8, 1e-8))
        first = solve(0.0, y, args, crossing)
        return first.ts[-1], solve(first.ts[-1], first.ys[-1], args, None).ys

    many = jax.jit(jax.vmap(one))

    def run(c: dict[str, Any]) -> None:
        jax.block_until_ready(many(*(jnp.asarray(c[name]) for name in ("g0", "d0", "h", "p"))))

    return run


def cyrk() -> Callable[[dict[str, Any]], None]:
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

    def run(c: dict[str, Any]) -> None:
        for g, d, (h1, h2), (p1, p2) in zip(c["g0"], c["d0"], c["h"], c["p"], strict=True):
            nbsolve_ivp(
                slope,
                (0.0, T_MAX),
                np.array([g, d]),
                args=(h1, h2, p1, p2),
                rk_method=1,
                rtol=RTOL,
                atol=ATOL,
                warnings=False,
            )

    return run


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    c = parameters(chosen.n)
    entries: list[tuple[str, Callable[[dict[str, Any]], None], int]] = [
        ("gap_sweep integrate", sweep("integrate"), chosen.n),
        ("gap_sweep exact", sweep("exact"), chosen.n),
        ("  kernel, integrate", kernel("integrate"), chosen.n),
        ("  kernel, exact", kernel("exact"), chosen.n),
        ("scipy solve_ivp RK45, events", scipy_rk45, 30),
    ]
    for name, make, n in (
        ("diffrax Dopri5, jit(vmap), events", lambda: diffrax_dopri5(True), min(chosen.n, 20_000)),
        ("diffrax Dopri5, jit(vmap), no events", lambda: diffrax_dopri5(False), min(chosen.n, 20_000)),
        ("CyRK RK45 (numba), no events", cyrk, 300),
    ):
        try:
            entries.append((name, make(), n))
        except ImportError as missing:
            print(f"skipped: {name} ({missing}); pip install spectral-edge[bench]")
    times: dict[str, list[float]] = {name: [] for name, _, _ in entries}
    for number in range(chosen.rounds + 1):
        for name, run, n in entries:
            part = {key: np.ascontiguousarray(value[:n]) for key, value in c.items()}
            start = time.perf_counter()
            run(part)
            if number:  # the first round compiles
                times[name].append((time.perf_counter() - start) / n)
    base = times["gap_sweep integrate"]
    print(f"{chosen.n:,} gap equations to t = {T_MAX:g}, rtol {RTOL:g}, median of {chosen.rounds} rounds")
    print(f"{'':38} {'µs each':>10} {'/ integrate':>12}")
    for name, values in times.items():
        ratio = statistics.median(value / one for value, one in zip(values, base, strict=True))
        print(f"{name:38} {statistics.median(values) * 1e6:10.3f} {ratio:12.4g}")
    for method in ("gap_sweep", "  kernel,"):
        pairs = zip(times[f"{method} integrate"], times[f"{method} exact"], strict=True)
        print(f"integrate / exact, {method.strip(' ,')}: {statistics.median(a / b for a, b in pairs):.3g}")


if __name__ == "__main__":
    main()
