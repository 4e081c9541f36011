"""Planted worlds hold what they say, and their controls do not."""

import numpy as np
import pytest

from spectral_edge import simulate, theory
from spectral_edge.simulate._planted import parts as _worlds

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


def pair(name, seed=1):
    return [simulate.planted(name, seed, control=c) for c in (False, True)]


def windows(run):
    """Singular values, window vectors (oldest row first), and k*."""
    spectrum = theory.gram_spectrum(theory.window_blocks(run.K, W))
    return spectrum.sigma, spectrum.u, theory.gap_position(spectrum.sigma)


def along_modes(run, probe):
    """<q_t, v_j> for the window that ends at t, (n, W)."""
    sigma, u, _ = windows(run)
    return np.einsum("nsj,ns->nj", u, run.probes[probe][W - 1 :, W - 1 :: -1]) / sigma


def curvatures(run, plain=False):
    """As the optimiser sees them, from whatever the run holds; or those of the plain loss."""
    sigma, u, _ = windows(run)
    M = {name: run.probes[name][W - 1 :, ::-1, ::-1] for name in run.probes if run.probes[name].ndim == 3}
    if "metric" in M and not plain:
        return theory.projected_curvature(theory.window_blocks(run.K, W), M["metric"], M["hessian"])
    form = M["hessian"] if plain or "response" not in M else M["response"]
    return np.einsum("nsj,nsr,nrj->nj", u, form, u) / sigma**2


class TestProbes:
    def test_are_inner_products_with_the_updates(self):
        rng = np.random.default_rng(1)
        X, q, h = rng.standard_normal((30, 9)), rng.standard_normal((30, 3)), rng.random((30, 3))
        gradient, hessian = _worlds.gradient_probe(X, q), _worlds.hessian_probe(X, h, rest=0.5)
        whole = np.concatenate([q, np.zeros((30, 6))], axis=1)
        for t, lag in ((0, 0), (12, 0), (12, 7), (29, 10)):
            assert gradient[t, lag] == pytest.approx(whole[t] @ X[t - lag])
        assert np.isnan(gradient[3, 4])
        H = np.diag([*h[20], *[0.5] * 6])
        assert hessian[20, 2, 5] == pytest.approx(X[18] @ H @ X[15])
        assert np.all(np.isnan(hessian[W - 2]))

    @pytest.mark.parametrize("name", ["krylov-bound", "gap-flow", "inverted-hierarchy"])
    def test_the_plain_hessian_is_not_what_the_optimiser_sees(self, name):
        for seed, probe in ((2, "response"), (3, "metric")):
            run = simulate.planted(name, seed)
            assert probe in run.probes
            strong = windows(run)[0] > 0.2 * windows(run)[0][:, :1]
            with np.errstate(divide="ignore", invalid="ignore"):
                off = abs(np.log(curvatures(run, plain=True) / curvatures(run)))[strong]
            assert np.nanmedian(off) > 0.3


class TestPositions:
    def test_small_gap_position(self):
        run, control = pair("small-gap-position")
        for weighted in (False, True):
            assert np.all(theory.gap_position(sigma(run), weighted=weighted) == 2)
            assert np.all(theory.gap_position(sigma(control), weighted=weighted) == 6)

    def test_optimiser_dependence(self):
        muon, adamw = pair("optimiser-dependence")
        assert (muon.config["optimizer"], adamw.config["optimizer"]) == ("muon", "adamw")
        assert set(windows(muon)[2]) == {1}
        assert set(windows(adamw)[2]) == {2}

    def test_krylov_bound(self):
        run, control = pair("krylov-bound")
        limit = 1 / (run.config["learning_rate"] * run.config["record_every"] * W)
        share = [np.mean(windows(r)[2] <= np.sum(curvatures(r) >= limit, axis=1)) for r in (run, control)]
        assert share[0] >= 0.95
        assert share[1] < 0.1
        shuffled = np.random.default_rng(1).permutation(curvatures(run))
        assert np.mean(windows(run)[2] <= np.sum(shuffled >= limit, axis=1)) < 0.9


class TestHierarchies:
    def test_stability(self):
        run, control = pair("stability-hierarchy")
        sig, _, k_star = windows(run)
        alpha = theory.stability_coefficient(
            sig[:-1] ** 2, theory.perturbation_norms(run.K, W).operator
        ).mean(axis=0)
        assert set(k_star) == {2}
        assert alpha[0] > alpha[1] > alpha[2]
        overlap = np.diagonal(theory.mode_overlaps(run.K, W), axis1=1, axis2=2) ** 2
        assert overlap[:, 0].mean() > overlap[:, 1].mean() > overlap[:, 2:].mean()
        noise = theory.stability_coefficient(
            sigma(control)[:-1] ** 2, theory.perturbation_norms(control.K, W).operator
        )
        assert noise.max() < 0.1

    def test_rotation(self):
        run, control = pair("rotating-hierarchy")
        third = [np.mean(theory.mode_overlaps(r.K, W)[:, 2, 2] ** 2) for r in (run, control)]
        first = [np.mean(theory.mode_overlaps(r.K, W)[:, 0, 0] ** 2) for r in (run, control)]
        assert third[0] < 0.99 < 0.998 < third[1]
        assert min(first) > 0.998

    def test_inverted(self):
        slopes = []
        for run in pair("inverted-hierarchy"):
            G, h = np.abs(along_modes(run, "gradient"))[:, :9], curvatures(run)[:, :9]
            x = np.log(G / np.sqrt(h + run.config["weight_decay"])).mean(axis=0)
            slopes.append(np.polyfit(x, np.log(sigma(run)[:, :9]).mean(axis=0), 1)[0])
        assert slopes[0] == pytest.approx(1, abs=0.05)
        assert abs(slopes[1] - 1) > 0.2

    def test_loss_decomposition(self):
        from scipy.stats import spearmanr

        found = []
        for run in pair("loss-decomposition"):
            sig, _, _ = windows(run)
            alpha = theory.stability_coefficient(sig[:-1] ** 2, theory.perturbation_norms(run.K, W).operator)
            rows = np.flatnonzero(np.isfinite(run.probes["ablation"][:, 0, 0]))
            product = (along_modes(run, "gradient") * along_modes(run, "validation_gradient"))[rows - W + 1]
            measured = run.probes["ablation"][rows][:, :, 1]
            np.testing.assert_allclose(
                run.probes["ablation"][rows][:, :, 2:4].prod(axis=2), product, rtol=1e-6, atol=1e-25
            )
            ranks = [
                np.mean(
                    [spearmanr(a * q, m).statistic for a, q, m in zip(weight, product, measured, strict=True)]
                )
                for weight in (alpha[rows - W + 1], np.ones((len(rows), W)))
            ]
            found.append(ranks)
        (ours, flat), (shuffled, _) = found
        assert ours > 0.8
        assert ours > flat + 0.2
        assert abs(shuffled) < 0.2


class TestGapEquation:
    def predicted(self, run):
        """Slope of the gap between modes 1 and 2 by 3.3, from the probes, per record; and the observed one."""
        sig, _, _ = windows(run)
        h, p = curvatures(run)[:, :2], along_modes(run, "gradient")[:, :2] ** 2
        eta, omega = run.config["learning_rate"], run.config["weight_decay"]
        terms = theory.gap_terms(
            sig[:, 0] - sig[:, 1], sig[:, :2].mean(axis=1), h=h, p=p, eta=eta, omega=omega, W=W
        )
        return sum(terms) * run.config["record_every"], np.gradient(sig[:, 0] - sig[:, 1])

    def test_gap_flow(self):
        agreement, fit = [], []
        for seed in range(3):
            for run in pair("gap-flow", seed):
                ours, seen = self.predicted(run)
                agreement.append(np.mean(np.sign(ours) == np.sign(seen)))
                fit.append(np.corrcoef(ours, seen)[0, 1])
        assert min(agreement[::2]) > 0.75
        assert min(fit[::2]) > 0.7
        assert max(agreement[1::2]) < 0.65
        assert max(fit[1::2]) < 0.4

    def test_collapse_time(self):
        errors = {False: [], True: []}
        for seed in range(6):
            for control, run in enumerate(pair("collapse-time", seed)):
                sig, _, k_star = windows(run)
                closes = run.steps[W - 1 :][np.argmin(sig[:, 0] - sig[:, 1])]
                assert abs(closes - run.truth["collapse_step"]) < 8 * 100
                assert k_star[0] == 1
                h, p = curvatures(run)[0, :2], along_modes(run, "gradient")[0, :2] ** 2
                more = {"eta": run.config["learning_rate"], "omega": run.config["weight_decay"], "W": W}
                # noise of 0.6 times the weaker signal turns the modes: of a signal's power they see d²/(d² + noise²)
                p = p * (1 + (0.6 * run.truth["d0"].min() / run.truth["d0"]) ** 2)
                predicted = theory.collapse_time(run.truth["d0"], h=h, p=p, **more)
                errors[bool(control)].append(abs(predicted / run.truth["collapse_step"] - 1))
        assert np.median(errors[False]) < 0.15
        assert not np.nanmedian(errors[True]) < 0.15

    def test_bistable_loop(self):
        run, control = pair("bistable-loop")
        gap, held = (sigma(r)[:, 0] - sigma(r)[:, 1] for r in (run, control))
        assert run.truth["eps"][-1] < run.truth["eps_c"]  # the perturbation is gone
        assert gap[-1] < 0.1 * gap[0]  # the gap does not come back
        assert held[-1] > 0.8 * held[0]
        np.testing.assert_allclose(gap[:40], run.truth["gap"][W - 1 : W + 39], rtol=0.15)


def slope(values):
    return np.polyfit(np.arange(len(values)), values, 1)[0]


class TestEvents:
    def test_three_phases(self):
        run, control = pair("three-phases")
        for r, wanted in ((run, [1, 0, -1]), (control, [0, 0, 0])):
            log_ratio = np.log(sigma(r)[:, 0] / sigma(r)[:, 1])
            slopes = [slope(log_ratio[part]) for part in (slice(5, 30), slice(42, 68), slice(82, 108))]
            assert [0 if abs(x) < 0.004 else np.sign(x) for x in slopes] == wanted

    def test_gap_opens_at_grokking(self):
        rises = []
        for run in pair("gap-opens-at-grokking"):
            ratio = run.metrics["encoder.0.Q.sigma_1"] / run.metrics["encoder.0.Q.sigma_2"]
            grok = run.truth.get("grok_step", 4000) // 100
            rises.append(ratio[grok + 5 : grok + 10].mean() / ratio[grok - 15 : grok - 8].mean())
        assert rises[0] > 3
        assert abs(rises[1] - 1) < 0.05

    def test_adiabatic_regimes(self):
        shares = []
        for run in pair("adiabatic-regimes"):
            sig, _, _ = windows(run)
            norms = theory.perturbation_norms(run.K, W).frobenius
            A = theory.adiabatic_parameter(norms, (sig[:, 0] - sig[:, 1])[:-1], run.config["learning_rate"])
            steps, around = run.steps[W - 1 : -1], run.truth.get("transition_step", 6000)
            near = np.abs(steps - around) <= W * 100
            shares.append(np.mean(A[near][:, None] > A[~near][None]))  # the area under the curve
        assert shares[0] > 0.8
        assert abs(shares[1] - 0.5) < 0.2

    def test_gap_tracks_loss(self):
        found = []
        for run in pair("gap-tracks-loss"):
            t = np.arange(len(run.steps) - W + 1)
            loss = run.metrics["test_loss"][W - 1 :]
            log_ratio = np.log(theory.gap_ratio(sigma(run)))
            found.append(
                np.corrcoef(*(x - np.polyval(np.polyfit(t, x, 1), t) for x in (loss, log_ratio)))[0, 1]
            )
        assert found[0] < -0.9
        assert abs(found[1]) < 0.7

    def test_gap_maximality(self):
        for run, control in (pair("gap-maximality", seed) for seed in range(3)):
            for r, specific in ((run, True), (control, False)):
                rates = {1: [], 2: []}
                for event in r.truth["events"]:
                    start = event["step"] // 100 - 1
                    rates[event["position"]].append(-slope(r.metrics["test_loss"][start : start + 15]))
                assert min(rates[1]) > 0.005 or not specific
                assert max(rates[2]) < 0.0 or not specific
                if not specific:
                    assert np.ptp([*rates[1], *rates[2]]) > 0.005
            assert np.median(windows(run)[2]) == 2
        assert {event["position"] for event in run.truth["events"]} == {1, 2}

    def test_collapse_elsewhere(self):
        run, control = pair("collapse-elsewhere")
        sig = sigma(run)
        assert np.all(windows(run)[2] == 2)
        assert (sig[:, 0] / sig[:, 1])[-1] < 1.1 < 1.9 < (sig[:, 0] / sig[:, 1])[0]
        assert np.all(sigma(control)[:, 0] / sigma(control)[:, 1] > 1.9)

    def test_lag_flip(self):
        def best_lag(run, width):
            blocks = theory.window_blocks(run.K, width)
            log_ratio = np.log(theory.gap_ratio(theory.gram_spectrum(blocks).sigma))
            loss = run.metrics["test_loss"][width - 1 :]
            lags = np.arange(-12, 13)
            cut = slice(12, len(loss) - 12)
            r = [np.corrcoef(log_ratio[cut], np.roll(loss, -lag)[cut])[0, 1] for lag in lags]
            return lags[np.argmax(np.abs(r))], np.max(np.abs(r))

        for seed in range(3):
            run, control = pair("lag-flip", seed)
            (short, r10), (long, r20) = best_lag(run, 10), best_lag(run, 20)
            assert short > 0 > long  # at W = 10 the loss comes after R, at W = 20 before it
            assert min(r10, r20) > 0.9
            assert best_lag(control, 10)[1] < 0.7

    def test_shift_detection(self):
        for seed in range(3):
            run, control = pair("shift-detection", seed)
            change = np.abs(np.diff(np.log(theory.gap_ratio(sigma(run)))))
            found = run.steps[W:][np.argmax(change)]
            assert abs(found - run.config["shift_step"]) <= 100
            quiet = np.abs(np.diff(np.log(theory.gap_ratio(sigma(control)))))
            assert quiet.max() < 0.1 * change.max()
            assert control.config["shift_step"] == 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"scenario must be one of .*bbp-vacuous"):
        simulate.planted("no-such-world", 1)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        simulate.planted("bbp-vacuous", 1.5)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        simulate.planted("bbp-vacuous", -1)
