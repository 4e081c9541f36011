"""The step of a checkpoint: words that mean time decide, whatever other numbers a name has; or the run is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files.checkpoints import read_checkpoints
from spectral_edge.validate.gram.files.discovery import find_checkpoints
from spectral_edge.validate.gram.files.steps import by_pattern, numbers, steps_of

T = 12


def nothing(i: int) -> None:
    """No checkpoint says its step inside."""


def order(names: list[str], witness=nothing) -> list[int] | None:
    found = steps_of(names, witness)
    return None if found.problem else [found.steps.get(i) for i in range(len(names))]


def walk(n: int = T, P: int = 400, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, P)), axis=0)


def write(folder: Path, names: list[str], thetas: np.ndarray) -> Path:
    """One safetensors file, or folder of one, for each name."""
    for name, theta in zip(names, thetas, strict=True):
        path = folder / name
        if path.suffix != ".safetensors":
            path = path / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"w": theta}, path)
    return folder


# What names look like, by the step they must give; losses fall and rise so that they cannot be taken for it.
LOSSES = [2.30, 2.11, 2.50, 1.07, 1.95, 1.94, 0.99, 3.01, 1.50, 1.49, 1.55, 0.70]
PATTERNS = {
    "step{n}_loss{loss:.3f}": 100,
    "step{n}-tokens{billions}B": 1000,
    "stage1-step{n}-tokens{billions}B": 600,
    "epoch={i:02d}-step={n}": 10,
    "epoch=0-step={n}-v1": 10,
    "loss{loss:.2f}_step_{n}_seed42": 7,
    "ep0-ba{n}-rank0": 20,
    "global_step{n}": 5,
    "checkpoint-{n}": 500,
    "{n}_iterations": 30,
    "iter-{n:06d}-ckpt": 600,
    "resnet50_step_{n}_acc0.{i}": 50,
    "gpt2-350M-step{n}k": 10,
    "2025-11-25_10-{i:02d}-01_step{n}": 40,
    "model_{n}": 3,
    "{n:07d}": 250,
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_of_names(pattern: str) -> None:
    each = PATTERNS[pattern]
    shuffled = np.random.default_rng(1).permutation(T)
    names = [pattern.format(i=i, n=each * i, loss=LOSSES[i], billions=4 * i) for i in shuffled]
    unit = 1000 if pattern.endswith("k") else 1
    assert order(names) == [unit * each * i for i in shuffled]


@given(
    st.lists(st.integers(0, 10**6), min_size=3, max_size=8, unique=True),
    st.sampled_from(["step", "global_step", "iter", "iteration", "checkpoint", "ckpt", "ba", "trainStep"]),
    st.sampled_from(["=", "_", "-", ""]),
    st.data(),
)
def test_no_other_number_matters_beside_a_word_for_steps(steps, word, mark, data) -> None:
    names = []
    for step in steps:
        loss = data.draw(st.floats(0, 99).map("{:.3f}".format))
        # not a seed: two seeds are two runs in one folder, and refused
        other = data.draw(st.sampled_from(["val_loss", "acc", "lr", "x", "beta"]))
        parts = [f"{word}{mark}{step}", f"{other}={loss}"]
        names.append("-".join(data.draw(st.permutations(parts))))
    assert order(names) == steps


@pytest.mark.parametrize(
    "names",
    [
        [
            "2025-11-25_10-13-01",
            "2025-11-25_10-13-02",
            "2025-11-25_11-00-09",
        ],  # when, and not after how many steps
        ["20251125-101301", "20251125-101302", "20251126-000000"],
        ["run_3_20", "run_4_10", "run_5_30"],  # two numbers vary and neither is known
        ["model_seed1", "model_seed2", "model_seed3"],
        ["rank0", "rank1", "rank2"],
        ["fold1", "fold2", "fold3"],
        ["loss2.30", "loss2.10", "loss2.20"],
        ["model-0.25", "model-0.50", "model-0.75"],
        ["stage1-step600", "stage1-step1200", "stage2-step100"],  # steps that begin again
        ["seed1-step600", "seed1-step1200", "seed2-step1800"],  # two runs
        ["exp1/step600", "exp1/step1200", "exp2/step1800"],
        ["step10-rank0", "step20-rank1", "step30-rank2"],
        ["epoch_1_batch_500", "epoch_1_batch_1000", "epoch_2_batch_800"],
        ["G_100", "G_200", "G_300", "D_100", "D_200", "D_300"],
    ],
)
def test_what_does_not_say_its_step_is_refused(names: list[str], tmp_path: Path) -> None:
    assert order(names) is None
    write(tmp_path, [f"{name}.safetensors" for name in names], walk(len(names)))
    with pytest.raises(ValueError, match=r"steps must be readable .*--steps REGEX") as refused:
        find_checkpoints(str(tmp_path / ("*/*" if "/" in names[0] else "*")))
    assert names[0] in str(refused.value)


def test_names_without_any_number_are_refused_without_an_option_that_cannot_help(tmp_path: Path) -> None:
    write(tmp_path, [f"{name}.safetensors" for name in ("best", "final", "last")], walk(3))
    with pytest.raises(
        ValueError, match=r"got no number in best, final, last: give each its step"
    ) as refused:
        find_checkpoints(tmp_path)
    assert "--steps" not in str(refused.value)


def test_a_word_of_the_user_decides_then(tmp_path: Path) -> None:
    names = [f"run_{i}_{10 * (7 * i % 11)}.safetensors" for i in range(11)]
    write(tmp_path, names, walk(11))
    found = find_checkpoints(tmp_path, r"_(\d+)$")
    assert [checkpoint.step for checkpoint in found.checkpoints] == list(range(0, 110, 10))
    dated = [f"2025-11-{day:02d}_{hour:02d}-00-00" for day in (24, 25) for hour in (3, 9, 21)]
    told = by_pattern(dated[::-1], r"-(\d+)_(\d+)")  # several groups are an order
    assert [told.steps[i] for i in range(6)] == [5, 4, 3, 2, 1, 0]
    assert told.unit == "order"
    with pytest.raises(ValueError, match="steps must be a regular expression"):
        find_checkpoints(tmp_path, "(")
    with pytest.raises(
        ValueError, match=r"steps must find numbers alone, got run_0 in run_0_0: put them into groups"
    ):
        find_checkpoints(tmp_path, r"run_\d+")
    with pytest.raises(ValueError, match=r"at least 3 checkpoints, got 0 .*steps does not match its name"):
        find_checkpoints(tmp_path, r"nowhere(\d+)")


def test_recordings_beside_checkpoints_are_none(tmp_path):
    """The callbacks' own file often lies in the training's folder."""
    for step in (1, 2, 3, 4):
        np.save(tmp_path / f"step_{step}.npy", np.arange(5.0) ** step)
    walk = np.cumsum(np.random.default_rng(0).normal(size=(9, 5)), axis=0)
    GramSequence.from_parameters(walk).save(tmp_path / "run-7.npz")
    found = find_checkpoints(tmp_path)
    assert [checkpoint.step for checkpoint in found.checkpoints] == [1, 2, 3, 4]
    assert ("run-7.npz", "a recording, which must be named by itself") in found.left_out
    for step in (1, 2, 3, 4):
        (tmp_path / f"step_{step}.npy").unlink()
    with pytest.raises(
        ValueError, match=r"got 0 in .*; run-7\.npz: a recording, which must be named by itself"
    ):
        find_checkpoints(tmp_path)


def test_what_is_written_inside_is_a_witness(tmp_path: Path) -> None:
    dates = [f"2025-11-25_10-13-{i:02d}" for i in range(T)]
    steps = [int(step) for step in np.random.default_rng(0).permutation(T) * 50]
    assert order(dates, lambda i: steps[i]) == steps
    epochs = [f"epoch={i:02d}-val_loss={loss:.2f}" for i, loss in enumerate(LOSSES)]
    assert order(epochs, lambda i: 7 * i) == [7 * i for i in range(T)]
    assert order(epochs) == list(range(T))  # then the epoch is all there is to go by
    assert steps_of(epochs, nothing).unit == "epoch"
    for name, theta, step in zip(dates, walk(), steps, strict=True):
        save_file({"w": theta}, tmp_path / f"{name}.safetensors", metadata={"global_step": str(step)})
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path).checkpoints] == sorted(steps)


def test_a_witness_that_contradicts_the_names_is_heard(tmp_path: Path) -> None:
    for i, theta in enumerate(walk(4)):
        save_file({"w": theta}, tmp_path / f"iter_{i}.safetensors", metadata={"step": str(40 - 10 * i)})
    with pytest.raises(ValueError, match="steps must rise with those inside the files, got 40 in"):
        find_checkpoints(tmp_path)
    assert len(find_checkpoints(tmp_path, r"_(\d)").checkpoints) == 4  # the user knows better
    for i, theta in enumerate(walk(4)):
        save_file({"w": theta}, tmp_path / f"iter_{i}.safetensors", metadata={"step": str(10 * i)})
    (note,) = find_checkpoints(tmp_path).notes
    assert "not those inside the files: iter_1.safetensors (1 and 10)" in note


def test_dates_and_units() -> None:
    assert numbers("2025-11-25_10-13-01") == []
    assert [(n.word, n.value) for n in numbers("step2.5k-loss0.5")] == [("step", 2500), ("loss", 0.5)]
    assert [(n.word, n.value) for n in numbers("100steps_7")] == [("steps", 100), ("", 7)]


# -- files beside the checkpoints, and folders above them -------------------------------------------------


@pytest.mark.parametrize("above", ["exp7", "version_0", "step5", "2025-11-25"])
@pytest.mark.parametrize("form", ["step_{}.safetensors", "checkpoint-{}", "{}.safetensors"])
def test_numbers_above_the_folder_never_count(tmp_path: Path, monkeypatch, above: str, form: str) -> None:
    folder = tmp_path / above
    names = [form.format(100 * i) for i in range(1, T)]
    write(folder, names, walk()[1:])
    others = ["last.safetensors", "best.safetensors", "final", "model.safetensors", "last-v1.safetensors"]
    write(folder, others, walk(len(others), seed=1))
    os.symlink(names[3], folder / "latest")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    found = find_checkpoints(folder)
    assert [checkpoint.step for checkpoint in found.checkpoints] == [100 * i for i in range(1, T)]
    left = dict(found.left_out)
    assert {"last.safetensors", "best.safetensors", "final", "model.safetensors"} <= set(left)
    assert "latest" in left or form != "checkpoint-{}"
    monkeypatch.chdir(folder)
    for path in (".", "", "../" + above):
        here = find_checkpoints(path or Path())
        assert [c.step for c in here.checkpoints] == [c.step for c in found.checkpoints]
    K = read_checkpoints(folder).whole
    assert np.nanmedian(K.window(4).ratio) < 1.12  # that of a random walk, as without them


def test_other_names_of_a_checkpoint_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, [f"step{i}.safetensors" for i in range(5)], walk(5))
    write(tmp_path, ["best-step3.safetensors", "latest_step4.safetensors", "tmp-step9"], walk(3))
    found = find_checkpoints(tmp_path)
    assert [checkpoint.step for checkpoint in found.checkpoints] == [0, 1, 2, 3, 4]
    assert dict(found.left_out)["best-step3.safetensors"] == "'best' is another name"
    write(tmp_path / "averages", [f"ema_{i}.safetensors" for i in range(5)], walk(5))
    assert len(find_checkpoints(tmp_path / "averages").checkpoints) == 5  # there is nothing else


def test_optimisers_and_random_states_are_no_checkpoints(tmp_path: Path) -> None:
    write(tmp_path, [f"model_{i}.safetensors" for i in range(5)], walk(5))
    write(
        tmp_path,
        [f"{word}_{i}.safetensors" for word in ("optimizer", "scheduler", "optim") for i in range(5)],
        walk(15),
    )
    found = find_checkpoints(tmp_path)
    assert [checkpoint.path.name for checkpoint in found.checkpoints] == [
        f"model_{i}.safetensors" for i in range(5)
    ]


def test_two_of_one_step_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        ["epoch=0-step=5.safetensors", "epoch=0-step=5-v1.safetensors", "epoch=0-step=6.safetensors"],
        walk(3),
    )
    with pytest.raises(
        ValueError, match=r"steps must differ, got 5 for both .*step=5\.s.* and .*v1.*--steps REGEX"
    ):
        find_checkpoints(tmp_path)


def test_the_trainer_state_beside_the_weights(tmp_path: Path) -> None:
    for i, theta in enumerate(walk(5)):
        folder = tmp_path / f"2025-11-2{i}"
        write(folder, ["model.safetensors"], [theta])
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": 30 - 5 * i, "log_history": []}))
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path).checkpoints] == [10, 15, 20, 25, 30]


def test_damaged_files_do_not_hide_the_witness_of_others(tmp_path: Path) -> None:
    for i, theta in enumerate(walk(5)):
        file = tmp_path / f"2025-11-25_10-13-0{i}.safetensors"
        save_file({"w": theta}, file, metadata={"step": str(50 - 10 * i)})
    file.write_bytes(b"half")
    found = find_checkpoints(tmp_path, skip_damaged=True)
    assert [checkpoint.step for checkpoint in found.checkpoints] == [20, 30, 40, 50]


def test_where_else_checkpoints_may_be(tmp_path: Path) -> None:
    write(tmp_path / "lightning_logs" / "version_0", [f"step={i}.safetensors" for i in range(4)], walk(4))
    with pytest.raises(
        ValueError,
        match=r"got 0 in .*; version_0: several weights files, step=0\.safe.*checkpoints may be in .*version_0",
    ):
        find_checkpoints(tmp_path / "lightning_logs")
    write(tmp_path / "trainer", ["checkpoint-20", "checkpoint-40"], walk(2))
    with pytest.raises(
        ValueError, match=r"at least 3 checkpoints, got 2 .*\(checkpoint-20, checkpoint-40\)$"
    ):
        find_checkpoints(tmp_path / "trainer")  # neither of the two is a place to look at
    write(tmp_path / "above" / "trainer", [f"checkpoint-{i}" for i in range(3)], walk(3))
    with pytest.raises(ValueError, match=r"checkpoints may be in \S*above/trainer$"):
        find_checkpoints(tmp_path / "above")
