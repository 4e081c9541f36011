"""Early warning: it finds what is planted, nothing in noise, never looks ahead, and really leaves a family out."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import mannwhitneyu

from spectral_edge import simulate, validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.early_warning import features as given
from spectral_edge.validate.referee.early_warning import folds
from spectral_edge.validate.referee.early_warning.features import FEATURES, SPECTRAL, Feature
from spectral_edge.validate.referee.events import ONSET, grok_step, onset_step
from spectral_edge.validate.referee.figures import early_warning as pictures
from spectral_edge.validate.referee.statistics import proportion

pytestmark = pytest.mark.slow

FAMILIES = ("a+b", "a-b", "a*b", "brackets")
G_23 = FEATURES[0]


def world(seed: int = 0, families: tuple[str, ...] = FAMILIES, seeds: int = 3) -> list[GramSequence]:
    """Planted runs and their controls, in pretended families."""
    runs = []
    for number, operation in enumerate(families):
        for i in range(seeds):
            for control in (False, True):
                made = simulate.planted(
                    "gap-precedes-grokking", 1000 * seed + 100 * number + i, control=control
                )
                name = f"{operation} {i} {'control' if control else 'planted'}"
                config = {**made.config, "operation": operation, "run": name}
                runs.append(
                    GramSequence.from_inner_products(
                        made.K, made.steps, made.P, metrics=made.metrics, config=config
                    )
                )
    return runs


@pytest.fixture(scope="module")
def runs() -> list[GramSequence]:
    return world()


@pytest.fixture(scope="module")
def found(runs: list[GramSequence]) -> validate.EarlyWarning:
    return validate.early_warning(runs)


def changed(score) -> Feature:
    """g_23 with its scores replaced by ``score(run, scores)``."""
    return G_23._replace(score=lambda run, windows: score(run, G_23.score(run, windows)))


# -- the planted world -----------------------------------------------------------------------------------------


def test_planted_gap_warns_and_better_than_the_loss(found: validate.EarlyWarning) -> None:
    g = found["g_23"]
    assert g.passes
    assert g.auc.low > 0.5
    assert g.over_loss.low > 0
    assert g.warns == "low"  # the thesis: the gap falls
    assert found.adds.low > 0
    assert "g_23" in str(found)
    assert "add to" in str(found)
    assert "Among runs that all have a transition, g_23, " in str(found)


def test_alarms_come_in_time(found: validate.EarlyWarning) -> None:
    g = found["g_23"]
    assert g.hit_rate.value == 1
    assert len(g.lead_records) == 12
    assert set(g.lead_records) <= set(range(1, 11))
    assert g.lead_steps == tuple(100 * lead for lead in g.lead_records)
    assert g.false_alarm_rate.low < 0.05
    assert g.false_alarms_per_run < 0.2


def test_time_alone_is_no_warning_and_weight_decay_does_not_tell_when(found: validate.EarlyWarning) -> None:
    assert found["steps"].auc.value == 0.5
    assert not found["steps"].passes
    assert found["weight decay"].auc.value > 0.9  # it tells grokking runs from their controls
    assert found["weight decay"].when.value == 0.5


def reversed_in_time(run: GramSequence, score: np.ndarray) -> np.ndarray:
    step = onset_step(run)
    end = run.T if step is None else int(np.searchsorted(run.steps, step))
    return np.concatenate([np.full(9, np.nan), score[9:end][::-1], np.full(run.T - end, np.nan)])


@pytest.mark.parametrize("operation", FAMILIES)
def test_scores_reversed_in_time_fail(runs: list[GramSequence], operation: str) -> None:
    def one_reversed(run: GramSequence, score: np.ndarray) -> np.ndarray:
        return reversed_in_time(run, score) if run.config["operation"] == operation else score

    found = validate.early_warning(runs, features=[changed(one_reversed)])["g_23"]
    assert found.by_family[f"planted {operation}"] < 0.5
    assert all(auc > 0.9 for family, auc in found.by_family.items() if family != f"planted {operation}")


def test_a_world_reversed_in_time_does_not_say_that_a_fall_warns(runs: list[GramSequence]) -> None:
    found = validate.early_warning(runs, features=[changed(reversed_in_time)])["g_23"]
    assert not (found.passes and found.warns == "low")
    assert found.hit_rate.value < 0.5


def test_scores_of_other_runs_fail(runs: list[GramSequence]) -> None:
    rng = np.random.default_rng(0)
    order = dict(zip([r.config["run"] for r in runs], rng.permutation(len(runs)), strict=True))

    def of_another(run: GramSequence, score: np.ndarray) -> np.ndarray:
        other = runs[order[run.config["run"]]]
        theirs = G_23.score(other, other.window(10))
        return np.resize(np.concatenate([theirs, np.full(run.T, theirs[-1])]), run.T)

    assert not validate.early_warning(runs, features=[changed(of_another)])["g_23"].passes


# -- what counts as a transition ---------------------------------------------------------------------------------


def test_the_label_is_the_onset_and_the_late_one_a_reading(
    runs: list[GramSequence], found: validate.EarlyWarning
) -> None:
    grokked = [run for run in runs if grok_step(run) is not None]
    for run in grokked:
        accuracy = run.metrics["test_accuracy"]
        at = int(np.searchsorted(run.steps, onset_step(run)))
        assert accuracy[at] > 0.03 + ONSET * 0.97 - 0.02  # chance is 0.03 in this world, give or take 0.005
        assert accuracy[:at].max() < 0.03 + ONSET * 0.97 + 0.02
        assert onset_step(run) < grok_step(run)
    late = validate.early_warning(runs, event="test_accuracy>=0.95")
    assert found.label.startswith("onset, 0.2 of the way")
    assert late.label == "test_accuracy>=0.95"
    assert found.late["g_23"] == late["g_23"].auc != found["g_23"].auc
    assert not late.late
    assert "when learning is half over" in str(found)


def test_where_no_onset_can_be_judged_it_is_said(runs: list[GramSequence]) -> None:
    def at_once(run: GramSequence) -> GramSequence:  # half is known within the warm-up, all much later
        accuracy = np.maximum(run.metrics["test_accuracy"], np.where(np.arange(run.T) < 5, 0.0, 0.5))
        return replace(run, metrics={**run.metrics, "test_accuracy": accuracy})

    found = validate.early_warning([at_once(run) for run in runs])
    assert found.label == "test accuracy ≥ 0.95"
    assert "onset" in found.unfair
    assert "the fair one cannot be judged" in str(found)


def test_a_run_that_starts_high_sets_out_from_there(runs: list[GramSequence]) -> None:
    accuracy = np.array([0.5, 0.52, 0.48, 0.55, 0.59, 0.61, 0.9])
    run = GramSequence.from_inner_products(np.eye(7), metrics={"test_accuracy": accuracy})
    assert onset_step(run) == run.steps[5]  # 0.5 + 0.2·0.5
    assert onset_step(replace(run, metrics={})) is None


# -- leave one family out ----------------------------------------------------------------------------------------


def test_what_works_within_families_only_does_not_pass(runs: list[GramSequence]) -> None:
    # in two families a low gap warns, in two a high one: each is judged with what the others say
    def contrary(run: GramSequence, score: np.ndarray) -> np.ndarray:
        return score if run.config["operation"] in FAMILIES[:2] else -score

    found = validate.early_warning(runs, features=[changed(contrary)])["g_23"]
    assert not found.passes
    assert found.warns == "mixed"
    assert found.auc.value < 0.1


def test_a_family_is_judged_by_what_the_others_say(runs: list[GramSequence]) -> None:
    # turning the scores of one family must turn its AUC, and may not turn what is learned for it
    def turned(run: GramSequence, score: np.ndarray) -> np.ndarray:
        return -score if run.config["operation"] == "brackets" else score

    plain = validate.early_warning(runs, features=[G_23])["g_23"].by_family["planted brackets"]
    other = validate.early_warning(runs, features=[changed(turned)])["g_23"].by_family["planted brackets"]
    assert plain > 0.9
    assert other == pytest.approx(1 - plain)


def test_combination_and_threshold_do_not_see_the_family_left_out(runs: list[GramSequence]) -> None:
    watched = [
        folds.watch(run, str(i), op := run.config["operation"], op, FEATURES) for i, run in enumerate(runs)
    ]
    names = ["g_23", "R", "validation loss"]
    spoilt = [
        one._replace(positive=~one.positive, scores={k: -3 * v for k, v in one.scores.items()})
        if one.fold == "a-b"
        else one
        for one in watched
    ]
    before, after = folds.logistic(watched, names, "a-b"), folds.logistic(spoilt, names, "a-b")
    for one, x, y in zip(watched, before, after, strict=True):
        if one.fold != "a-b":
            np.testing.assert_array_equal(x, y)
    first, second = (
        folds.thresholds(some, lambda fold, some=some: [one.scores["R"] for one in some])["a-b"]
        for some in (watched, spoilt)
    )
    assert first == second


def test_one_family_is_judged_seed_by_seed(runs: list[GramSequence]) -> None:
    found = validate.early_warning(runs[:6])
    assert found.left_out == "seed"
    assert found["g_23"].auc.value > 0.9
    assert found["g_23"].passes is None  # three transitions do not exclude chance
    assert found["g_23"].auc.low < 0.5
    assert "undecided" in str(found)
    assert "cannot be judged on so few runs" in str(found)


# -- noise -----------------------------------------------------------------------------------------------------


def test_noise_does_not_warn(runs: list[GramSequence]) -> None:
    """Size over 10 replicates: noise like the control's in every run, with the metrics of the runs.

    Noise matched run by run would not do: it has the sizes and the autocorrelation of its run, and in the planted
    world these tell the runs apart.
    """
    spectral = [feature for feature in FEATURES if feature.group == SPECTRAL]
    passed, replicates = Counter(), 10
    drawn = [worlds.matched_noise(control, 0, copies=2 * replicates) for control in runs[1::2]]
    for i in range(replicates):
        noise = []
        for copies, run in zip(drawn, runs[::2], strict=True):
            noise += [replace(run, K=copies[2 * i].K[: run.T, : run.T]), copies[2 * i + 1]]
        result = validate.early_warning(noise, features=spectral)
        passed.update(w.name for w in result.warners if w.passes)
    for name in (feature.name for feature in spectral):
        assert proportion(passed[name], replicates).low <= 0.05, (name, passed)


# -- no look ahead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [20, 37])
def test_the_future_does_not_change_a_score(cut: int) -> None:
    rng = np.random.default_rng(1)
    T = 60
    updates = rng.normal(size=(T, 40)) * np.linspace(1, 3, 40)
    names = ("test_loss", "encoder.0.Q.norm", "encoder.0.K.norm", "test_accuracy")
    metrics = {name: rng.uniform(1, 2, T) for name in names}
    later_updates, later_metrics = updates.copy(), {name: values.copy() for name, values in metrics.items()}
    later_updates[cut:] *= rng.normal(5, 2, size=(T - cut, 1))
    for values in later_metrics.values():
        values[cut:] = rng.uniform(10, 20, T - cut)
    config = {"learning_rate": 1e-3, "weight_decay": 1.0}
    one, other, short = (
        given.scores(GramSequence.from_updates(X, metrics=m, config=config), FEATURES)
        for X, m in (
            (updates, metrics),
            (later_updates, later_metrics),
            (updates[:cut], {name: values[:cut] for name, values in metrics.items()}),
        )
    )
    for name in one:
        assert np.isfinite(one[name][given.WARM_UP : cut]).all(), name
        # one BLAS call for all windows may round differently with their number
        np.testing.assert_allclose(one[name][:cut], other[name][:cut], rtol=1e-9, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(one[name][:cut], short[name], rtol=1e-9, atol=1e-12, err_msg=name)
        if name not in ("steps", "weight decay", "k*"):
            assert not np.allclose(one[name][cut:], other[name][cut:]), name


def test_records_from_the_transition_on_are_left_out(runs: list[GramSequence]) -> None:
    run = runs[0]
    step = grok_step(run)
    one = folds.watch(run, "", "", "", (G_23,))
    assert one.steps[-1] == step - 100
    assert one.positive.sum() == folds.HORIZON
    assert one.positive[-folds.HORIZON :].all()
    never = folds.watch(runs[1], "", "", "", (G_23,))
    assert not never.positive.any()
    assert len(never.steps) == runs[1].T - given.WARM_UP


# -- the arithmetic ------------------------------------------------------------------------------------------------


def test_auc_matched_in_time_is_the_mean_over_strata(runs: list[GramSequence]) -> None:
    watched = [folds.watch(run, "", "one", str(i), (G_23,)) for i, run in enumerate(runs[:6])]
    values = [one.scores["g_23"] for one in watched]
    pairs, roc = folds.matched_pairs(watched, values)
    total = count = 0.0
    for step in runs[1].steps:
        at = [(one.positive[i], v[i]) for one, v in zip(watched, values, strict=True)
              for i in np.flatnonzero(one.steps == step)]  # fmt: skip
        ones, others = [v for hit, v in at if hit], [v for hit, v in at if not hit]
        if ones and others:
            total += mannwhitneyu(ones, others).statistic
            count += len(ones) * len(others)
    assert pairs.compared.sum() == count
    assert pairs.auc == pytest.approx(total / count)
    heights = roc[1, :-1]  # steps after each placement
    assert np.sum(np.diff(roc[0]) * heights) == pytest.approx(pairs.auc, abs=1e-12)


# -- what is missing, and bad input ------------------------------------------------------------------------------


def test_missing_metrics_are_said(runs: list[GramSequence], found: validate.EarlyWarning) -> None:
    norm = found["weight norm"]
    assert len(norm.missing) == len(runs)
    assert (norm.runs, norm.warns) == (0, "–")
    assert norm.passes is None
    assert "weight norm" not in found["all together"].meaning

    def without(run: GramSequence, *names: str) -> GramSequence:
        return replace(run, metrics={k: v for k, v in run.metrics.items() if k not in names})

    partly = validate.early_warning(
        [without(runs[0], "test_loss"), *runs[1:], without(runs[0], "test_accuracy")]
    )
    assert partly["validation loss"].missing == ("a+b 0 planted",)
    assert partly["validation loss"].runs == len(runs) - 1
    assert "loss" not in partly["g_23"].missing
    assert partly.not_judged == {"a+b 0 planted": "no test accuracy was recorded"}


def test_other_experiments_and_early_transitions_are_said(runs: list[GramSequence]) -> None:
    shift = replace(runs[0], config={**runs[0].config, "experiment": "shift", "run": "shift"})
    accuracy = np.where(np.arange(runs[2].T) < 8, 0.0, 1.0)
    early = replace(
        runs[2],
        metrics={**runs[2].metrics, "test_accuracy": accuracy},
        config={**runs[2].config, "run": "early"},
    )
    alone = replace(runs[0], config={**runs[0].config, "operation": "alone", "run": "alone"})
    reasons = validate.early_warning([*runs, shift, early, alone]).not_judged
    assert reasons["shift"] == "of another experiment"
    assert "first 14 records" in reasons["early"]
    assert "no transition in its family beside" in reasons["alone"]


def test_bad_input_is_one_clear_error(runs: list[GramSequence]) -> None:
    with pytest.raises(ValueError, match=r"runs must hold a transition, .* got 0 runs"):
        validate.early_warning([])
    with pytest.raises(ValueError, match="got 1 runs with 0 such families"):
        validate.early_warning(runs[:1])
    with pytest.raises(ValueError, match="no test accuracy was recorded"):
        validate.early_warning([replace(run, metrics={}) for run in runs])
    with pytest.raises(ValueError, match="features must be"):
        validate.early_warning(runs, features=[G_23, G_23])
    with pytest.raises(ValueError, match="seed must be a whole number"):
        validate.early_warning(runs, seed=0.5)


# -- how it is shown -----------------------------------------------------------------------------------------------


def test_same_seed_same_result_and_other_forms(
    runs: list[GramSequence], found: validate.EarlyWarning
) -> None:
    again = validate.early_warning(runs).to_dict()
    data = found.to_dict()
    assert again == data
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"warners", "adds", "instead", "left_out", "families", "not_judged", "meaning"} <= data.keys()
    assert {"name", "group", "auc", "when", "hit_rate", "lead_steps", "missing"} <= data["warners"][0].keys()
    frame = found.to_dataframe()
    assert frame.loc["g_23", "auc_low"] > 0.5
    assert frame.loc["g_23", "auc planted brackets"] > 0.5


def test_table_and_figure(found: validate.EarlyWarning) -> None:
    from rich.console import Console

    for wide, width in ((False, 80), (True, 120)):
        console = Console(width=width, record=True, file=None, quiet=False)
        with console.capture() as shown:
            console.print(found.table(wide=wide))
        assert "all together" in shown.get()
        assert "…" not in shown.get()
    figure = Figure(figsize=(12, 4))
    for draw, ax in zip(
        (pictures.roc_curves, pictures.areas, pictures.lead_times), figure.subplots(1, 3), strict=True
    ):
        draw(found, ax)
        assert ax.get_xlabel()
        assert ax.get_title()
        assert len(ax.lines) > 2
    figure.canvas.draw()


@pytest.mark.parametrize(("n", "k"), [(40, 1), (300, 6)])
def test_the_logistic_regression_is_at_its_minimum(n: int, k: int) -> None:
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, k)) @ rng.standard_normal((k, k))
    y = (X[:, 0] + rng.standard_normal(n) > 0.5).astype(float)
    found = folds.ridge_logistic(X, y, 0.01)

    def cost(b: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(b[0] + X @ b[1:])))
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.01 * np.sum(b[1:] ** 2) / 2)

    for step in (*np.eye(k + 1), *-np.eye(k + 1), *rng.standard_normal((20, k + 1))):
        assert cost(found) < cost(found + 1e-3 * step)
    # the intercept bears no penalty: mean and prevalence agree
    assert np.mean(1 / (1 + np.exp(-(found[0] + X @ found[1:])))) == pytest.approx(y.mean(), abs=1e-8)
    shrunk = folds.ridge_logistic(X, y, 10.0)
    assert np.linalg.norm(shrunk[1:]) < np.linalg.norm(found[1:]) / 2
