"""Bad input: one error that names the argument, what came and what is wanted; nothing is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectral_edge.validate import GramSequence, GramTracker


@pytest.fixture
def thetas() -> np.ndarray:
    return np.cumsum(np.random.default_rng(0).normal(size=(9, 50)), axis=0)


@pytest.fixture
def sequence(thetas: np.ndarray) -> GramSequence:
    return GramSequence.from_parameters(thetas)


def as_iterator(array: np.ndarray):
    return iter(list(array))


# -- vectors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, list, as_iterator])
@pytest.mark.parametrize("W_max", [None, 3])
def test_parameters_that_are_not_finite(thetas, bad, make, W_max):
    thetas[4, 7] = bad
    with pytest.raises(ValueError, match=r"thetas must be finite, got NaN or infinity in thetas\[4\]"):
        GramSequence.from_parameters(make(thetas), W_max=W_max)


def test_updates_that_are_not_finite(thetas):
    thetas[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"updates must be finite.*updates\[2\]"):
        GramSequence.from_updates(thetas)


@pytest.mark.parametrize("W_max", [None, 3])
def test_snapshots_of_different_length(thetas, W_max):
    with pytest.raises(ValueError, match="thetas must all have one length, got 50 and then 49 at 3"):
        GramSequence.from_parameters([*thetas[:3], thetas[3, 1:], *thetas[4:]], W_max=W_max)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("make", [np.asarray, list, as_iterator])
@pytest.mark.parametrize("W_max", [None, 2])
def test_fewer_than_three_snapshots(thetas, count, make, W_max):
    with pytest.raises(ValueError, match=f"thetas must hold at least 3 vectors, got {count}"):
        GramSequence.from_parameters(make(thetas[:count]), W_max=W_max)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("make", [np.asarray, as_iterator])
def test_fewer_than_two_updates(thetas, count, make):
    with pytest.raises(ValueError, match=f"updates must hold at least 2 vectors, got {count}"):
        GramSequence.from_updates(make(thetas[:count]))


@pytest.mark.parametrize("shape", [(9,), (3, 3, 3)])
def test_an_array_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"thetas must be a stack of vectors \(n, P\), got shape"):
        GramSequence.from_parameters(np.zeros(shape))


def test_vectors_without_entries():
    with pytest.raises(ValueError, match=r"thetas must have at least one entry each, got shape \(4, 0\)"):
        GramSequence.from_parameters(np.zeros((4, 0)))


@pytest.mark.parametrize("dtype", [np.int64, bool, complex, object, "U3"])
def test_dtype_that_is_not_floating(dtype):
    with pytest.raises(ValueError, match="thetas must be floating-point numbers, got dtype"):
        GramSequence.from_parameters(np.ones((5, 4)).astype(dtype))


# -- steps and windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([0, 1, 2, 2, 4, 5, 6, 7, 8], "steps must increase, got 2 followed by 2"),
        ([0, 1, 2, 9, 4, 5, 6, 7, 8], "steps must increase, got 9 followed by 4"),
        (np.arange(8), r"steps must have one entry per record, \(9,\), got shape \(8,\)"),
        (np.arange(9) + 0.5, "steps must be whole numbers"),
        ([np.nan] * 9, "steps must be whole numbers"),
        (["a"] * 9, "steps must be whole numbers"),
    ],
)
def test_steps(thetas, steps, message):
    with pytest.raises(ValueError, match=message):
        GramSequence.from_parameters(thetas, steps)


@pytest.mark.parametrize("W", [1, 0, -3, 2.5, "ten", None, np.nan, True])
def test_a_window_that_is_no_window(sequence, W):
    with pytest.raises(ValueError, match="W must be"):
        sequence.window(W)


def test_a_window_wider_than_the_run(sequence):
    with pytest.raises(ValueError, match="W must be at most the number of updates T = 8, got 9"):
        sequence.window(9)


def test_a_window_wider_than_the_band(thetas):
    with pytest.raises(ValueError, match="W must be at most W_max = 3, the band that was kept, got 4"):
        GramSequence.from_parameters(thetas, W_max=3).window(4)


@pytest.mark.parametrize("W_max", [1, 0, -1, 2.5, "x"])
def test_a_band_that_is_no_band(thetas, W_max):
    with pytest.raises(ValueError, match="W_max must be"):
        GramSequence.from_parameters(thetas, W_max=W_max)
    with pytest.raises(ValueError, match="W_max must be"):
        GramTracker(W_max)


def test_metrics_of_the_wrong_length(thetas):
    with pytest.raises(ValueError, match=r"metrics\['loss'\] must have one entry per update, \(8,\)"):
        GramSequence.from_parameters(thetas, metrics={"loss": np.zeros(9)})


# -- K ---------------------------------------------------------------------------------------------------


def test_an_asymmetric_K():
    with pytest.raises(ValueError, match=r"K must be symmetric, got an asymmetry of 0\.1"):
        GramSequence.from_inner_products([[1.0, 0.1, 0], [0.0, 1.0, 0], [0, 0, 1]])


def test_an_indefinite_K():
    with pytest.raises(ValueError, match="K must be positive semi-definite, got an eigenvalue of -1"):
        GramSequence.from_inner_products([[1.0, 2.0], [2.0, 1.0]])


def test_an_indefinite_band():
    band = np.array([[1.0, np.nan], [1.0, 2.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="K must be positive semi-definite"):
        GramSequence.from_inner_products(band)


@pytest.mark.parametrize(
    "K", [np.ones(3), np.ones((1, 1)), np.ones((2, 3)), np.ones((3, 1)), np.ones((2, 2, 2))]
)
def test_a_K_of_the_wrong_shape(K):
    with pytest.raises(ValueError, match=r"K must be \(T, T\) or a band"):
        GramSequence.from_inner_products(K)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_K_that_is_not_finite(bad):
    with pytest.raises(ValueError, match="K must be finite"):
        GramSequence.from_inner_products(np.diag([1.0, bad, 1.0]))
    with pytest.raises(ValueError, match="K must be finite"):
        GramSequence.from_inner_products(np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, bad], [1, 0, 0]]))


@pytest.mark.parametrize("P", [0, -1, 1.5, np.nan])
def test_a_P_that_counts_nothing(P):
    with pytest.raises(ValueError, match="P must be"):
        GramSequence.from_inner_products(np.eye(3), P=P)


def test_a_learning_rate_that_is_not_positive(sequence):
    for eta in (0.0, -1e-3, np.nan):
        with pytest.raises(ValueError, match="eta must be"):
            sequence.window(3).adiabatic(eta)


# -- files -----------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        GramSequence.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file(sequence, tmp_path, share):
    path = sequence.save(tmp_path / "run.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"path must be a sequence saved by spectral-edge.*run\.npz"):
        GramSequence.load(path)


def test_a_file_with_one_byte_changed(sequence, tmp_path):
    path = sequence.save(tmp_path / "run.npz")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="path must be a sequence saved by spectral-edge"):
        GramSequence.load(path)


def foreign_files(folder: Path) -> dict[str, Path]:
    made = {
        name: folder / name for name in ("text.npz", "other.npz", "array.npz", "pickle.npz", "header.npz")
    }
    made["text.npz"].write_text("not a zip file")
    np.savez(made["other.npz"], a=np.eye(3))
    with open(made["array.npz"], "wb") as file:
        np.save(file, np.eye(3))
    np.savez(made["pickle.npz"], header=np.array([{"a": 1}], dtype=object), K=np.eye(3))
    np.savez(made["header.npz"], header=np.array(json.dumps(["a list"])), K=np.eye(3))
    return made


@pytest.mark.parametrize("name", ["text.npz", "other.npz", "array.npz", "pickle.npz", "header.npz"])
def test_a_foreign_file(tmp_path, name):
    with pytest.raises(
        ValueError, match="path must be a sequence saved by spectral-edge, got a foreign or damaged"
    ):
        GramSequence.load(foreign_files(tmp_path)[name])


def test_a_file_from_the_future(sequence, tmp_path):
    path = sequence.save(tmp_path / "run.npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop("header")))
    np.savez(path, header=json.dumps(header | {"version": 99}), **arrays)
    with pytest.raises(ValueError, match=r"path must be of format version .* or older, got version 99"):
        GramSequence.load(path)


def test_a_target_that_is_a_folder(sequence, tmp_path):
    with pytest.raises(OSError, match="path must be a file, got a folder"):
        sequence.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_target_below_a_file(sequence, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"path must be writable, got .*file/run\.npz"):
        sequence.save(tmp_path / "file" / "run.npz")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission(sequence, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="path must be writable"):
        sequence.save(tmp_path / "run.npz")


FULL_DISK = """
import resource, sys
import numpy as np
from spectral_edge.validate import GramSequence
sequence = GramSequence.from_updates(np.random.default_rng(1).normal(size=(60, 80)))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as a full disk: the write fails half-way
try:
    sequence.save(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits")
def test_a_disk_that_fills_up_leaves_the_old_file(sequence, tmp_path):
    path = sequence.save(tmp_path / "run.npz")
    before = path.read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert "path must be writable" in ran.stdout
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_an_unserialisable_config_writes_nothing(sequence, tmp_path):
    bad = GramSequence.from_inner_products(sequence.K, config={"when": object()})
    with pytest.raises(ValueError, match="config must hold JSON values only"):
        bad.save(tmp_path / "run.npz")
    assert list(tmp_path.iterdir()) == []


# -- the live tracker ------------------------------------------------------------------------------------


def tracked(thetas: np.ndarray, **options) -> GramTracker:
    tracker = GramTracker(4, **options)
    for step, theta in enumerate(thetas):
        tracker.update(theta, step=10 * step)
    return tracker


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 3])
def test_tracker_names_the_step_of_a_nan(thetas, bad, at):
    thetas[at, 3] = bad
    with pytest.raises(ValueError, match=f"params must be finite, got NaN or infinity .*at step {10 * at}"):
        tracked(thetas)


def test_tracker_keeps_what_was_recorded_before_a_nan(thetas, tmp_path):
    thetas[6, 3] = np.nan
    with pytest.raises(ValueError, match="at step 60"):
        tracked(thetas, path=tmp_path / "run.npz")
    kept = GramSequence.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(kept.steps, [10, 20, 30, 40, 50])


def test_tracker_wants_increasing_steps(thetas):
    tracker = tracked(thetas)
    for step in (80, 7):
        with pytest.raises(ValueError, match=f"step must increase, got {step} after 80"):
            tracker.update(thetas[0] + 1, step=step)
    with pytest.raises(ValueError, match="step must be"):
        tracker.update(thetas[0], step=-1)
    assert tracker.sequence().T == 8  # nothing of the refused records was kept


def test_tracker_wants_the_same_parameters(thetas):
    tracker = tracked(thetas)
    with pytest.raises(
        ValueError, match=r"params must keep their .*\(50,\).*\(49,\)|params must keep their number"
    ):
        tracker.update(thetas[0, 1:], step=90)


@pytest.mark.parametrize("params", [[], {}])
def test_tracker_wants_parameters(params):
    with pytest.raises(ValueError, match="params must hold at least one array, got none"):
        GramTracker(4).update(params)


@pytest.mark.parametrize("records", [0, 1, 2])
def test_tracker_has_no_sequence_before_three_snapshots(thetas, records):
    with pytest.raises(ValueError, match=f"a sequence needs at least 3 snapshots, got {records}"):
        tracked(thetas[:records]).sequence()


def test_tracker_refuses_an_unwritable_target_before_training(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="path must be"):
        GramTracker(4, path=tmp_path / "file" / "run.npz")
    with pytest.raises(OSError, match="path must be a file, got a folder"):
        GramTracker(4, path=tmp_path)
