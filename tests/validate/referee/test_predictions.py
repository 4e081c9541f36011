"""Every prediction: supported where it is planted, not where nothing is, and the rule decides as it says."""

from dataclasses import replace

import numpy as np
import pytest

from spectral_edge import simulate, validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions import p10_gap_precedes_grokking as p10
from spectral_edge.validate.referee.scoreboard import FAMILY, run_row
from spectral_edge.validate.referee.verdict import VERDICTS, decide, passes


def test_numbers_and_ids_are_unique_and_known() -> None:
    numbers = [p.number for p in PREDICTIONS]
    assert numbers == sorted(set(numbers))
    assert len({p.id for p in PREDICTIONS}) == len(PREDICTIONS)
    assert all(1 <= n <= FAMILY for n in numbers)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_planted_world_gives_the_verdict_due(prediction, board: validate.Scoreboard) -> None:
    assert board[prediction.id].worlds["planted"] == prediction.expected_when_planted


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_noise_world_is_never_supported(prediction, board: validate.Scoreboard) -> None:
    assert board[prediction.id].worlds["noise"] != "supported"


def test_every_verdict_is_complete(board: validate.Scoreboard) -> None:
    for verdict in board:
        assert verdict.verdict in VERDICTS
        assert verdict.effect.low <= verdict.effect.value <= verdict.effect.high
        assert 0 <= verdict.p_value <= verdict.p_holm <= 1
        assert verdict.n == 6
        assert verdict.readings
        assert verdict.meaning.count(". ") >= 1


def test_the_first_reading_is_the_one_the_rule_uses(board: validate.Scoreboard) -> None:
    for id in ("bbp-vacuous", "gap-above-noise"):
        verdict = board[id]
        first = verdict.readings[0]
        assert verdict.verdict == decide(first.passes, first.control_passes)


@pytest.mark.parametrize("prediction", PREDICTIONS[:3], ids=lambda p: p.id)
def test_same_seed_same_verdict_in_whatever_order_the_runs_come(prediction) -> None:
    runs = validate.bundled()[1::3]  # seed 2024, without weight decay and with

    def judged(order: list[GramSequence], seed: int):
        return prediction.judge(order, [worlds.matched_noise(run, seed, copies=5) for run in order])

    one, same, turned = judged(runs, 3), judged(runs, 3), judged(runs[::-1], 3)
    assert one == same
    assert turned.verdict == one.verdict
    assert (turned.statistic, turned.control) == pytest.approx((one.statistic, one.control), rel=1e-12)
    if prediction.id == "bbp-vacuous":  # the only one of them whose control is the noise itself
        assert judged(runs, 4).control != one.control


@pytest.mark.parametrize(
    ("treated", "control", "expected"),
    [
        (True, False, "supported"),
        (True, True, "not specific"),
        (False, False, "refuted"),
        (False, None, "refuted"),
        (None, False, "undecided"),
        (True, None, "undecided"),
    ],
)
def test_decide(treated: bool | None, control: bool | None, expected: str) -> None:
    assert decide(treated, control) == expected


def test_passes_needs_the_whole_interval() -> None:
    from spectral_edge.validate.referee.statistics import Estimate

    assert passes(Estimate(0.8, 0.6, 0.9), 0.5) is True
    assert passes(Estimate(0.8, 0.4, 0.9), 0.5) is None
    assert passes(Estimate(0.2, 0.1, 0.4), 0.5) is False


# -- what each rule says when the data says something else --------------------------------------------------


def decay_world(grokked: int, of: int, without_grokked: int, without: int) -> list[GramSequence]:
    runs = []
    for decay, hits, n in ((1.0, grokked, of), (0.0, without_grokked, without)):
        for i in range(n):
            base = simulate.planted("weight-decay-needed", i, control=i >= hits)
            config = {**base.config, "weight_decay": decay, "seed": i}
            runs.append(
                GramSequence.from_inner_products(base.K, base.steps, metrics=base.metrics, config=config)
            )
    return runs


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ((24, 24, 0, 24), "supported"),
        ((3, 3, 0, 3), "undecided"),
        ((12, 12, 12, 12), "refuted"),
        ((0, 12, 12, 12), "refuted"),
        ((5, 5, 2, 5), "undecided"),
    ],
)
def test_weight_decay_rule(table: tuple[int, int, int, int], expected: str) -> None:
    prediction = next(p for p in PREDICTIONS if p.id == "weight-decay-needed")
    assert prediction.judge(decay_world(*table), []).verdict == expected


def test_gap_fall_everywhere_is_not_specific() -> None:
    treated = [simulate.planted("gap-precedes-grokking", i) for i in range(12)]
    runs = []
    for decay in (1.0, 0.0):  # the same fall with and without decay
        for world in treated:
            config = {**world.config, "weight_decay": decay}
            runs.append(
                GramSequence.from_inner_products(world.K, world.steps, metrics=world.metrics, config=config)
            )
    verdict = p10.PREDICTION.judge(runs, [])
    assert verdict.verdict == "not specific"
    assert verdict.effect.value == 0


def test_a_fall_after_grokking_does_not_precede_it() -> None:
    # the same gaps, but the runs have grokked before they fall: the planted world must stop being supported
    def grokked_early(run: GramSequence) -> GramSequence:
        early = np.where(np.arange(run.T) < 18, 0.1, 1.0)
        accuracy = run.metrics["test_accuracy"] if run.config["weight_decay"] == 0 else early
        return replace(run, metrics={**run.metrics, "test_accuracy": accuracy})

    planted = p10.PREDICTION.planted(0)
    assert p10.PREDICTION.judge(planted, []).verdict == "supported"
    assert p10.PREDICTION.judge([grokked_early(run) for run in planted], []).verdict == "refuted"


def test_what_is_missing_is_said() -> None:
    bare = GramSequence.from_updates(np.random.default_rng(0).normal(size=(15, 400)))
    board = validate.check(bare)
    verdicts = {v.id: v for v in board}
    assert verdicts["weight-decay-needed"].verdict == "not run"
    assert "test accuracies" in verdicts["weight-decay-needed"].meaning
    assert verdicts["bbp-vacuous"].verdict == "not run"
    assert "batch size" in verdicts["bbp-vacuous"].meaning
    assert verdicts["gap-above-noise"].n == 1
    short = validate.check(GramSequence.from_updates(np.random.default_rng(0).normal(size=(5, 400))))
    assert {v.verdict for v in short} == {"not run"}


def test_no_runs_is_an_error() -> None:
    with pytest.raises(ValueError, match="runs must hold at least one"):
        validate.check([])


def test_rows_have_the_stable_keys(board: validate.Scoreboard) -> None:
    data = board.to_dict()
    assert {"id", "verdict", "statistic", "effect", "interval", "p_value", "n"} <= data["verdicts"][0].keys()
    wanted = {"run", "task", "optimizer", "weight_decay", "seed", "status", "grok_step"}
    assert all(wanted <= row.keys() for row in data["runs"])
    assert [row["status"] for row in data["runs"]] == ["not grokked"] * 3 + ["grokked"] * 3
    frame = board.to_dataframe()
    assert list(frame.index) == [p.id for p in PREDICTIONS]


def test_run_row_without_accuracy() -> None:
    run = replace(validate.bundled()[0], metrics={})
    assert run_row(run)["status"] == "no test accuracy"


# -- the noise model ----------------------------------------------------------------------------------------


def test_noise_model_recovers_the_noise_it_is_given() -> None:
    rng = np.random.default_rng(3)
    T, P, rho = 300, 2000, 0.6
    white = rng.normal(size=(T, P)) / np.sqrt(P)
    x = np.zeros_like(white)
    x[0] = white[0]
    for t in range(1, T):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * white[t]
    norms = np.linspace(3, 1, T)
    model = worlds.noise_model(GramSequence.from_updates(norms[:, None] * x))
    assert model.P_eff == pytest.approx(P, rel=0.1)
    assert model.tau[:3] == pytest.approx([1, rho, rho**2], abs=0.05)
    assert model.norms == pytest.approx(norms, rel=0.1)


def test_matched_noise_has_the_runs_norms_and_its_card() -> None:
    run = validate.bundled()[0]
    copies = worlds.matched_noise(run, 0, copies=30)
    ours = np.array([c.K.diagonal() for c in copies]).mean(axis=0)
    model = worlds.noise_model(run)
    # K_tt of noise is norm²·χ²_P/P: standard deviation √(2/P_eff), over 30 copies
    assert ours / model.norms**2 == pytest.approx(np.ones(run.T), abs=6 * np.sqrt(2 / model.P_eff / 30))
    assert copies[0].config == run.config
    assert not np.array_equal(copies[0].K, copies[1].K)


def test_shuffled_decay_keeps_the_counts() -> None:
    runs = validate.bundled()
    shuffled = worlds.decay_shuffled(runs, seed=1)
    assert sorted(r.config["weight_decay"] for r in shuffled) == [0, 0, 0, 1, 1, 1]
    assert [r.config["seed"] for r in shuffled] == [r.config["seed"] for r in runs]
