"""Runs of anybody's, from files to verdicts: recordings, folders of them, stacks, checkpoints; and what is left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectral_edge import simulate, validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions.p12_gap_opens_at_grokking import query_names
from spectral_edge.validate.referee.reading import read_runs
from spectral_edge.validate.referee.report import typeset
from spectral_edge.validate.referee.report.page import render


def walk(n: int = 21, P: int = 60, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, P)), axis=0)


def checkpoints(folder: Path, thetas: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for i, theta in enumerate(thetas):
        np.savez(folder / f"step{100 * i}.npz", weight=theta[:40].reshape(5, 8), bias=theta[40:])
    return folder


def test_whatever_is_named_is_read_and_has_a_name(tmp_path: Path) -> None:
    thetas = [walk(seed=seed) for seed in range(5)]
    GramSequence.from_parameters(thetas[0]).save(tmp_path / "saved.npz")
    GramSequence.from_parameters(thetas[1], config={"run_name": "mine"}).save(tmp_path / "other.npz")
    np.save(tmp_path / "stack.npy", thetas[2])
    np.savez(tmp_path / "steps.npz", thetas=thetas[3], steps=10 * np.arange(21))
    folder = checkpoints(tmp_path / "run 7", thetas[4])
    named = [tmp_path / name for name in ("saved.npz", "other.npz", "stack.npy", "steps.npz")]
    read = read_runs([*named, folder])
    assert [card(run).run for run in read.runs] == ["saved", "mine", "stack", "steps", "run 7"]
    assert read.runs[3].steps[-1] == 200
    assert read.runs[4].steps[-1] == 2000
    for run, theta in zip(read.runs, thetas, strict=True):
        assert run.K[0, 0] == pytest.approx(np.sum((theta[1] - theta[0]) ** 2))


def test_a_folder_of_recordings_with_a_foreign_and_a_damaged_file(tmp_path: Path) -> None:
    for seed in (1, 2):
        GramSequence.from_parameters(walk(seed=seed)).save(tmp_path / f"seed{seed}.npz")
    np.savez(tmp_path / "foreign.npz", a=np.ones(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "seed1.npz").read_bytes()[:500])
    (tmp_path / "notes.txt").write_text("not a run")
    read = read_runs([tmp_path])
    assert [card(run).run for run in read.runs] == ["seed1", "seed2"]
    assert [Path(note.split(" is left out: ")[0]).name for note in read.notes] == ["cut.npz", "foreign.npz"]
    assert all("\n" not in note for note in read.notes)


def test_what_only_another_command_can_be_told_is_said_with_its_name(tmp_path: Path) -> None:
    for i, theta in enumerate(walk()[:5]):
        np.save(tmp_path / f"a{i}_b{7 * i % 5}.npy", theta)
    with pytest.raises(
        ValueError, match=r"--steps REGEX .*spectral-edge analyze has it, and its --save run\.npz"
    ):
        read_runs([tmp_path])


def test_one_run_counts_once(tmp_path: Path) -> None:
    GramSequence.from_parameters(walk()).save(tmp_path / "a.npz")
    GramSequence.from_parameters(walk()).save(tmp_path / "b.npz")
    read = read_runs([tmp_path, tmp_path / "a.npz"])
    assert [card(run).run for run in read.runs] == ["a"]
    assert read.notes == ["b is left out: the same run as a", "a is left out: the same run as a"]


def test_checkpoints_with_a_card_and_a_log(tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "mine", walk())
    (folder / "card.json").write_text(json.dumps({"lr": 0.1, "wd": 1, "task": "own", "seed": 3}))
    rows = [f"{100 * i},{3 - i / 10}" for i in range(1, 21)]
    (folder / "metrics.csv").write_text("\n".join(["step,val_loss", *rows]))
    (run,) = read_runs([folder]).runs
    found = card(run)
    assert (found.run, found.learning_rate, found.weight_decay, found.task, found.seed) == (
        "mine",
        0.1,
        1,
        "own",
        3,
    )
    assert run.metrics["val_loss"] == pytest.approx(3 - np.arange(1, 21) / 10)


@pytest.mark.parametrize("logged", ["test_acc", "val_loss"])
def test_checkpoints_of_a_transition_come_with_the_spectra_of_their_queries(
    logged: str, tmp_path: Path
) -> None:
    """Prediction 12 asks for them at the grok step; without an accuracy there is none, and they are not read."""
    rng = np.random.default_rng(0)
    thetas = rng.normal(size=(21, 12, 4)).cumsum(axis=0)
    for i, theta in enumerate(thetas):
        named = {"layers.0.self_attn.in_proj_weight": theta, "layers.0.linear1.weight": theta}
        np.savez(tmp_path / f"step_{100 * i}.npz", **named)
    rows = [f"{100 * i},{i / 20}" for i in range(1, 21)]
    (tmp_path / "metrics.csv").write_text("\n".join([f"step,{logged}", *rows]))
    (run,) = read_runs([tmp_path]).runs
    names = [f"layers.0.self_attn.Q.sigma_{j}" for j in (1, 2)]
    if logged == "val_loss":
        assert not set(names) & set(run.metrics)
        return
    exact = [np.linalg.svd(theta[:4], compute_uv=False)[:2] for theta in thetas[1:]]
    np.testing.assert_allclose(np.transpose([run.metrics[name] for name in names]), exact, rtol=1e-9)
    assert query_names(run) == ["layers.0.self_attn.Q"]


@pytest.mark.parametrize("text", ["[1, 2]", "not json"])
def test_a_card_that_is_none(text: str, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "mine", walk())
    (folder / "card.json").write_text(text)
    with pytest.raises(ValueError, match=r"card\.json must hold a mapping of JSON values"):
        read_runs([folder])


def test_what_was_named_and_holds_no_run_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", a=np.ones(3))
    for paths, said in (
        ([tmp_path / "foreign.npz"], "path must hold"),
        ([tmp_path], "path must name at least 3 checkpoints"),
        ([], "path must"),
    ):
        with pytest.raises(ValueError, match=said):
            read_runs(paths)


# -- from a stranger's files to verdicts ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs as somebody else would record them: own names for everything, the card half empty."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for control in (False, True):
            world = simulate.planted("weight-decay-needed", seed, control=control)
            run = GramSequence.from_inner_products(
                world.K, world.steps, world.P,
                metrics={"val_loss": world.metrics["test_loss"], "val_acc": 100 * world.metrics["test_accuracy"]},
                config={"lr": 1e-3, "wd": 0.0 if control else 1.0, "seed": seed, "bs": 64},
            )  # fmt: skip
            run.save(folder / f"{'plain' if control else 'decay'}-{seed}.npz")
    return folder


def test_a_strangers_runs_are_judged(strangers: Path) -> None:
    read = read_runs([strangers])
    chosen = [p for p in PREDICTIONS if p.number in (1, 3, 7, 10, 11, 13)]
    board = validate.check(read.runs, predictions=chosen)
    found = {verdict.id: verdict.verdict for verdict in board}
    unjudged = {id for id, verdict in found.items() if verdict == "not run"}
    assert unjudged == {"gap-flow", "optimiser-dependence"}
    assert board["weight-decay-needed"].n == 6
    assert board["weight-decay-needed"].statistic == 1
    rows = board.to_dict()["runs"]
    assert [row["run"] for row in rows] == [f"{kind}-{i}" for kind in ("decay", "plain") for i in range(3)]
    assert [row["status"] for row in rows] == ["grokked"] * 3 + ["not grokked"] * 3
    assert "decay-0: the test accuracy goes beyond 1; taken as per cent" in board.notes


@pytest.mark.parametrize(("n", "decays"), [(60, (1.0,)), (60, (0.0, 1.0)), (16, (0.0, 1.0))])
def test_no_sentence_holds_a_number_that_is_none(n: int, decays: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    runs = [
        GramSequence.from_parameters(
            walk(n, seed=seed),
            metrics={"val_loss": np.exp(-np.arange(n - 1) / 20) + 0.01 * rng.normal(size=n - 1)},
            config={"lr": 1e-3, "wd": decay, "seed": 0, "bs": 8},
        )
        for seed, decay in enumerate(decays)
    ]
    judged = validate.check(runs, predictions=[p for p in PREDICTIONS if p.number in (3, 15)])
    assert judged["small-gap-position"].verdict != "not run"
    assert (judged["gap-tracks-loss"].verdict == "not run") == (n < 30)  # of 29 updates at least
    assert not any("nan" in verdict.meaning for verdict in judged)


@pytest.mark.slow
def test_the_report_of_a_strangers_runs(strangers: Path) -> None:
    runs = read_runs([strangers]).runs
    chosen = [p for p in PREDICTIONS if p.number in (3, 11)]
    board = validate.check(runs, predictions=chosen, event="val_loss<1")
    page = render(board)
    assert "the transition: val_loss&lt;1" in page
    assert all(str(typeset.html(note)) in page for note in board.notes)
    # and of runs that say nothing of themselves
    bare = [replace(run, metrics={}, config={}, P=None) for run in runs[:2]]
    assert "unnamed" in render(validate.check(bare, predictions=chosen))
