"""What the regimes tab computes: the same as the library, at every point of a map."""

import numpy as np
import pytest

from spectral_edge import simulate, theory
from spectral_edge.explorer import regimes


@pytest.mark.parametrize(("x", "y"), [("p_next", "omega"), ("g0", "d0"), ("eta", "t_max"), ("W", "h_k")])
def test_a_map_is_the_equation_at_each_of_its_points(x: str, y: str) -> None:
    found = regimes.plane(regimes.Point(), x, y, n=40)
    rng = np.random.default_rng(0)
    checked = 0
    for row, column in zip(
        rng.integers(len(found.y), size=30), rng.integers(len(found.x), size=30), strict=True
    ):
        values = {x: found.x[column], y: found.y[row]}
        point = regimes.replace(regimes.Point(), **values)
        if point.d0 <= point.g0 / 2:
            assert found.regime[row, column] == regimes.NOWHERE
            assert np.isnan(found.collapse_time[row, column])
            continue
        run = simulate.gap_ode(**point.arguments)
        assert np.isclose(found.collapse_time[row, column], run.collapse_time, rtol=1e-6, equal_nan=True)
        if run.crossings.size or found.regime[row, column] == regimes.REGIMES.index("viable"):
            checked += 1
    assert checked > 5


def test_collapse_times_stand_side_by_side() -> None:
    times = regimes.Point().collapse_times
    assert list(times) == ["integrated", "exact (3.6)", "linear in g (3.5)", "frozen, the thesis (3.4)"]
    assert times["integrated"] == pytest.approx(times["exact (3.6)"], rel=1e-6)
    assert times["frozen, the thesis (3.4)"] > times["exact (3.6)"]


def test_signals_stay_positive_when_a_slider_moves() -> None:
    point = regimes.Point().moved(g0=12.0, d0=1.0)
    assert point.d0 > 6.0
    assert np.isfinite(point.run.gap).all()


def test_the_code_of_a_point_and_of_a_map_gives_them_again() -> None:
    point = regimes.Point(omega=0.3)
    space: dict[str, object] = {}
    exec(point.code(), space)
    assert space["run"].collapse_time == point.run.collapse_time  # type: ignore[attr-defined]
    found = regimes.plane(point, "eta", "g0", n=30, ranges={"g0": (1.0, 12.0)})
    exec(found.code().replace("sweep.plot", "#"), space)
    times = np.broadcast_to(space["sweep"].collapse_time, found.fine.shape)  # type: ignore[attr-defined]
    np.testing.assert_allclose(times[found.fine], found.collapse_time[found.fine], rtol=1e-9)


def test_a_map_can_be_drawn_where_there_is_no_equation() -> None:
    found = regimes.plane(regimes.Point(), "g0", "d0", n=30)
    assert not found.fine.all()
    (ax,) = found.figure().axes
    assert ax.get_xlabel().startswith("initial gap")


@pytest.mark.parametrize(("x", "y", "wanted"), [("g0", "g0", "twice"), ("g0", "size", "must be one of")])
def test_axes_of_a_map_are_two_parameters(x: str, y: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        regimes.plane(regimes.Point(), x, y)


def test_the_feedback_loop_is_drawn_up_to_its_saddle_node() -> None:
    found = regimes.feedback(1.0, 4.0, -1.0)
    threshold = theory.feedback_threshold(1.0, 4.0, -1.0)
    assert found.eps_c == threshold.eps_c
    inside = found.eps < found.eps_c
    assert np.isfinite(found.open[inside]).all()
    assert np.isnan(found.open[found.eps > found.eps_c * 1.01]).all()
    at = np.searchsorted(found.eps, found.eps_c)
    assert found.open[at] == pytest.approx(found.g_sn, rel=1e-3)
    assert np.isnan(regimes.feedback(1.0, 4.0, 0.5).eps_c)
