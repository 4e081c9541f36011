"""A recording is never lost: one owner, nothing overwritten unasked, taken up again from the file alone."""

import gc
import multiprocessing
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from spectral_edge import theory
from spectral_edge.validate import GramSequence, GramTracker
from spectral_edge.validate.gram import storage
from spectral_edge.validate.gram.files.reading import read_run
from spectral_edge.validate.gram.live import recording
from spectral_edge.validate.gram.live.journal import Journal
from spectral_edge.validate.gram.live.ownership import lock_path
from spectral_edge.validate.referee.analysis import analyse
from spectral_edge.validate.referee.reading import read_runs


def walk(T, P=50, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(T + 1, P)), axis=0)


def record(tracker, thetas, first=0, **metrics):
    for step, theta in enumerate(thetas, first):
        tracker.update(theta, step=step, loss=float(step), **metrics)
    return tracker


# -- one owner, nothing overwritten ----------------------------------------------------------------------


def test_a_finished_recording_is_not_begun_anew_unasked(tmp_path):
    path = tmp_path / "run.npz"
    record(GramTracker(4, path=path), walk(299))
    gc.collect()
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"path must be new, got a recording: .*run\.npz; pass resume=True .* overwrite=True"
    ):
        GramTracker(4, path=path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_overwriting_keeps_numbered_backups(tmp_path):
    path = tmp_path / "run.npz"
    for T in (5, 6, 7):
        record(GramTracker(4, path=path, overwrite=True), walk(T)).close()
    assert GramSequence.load(path).T == 7
    assert GramSequence.load(tmp_path / "run.npz.1").T == 5
    assert GramSequence.load(tmp_path / "run.npz.2").T == 6
    assert read_run(tmp_path / "run.npz.2").whole.T == 6  # the commands read it too, whatever it ends in
    assert [run.T for run in read_runs([tmp_path / "run.npz.1"]).runs] == [5]
    assert len(list(tmp_path.glob("*.npz"))) == 1  # a folder of runs does not gain runs


@pytest.mark.parametrize("name", ["run.txt", "run", "run.NPZ", "run.npz.gz", ".npz"])
def test_a_recording_is_called_npz_wherever_it_is_written(tmp_path, name):
    """A folder of runs is searched for that ending: what is called otherwise would be written and never found."""
    refused = pytest.raises(ValueError, match=rf"path must end in \.npz, got {name}")
    with refused:
        GramTracker(4, path=tmp_path / name)
    with refused:
        GramTracker(4, path=tmp_path / name, resume=True)
    with refused:
        GramSequence.from_parameters(walk(9)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_a_killed_run_keeps_its_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    path = tmp_path / "run.npz"
    tracker = record(GramTracker(4, path=path), walk(9))
    files = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir() if entry.suffix != ".lock"}
    tracker.close()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert len(files) == 2
    GramTracker(4, path=path, overwrite=True).close()
    assert GramSequence.load(tmp_path / "run.npz.1").T == 9


def test_an_interrupted_training_that_is_still_alive_writes_nothing(tmp_path):
    path, kept = tmp_path / "run.npz", []

    def train(interrupt, **options):
        tracker = GramTracker(4, path=path, **options)
        kept.append(tracker)  # as a notebook's last traceback does
        record(tracker, walk(30)[: 12 if interrupt else None])
        if interrupt:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupt=True)
    train(interrupt=False, overwrite=True)
    interrupted, finished = kept
    with pytest.raises(ValueError, match="path is another tracker's now"):
        interrupted.update(walk(30)[12], step=12)
    interrupted._finish()  # what the end of the process does
    finished._finish()
    assert GramSequence.load(path).T == 30
    assert GramSequence.load(tmp_path / "run.npz.1").T == 11


def test_the_end_of_the_process_writes_only_what_is_owned(tmp_path):
    program = """
import sys, numpy as np
from spectral_edge.validate import GramTracker
thetas = np.cumsum(np.random.default_rng(0).normal(size=(31, 50)), axis=0)
first = GramTracker(4, path=sys.argv[1])
for step in range(12):
    first.update(thetas[step], step=step)
second = GramTracker(4, path=sys.argv[1], overwrite=True)
for step in range(31):
    second.update(thetas[step], step=step)
second.close()
"""
    path = tmp_path / "run.npz"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert GramSequence.load(path).T == 30
    assert GramSequence.load(tmp_path / "run.npz.1").T == 11
    assert sorted(tmp_path.glob("*.npz*")) == [path, tmp_path / "run.npz.1", tmp_path / "run.npz.1.journal"]


HOLDER = """
import sys, numpy as np
from spectral_edge.validate import GramTracker
tracker = GramTracker(4, path=sys.argv[1])
for step in range(4):
    tracker.update(np.arange(5.0) * step, step=step)
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_process_is_refused_by_name(tmp_path, options):
    path = tmp_path / "run.npz"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "ready\n"
        if not options:
            path.unlink()  # whether or not anything is there yet
        with pytest.raises(
            ValueError, match=rf"path is being recorded by process {holder.pid} on .* since 20"
        ):
            GramTracker(4, path=path, **options)
    finally:
        holder.communicate("\n")
    GramTracker(4, path=path, overwrite=True)  # it has ended: the path is free


def test_a_killed_process_does_not_lock_its_path(tmp_path):
    path = tmp_path / "run.npz"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    assert lock_path(path).exists()
    tracker = GramTracker(4, path=path, resume=True)
    assert tracker.step == 3
    tracker.close()
    assert not lock_path(path).exists()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_copy_does_not_record(tmp_path):
    tracker = record(GramTracker(4, path=tmp_path / "run.npz"), walk(6))

    def work(queue):
        try:
            tracker.update(walk(9)[9], step=9)
        except ValueError as error:
            queue.put(str(error))

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    assert "this is a forked copy" in queue.get(timeout=60)
    process.join()
    record(tracker, walk(9)[7:], first=7).close()
    assert GramSequence.load(tmp_path / "run.npz").T == 9


def test_a_foreign_file_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="path must be new"):
        GramTracker(4, path=path)
    with pytest.raises(ValueError, match="got a foreign or damaged file"):
        GramTracker(4, path=path, resume=True)
    GramTracker(4, path=path, overwrite=True)  # free again after the refusals
    assert (tmp_path / "run.npz.1").read_bytes() == b"something else"


# -- taken up from the file alone ------------------------------------------------------------------------


@pytest.mark.parametrize("T", [3, 12])  # a full K, a band
def test_a_run_is_taken_up_from_its_file_alone(tmp_path, T):
    path, thetas = tmp_path / "run.npz", walk(20)
    record(GramTracker(4, path=path, config={"seed": 1}), thetas[: T + 1]).close()
    second = GramTracker(4, path=path, resume=True, say=None)
    assert second.step == T
    record(second, thetas[T:], first=T).close()  # the last checkpoint was at the last record
    found, whole = GramSequence.load(path), GramSequence.from_parameters(thetas, W_max=4)
    np.testing.assert_array_equal(found.steps, whole.steps)
    np.testing.assert_array_equal(found.metrics["loss"], np.arange(1, 21))
    assert found.config == {"seed": 1, "resumed_at": [T]}
    for t in range(20):
        for lag in range(min(t, 4) + 1):
            across = t >= T > t - lag
            assert np.isnan(found.K[t, lag]) == across
            if not across:
                assert found.K[t, lag] == pytest.approx(whole.K[t, lag])


def test_windows_across_a_gap_have_no_spectrum(tmp_path):
    path, thetas = tmp_path / "run.npz", walk(30)
    record(GramTracker(6, path=path), thetas[:13]).close()
    record(GramTracker(6, path=path, resume=True, say=None), thetas[14:], first=14).close()
    run, whole = GramSequence.load(path), GramSequence.from_parameters(thetas, W_max=6)
    W = 4
    found, wanted = run.window(W), whole.window(W)
    # 12 updates, a gap in which the 13th and 14th are lost, 16 updates
    across = np.arange(28 - W + 1)
    across = (across < 12) & (across + W > 12)
    assert across.sum() == W - 1
    assert np.isnan(found.k_star[across]).all()
    rows = np.where(np.arange(28) < 12, np.arange(28), np.arange(28) + 2)[: len(across)]
    np.testing.assert_allclose(found.sigma[~across], wanted.sigma[rows[~across]])
    np.testing.assert_array_equal(found.k_star[~across], wanted.k_star[rows[~across]])
    assert np.isnan(found.delta.operator).sum() == W  # pairs of windows, one more
    assert np.isnan(found.overlaps).any(axis=(1, 2)).sum() == W
    assert np.isfinite(run.autocorrelation(3)).all()
    first, second = run.pieces()
    assert (first.T, second.T) == (12, 16)
    np.testing.assert_allclose(second.window(W).sigma, whole.window(W).sigma[14:])
    np.testing.assert_array_equal(second.metrics["loss"], np.arange(15, 31))
    assert whole.pieces() == [whole]


def test_a_gap_is_part_of_the_convention_and_a_hole_is_not():
    K = np.array([[2.0, np.nan, np.nan], [2.0, 1.0, np.nan], [2.0, np.nan, np.nan], [2.0, 1.0, np.nan]])
    assert theory.gram.stretch_starts(K).tolist() == [0, 0, 2, 2]
    assert len(GramSequence.from_inner_products(K).pieces()) == 2
    hole = K.copy()
    hole[3, 0] = np.nan
    with pytest.raises(ValueError, match="K must be finite"):
        GramSequence.from_inner_products(hole)
    negative = K.copy()
    negative[3, 1] = 3.0
    with pytest.raises(ValueError, match="K must be positive semi-definite"):
        GramSequence.from_inner_products(negative)


def test_a_training_that_goes_back_puts_aside_what_it_takes_again(tmp_path):
    path, thetas = tmp_path / "run.npz", walk(20)
    record(GramTracker(4, path=path), thetas[:16]).close()
    said = []
    second = GramTracker(4, path=path, resume=True, say=said.append)
    record(second, thetas[10:], first=10).close()  # from a checkpoint at step 10
    assert said[0] == "the training goes on at step 10: 5 records after that are put aside"
    found = GramSequence.load(path)
    np.testing.assert_array_equal(found.steps, np.arange(1, 21))
    assert GramSequence.load(tmp_path / "run.npz.1").T == 15


def test_a_training_from_the_beginning_does_not_go_on_with_another(tmp_path):
    path = tmp_path / "run.npz"
    record(GramTracker(4, path=path), walk(15)).close()
    second = GramTracker(4, path=path, resume=True)
    with pytest.raises(
        ValueError,
        match="step must go on from the recording that is resumed, got 0 where it has steps 1 to 15",
    ):
        second.update(walk(15)[0], step=0)
    second.close()
    assert GramSequence.load(path).T == 15


def test_resuming_where_nothing_is_begins(tmp_path):
    tracker = GramTracker(4, path=tmp_path / "run.npz", resume=True)
    assert tracker.step is None
    record(tracker, walk(5)).close()
    assert "resumed_at" not in GramSequence.load(tmp_path / "run.npz").config


def test_a_resumed_recording_keeps_its_band_and_says_what_changed(tmp_path):
    path = tmp_path / "run.npz"
    record(GramTracker(4, path=path, config={"learning_rate": 0.1, "seed": 3}), walk(15)).close()
    with pytest.raises(ValueError, match="W_max must be that of the recording that is resumed, 4, got 5"):
        GramTracker(5, path=path, resume=True)
    with pytest.warns(UserWarning, match="config of the resumed run is changed: learning_rate"):
        tracker = GramTracker(4, path=path, resume=True, config={"learning_rate": 0.2})
    assert tracker.config == {"learning_rate": 0.2, "seed": 3}
    with pytest.raises(ValueError, match="resume and overwrite exclude each other"):
        GramTracker(4, path=path, resume=True, overwrite=True)


def test_a_state_of_another_run_does_not_replace_a_recording(tmp_path):
    path = tmp_path / "run.npz"
    record(GramTracker(4, path=path), walk(15)).close()
    other = record(GramTracker(4), walk(5)).state_dict()
    with pytest.raises(ValueError, match=r"state must be of the run at .*run\.npz, got that of another"):
        GramTracker(4, path=path, resume=True).load_state_dict(other)
    assert GramSequence.load(path).T == 15


def test_a_state_without_the_ring_leaves_a_gap(tmp_path):
    thetas = walk(20)
    first = record(GramTracker(4), thetas[:11])
    state = first.state_dict(ring=False)
    assert state["store"] is None
    second = GramTracker(4, say=None)
    second.load_state_dict(state)
    found = record(second, thetas[10:], first=10).sequence()
    np.testing.assert_array_equal(found.steps, np.arange(1, 21))
    assert [piece.T for piece in found.pieces()] == [10, 10]


# -- what is measured later ------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [0.0, 1e9])
def test_what_is_measured_after_a_record_is_added_to_it(tmp_path, monkeypatch, patience):
    monkeypatch.setattr(recording, "PATIENCE", patience)
    path, thetas = tmp_path / "run.npz", walk(12)
    tracker = GramTracker(4, path=path)
    for step, theta in enumerate(thetas):
        tracker.update(theta, step=step)
        tracker.add_metrics(step, eval_loss=float(step))
        if step > 2:
            found = GramSequence.load(path)  # as after a kill
            np.testing.assert_array_equal(found.metrics["eval_loss"], np.arange(1, step + 1))
    tracker.close()
    np.testing.assert_array_equal(GramSequence.load(path).metrics["eval_loss"], np.arange(1, 13))


def test_what_is_measured_between_records_goes_to_the_next():
    tracker = GramTracker(4, every=10, say=None)
    for step in range(41):
        tracker.update(walk(40)[step], step=step)
        if step % 7 == 0 or step == 20:
            tracker.add_metrics(step, loss=float(step))
    # 7 before 10, 14 and at last 20 itself, 21 and 28 before 30, 35 before 40
    np.testing.assert_array_equal(tracker.sequence().metrics["loss"], [7, 20, 28, 35])
    tracker.add_metrics(3, loss=9.0)  # long past
    assert tracker.sequence().metrics["loss"][0] == 7


# -- which steps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "steps", "told"),
    [
        (range(1, 60, 10), [11, 21, 31, 41, 51], "calls are 10 steps apart, so each is recorded"),
        (range(0, 60, 10), [10, 20, 30, 40, 50], "calls are 10 steps apart, so each is recorded"),
        (range(0, 31), [10, 20, 30], "steps 10, 20, … are recorded"),
        (range(5, 36), [15, 25, 35], "steps 15, 25, … are recorded"),
        (range(0, 40, 4), [12, 24, 36], "steps 12, 24, … are recorded"),
        ([None] * 31, [10, 20, 30], "steps 10, 20, … are recorded"),
    ],
)
def test_every_tenth_step_whatever_the_first_is(calls, steps, told):
    said = []
    tracker, theta = GramTracker(4, every=10, say=said.append), np.zeros(20)
    for n, step in enumerate(calls):
        theta = theta + np.random.default_rng(n).normal(size=20)
        tracker.update(theta, step=step)
        if n == 1:
            assert said == [f"every=10 counts steps: {told}"]  # at once
    assert said == [f"every=10 counts steps: {told}"]
    np.testing.assert_array_equal(tracker.sequence().steps, steps)


# -- errors ----------------------------------------------------------------------------------------------


def update_thrice(tracker, theta):
    for step in (5, 6, 7):
        tracker.update(theta, step=step)


def test_an_error_can_be_a_warning(tmp_path):
    thetas = walk(9)
    tracker = record(GramTracker(4, on_error="warn"), thetas[:5])
    bad = thetas[5].copy()
    bad[7] = np.nan
    refused = r"recording failed, the training goes on: params must be finite, got NaN"
    with pytest.warns(UserWarning, match=refused) as told:
        update_thrice(tracker, bad)
    assert len(told) == 1
    assert tracker.sequence().T == 4
    with pytest.raises(ValueError, match="on_error must be one of raise, warn, got 'ignore'"):
        GramTracker(4, on_error="ignore")


class Disk:
    """One that is full from now on, until it is not; counts how often a whole file is tried."""

    def __init__(self, monkeypatch) -> None:
        self._patch, self.tried = monkeypatch, 0

    def fill(self) -> None:
        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        def whole(sequence, path, write=storage.write_sequence, **more):
            self.tried += 1
            return full() if "spectral-edge-" not in str(path) else write(sequence, path, **more)

        self._patch.setattr(Journal, "append", full)
        self._patch.setattr(storage, "write_sequence", whole)

    def empty(self) -> None:
        self._patch.undo()


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path, disk, monkeypatch):
    path = tmp_path / "run.npz"
    tracker = record(GramTracker(4, path=path, on_error="warn"), walk(9))
    disk.fill()
    with pytest.warns(
        UserWarning, match="recording failed, the training goes on: .*is kept in memory"
    ) as told:
        record(tracker, walk(20)[10:], first=10)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="No space left on device; the file is not up to date"):
        assert tracker.sequence().T == 20
    assert GramSequence.load(path).T == 9
    disk.empty()
    record(tracker, walk(21)[21:], first=21)
    tracker.close()
    np.testing.assert_allclose(
        GramSequence.load(path).K, GramSequence.from_parameters(walk(21), W_max=4).K, equal_nan=True
    )


def test_a_full_disk_is_not_tried_at_every_step(tmp_path, disk, monkeypatch):
    """A long run takes long to write: the training would crawl."""
    tracker = record(GramTracker(4, path=tmp_path / "run.npz", on_error="warn"), walk(9))
    disk.fill()
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    with pytest.warns(UserWarning, match="recording failed"):
        record(tracker, walk(200)[10:], first=10)
    assert disk.tried <= 2
    disk.empty()
    tracker.close()
    assert GramSequence.load(tmp_path / "run.npz").T == 200


def test_what_cannot_be_written_at_the_end_is_put_elsewhere(tmp_path, disk):
    tracker = record(GramTracker(4, path=tmp_path / "run.npz"), walk(9))
    disk.fill()
    with pytest.raises(OSError, match="No space left on device; what was recorded is kept in memory"):
        record(tracker, walk(10)[10:], first=10)
    with pytest.warns(UserWarning, match="No space left on device; the run is in .* instead") as told:
        tracker.close()
    disk.empty()
    place = re.search(r"in (\S+) instead", str(told[0].message))[1]
    assert GramSequence.load(place).T == 10
    shutil.rmtree(Path(place).parent)
    assert GramSequence.load(tmp_path / "run.npz").T == 9
    GramTracker(4, path=tmp_path / "run.npz", resume=True).close()  # it was given back


def test_a_log_that_fails_does_not_lose_the_record():
    def broken(values, step):
        raise RuntimeError("no network")

    tracker = GramTracker(4, log=broken, on_error="warn")
    with pytest.warns(UserWarning, match="this was not logged, the training goes on: no network") as told:
        record(tracker, walk(12))
    assert len(told) == 1
    assert tracker.sequence().T == 12
    strict = GramTracker(4, log=broken)
    with pytest.raises(RuntimeError, match="no network"):
        record(strict, walk(12))
    assert strict.sequence().T == 4  # that of the failed call too


def test_a_probe_that_fails_does_not_lose_the_record():
    def broken(direction):
        raise RuntimeError("out of memory")

    tracker = record(GramTracker(4), walk(6))
    with pytest.raises(RuntimeError, match="out of memory"):
        tracker.update(walk(7)[7], step=7, hessian=broken)
    record(tracker, walk(9)[8:], first=8)
    assert tracker.sequence().T == 9
    np.testing.assert_allclose(tracker.sequence().K, GramSequence.from_parameters(walk(9), W_max=4).K)


# -- what is recorded ------------------------------------------------------------------------------------


def test_names_that_wrappers_make_equal_are_an_error():
    w = np.ones(3)
    tracker = GramTracker(2)
    tracker.update({"enc.module.w": w, "enc.w": 2 * w}, step=0)
    for step in range(1, 4):
        tracker.update({"enc.module.w": w + step, "enc.w": 2 * w + step}, step=step)
    assert tracker.sequence().P == 6  # a layer may be called module
    for names in (("module.w", "w"), ("a._orig_mod.w", "a.w"), ("_fsdp_wrapped_module.w", "module.w")):
        message = f"params must have names that differ without wrappers, got '{names[0]}' and '{names[1]}'"
        with pytest.raises(ValueError, match=message):
            GramTracker(2).update(dict.fromkeys(names, w))


def test_known_buffers_of_a_state_dictionary_are_left_out_and_named():
    said, rng = [], np.random.default_rng(0)
    tracker, alone = GramTracker(3, say=said.append), GramTracker(3)
    theta, count = np.zeros(10), np.zeros((1, 1, 4, 4))
    for step in range(8):
        theta, count = theta + rng.normal(size=10), count + 5
        state = {"bn.weight": theta, "bn.running_mean": 100 * theta, "bn.num_batches_tracked": np.array(step)}
        state |= {"attn.bias": count, "attn.masked_bias": np.array(-np.inf), "rotary.inv_freq": theta}
        tracker.update(state, step=step)
        alone.update({"bn.weight": theta}, step=step)
    assert tracker.sequence().P == 10
    np.testing.assert_array_equal(tracker.sequence().K, alone.sequence().K)
    assert "left out: 4 buffers (bn.running_mean, attn.bias, attn.masked_bias, rotary.inv_freq)" in said[0]
    assert "1 not floating-point (bn.num_batches_tracked)" in said[0]


def test_parameters_that_are_empty_are_refused():
    with pytest.raises(
        ValueError, match=r"params must not be empty, got no entries in 2 tensors \(a, b\): ZeRO-3"
    ):
        GramTracker(2).update({"a": np.zeros(0), "b": np.zeros(0), "c": np.ones(3)})


@pytest.mark.parametrize("options", [{}, {"sketch": 4000}, {"store": "bfloat16"}])
def test_layer_by_layer_in_one_tracker(tmp_path, options):
    thetas, path = walk(12, 30), tmp_path / "run.npz"

    def layers(theta):
        return {
            "h.0.attn.w": theta[:7],
            "h.0.mlp.w": theta[7:15],
            "h.1.attn.w": theta[15:27],
            "head.w": theta[27:],
        }

    tracker = GramTracker(4, by="layer", path=path, **options)
    for step, theta in enumerate(thetas):
        tracker.update(layers(theta), step=step)
    tracker.close()
    run = GramSequence.load(path)
    parts = run.parts()
    assert {name: part.P for name, part in parts.items()} == {"h.0": 15, "h.1": 12, "head": 3}
    if "sketch" not in options:
        np.testing.assert_allclose(sum(part.K for part in parts.values()), run.K, atol=1e-12)
    for name, slice_ in (("h.0", slice(15)), ("h.1", slice(15, 27)), ("head", slice(27, 30))):
        wanted = GramSequence.from_parameters(thetas[:, slice_], W_max=4).K
        tolerance = {"sketch": 0.5, "store": 0.02}.get(next(iter(options), ""), 1e-12)
        np.testing.assert_allclose(parts[name].K, wanted, atol=tolerance * np.nanmax(wanted))
        assert parts[name].config["part"] == name
    kinds = GramTracker(4, by="kind")
    own = GramTracker(4, by=lambda name: name[-6:])
    for step, theta in enumerate(thetas[:4]):
        kinds.update(layers(theta), step=step)
        own.update(layers(theta), step=step)
    assert list(kinds.sequence().parts()) == ["h.*.attn.w", "h.*.mlp.w", "head.w"]
    assert list(own.sequence().parts()) == ["attn.w", ".mlp.w", "head.w"]
    with pytest.raises(ValueError, match="by must be 'layer', 'kind' or a function of the name, got 'block'"):
        GramTracker(4, by="block")


def test_the_size_is_said_before_training():
    tracker = GramTracker(10)
    assert tracker.describe(np.zeros(1000, np.float32)) == (
        "recording 1,000 parameters in 1 tensor (params); 12 vectors, 48 kB on cpu"
    )
    assert tracker.step is None  # and nothing else happens
    assert "12 sketches of 100 numbers, 9.6 kB on cpu" in GramTracker(10, sketch=100).describe(np.zeros(1000))


def test_too_little_memory_is_told_before_it_is_taken(monkeypatch):
    from spectral_edge.validate.gram.live import spoken

    monkeypatch.setattr(spoken, "free_memory", lambda device: 1000)
    with pytest.warns(UserWarning, match="recording needs 6 kB on cpu, where 1 kB are free: a smaller W_max"):
        GramTracker(4).update(np.zeros(125))


# -- rounding --------------------------------------------------------------------------------------------


def drift(T, dtype, speed):
    """A straight line: every window has rank 1."""
    start, direction = np.random.default_rng(0).normal(size=(2, 400))
    return [(start + t * speed * direction).astype(dtype) for t in range(T + 1)]


def test_singular_values_that_are_rounding_are_told():
    with pytest.warns(
        UserWarning, match=r"\d+ of the 6 singular values of the window at step 6 are no larger than"
    ):
        record(GramTracker(6), drift(12, np.float32, 1e-4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(GramTracker(6), walk(40).astype(np.float32))  # the control: updates in all directions


def test_the_rounding_of_live_parameters_is_known_afterwards(tmp_path):
    thetas, path = drift(20, np.float32, 1e-4), tmp_path / "run.npz"
    np.save(tmp_path / "stack.npy", thetas)
    with pytest.warns(UserWarning, match="singular values of the window"):
        record(GramTracker(5, path=path), thetas).close()
    live, stack = GramSequence.load(path).window(4), read_run(tmp_path / "stack.npy").whole.window(4)
    np.testing.assert_allclose(live.stored_floor, stack.stored_floor, rtol=0.1)
    (note,) = analyse(path, 4).notes
    assert "the gap ends at rounding" in note
    exact = record(GramTracker(5), walk(20)).sequence().window(4)  # the control
    assert exact.stored_floor.max() < 1e-6 * live.stored_floor.min()


def test_entries_that_never_move_have_no_rounding_live_either(tmp_path):
    """A tensor of large numbers, half of which stay: rounding is that of the others, live as from files."""
    rng = np.random.default_rng(0)
    start, walks = 100 * rng.normal(size=400), np.cumsum(rng.normal(size=(21, 200)), axis=0)
    thetas = np.tile(start, (21, 1))
    thetas[:, ::2] += 1e-3 * walks
    thetas = list(thetas.astype(np.float32))
    np.save(tmp_path / "stack.npy", thetas)
    live = record(GramTracker(5), thetas).sequence().probes["storage_rounding"]
    stack = read_run(tmp_path / "stack.npy").whole.probes["storage_rounding"]
    np.testing.assert_allclose(live, stack, rtol=0.01)
    all_of_them = record(GramTracker(5, sketch=40), thetas).sequence().probes["storage_rounding"]
    assert (all_of_them > 1.5 * live).all()  # the control: a sketch does not know which


def test_the_rounding_floor_is_the_error_of_rounding():
    from spectral_edge.validate.gram.live.latest import rounding_floor

    exact = np.random.default_rng(0).normal(size=200_000)
    for dtype in (np.float32, np.float16):
        stored = exact.astype(dtype)
        error = np.sum((stored.astype(np.float64) - exact) ** 2)
        assert rounding_floor(stored) == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize(
    ("params", "metrics", "said"),
    [
        (["a", "b"], {}, "params must be .*, got str as '0'"),
        ([("w", None)], {}, "params must be .*, got NoneType as 'w'"),
        (np.ones(3), {"loss": "low"}, "loss must be a number, like every metric, got 'low'"),
        (np.ones(3), {"loss": None}, "loss must be a number"),
        (np.ones(3), {"loss": [1.0, 2.0]}, "loss must be a number"),
    ],
)
def test_what_is_no_array_and_no_number_is_named(params, metrics, said) -> None:
    tracker = GramTracker(3, say=None)
    with pytest.raises(ValueError, match=said):
        tracker.update(params, step=0, **metrics)
    assert not tracker.started
