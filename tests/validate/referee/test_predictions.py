"""Every prediction: supported where it is planted, not where nothing is, and the rule decides as it says."""

import io
import json
import time
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from spectral_edge import simulate, validate
from spectral_edge.commands.validate import warned
from spectral_edge.theory.gram import norms_squared
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import bench, partners, worlds
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions import p10_gap_precedes_grokking as p10
from spectral_edge.validate.referee.predictions import p19_shift_detection as p19
from spectral_edge.validate.referee.processes import processes
from spectral_edge.validate.referee.report import findings, page
from spectral_edge.validate.referee.scoreboard import FAMILY, Beside, check_beside, run_row
from spectral_edge.validate.referee.verdict import VERDICTS, decide, passes, verdict_alone
from spectral_edge.validate.runs.dense.config import dense_runs

pytestmark = pytest.mark.slow


def test_numbers_and_ids_are_unique_and_known() -> None:
    numbers = [p.number for p in PREDICTIONS]
    assert numbers == sorted(set(numbers))
    assert len({p.id for p in PREDICTIONS}) == len(PREDICTIONS)
    assert all(1 <= n <= FAMILY for n in numbers)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_noise_world_is_never_supported(prediction, board: validate.Scoreboard) -> None:
    assert board[prediction.id].worlds.get("noise") != "supported"


def test_every_verdict_is_complete(board: validate.Scoreboard) -> None:
    assert [verdict.number for verdict in board] == list(range(1, 21))
    for verdict in board:
        assert verdict.verdict in VERDICTS
        assert len(verdict.meaning) > 30
        if verdict.verdict == "not run":
            assert verdict.meaning.startswith("Not judged: ")
            continue
        assert verdict.n <= 6
        assert verdict.n >= 1 or (np.isnan(verdict.statistic) and verdict.verdict == "undecided")
        assert set(verdict.worlds) == {"planted", "noise"}
        if not np.isnan(verdict.statistic):
            assert verdict.effect.low <= verdict.effect.value <= verdict.effect.high
            assert verdict.readings
        if not np.isnan(verdict.p_value):
            assert 0 < verdict.p_value <= verdict.p_holm <= 1


def test_what_six_additions_leave_open_is_said(board: validate.Scoreboard) -> None:
    missing = {v.id: v.meaning for v in board if v.verdict == "not run"}
    assert "Muon" in missing["optimiser-dependence"]
    assert "data change" in missing["shift-detection"]


def test_the_first_reading_is_the_one_the_rule_uses(board: validate.Scoreboard) -> None:
    for id in ("bbp-vacuous", "gap-above-noise"):
        verdict = board[id]
        first = verdict.readings[0]
        assert verdict.verdict == decide(first.passes, first.control_passes)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_same_seed_same_verdict_in_whatever_order_the_runs_come(prediction, additions) -> None:
    runs = additions[1::3]  # seed 2024, without weight decay and with

    def judged(order: list[GramSequence], seed: int):
        return prediction.judge(order, [worlds.matched_noise(run, seed, copies=5) for run in order])

    one, same, turned = judged(runs, 3), judged(runs, 3), judged(runs[::-1], 3)
    assert repr(one) == repr(same)  # NaN included
    assert turned.verdict == one.verdict
    assert (turned.statistic, turned.control) == pytest.approx(
        (one.statistic, one.control), rel=1e-12, nan_ok=True
    )
    if prediction.id == "gap-above-noise":  # its control is the noise itself
        assert judged(runs, 4).control != one.control


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_the_verdict_alone_is_the_verdict(prediction, additions) -> None:
    runs = additions[1::3]
    noise = [worlds.matched_noise(run, 3, copies=5) for run in runs]
    whole = prediction.judge(runs, noise)
    with verdict_alone():
        alone = prediction.judge(runs, noise)
    assert len(alone.readings) <= len(whole.readings)
    for name in ("verdict", "statistic", "control", "effect", "p_value", "n"):
        assert repr(getattr(alone, name)) == repr(getattr(whole, name)), name  # NaN included
    assert len(prediction.judge(runs, noise).readings) == len(whole.readings)


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


def test_where_the_recipe_stops_is_a_reading_of_what_weight_decay_does() -> None:
    prediction = next(p for p in PREDICTIONS if p.id == "weight-decay-needed")
    runs = decay_world(4, 4, 2, 4)
    assert len(prediction.judge(runs, []).readings) == 1
    # runs that went on after it and runs that did not, with decay and without
    ended = {True: (3, 1), False: (0, 4)}
    asked: list[GramSequence] = []
    for treated, counts in ended.items():
        group = iter([run for run in runs if (run.config["weight_decay"] > 0) == treated])
        for stops, count in zip((True, False), counts, strict=True):
            for run in [next(group) for _ in range(count)]:
                last = int(run.steps[-1])
                card = {**run.config, "target_accuracy": 0.98, "stop_step": last - 1 if stops else last}
                asked.append(replace(run, config=card))
    verdict = prediction.judge(asked, [])
    assert verdict.readings[1].name == "where the recipe stops"
    assert (verdict.readings[1].treated.value, verdict.readings[1].control.value) == (0.75, 0)
    assert verdict.meaning.endswith(
        "3 of 4 with it and 0 of 4 without reached the accuracy at which their recipe stops."
    )
    assert verdict.verdict == prediction.judge(runs, []).verdict


def noise_of(runs: list[GramSequence]) -> list[worlds.Noise]:
    return [worlds.matched_noise(run, 0) for run in runs]


def test_falls_of_shrinking_updates_are_not_beyond_noise() -> None:
    # noise alone, whose norms fall before the grok step: g_23 falls with them, and that is not an event
    runs = []
    for i in range(12):
        for decay in (1.0, 0.0):
            world = simulate.planted("gap-precedes-grokking", i, control=decay == 0)
            norms = np.exp(-np.arange(len(world.K)) / 20 * decay)
            K = simulate.noise(len(world.K), P=1e4, norms=norms, seed=[i, int(decay)]).K
            about = {"metrics": world.metrics, "config": world.config}
            runs.append(GramSequence.from_inner_products(K, world.steps, **about))
    verdict = p10.PREDICTION.judge(runs, noise_of(runs))
    assert verdict.statistic == 1  # every one of them passes the published reading
    assert verdict.verdict != "supported"


def test_a_jump_of_the_size_of_the_updates_is_not_beyond_noise() -> None:
    # noise alone, four times as large after the shift for a while, as real updates are: R jumps, and that says nothing
    runs = []
    for i in range(6):
        for shift in (40, None):
            norms = np.ones(80)
            if shift:
                norms[shift : shift + 4] = [4.0, 3.0, 2.0, 1.5]
            K = simulate.noise(
                80, P=300, norms=norms, autocorrelation=[1.0, 0.4, 0.3, 0.2], seed=[i, shift or 0]
            ).K
            config = {"experiment": "shift", "shift_step": 100 * (shift or 0)}
            steps = 100 * np.arange(1, 81)
            runs.append(GramSequence.from_inner_products(K, steps, config=config))
    verdict = p19.PREDICTION.judge(runs, noise_of(runs))
    assert verdict.statistic == 1  # every shift is found, and few stretches without one
    assert verdict.control < 0.5
    assert verdict.verdict == "not specific"
    ends = [bound for r in verdict.readings for estimate in (r.treated, r.control) for bound in estimate]
    assert 0 <= min(ends) <= max(ends) <= 1  # they are shares


def test_gap_fall_everywhere_is_not_specific() -> None:
    treated = [simulate.planted("gap-precedes-grokking", i) for i in range(12)]
    runs = []
    for decay in (1.0, 0.0):  # the same fall with and without decay
        for world in treated:
            config = {**world.config, "weight_decay": decay}
            runs.append(
                GramSequence.from_inner_products(world.K, world.steps, metrics=world.metrics, config=config)
            )
    verdict = p10.PREDICTION.judge(runs, noise_of(runs))
    assert verdict.verdict == "not specific"
    assert verdict.effect.value == 0


def test_a_fall_after_grokking_does_not_precede_it() -> None:
    # the same gaps, but the runs have grokked before they fall: the planted world must stop being supported
    def grokked_early(run: GramSequence) -> GramSequence:
        early = np.where(np.arange(run.T) < 18, 0.1, 1.0)
        accuracy = run.metrics["test_accuracy"] if run.config["weight_decay"] == 0 else early
        return replace(run, metrics={**run.metrics, "test_accuracy": accuracy})

    planted = p10.PREDICTION.planted(0)
    early = [grokked_early(run) for run in planted]
    assert p10.PREDICTION.judge(planted, noise_of(planted)).verdict == "supported"
    assert p10.PREDICTION.judge(early, noise_of(early)).verdict == "refuted"


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


def test_tables_fit_a_terminal(board: validate.Scoreboard) -> None:
    from rich.console import Console

    from spectral_edge.commands.console import runs_table

    rows = [run_row(run) for run in validate.bundled()]
    longest = {
        "run": max((run.name for run in dense_runs()), key=len),
        "family": "language",
        "recipe": "author",
    }
    plan = [{**longest, "status": "unfinished", "grok_step": 36_400, "steps": 300_000}]
    tables = (80, board.table()), (120, board.table(wide=True)), (80, runs_table(rows))
    for width, table in (*tables, (80, runs_table(plan, made_by=True))):
        console = Console(width=width, file=io.StringIO())
        console.print(table)
        assert "…" not in console.file.getvalue()


def test_the_json_follows_its_schema(board: validate.Scoreboard) -> None:
    import jsonschema

    schema, data = validate.Scoreboard.schema(), json.loads(json.dumps(board.to_dict(), allow_nan=False))
    jsonschema.validate(data, schema)
    wrong = json.loads(json.dumps(data))
    wrong["verdicts"][0]["verdict"] = "proved"
    with pytest.raises(jsonschema.ValidationError, match="proved"):
        jsonschema.validate(wrong, schema)


def test_findings_name_every_verdict_and_the_theses_numbers(board: validate.Scoreboard) -> None:
    text = findings.document(board)
    for verdict in board:
        assert f"## {verdict.number}. {verdict.id}" in text
        assert verdict.meaning in text
    numbers = [p.reported for p in PREDICTIONS if p.reported]
    assert len(numbers) > 3
    assert all(number in text for number in numbers)


def test_processes_judge_as_one_does(additions) -> None:
    chosen = [p for p in PREDICTIONS if p.number in (3, 4, 8, 11, 17)]
    alone = validate.check(additions, predictions=chosen)
    assert validate.check(additions, predictions=chosen, jobs=2).to_dict() == alone.to_dict()


def test_pictures_drawn_by_those_who_judge_are_those_drawn_here(additions) -> None:
    beside = Beside((page.drawn_families, page.drawn_figures, partial(warned, seed=0)), page.drawn_verdict)
    chosen = [p for p in PREDICTIONS if p.number in (3, 11)]
    for jobs in (1, 2):
        with bench.workers(jobs) as executor:
            board, made, pictures = check_beside(beside, additions, predictions=chosen, executor=executor)
        families, figures, (warning, _, of_warning) = made
        assert page.Drawn(families, figures, pictures, of_warning) == page.Drawn.of(board, warning)
        assert any(pictures.values())
        assert len(of_warning) == 4


def test_each_is_judged_in_one_lot_the_longest_first_those_about_dense_runs_together() -> None:
    lots = bench._lots(PREDICTIONS)
    assert sorted(number for lot in lots for number in lot) == [p.number for p in PREDICTIONS]
    assert lots[0] == [p.number for p in PREDICTIONS if p.dense and p.number != 20]
    assert lots[1:3] == [[20], [2]]
    assert all(len(lot) == 1 for lot in lots[1:])


def test_an_interrupt_drops_what_waits() -> None:
    waiting: list[Future[None]] = []

    def interrupted() -> None:
        with processes(1) as executor:
            waiting.extend(executor.submit(time.sleep, 0.2) for _ in range(50))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sum(future.cancelled() for future in waiting) > 40


def test_own_predictions_are_judged_here_alone(additions) -> None:
    own = replace(PREDICTIONS[10], number=21)
    board = validate.check(additions, predictions=[own])
    assert [verdict.verdict for verdict in board] == [own.judge(additions, [()] * len(additions)).verdict]
    with pytest.raises(
        ValueError, match="jobs must be 1 with predictions that are not the package's own, got 2"
    ):
        validate.check(additions, predictions=[own], jobs=2)
    with pytest.raises(ValueError, match="jobs must be"):
        validate.check(additions, jobs=0)


def test_run_row_without_accuracy(additions) -> None:
    run = replace(additions[0], metrics={})
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
    run = GramSequence.from_updates(norms[:, None] * x)
    model = worlds.noise_model(run)
    assert model.P_eff == pytest.approx(P, rel=0.1)
    assert model.colour.phi[:, 0].mean() == pytest.approx(rho, abs=0.02)
    assert model.colour.phi[:, 1:].mean(axis=0) == pytest.approx(np.zeros(3), abs=0.02)
    assert worlds.mean_autocorrelation(run)[:3] == pytest.approx([1, rho, rho**2], abs=0.02)
    assert model.norms == pytest.approx(norms, rel=0.1)


def test_matched_noise_has_the_runs_norms_and_its_card(additions) -> None:
    run = additions[0]
    copies = worlds.matched_noise(run, 0, copies=3)
    assert all(c.K.shape == run.K.shape for c in copies)  # stored as the run is
    assert all(norms_squared(c.K) == pytest.approx(norms_squared(run.K)) for c in copies)
    assert copies[0].config == run.config
    assert not np.array_equal(copies[0].K, copies[1].K)


def test_shuffled_decay_keeps_the_counts(additions) -> None:
    runs = additions
    shuffled = partners.shuffled(runs, "weight_decay", seed=1)
    assert sorted(r.config["weight_decay"] for r in shuffled) == [0, 0, 0, 1, 1, 1]
    assert [r.config["seed"] for r in shuffled] == [r.config["seed"] for r in runs]


@pytest.mark.parametrize(("number", "field"), [(11, "weight_decay"), (13, "optimizer")])
def test_without_effect_labels_are_permuted_among_the_runs_that_are_compared(number: int, field: str) -> None:
    """Not with the decays of shifts, nor with the one optimiser of all other experiments."""
    runs = validate.bundled()
    compared = {11: "grokking", 13: "optimizer"}[number]
    (prediction,) = [p for p in PREDICTIONS if p.number == number]
    assert prediction.null_runs is not None
    null = prediction.null_runs(runs, 0)
    own = [run for run in runs if run.config["experiment"] == compared]
    assert [run.config["run"] for run in null] == [run.config["run"] for run in own]
    labels, before = ([run.config[field] for run in group] for group in (null, own))
    assert sorted(labels) == sorted(before)
    assert labels != before
