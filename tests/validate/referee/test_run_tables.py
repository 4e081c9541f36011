"""The tables of the recorded runs, and that the files written from them are not stale."""

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.validate.referee.report import run_tables
from spectral_edge.validate.runs.bundle import judged, made_again
from spectral_edge.validate.runs.plan import planned


@pytest.fixture(scope="module")
def runs() -> list[validate.GramSequence]:
    return validate.bundled()


def test_every_bundled_run_is_in_the_results_that_come_with_it(runs) -> None:
    stored = files("spectral_edge.validate.runs") / "data" / "results.md"
    assert run_tables.document(runs, made_again()) == stored.read_text(encoding="utf-8")
    assert all(f"| {run.config['run']} |" in run_tables.document(runs) for run in runs)


def test_readme_and_findings_count_the_same_verdicts(runs) -> None:
    root = Path(__file__).parents[3]
    told = re.search(
        r"Of 20 predictions, judged on (\d+) runs: [^.]+\.", (root / "README.md").read_text("utf-8")
    )
    assert told is not None
    assert told[0] in (root / "docs" / "findings.md").read_text("utf-8")
    assert int(told[1]) == len(judged())


def test_what_is_said_of_dyck_is_what_the_recordings_hold(runs) -> None:
    own = [run for run in runs if run.config.get("family") == "dyck1"]
    first = {
        (run.config["weight_decay"], run.config["seed"], level): int(run.steps[np.argmax(reached)])
        for run in own for level in (0.95, 0.99)
        if (reached := run.metrics["test_accuracy"] >= level).any()
    }  # fmt: skip
    assert len(own) == 6
    assert all(first[run.config["weight_decay"], run.config["seed"], 0.95] <= 200 for run in own)
    told = (files("spectral_edge.validate.runs") / "data" / "README.md").read_text(encoding="utf-8")
    steps = [first[1.0, seed, 0.99] for seed in (42, 137, 2024)]
    assert "at steps {:,}, {:,} and {:,}".format(*steps) in told
    assert not any(first.get((0.0, seed, 0.99)) for seed in (42, 137, 2024))


def test_every_planned_run_has_a_family() -> None:
    assert {config.task for config in planned().values()} == set(run_tables.FAMILIES)


def test_grok_steps_are_those_of_the_accuracy(additions) -> None:
    rows = list(run_tables.grok_steps(additions))
    decayed = next(run for run in additions if run.config["weight_decay"] and run.config["seed"] == 42)
    step = int(decayed.steps[np.argmax(decayed.metrics["test_accuracy"] >= 0.95)])
    assert rows[2].startswith(f"| a+b | author | 1 | {step:,} |")
    assert rows[3] == "| a+b | author | 0 | – | – | – |"


def test_a_run_that_is_not_there_is_named_so(additions) -> None:
    rows = list(run_tables.grok_steps(additions[:-1]))
    assert "not recorded" in rows[2]  # the last of the fixture has weight decay
    assert "not recorded" not in rows[3]


def test_where_the_recipe_would_have_stopped_is_told(additions) -> None:
    run = replace(additions[0], config={**additions[0].config, "stop_step": 1_700})
    assert "| 1,700 | 50,000 |" in run_tables.document([run])
    assert "| – | 50,000 |" in run_tables.document([additions[0]])


def test_the_interval_alone_changes_the_gap_ratio() -> None:
    walk = np.cumsum(np.cumsum(np.random.default_rng(0).normal(size=(201, 60)), axis=0), axis=0)

    def recorded(every: int, **card: object) -> validate.GramSequence:
        config = {
            "run": "walk",
            "task": "walk",
            "seed": 1,
            "weight_decay": 1.0,
            "record_every": every,
            **card,
        }
        thetas = walk[::every]
        return validate.GramSequence.from_parameters(thetas, every * np.arange(len(thetas)), config=config)

    again = [
        recorded(1, experiment="interval"),
        recorded(50, experiment="interval"),
        recorded(2, experiment="twin"),
    ]
    again += [recorded(4, experiment="interval", seed=2)]
    head, _, *rows = run_tables.intervals([recorded(5)], again)
    assert [row.split(" | ")[1:4] for row in rows] == [
        ["1", "10", "191"],
        ["5", "10", "31"],
        ["50", "10", "0"],
    ]
    windows = recorded(5).window(10)
    assert f"| {np.median(windows.ratio):.2f} |" in rows[1]
    assert rows[1].endswith(f"| {windows.g_23.max() / windows.g_23[-1]:.3g} |")
    assert rows[0].split(" | ")[4] != rows[1].split(" | ")[4]
    assert head.count("|") == rows[0].count("|") == rows[2].count("|")
    assert list(run_tables.intervals([recorded(5)], again[2:])) == []
    assert "What the interval" in run_tables.document([recorded(5)], again)
    assert "What the interval" not in run_tables.document([recorded(5)])
