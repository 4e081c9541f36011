"""Beyond the twenty predictions: every statement can pass and can fail, and the page shows what is stored."""

import inspect
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from spectral_edge.theory.spectrum import gap_position
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond import (
    author,
    author_warning,
    collapses,
    formation,
    function_space,
    own,
    own_warning,
    planted,
    recorded,
    seen,
    table,
    widths,
)
from spectral_edge.validate.referee.beyond.__main__ import main
from spectral_edge.validate.referee.beyond.bulk import bulk_edge
from spectral_edge.validate.referee.beyond.finding import Finding, judged, load, paired
from spectral_edge.validate.referee.beyond.jobs import each, saved, tuples
from spectral_edge.validate.referee.collapse.tracks import Tracks
from spectral_edge.validate.referee.early_warning.features import FEATURES, Feature, scores
from spectral_edge.validate.referee.early_warning.judge import PLAIN, early_warning
from spectral_edge.validate.referee.early_warning.rivals import RIVALS
from spectral_edge.validate.referee.verdict import NOT_RUN, NOT_SPECIFIC, REFUTED, SUPPORTED, UNDECIDED
from spectral_edge.validate.referee.worlds import matched_noise
from spectral_edge.validate.runs.bundle import bundled

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def worlds() -> dict[bool, list[seen.Seen]]:
    return {kind: [planted.world(number, kind) for number in range(5)] for kind in (True, False)}


@pytest.mark.parametrize("statement", function_space.STATEMENTS, ids=lambda f: f.__name__)
def test_function_space_in_both_worlds(
    statement: Callable[[list[seen.Seen]], Finding], worlds: dict[bool, list[seen.Seen]]
) -> None:
    assert statement(worlds[True]).verdict == SUPPORTED
    assert statement(worlds[False]).verdict != SUPPORTED


def test_prediction_16_on_more_runs_in_both_worlds() -> None:
    runs = [
        replace(run, config={**run.config, "regime": name})
        for run, name in zip(collapses.PREDICTION.planted(0), itertools.cycle(("one", "two")), strict=False)
    ]
    found = collapses.judge(runs)
    assert found.verdict == SUPPORTED
    assert found.excess == collapses.PREDICTION.judge(runs, []).effect
    assert [name.split(" (")[0] for name in found.readings if "excess" in name][:2] == ["one", "two"]
    together = collapses.judge(runs[:2], runs[2:]).readings
    assert together[f"with the bundled runs ({found.n} runs), excess"] == found.excess
    assert collapses.judge([matched_noise(run, 1)[0] for run in runs]).verdict != SUPPORTED
    assert collapses.judge([run.every(40) for run in runs]).verdict == NOT_RUN


def test_a_transition_at_another_time_is_not_supported(worlds: dict[bool, list[seen.Seen]]) -> None:
    """What is planted at record 80 is not found where the accuracy rises at 35.

    But for 𝒜: the gap that opens at 80 makes it larger at all earlier times.
    """
    accuracy = 0.5 + 0.5 * np.tanh((np.arange(planted.T) - 35) / 5)
    moved = [
        seen.Seen(**{name: getattr(run, name) for name in run.__dataclass_fields__} | {"accuracy": accuracy})
        for run in worlds[True]
    ]
    for statement in (function_space.rank_one, function_space.dense_in_parameters, function_space.capability,
                      function_space.decay_split):  # fmt: skip
        assert statement(moved).verdict != SUPPORTED, statement.__name__


def test_modes_of_a_run_by_hand() -> None:
    """Participation and the share of decay are those of the singular vectors of the window."""
    rng = np.random.default_rng(3)
    updates, decays = rng.normal(size=(2, 30, 50))
    updates[:, 4] += 5
    thetas = np.concatenate([np.zeros((1, 50)), updates.cumsum(axis=0)])
    empty = np.zeros(0)
    run = seen.Seen.of(
        "by hand", thetas, decays, thetas, np.arange(31), accuracy=np.zeros(30), looked=empty, kernel=empty,
        outliers=empty, kernel_rate=empty, ablation=empty, eta=0.1,
    )  # fmt: skip
    X, D = updates[11:21], decays[11:21]
    v = np.linalg.svd(X, full_matrices=False)[2]
    assert run.participation[20] == pytest.approx(1 / (50 * np.sum(v[0] ** 4)))
    for column, mode in enumerate((v[0], v[seen.OTHER])):
        b, a = D @ mode, (X - D) @ mode
        assert run.decay_share[20, column] == pytest.approx(b @ b / (b @ b + a @ a))
    assert run.event is None
    assert np.isnan(run.participation[: seen.W - 1]).all()


def test_no_weight_decay_no_share() -> None:
    run = planted.world(0)
    thetas = np.concatenate(
        [[np.zeros(run.T)], np.random.default_rng(0).normal(size=(run.T, run.T)).cumsum(axis=0)]
    )
    names = ("accuracy", "looked", "kernel", "outliers", "kernel_rate", "ablation", "eta")
    rest = {name: getattr(run, name) for name in names}
    still = seen.Seen.of("still", thetas, np.zeros((run.T, run.T)), thetas, np.arange(run.T + 1), **rest)
    assert np.nanmax(still.decay_share) == 0
    assert function_space.decay_split([still]).verdict == NOT_RUN


@pytest.mark.parametrize("kind", [True, False])
def test_curvature_order_in_both_worlds(kind: bool) -> None:
    runs = [recorded.curvature_world(number, kind) for number in range(5)]
    found = recorded.curvature_order(runs)
    assert found.verdict == (SUPPORTED if kind else REFUTED)
    own, k_star, _ = recorded.curvature_position(runs[0])
    assert (own == k_star).mean() > 0.7 or not kind


def test_formation_in_both_worlds() -> None:
    assert formation.formation([formation.world(seed) for seed in range(8)]).verdict == SUPPORTED
    supported = [
        formation.formation([formation.world(8 * number + i, planted=False) for i in range(8)]).verdict
        == SUPPORTED
        for number in range(8)
    ]
    assert sum(supported) <= 1


def test_formation_and_persistence_that_both_fail_are_not_formation() -> None:
    """Where all that is foreseen is the worse the less commutes, nothing tells the two apart."""
    runs = [formation.world(seed, planted=False) for seed in range(8)]
    found = formation.formation([one._replace(missed=one.missed * one.apart) for one in runs])
    assert found.excess.low > 0
    assert found.verdict != SUPPORTED


def test_how_little_d_and_h_commute_by_hand() -> None:
    rng = np.random.default_rng(0)
    P, T = 60, 40
    D = np.exp(rng.normal(size=P))
    H = rng.normal(size=(P, P))
    H = H + H.T
    X = rng.normal(size=(T, P)) * 0.9 ** np.arange(P)
    probe = np.full((T, 10, 10), np.nan)
    for end in range(9, T):
        rows = X[end - np.arange(10)]
        probe[end] = rows @ (H / D[:, None]) @ rows.T
    config = {"optimizer": "AdamW", "learning_rate": 1e-3, "weight_decay": 0.0, "betas": (0.9, 0.999)}
    run = GramSequence.from_updates(X, probes={"response": probe}, config=config)
    tracks = Tracks.of(run)
    assert tracks.response is not None
    found = formation.apart(tracks.blocks, tracks.response)
    start = int(tracks.looked[-1])
    v = np.linalg.svd(X[start : start + 10], full_matrices=False)[2][:6]
    A = v @ (H / D[:, None]) @ v.T
    assert found[-1] == pytest.approx(np.linalg.norm(A - A.T) / np.linalg.norm(A + A.T))
    commuting = np.diag(rng.normal(size=P))
    symmetric = np.array([X[i : i + 10] @ (commuting / D[:, None]) @ X[i : i + 10].T for i in tracks.looked])
    np.testing.assert_allclose(formation.apart(tracks.blocks, symmetric), 0, atol=1e-9)
    seen_of = formation.foreseen(run)
    assert seen_of is not None
    k = run.window(10).k_star
    looked = [i for i in tracks.looked if i + 10 < len(k)]
    assert seen_of.formed.tolist() == [bool(k[i] != k[i + 10]) for i in looked]
    assert formation.foreseen(replace(run, probes={})) is None


@pytest.mark.parametrize("lead", [0.02, 20.0])
def test_modes_that_go_on_by_themselves_are_foreseen(lead: float) -> None:
    """Two directions that D and H share, each damped by its own factor: nothing is missed, alone or together.

    The second is always behind, or is overtaken.
    """
    t = np.arange(60)
    f = np.array([0.97, -0.90])
    X = np.zeros((60, 2))
    X[:, 0], X[:, 1] = f[0] ** t, lead * f[1] ** t
    h = (1 - f) / 0.1
    probe = np.full((60, 10, 10), np.nan)
    for end in range(9, 60):
        rows = X[end - np.arange(10)]
        probe[end] = (rows * h) @ rows.T
    config = {"optimizer": "SGD", "learning_rate": 0.1, "weight_decay": 0.0}
    found = formation.foreseen(GramSequence.from_updates(X, probes={"response": probe}, config=config))
    assert found is not None
    assert np.max(found.missed_together) < 1e-6
    assert (
        np.median(found.missed) < 0.01
    )  # the two are not quite the modes of a window, least when they overtake
    assert np.max(found.missed) < (0.01 if lead < 1 else 0.5)
    assert np.max(found.apart) < 1e-6


@pytest.mark.parametrize("kind", [True, False])
def test_clustering_in_both_worlds(kind: bool) -> None:
    rng = np.random.default_rng(int(kind))
    label = np.zeros(500, dtype=bool)
    label[200:320] = True
    times = [rng.integers(*((200, 320) if kind else (0, 500)), 12) for _ in range(6)]
    found, n = recorded.clustered(times, [label] * 6)
    assert n == 6
    assert (judged((found,)) == SUPPORTED) is kind


@pytest.mark.parametrize("kind", [True, False])
def test_power_laws_in_both_worlds(kind: bool) -> None:
    rng, t = np.random.default_rng(0), np.arange(50.0, 600.0)
    series = []
    for _ in range(5):
        clean = (t**-0.7, t**-0.85) if kind else (np.exp(-t / 250), np.exp(-t / 400))
        loss, sigma = (values * np.exp(0.02 * rng.normal(size=len(t))) for values in clean)
        series.append((t, loss, sigma))
    for found in recorded.scaling(series):
        assert (found.verdict == SUPPORTED) is kind
    assert not kind or found.readings["exponent over steps"].value == pytest.approx(-0.85, abs=0.01)
    assert not kind or abs(found.readings["exponent less (that of the loss − 1)/2"].value) < 0.01


def test_widths_in_both_worlds() -> None:
    assert widths.judge(widths.world(0)).verdict == SUPPORTED
    assert (
        sum(widths.judge(widths.world(seed, planted=False)).verdict == SUPPORTED for seed in range(20)) <= 3
    )


def test_the_bulk_of_noise_ends_at_its_edge() -> None:
    J = np.random.default_rng(1).normal(size=(60, 900))
    J[0] *= 3
    lam = np.linalg.eigvalsh(J @ J.T)
    assert np.sum(lam > 1.1 * bulk_edge(lam, 900)) == 1
    with pytest.raises(ValueError, match="P must be at least the number of eigenvalues, 60, got 10"):
        bulk_edge(lam, 10)


def test_verdicts() -> None:
    high, low = paired([0.9, 0.91, 0.92], [0.1, 0.12, 0.11]), paired([0.1, 0.12, 0.11], [0.9, 0.91, 0.92])
    same = paired([0.9, 0.91, 0.92], [0.91, 0.9, 0.925])
    wide = paired([1.0, -1.0, 3.0], [0.5, 0.6, 0.4])
    assert judged((high,)) == SUPPORTED
    assert judged((high,), above=0.95) == REFUTED
    assert judged((high, same), above=0.5) == NOT_SPECIFIC
    assert judged((low,)) == NOT_SPECIFIC
    assert judged((wide,)) == UNDECIDED
    assert judged((same,), smallest=0.1) == NOT_SPECIFIC
    assert paired([1.0, np.nan], [0.5, 0.5]).treated.value == 1.0


def test_rivals_look_back_only() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 40)).cumsum(axis=0)
    metrics = {f"a.{name}": 1 + rng.random(60) for name in ("norm", "sigma_1", "sigma_2")}
    metrics["b.norm"] = 1 + rng.random(60)
    whole = GramSequence.from_updates(X, metrics=metrics)
    part = GramSequence.from_updates(X[:40], metrics={name: values[:40] for name, values in metrics.items()})
    long, short = scores(whole, RIVALS), scores(part, RIVALS)
    for feature in RIVALS:
        np.testing.assert_allclose(long[feature.name][:40], short[feature.name], err_msg=feature.name)
        assert np.isfinite(long[feature.name][20:]).any(), feature.name
    mean = X[30:40].mean(axis=0)
    assert long["drift"][39] == pytest.approx(np.log(mean @ mean))
    assert long["drift share"][39] == pytest.approx(10 * (mean @ mean) / (X[30:40] ** 2).sum())
    sigma = np.linalg.svd(X[30:40], compute_uv=False)
    assert long["modes"][39] == pytest.approx((sigma**2).sum() ** 2 / (sigma**4).sum())
    k = int(gap_position(sigma))
    lines = [
        np.log(s[k - 1] / s[k])
        for s in (np.linalg.svd(X[i : i + 10], compute_uv=False) for i in (28, 29, 30))
    ]
    assert long["gap closing"][39] == pytest.approx(max((lines[0] - lines[2]) / 2, 0) / lines[2])


class Square(NamedTuple):
    """What `square` found."""

    number: int
    values: dict[str, float]


MADE: list[int] = []


def square(number: int) -> Square:
    """Fails at 3, the first time."""
    MADE.append(number)
    if number == 3 and MADE.count(3) == 1:
        raise KeyboardInterrupt
    return Square(number, {"square": number**2 / 3, "unknown": float("nan")})


def test_a_check_that_was_broken_off_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MADE.clear()
    arguments = [(1,), (2,), (3,), (4,)]
    with pytest.raises(KeyboardInterrupt):
        list(each(square, arguments, work=tmp_path, kept=tuples(Square)))
    found = list(each(square, arguments, work=tmp_path, kept=tuples(Square)))
    assert MADE == [1, 2, 3, 3, 4]
    assert [one.values["square"] for one in found] == [n**2 / 3 for n in (1, 2, 3, 4)]
    assert np.isnan(found[0].values["unknown"])
    list(each(square, arguments, kept=tuples(Square)))
    assert MADE[5:] == [1, 2, 3, 4]
    changed = inspect.getsource(sys.modules[__name__]) + "\n# changed"
    monkeypatch.setattr(inspect, "getsource", lambda module: changed)
    list(each(square, [(1,)], work=tmp_path, kept=tuples(Square)))
    assert MADE[9:] == [1]  # what other source made is made again


def test_a_run_that_was_seen_is_read_as_it_was(tmp_path: Path) -> None:
    (run,) = each(planted.world, [(3, True)], work=tmp_path, kept=saved(seen.Seen))
    made = planted.world(3)
    for name in ("outputs", "weights"):
        kept, own = getattr(run, name), getattr(made, name)
        assert np.array_equal(kept.K, own.K)
        assert np.array_equal(kept.steps, own.steps)
        assert (kept.P, kept.rounding) == (own.P, own.rounding)
    rest = set(seen.Seen.__dataclass_fields__) - {"outputs", "weights"}
    for name in rest:
        np.testing.assert_array_equal(getattr(run, name), getattr(made, name), err_msg=name)


@pytest.fixture(scope="module")
def plain() -> Feature:
    return next(one for one in FEATURES if one.name == PLAIN)


def warned(runs: list[GramSequence], plain: Feature, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """What was measured in training, judged; not the forecasts, which take their time."""
    kept = own_warning.RIVALS[:2]
    monkeypatch.setattr(own_warning, "RIVALS", kept)
    found = early_warning(runs, features=(plain, *kept), horizon=own_warning.LEAD)
    return {one.id: one for one in own_warning.judge(found)}


def test_own_rivals_in_both_worlds(plain: Feature, monkeypatch: pytest.MonkeyPatch) -> None:
    found = warned(own_warning.world(0), plain, monkeypatch)
    assert {one.verdict for one in found.values()} == {SUPPORTED}
    for number in range(3):
        found = warned(own_warning.world(number, planted=False), plain, monkeypatch)
        assert SUPPORTED not in {one.verdict for one in found.values()}


@pytest.mark.slow
def test_own_forecasts_in_both_worlds() -> None:
    named = [f"warning, {feature.name}" for feature in own_warning.RIVALS]
    assert own_warning.supported(0, "planted") == named
    assert own_warning.supported(0, "noise") == []


def test_a_warning_that_the_loss_gives_as_well_is_not_specific(
    plain: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        replace(run, metrics={**run.metrics, "test_loss": run.metrics["commutator"]})
        for run in own_warning.world(0)
    ]
    assert warned(runs, plain, monkeypatch)["warning, commutator"].verdict == NOT_SPECIFIC


def test_own_rivals_look_back_only() -> None:
    run = own_warning.world(1)[0]
    part = GramSequence.from_inner_products(
        run.K[:90, :90],
        metrics={name: values[:90] for name, values in run.metrics.items()},
        probes={name: values[:90] for name, values in run.probes.items()},
        config=run.config,
    )
    long, short = scores(run, own_warning.RIVALS), scores(part, own_warning.RIVALS)
    for feature in own_warning.RIVALS:
        np.testing.assert_allclose(
            long[feature.name][:90], short[feature.name], rtol=1e-6, err_msg=feature.name
        )
    # two modes of strengths a and b e^{0.12 t} are equally strong when the second has grown by the ratio of the first;
    # the window, whose directions noise bends, sees a little less growth than there is
    windows = run.window(10)
    for record in (54, 60, 66):
        sigma = windows.sigma[record - 9]
        expected = np.log(sigma[0] / sigma[1]) / own_warning.GROWS
        assert 0 < 1 / long["forecast"][record] - expected < 0.2 * expected
    frozen = replace(run, metrics={"llc": np.array([np.nan, 2.0, *[np.nan] * (run.T - 2)])})
    llc = scores(frozen, own_warning.RIVALS[1:2])["learning coefficient"]
    assert np.isnan(llc[0])
    assert set(llc[1:]) == {2.0}  # known until there is a newer one
    assert np.isnan(scores(frozen, own_warning.RIVALS[:1])["commutator"]).all()


@pytest.mark.parametrize("kind", ["planted", "noise"])
def test_the_authors_tasks_in_both_worlds(kind: str) -> None:
    named = [f"warning, {feature.name}" for feature in own_warning.RIVALS]
    assert author_warning.supported(1, kind) == (named if kind == "planted" else [])


def test_what_weight_decay_alone_passes_is_not_specific(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measure that is marked by decay passes the rule without its placebo, whatever it knows of the transition."""
    monkeypatch.setattr(own_warning, "RIVALS", own_warning.RIVALS[:2])
    known = [one for one in FEATURES if one.name in (PLAIN, author_warning.PLACEBO)]
    runs, features = author_warning.world(1, planted=False), (*known, *own_warning.RIVALS)
    found = {lead: early_warning(runs, features=features, horizon=lead) for lead in author.LEADS}
    assert [one.verdict for one in own_warning.judge(found[own_warning.LEAD])] == [SUPPORTED] * 2
    judged_here = author_warning.judge(found)
    assert [one.verdict for one in judged_here] == [NOT_SPECIFIC] * 2
    assert judged_here[0].claim.startswith("On the author's single tasks a transition")
    assert judged_here[0].readings["3 records ahead"] == found[3]["commutator"].auc


def test_how_far_a_run_is_off_the_bundled_one() -> None:
    (run,) = (one for one in bundled() if one.config["run"] == "single-a+b-wd1-seed42")
    assert author_warning.off_bundled([run]) == {"single-a+b-wd1-seed42": 0}
    K = run.K.copy()
    K[7, 2] += 0.25 * np.nanmax(np.abs(K))
    assert author_warning.off_bundled([replace(run, K=K)])["single-a+b-wd1-seed42"] == pytest.approx(0.25)
    assert author_warning.off_bundled([replace(run, config={**run.config, "torch": "0"})]) == {}


def test_the_authors_runs_that_were_judged_are_the_bundled_ones() -> None:
    found = load("early-warning-author")
    compared = found["off_bundled"]
    assert set(compared) == {name for name in found["onset_steps"] if "-wd1-" in name}
    assert max(compared.values()) < 1e-9


def test_the_command_stores_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["function-space-worlds", "--seeds", "0", "--out", str(tmp_path)])
    found = load("function-space-worlds", tmp_path)
    assert set(found["supported"]["planted"].values()) == {1}
    assert len(found["supported"]["planted"]) == len(function_space.STATEMENTS)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    main(["table", "--page", str(page), "--out", str(tmp_path)])
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert "| rank-one | 1 | 0 |" in text
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="page must hold the lines"):
        table.put(page)


@pytest.mark.slow
def test_the_command_judges_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = own_warning.world(0)
    monkeypatch.setattr(own_warning, "RIVALS", own_warning.RIVALS[:2])
    monkeypatch.setattr(own, "plans", lambda seeds: [(number,) for number in range(len(runs))])
    monkeypatch.setattr(own, "record", lambda number: runs[number])
    main(["early-warning-own", "--seeds", "0", "--out", str(tmp_path)])
    found = load("early-warning-own", tmp_path)
    assert [one["verdict"] for one in found["findings"]] == [SUPPORTED, SUPPORTED]
    assert {row["lead"] for row in found["features"]} == {3, 10, 30}
    assert sum(step is not None for step in found["onset_steps"].values()) == found["runs"] / 2
    assert "| commutator | " in table.table(tmp_path)


def test_the_page_shows_what_is_stored() -> None:
    text = (ROOT / "docs" / "beyond.md").read_text(encoding="utf-8")
    assert text.split(table.BEGIN)[1].split(table.END)[0].strip() == table.table().strip()
