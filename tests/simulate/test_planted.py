"""Planted worlds hold what they say, and their controls do not."""

import numpy as np
import pytest

from spectral_edge import simulate, theory
from spectral_edge.simulate import _worlds

W = 10


def sigma(run):
    return theory.gram_spectrum(theory.window_blocks(run.K, W)).sigma


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("name", simulate.scenarios())
class TestEveryScenario:
    def test_is_a_run(self, name, control):
        run = simulate.planted(name, 5, control=control)
        T = len(run.steps)
        assert run.K.shape == (T, T)
        assert np.all(np.diff(run.steps) > 0)
        assert np.linalg.eigvalsh(run.K)[0] > -1e-12 * np.trace(run.K)
        for values in (*run.metrics.values(), *run.probes.values()):
            assert len(values) == T
        assert run.config["weight_decay"] == (0.0 if control else 1.0)
        assert run.config["seed"] == 5
        assert set(run.config) >= {"task", "operation", "learning_rate", "batch_size", "optimizer"}

    def test_the_seed_decides(self, name, control):
        run, again, other = (simulate.planted(name, seed, control=control) for seed in (5, 5, 6))
        np.testing.assert_array_equal(run.K, again.K)
        assert run.K.shape != other.K.shape or not np.array_equal(run.K, other.K)


def test_patterns_are_orthonormal_in_every_window():
    patterns = _worlds.patterns(40, 7)
    for start in range(31):
        block = patterns[start : start + W]
        np.testing.assert_allclose(block.T @ block, np.eye(7), atol=1e-12)


class TestTruth:
    def test_bbp_vacuous(self):
        for control in (False, True):  # noise passes as well: 2.2
            run = simulate.planted("bbp-vacuous", 1, control=control)
            nu = theory.a_priori_nu(run.config["learning_rate"], run.config["batch_size"], run.P)
            ratio = sigma(run)[:, -1] / theory.bbp_threshold(nu, run.P, W)
            assert ratio.min() > 5
            np.testing.assert_allclose(ratio, run.truth["noise_ratio"], rtol=0.03)

    def test_gap_above_noise(self):
        level = simulate.null_quantile(0.99, 1e5, W)
        momentum = simulate.null_ratio(1e5, W, 2000, 1, 0.9).quantile(0.999)
        run, control = (simulate.planted("gap-above-noise", 1, control=c) for c in (False, True))
        spectra, noise = sigma(run), sigma(control)
        assert np.mean(theory.gap_position(spectra) == 3) > 0.95
        assert np.mean(theory.gap_ratio(spectra) > max(level, momentum)) > 0.9
        assert np.all(theory.gap_ratio(noise) > level)  # white noise is the wrong null here
        assert np.mean(theory.gap_ratio(noise) > momentum) < 0.05

    def test_gap_precedes_grokking(self):
        for seed in range(8):
            run, control = (simulate.planted("gap-precedes-grokking", seed, control=c) for c in (False, True))
            steps = run.steps[W - 1 :]
            g_23 = theory.subleading_gap(sigma(run))
            grok = run.truth["grok_step"]
            assert run.truth["collapse_step"] < grok - 5 * 100
            assert g_23[steps < grok].max() / g_23[steps == grok][0] > 3
            quiet = theory.subleading_gap(sigma(control))[control.steps[W - 1 :] <= grok]
            assert quiet.max() / quiet[-1] < 1.2
            assert control.metrics["test_accuracy"].max() < 0.2
            assert run.metrics["test_accuracy"].max() > 0.95

    def test_weight_decay_needed(self):
        run, control = (simulate.planted("weight-decay-needed", 1, control=c) for c in (False, True))
        reached = run.steps[np.argmax(run.metrics["test_accuracy"] >= 0.95)]
        assert reached == run.truth["grok_step"]
        assert control.metrics["test_accuracy"].max() < 0.2


def test_bad_input():
    with pytest.raises(ValueError, match="scenario must be one of bbp-vacuous"):
        simulate.planted("no-such-world", 1)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        simulate.planted("bbp-vacuous", 1.5)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        simulate.planted("bbp-vacuous", -1)
