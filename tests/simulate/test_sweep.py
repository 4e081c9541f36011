"""Sweeps of the gap equation: both methods against each other and the theory, executors, checkpoints, bad input."""

import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectral_edge import simulate, theory
from spectral_edge.simulate._kernels import elementary
from tests.reference import simulate_gap as reference

RESULTS = ("collapse_time", "reopen_time", "gap", "minimal_gap", "regime")


def constants(n, seed):
    """Random constants over decades, with zeros, equal curvatures and growing modes among them."""
    rng = np.random.default_rng(seed)
    h = 10 ** rng.uniform(-2, 1, (n, 2))
    h[rng.random(n) < 0.1] *= -0.02
    h[rng.random(n) < 0.1, 1] = 0.0
    same = rng.random(n) < 0.1
    h[same, 1] = h[same, 0]
    p = 10 ** rng.uniform(-2, 1.5, (n, 2)) * (rng.random((n, 2)) > 0.1)
    d = np.sort(10 ** rng.uniform(-1, 1.5, (n, 2)), axis=1)[:, ::-1]
    omega = rng.choice([0.0, 0.1, 1.0], n)
    return d, {
        "h": h,
        "p": p,
        "eta": 10 ** rng.uniform(-3.5, -2, n),
        "omega": omega,
        "W": rng.integers(2, 30, n),
    }


def sweep(d, c, **more):
    return simulate.gap_sweep(d[:, 0] - d[:, 1], d.mean(axis=1), **(c | {"t_max": 3000} | more))


def assert_same(first, second):
    for name in RESULTS:
        assert_array_equal(getattr(first, name), getattr(second, name))


class TestExact:
    def test_agrees_with_the_theory(self):
        d, c = constants(20_000, 1)
        result = sweep(d, c)
        times = theory.crossing_times(d, **c)
        kappa = c["eta"] * (c["h"].min(axis=1) + c["omega"])
        # without sources both signals end below the rounding of where they began
        faded = (c["p"].max(axis=1) == 0) & (kappa * 3000 > 15)
        for ours, theirs in zip((result.collapse_time, result.reopen_time), times, strict=True):
            wanted = np.where(theirs <= 3000, theirs, np.nan)[~faded]
            assert_array_equal(np.isnan(ours[~faded]), np.isnan(wanted))
            assert_allclose(ours[~faded], wanted, rtol=1e-7)
            assert np.nanquantile(np.abs(ours[~faded] / wanted - 1), 0.999) < 1e-10
        assert np.mean(faded) < 0.05
        assert_array_equal(result.regime, theory.gap_regime(d, **c))
        assert set(result.regime) >= {"viable", "collapsing", "transient"}
        broadcast = {name: value if value.ndim == 2 else value[:, None] for name, value in c.items()}
        last = theory.signal_flow(d, 3000, **broadcast)
        assert_allclose(result.gap, last[:, 0] - last[:, 1], rtol=1e-9, atol=1e-9 * last.max())

    def test_smallest_gap_is_the_smallest(self):
        d, c = constants(300, 2)
        result = sweep(d, c)
        t = np.concatenate([[0], np.geomspace(1e-3, 3000, 20_000)])
        for i in range(300):
            own = {name: value[i] for name, value in c.items() if value.ndim == 1}
            u = [theory.signal_flow(d[i, j], t, h=c["h"][i, j], p=c["p"][i, j], **own) for j in range(2)]
            crosses = np.any(u[0] < u[1])
            wanted = 0.0 if crosses else (u[0] - u[1]).min()
            assert_allclose(result.minimal_gap[i], wanted, rtol=1e-4, atol=1e-7 * d[i, 0])

    def test_what_decays_keeps_its_digits(self):
        """Against the closed form in 40 digits, also where signals end far below the rounding of their start."""
        d, c = constants(600, 8)
        c["p"][:200] = 0.0
        c["p"][200:400, 1] = 0.0
        times = np.random.default_rng(9).uniform(100, 60_000, 600)
        result = sweep(d, c, t_max=times)
        faded = crossings = 0
        for i in range(600):
            own = [d[i], c["h"][i], c["p"][i], c["eta"][i], c["omega"][i], int(c["W"][i])]
            upper, lower = reference.exact(*own, times[i])
            error = abs(result.gap[i] - (upper - lower))
            assert error <= 2e-13 * max(upper, lower) + 1e-151 * d[i, 0]  # e^-700 stands for all below
            faded += max(upper, lower) < 1e-10 * d[i, 0]
            first = float(result.collapse_time[i])
            if np.isfinite(first):
                slack = 1e-9 + 1e-14 / abs(d[i, 0] / d[i, 1] - 1)  # modes that begin nearly equal decide less
                around = [reference.exact(*own, first * (1 + x)) for x in (-slack, slack)]
                assert (around[0][0] - around[0][1]) * (around[1][0] - around[1][1]) < 0
                crossings += 1
        assert faded > 20
        assert crossings > 100


def test_exponential_and_logarithm():
    rng = np.random.default_rng(6)
    small = 10 ** rng.uniform(-20, 0, 2000) * rng.choice([-1, 1], 2000)
    x = np.concatenate([rng.uniform(-700, 700, 2000), rng.uniform(-3, 3, 2000), small])
    both = numba.njit(lambda y: elementary.exponential(y))
    found = np.array([both(value) for value in x])
    assert_allclose(found[:, 0], np.exp(x), rtol=5e-16)
    assert_allclose(found[:, 1], np.expm1(x), rtol=5e-16)
    assert [both(y) for y in (0.0, 1e9)] == [(1.0, 0.0), (np.inf, np.inf)]
    assert both(-1e9)[0] < 1e-300
    assert both(-1e9)[1] == -1.0
    x = np.concatenate([10 ** rng.uniform(-200, 200, 2000), 1 + 10 ** rng.uniform(-15, -1, 2000)])
    found = np.array([elementary.log(value) for value in x])
    assert_allclose(found, np.log(x), rtol=1e-13)


class TestIntegrated:
    def test_agrees_with_exact(self):
        d, c = constants(5000, 3)
        exact, integrated = sweep(d, c), sweep(d, c, method="integrate")
        assert (exact.method, integrated.method) == ("exact", "integrate")
        decided = exact.minimal_gap > 1e-6 * d[:, 0]  # a gap that grazes zero decides nothing
        assert_array_equal(
            np.isnan(exact.collapse_time[decided]), np.isnan(integrated.collapse_time[decided])
        )
        both = np.isfinite(exact.collapse_time) & np.isfinite(integrated.collapse_time)
        assert both.sum() > 1000
        relative = np.abs(integrated.collapse_time[both] / exact.collapse_time[both] - 1)
        assert np.mean(relative < 1e-6) > 0.998  # the others touch zero nearly without slope
        scale = np.maximum(d[:, 0], np.abs(exact.gap))
        assert np.all(np.abs(integrated.gap - exact.gap) < 1e-6 * scale)
        assert np.all(np.abs(integrated.minimal_gap - exact.minimal_gap) < 1e-6 * scale)
        assert_array_equal(exact.regime, integrated.regime)

    def test_is_the_kernel_of_gap_ode(self):
        one = simulate.gap_ode()
        many = simulate.gap_sweep(
            [6.0, 5.0],
            7.0,
            h=(0.9, 0.4),
            p=(2.0, 2.2),
            eta=1e-3,
            omega=0.1,
            W=10,
            t_max=3000,
            method="integrate",
        )
        assert many.collapse_time[0] == one.collapse_time
        assert many.gap[0] == one.gap[-1]

    def test_constants_keep_the_tolerance(self):
        """Whatever is asked for is what is reached, and asking for more costs steps."""
        d, c = constants(2000, 7)
        exact, errors = sweep(d, c), []
        # no difference of what is nearly equal, for a signal without source may decay to nothing
        z = 2 * c["eta"][:, None] * (c["h"] + c["omega"][:, None]) * 3000
        grown = np.divide(-np.expm1(-z), z, out=np.ones_like(z), where=z != 0)
        squares = d**2 * np.exp(-z) + (6000 * c["eta"] * c["W"])[:, None] * c["p"] * grown
        gap = np.sqrt(squares) @ [1, -1]
        for rtol in (1e-4, 1e-8, 1e-12):
            found = sweep(d, c, method="integrate", rtol=rtol, atol=1e-2 * rtol)
            error = np.abs(found.gap - gap) / (d[:, 0] + np.abs(gap))
            both = np.isfinite(found.collapse_time) & np.isfinite(exact.collapse_time)
            late = np.abs(found.collapse_time[both] / exact.collapse_time[both] - 1)
            assert error.max() < 10 * rtol
            assert np.median(late) < max(rtol, 1e-14)
            errors.append(np.quantile(error, 0.9))
        assert errors[0] > errors[1] > errors[2]

    def test_a_common_schedule(self):
        def eta(t):
            return 1e-3 * np.exp(-t / 2000)

        omega = np.array([0.05, 0.1, 0.3])
        many = simulate.gap_sweep(6, 7, h=(0.9, 0.4), p=(2.0, 2.2), eta=eta, omega=omega, W=10, t_max=3000)
        assert many.method == "integrate"
        for i, w in enumerate(omega):
            assert many.collapse_time[i] == pytest.approx(
                simulate.gap_ode(eta=eta, omega=w).collapse_time, rel=1e-9
            )

    def test_one_function_beside_arrays(self):
        h = (lambda t: 0.9 + 0.1 * np.sin(t / 100), np.array([0.4, 0.8]))
        many = simulate.gap_sweep(6, 7, h=h, p=(2.0, 2.2), eta=1e-3, omega=0.1, W=10, t_max=3000)
        one = simulate.gap_ode(h=(h[0], 0.8))
        assert many.gap[1] == pytest.approx(one.gap[-1], rel=1e-9)

    def test_functions_that_numba_cannot_compile(self):
        """Every row is that of `gap_ode`, to the bit, although rows call into Python side by side."""
        slow, fast = (partial(wave, {"frequency": w}) for w in (0.003, 0.01))
        for eta in (slow, fast, slow):
            gaps = np.linspace(2, 8, 40)
            rows = simulate.gap_sweep(
                gaps, 7.0, h=(0.9, 0.4), p=(2.0, 2.2), eta=eta, omega=0.1, W=10, t_max=3000
            )
            alone = [simulate.gap_ode(gap, eta=eta).collapse_time for gap in gaps]
            assert_array_equal(rows.collapse_time, alone)

    @pytest.mark.slow
    def test_a_function_may_integrate_itself(self):
        """The callbacks of two integrations, one within the other, are kept apart."""
        inner = partial(wave, {"frequency": 0.01})

        def outer(table, t):
            return 1e-3 * simulate.gap_ode(eta=inner, t_max=100.0, t_eval=[t / 40]).gap[0] / table["scale"]

        within = simulate.gap_ode(eta=partial(outer, {"scale": 6.0}), t_max=1000.0, max_step=500.0)
        gap = simulate.gap_ode(eta=inner, t_max=100.0, t_eval=np.linspace(0, 25, 400))
        table = partial(tabled, {"t": 40 * gap.t, "eta": 1e-3 * gap.gap / 6.0})
        assert_allclose(within.gap, simulate.gap_ode(eta=table, t_max=1000.0).gap, atol=1e-6)


def wave(table, t):
    """A learning rate that numba cannot compile, because of the dictionary."""
    return 1e-3 * (1 + 0.9 * np.sin(table["frequency"] * t))


def tabled(table, t):
    return np.interp(t, table["t"], table["eta"])


class InOrder(Executor):
    """Runs at once what is submitted, and stops at a given number."""

    def __init__(self, stop_after=None):
        self.calls, self.stop_after = 0, stop_after

    def submit(self, function, /, *args):
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        future = Future()
        future.set_result(function(*args))
        return future


@pytest.fixture(scope="module")
def case():
    d, c = constants(1000, 4)
    return d, c, sweep(d, c, method="integrate")


@pytest.mark.parametrize("method", ["exact", "integrate"])
def test_all_else_is_the_same_without_the_smallest_gaps(method):
    d, c = constants(1000, 4)
    wanted, found = (sweep(d, c, method=method, minimal_gap=asked) for asked in (True, False))
    assert np.isfinite(wanted.minimal_gap).all()
    assert np.isnan(found.minimal_gap).all()
    for name in (*(name for name in RESULTS if name != "minimal_gap"), "crossings"):
        assert_array_equal(getattr(found, name), getattr(wanted, name))


class TestWhereItRuns:
    def test_bits_do_not_depend_on_threads(self, case):
        d, c, wanted = case
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            assert_same(sweep(d, c, method="integrate"), wanted)
        finally:
            numba.set_num_threads(threads)

    @pytest.mark.parametrize("method", ["exact", "integrate"])
    def test_bits_do_not_depend_on_neighbours(self, method):
        """Both go side by side: in which lane or block a trajectory goes, and beside which, does not show."""
        d, c = constants(1000, 4)
        wanted = sweep(d, c, method=method)
        with ThreadPoolExecutor(2) as pool:
            for chunk in (1, 7, 300):
                assert_same(sweep(d, c, method=method, executor=pool, chunk=chunk), wanted)

    def test_threads_and_processes(self, case):
        d, c, wanted = case
        with ThreadPoolExecutor(2) as pool:
            assert_same(sweep(d, c, method="integrate", executor=pool, chunk=300), wanted)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert_same(sweep(d, c, method="integrate", executor=pool, chunk=600), wanted)

    def test_resumes_from_a_checkpoint(self, case, tmp_path):
        d, c, wanted = case
        path = tmp_path / "sweep.npz"
        with ThreadPoolExecutor(1):
            first = InOrder()
            result = sweep(d, c, method="integrate", executor=first, chunk=300, checkpoint=path)
        assert_same(result, wanted)
        assert first.calls == 4
        again = InOrder()
        assert_same(sweep(d, c, method="integrate", executor=again, chunk=300, checkpoint=path), wanted)
        assert again.calls == 0
        for other in ({"method": "exact"}, {"method": "integrate", "minimal_gap": False}):
            with pytest.raises(ValueError, match="checkpoint must belong to this sweep"):
                sweep(d, c, **other, chunk=300, checkpoint=path)
        path.write_bytes(b"something else")
        with pytest.raises(ValueError, match="checkpoint must be a file that gap_sweep wrote"):
            sweep(d, c, checkpoint=path)

    def test_what_was_finished_before_an_interruption_is_kept(self, case, tmp_path, monkeypatch):
        from spectral_edge.simulate import _sweep as module

        d, c, wanted = case
        path, compute, calls = tmp_path / "sweep.npz", module.compute_chunk, []

        def interrupted(*args, **more):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return compute(*args, **more)

        monkeypatch.setattr(module, "compute_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep(d, c, method="integrate", chunk=250, checkpoint=path)
        result = sweep(d, c, method="integrate", chunk=250, checkpoint=path)
        assert len(calls) == 3 + 2
        assert_same(result, wanted)

    def test_progress_bar_is_for_standard_error(self, case, capsys):
        d, c, wanted = case
        assert_same(sweep(d, c, method="integrate", progress=True, chunk=500), wanted)
        assert capsys.readouterr().out == ""


def test_a_dask_cluster_of_two_processes():
    distributed = pytest.importorskip("distributed")
    d, c = constants(400, 5)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len(set(client.run(os.getpid).values()) - {os.getpid()}) == 2
        result = sweep(d, c, method="integrate", executor=client.get_executor(), chunk=100)
    assert_same(result, sweep(d, c, method="integrate"))


class TestPictures:
    def test_regime_map(self, tmp_path):
        result = simulate.gap_sweep(
            1, 5, h=(0.1, 0.9), p=(0.7, np.linspace(0.5, 6, 30)), eta=1e-3, omega=np.linspace(0.02, 0.6, 20)[:, None],
            W=10, t_max=8000,
        )  # fmt: skip
        ax = result.plot(x="p_next", y="omega")
        ax.figure.savefig(tmp_path / "map.png")
        assert "p_{k+1}" in ax.get_xlabel()
        assert {text.get_text() for text in ax.get_legend().get_texts()} == {
            "viable",
            "collapsing",
            "transient",
        }
        assert "p_{k+1}" in result.plot(x="omega", y="p_next").get_ylabel()
        with pytest.raises(ValueError, match="eta must vary along one axis"):
            result.plot(x="eta", y="omega")
        with pytest.raises(ValueError, match="a swept parameter must be one of"):
            result.plot(x="speed", y="omega")
        table = result.to_xarray()
        assert table.sizes == {"omega": 20, "p_next": 30}
        assert float(table.gap.sel(omega=0.02, p_next=0.5)) == result.gap[0, 0]

    def test_x_and_y_must_be_the_two_that_vary(self):
        result = simulate.gap_sweep(
            np.ones((2, 1, 1)),
            5,
            h=(0.1, np.ones((3, 1))),
            p=(0.7, np.ones(4)),
            eta=1e-3,
            omega=0,
            W=10,
            t_max=9,
        )
        with pytest.raises(ValueError, match="x and y must be the two parameters that vary"):
            result.plot(x="p_next", y="h_next")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"omega": np.ones(3), "eta": np.full(4, 1e-3)}, r"must broadcast .* eta \(4,\), omega \(3,\)"),
            ({"g0": [1, 20]}, "d0 must exceed g0/2 .* in 1 of 2"),
            ({"g0": -1}, "g0 must not be negative"),
            ({"h": 3}, "h must be a pair"),
            ({"h": (1, 2, 3)}, "h must be a pair"),
            ({"p": (1, np.nan)}, "p_next must be finite"),
            ({"p": (1, -1)}, "p_next must not be negative"),
            ({"eta": [1e-3, 0]}, "eta must be positive"),
            ({"omega": -1}, "omega must not be negative"),
            ({"W": [10, 2.5]}, "W must be whole numbers"),
            ({"t_max": 0}, "t_max must be positive"),
            ({"method": "euler"}, "method must be one of auto, integrate, exact"),
            (
                {"method": "exact", "eta": lambda t: 1e-3},
                "method must be integrate where eta depends on time",
            ),
            ({"chunk": 0}, "chunk must be at least 1"),
            ({"eta": lambda t: 1e-3 if t < 50 else np.nan}, "eta must be finite, got nan at t = "),
            (
                {"h": (-500, -400), "method": "integrate", "t_max": 1e6},
                r"cannot be reached in 1 of 1 .*h_k = -500",
            ),
            ({"h": (-500, -400), "t_max": 1e6}, r"cannot be reached in 1 of 1 .*h_k = -500"),
        ],
    )
    def test_one_clear_error(self, arguments, message):
        usual = {"h": (0.9, 0.4), "p": (2, 2.2), "eta": 1e-3, "omega": 0.1, "W": 10, "t_max": 3000}
        usual |= {"g0": 6, "d0": 7}
        with pytest.raises(ValueError, match=message):
            simulate.gap_sweep(**(usual | arguments))
