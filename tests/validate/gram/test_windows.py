"""What every window looks like: K gives all of it at once, and tables carry it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge.theory import spectrum
from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files.reading import read_run


def updates_of(T=14, P=300, seed=0):
    return np.random.default_rng(seed).normal(size=(T, P)) * np.linspace(3, 1, T)[:, None]


@given(T=st.integers(3, 12), W=st.integers(2, 9), seed=st.integers(0, 99), banded=st.booleans())
def test_everything_is_that_of_the_windows_themselves(T, W, seed, banded):
    W = min(W, T - 1)
    updates = updates_of(T, 40, seed)
    sequence = GramSequence.from_updates(updates, W_max=W if banded else None)
    spectra = sequence.window(W)
    assert len(spectra.steps) == T - W + 1
    previous = None
    for i in range(T - W + 1):
        _, sigma, v = np.linalg.svd(updates[i : i + W], full_matrices=False)
        np.testing.assert_allclose(spectra.sigma[i], sigma, rtol=1e-9)
        assert spectra.k_star[i] == spectrum.gap_position(sigma)
        assert spectra.ratio[i] == pytest.approx(float(spectrum.gap_ratio(sigma)))
        if previous is not None:
            np.testing.assert_allclose(np.abs(spectra.overlaps[i - 1]), np.abs(previous @ v.T), atol=1e-7)
            change = (
                updates[i + W - 1][:, None] * updates[i + W - 1] - updates[i - 1][:, None] * updates[i - 1]
            )
            assert spectra.delta.frobenius[i - 1] == pytest.approx(np.linalg.norm(change))
            assert spectra.delta.operator[i - 1] == pytest.approx(np.linalg.norm(change, 2))
        previous = v


def test_both_readings_of_alpha_and_of_the_adiabatic_parameter():
    spectra = GramSequence.from_updates(updates_of()).window(5)
    bound, published = spectra.alpha(), spectra.alpha(C=1.0, norm="eigenvalue")
    assert bound.shape == published.shape == (9, 5)
    diagonal = np.diagonal(spectra.overlaps, axis1=1, axis2=2) ** 2
    assert (bound <= diagonal + 1e-9).all()
    assert (published >= bound).all()
    assert (spectra.adiabatic(1e-2, "eigenvalue") <= spectra.adiabatic(1e-2)).all()
    with pytest.raises(
        ValueError, match="norm must be one of operator, frobenius, eigenvalue, got 'nuclear'"
    ):
        spectra.alpha(norm="nuclear")


def test_effective_dimension_and_autocorrelation_of_noise():
    P, T = 4000, 60
    sequence = GramSequence.from_updates(np.random.default_rng(1).normal(size=(T, P)))
    # 1,225 distant pairs: the mean of their squares has relative standard deviation sqrt(2/1225) = 4 %
    assert sequence.effective_dimension(10) == pytest.approx(P, rel=0.2)
    tau = sequence.autocorrelation(5)
    assert tau[0] == 1
    assert np.abs(tau[1:]).max() < 5 / np.sqrt(P * (T - 5))


def test_what_many_ask_is_made_once_and_not_handed_on():
    sequence = GramSequence.from_updates(updates_of())
    assert sequence.window(4) is sequence.window(np.int64(4))
    made = [sequence.once("a key", object) for _ in range(2)]
    assert made[0] is made[1] is not sequence.once("another", object)
    assert replace(sequence, config={"run": "other"}).once("a key", object) is not made[0]


def test_tables(tmp_path):
    sequence = GramSequence.from_updates(
        updates_of(), W_max=6, metrics={"loss": np.arange(14.0)}, probes={"gradient": np.ones((14, 7))}
    )
    data = sequence.to_xarray()
    assert data["K"].dims == ("step", "lag")
    np.testing.assert_array_equal(data["loss"], np.arange(14.0))
    assert data["probe_gradient"].shape == (14, 7)
    assert data.attrs["P"] == 300
    assert GramSequence.from_updates(updates_of()).to_xarray()["K"].dims == ("step", "other_step")
    spectra = sequence.window(5)
    table = spectra.to_xarray()
    np.testing.assert_array_equal(table["sigma"].sel(mode=2), spectra.sigma[:, 1])
    np.testing.assert_array_equal(table["k_star"], spectra.k_star)
    assert list(spectra.to_dataframe()["step"]) == list(spectra.steps)


def test_a_sequence_comes_back_as_it_was_saved(tmp_path):
    sequence = GramSequence.from_updates(
        updates_of(),
        np.arange(14) * 100,
        W_max=6,
        metrics={"a/b": np.full(14, np.nan)},
        probes={"h": np.ones((14, 3, 3))},
        config={"seed": 1},
    )
    again = GramSequence.load(sequence.save(tmp_path / "new" / "run.npz"))
    for name in ("K", "steps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sequence, name))
    np.testing.assert_array_equal(again.metrics["a/b"], sequence.metrics["a/b"])
    np.testing.assert_array_equal(again.probes["h"], sequence.probes["h"])
    assert (again.P, again.config, again.rounding) == (300, {"seed": 1}, sequence.rounding)


def test_reading_whatever_a_user_has(tmp_path):
    thetas = np.cumsum(updates_of(), axis=0)
    np.save(tmp_path / "stack.npy", thetas)
    (tmp_path / "run").mkdir()
    for step, theta in enumerate(thetas):
        np.savez(tmp_path / "run" / f"step{step}.npz", a=theta[:100], b=theta[100:])
    wanted = GramSequence.from_parameters(thetas).K
    for path in (tmp_path / "stack.npy", tmp_path / "run", tmp_path / "run" / "*.npz"):
        np.testing.assert_allclose(read_run(path).whole.K, wanted, rtol=1e-9, atol=1e-9)
    part = read_run(tmp_path / "run", select="a").whole
    np.testing.assert_allclose(part.K, GramSequence.from_parameters(thetas[:, :100]).K, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="select needs checkpoints, whose tensors have names"):
        read_run(tmp_path / "stack.npy", select="a")
