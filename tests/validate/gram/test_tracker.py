"""The live tracker on numpy and the array API: the same K as offline, nothing lost, nothing accepted twice."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge.validate import GramSequence, GramTracker
from spectral_edge.validate.gram.live import recording, rings, sketch
from spectral_edge.validate.gram.live.journal import journal_path


def walk(T: int, P: int, seed: int = 0, dtype=np.float64) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(T + 1, P)), axis=0).astype(dtype)


def tracked(thetas, W_max=4, shape=lambda theta: theta, **options) -> GramTracker:
    tracker = GramTracker(W_max, **options)
    for step, theta in enumerate(thetas):
        tracker.update(shape(theta), step=step, loss=float(step))
    return tracker


# -- the same as offline ---------------------------------------------------------------------------------


@given(
    T=st.integers(2, 12), W_max=st.integers(2, 9), dtype=st.sampled_from([np.float64, np.float32, np.float16])
)
def test_tracker_gives_the_offline_sequence(T, W_max, dtype):
    thetas = walk(T, 30, dtype=dtype)
    live = tracked(thetas, W_max).sequence()
    offline = GramSequence.from_parameters(thetas, W_max=W_max)
    np.testing.assert_allclose(live.K, offline.K, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(live.steps, offline.steps)
    np.testing.assert_array_equal(live.metrics["loss"], np.arange(1, T + 1))
    assert live.P == 30


def pieces(theta):
    return {
        "module.a": theta[:7].reshape(7, 1),
        "b": {"w": theta[7:20], "v": theta[20:]},
        "count": np.arange(3),
    }


@pytest.mark.parametrize("shape", [pieces, lambda t: [t[:3], t[3:]], lambda t: [("x", t[:9]), ("y", t[9:])]])
def test_parameters_may_come_in_pieces(shape):
    thetas = walk(8, 30)
    whole, split = tracked(thetas).sequence(), tracked(thetas, shape=shape).sequence()
    np.testing.assert_allclose(split.K, whole.K, rtol=1e-12)
    assert split.P == 30


def test_select_and_tied_weights():
    thetas = walk(8, 30)

    def tied(theta):
        return {"enc.attn.w": theta[:10], "dec.attn.w": theta[:10], "mlp.w": theta[10:]}

    assert tracked(thetas, shape=tied).sequence().P == 30
    attention = tracked(thetas, shape=tied, select="*attn*").sequence()
    assert attention.P == 10
    np.testing.assert_allclose(attention.K, GramSequence.from_parameters(thetas[:, :10], W_max=4).K)
    with pytest.raises(ValueError, match="select must match a parameter, got none of"):
        tracked(thetas, shape=tied, select=["*conv*"])


def test_every_records_every_so_often():
    thetas = walk(40, 20)
    every = tracked(thetas, every=10).sequence()
    np.testing.assert_array_equal(every.steps, [10, 20, 30, 40])
    np.testing.assert_allclose(every.K, GramSequence.from_parameters(thetas[::10]).K)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bfloat16_ring_is_the_gram_matrix_of_rounded_updates(dtype):
    thetas = walk(9, 500, dtype=dtype)
    found = tracked(thetas, W_max=9, store="bfloat16").sequence()
    rounded = np.diff(thetas, axis=0).astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(found.K, rounded @ rounded.T, rtol=1e-9, atol=1e-9)


def test_bfloat16_parameters():
    thetas = walk(9, 500).astype(ml_dtypes.bfloat16)
    exact = np.diff(thetas.astype(np.float64), axis=0)
    np.testing.assert_allclose(tracked(thetas, W_max=9).sequence().K, exact @ exact.T, rtol=1e-6, atol=1e-4)


def test_a_large_tensor_is_split_over_threads(monkeypatch):
    thetas = walk(4, (1 << 21) + 77, dtype=np.float32)
    exact = np.diff(thetas, axis=0).astype(np.float64)
    np.testing.assert_allclose(tracked(thetas).sequence().K, exact @ exact.T, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("store", [None, "float32"])
def test_the_array_api_path_is_the_host_path(store):
    thetas = walk(8, 60)
    live = rings.HostRing(thetas[0], 4, store)
    device = rings.DeviceRing(array_api_strict.asarray(thetas[0].reshape(6, 10)), 4, store)
    for t, theta in enumerate(thetas[1:]):
        there = array_api_strict.asarray(theta.reshape(6, 10))
        here, other = live.advance(theta, t % 4), device.advance(there, t % 4)
        np.testing.assert_allclose([float(x) for x in other], here, rtol=1e-6)
        np.testing.assert_allclose([float(x) for x in device.inner(there)], live.inner(theta), rtol=1e-6)
        np.testing.assert_array_equal(device.moved(7), live.moved(7))
    assert device.finite()
    assert device.direction(2).shape == (6, 10)
    again = rings.DeviceRing(array_api_strict.asarray(thetas[0].reshape(6, 10)), 4, store)
    again.load(device.state())
    np.testing.assert_array_equal(np.asarray(again.inner(there)), np.asarray(device.inner(there)))
    device.advance(array_api_strict.asarray(np.full((6, 10), np.nan)), 0)
    assert not device.finite()


def test_arrays_of_another_library_on_the_host():
    thetas = walk(6, 20)
    found = tracked(thetas, shape=array_api_strict.asarray).sequence()
    np.testing.assert_array_equal(found.K, tracked(thetas).sequence().K)


# -- probes ----------------------------------------------------------------------------------------------


def test_probes_are_inner_products_with_the_updates():
    thetas, gradients = walk(9, 25), np.random.default_rng(1).normal(size=(10, 25))
    tracker = GramTracker(4, probe_parameters=True)
    for step, theta in enumerate(thetas):
        tracker.update({"w": theta}, step=step, probes={"gradient": {"w": gradients[step]}})
    sequence, updates = tracker.sequence(), np.diff(thetas, axis=0)
    for t in range(9):
        for lag in range(min(t, 4) + 1):
            assert sequence.probes["gradient"][t, lag] == pytest.approx(gradients[t + 1] @ updates[t - lag])
            assert sequence.probes["parameters"][t, lag] == pytest.approx(thetas[t + 1] @ updates[t - lag])
    assert np.isnan(sequence.probes["gradient"][0, 1:]).all()
    spectra = sequence.window(4)
    for i in range(len(spectra.steps)):
        _, _, directions = np.linalg.svd(updates[i : i + 4], full_matrices=False)
        np.testing.assert_allclose(
            np.abs(spectra.project("gradient")[i]), np.abs(directions @ gradients[i + 4]), rtol=1e-6
        )
    with pytest.raises(
        ValueError, match=r"probe must be one of (gradient|parameters), (gradient|parameters), got 'hessian'"
    ):
        spectra.curvature()


@pytest.mark.parametrize("store", [None, "bfloat16"])
def test_window_hessian(store):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(25, 25))
    H = A + A.T
    thetas = walk(9, 25)
    tracker = GramTracker(4, store=store)
    for step, theta in enumerate(thetas):
        tracker.update({"w": theta}, step=step, hessian=(lambda v: {"w": H @ v["w"]}) if step != 6 else None)
    sequence = tracker.sequence()
    M = sequence.probes["hessian"]
    assert np.isnan(M[5]).all()
    curvature = sequence.window(4).curvature()
    updates = np.diff(thetas, axis=0)
    if store == "bfloat16":
        updates = updates.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)
    for i in range(6):
        _, _, v = np.linalg.svd(updates[i : i + 4], full_matrices=False)
        wanted = np.full(4, np.nan) if i == 2 else np.einsum("ja,ab,jb->j", v, H, v)
        np.testing.assert_allclose(curvature[i], wanted, rtol=1e-6, atol=1e-8)


def test_probes_must_have_the_names_of_the_parameters():
    tracker = tracked(walk(4, 10), shape=lambda t: {"w": t})
    with pytest.raises(ValueError, match=r"probes\['g'\] must have the names of params|select must match"):
        tracker.update({"w": np.ones(10)}, step=9, probes={"g": {"v": np.ones(10)}})
    assert tracker.sequence().T == 4


# -- sketches --------------------------------------------------------------------------------------------


def planted(T, P, gap, seed=3):
    rng = np.random.default_rng(seed)
    strengths = np.array([gap, gap, 1.0, 1.0, 1.0])
    return np.cumsum(
        (rng.normal(size=(T + 1, 5)) * strengths) @ np.linalg.qr(rng.normal(size=(P, 5)))[0].T, axis=0
    )


def test_a_sketch_estimates_K_without_bias():
    thetas, d = planted(5, 2000, 3.0), 64
    exact = tracked(thetas, W_max=5).sequence().K
    draws = np.array([tracked(thetas, W_max=5, sketch=d, seed=seed).sequence().K for seed in range(200)])
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    # 200 draws of standard deviation at most sqrt(2/d): five standard errors of the mean
    assert (np.abs(draws.mean(axis=0) - exact) / scale).max() < 5 * np.sqrt(2 / d / 200)
    assert (draws.std(axis=0) / scale).max() < 1.3 * np.sqrt(2 / d)
    assert (draws.std(axis=0) / scale).max() > 0.2 * np.sqrt(2 / d)  # the control: it is an estimate


def test_the_error_of_a_sketch_is_measured():
    thetas, d = planted(60, 3000, 3.0), 100
    exact = tracked(thetas, W_max=5).sequence().window(5)
    assert (exact.ratio_error == 0).all()
    true, reported = [], []
    for seed in range(20):
        spectra = tracked(thetas, W_max=5, sketch=d, seed=seed).sequence().window(5)
        at = np.where(np.isnan(spectra.k_star), 1, spectra.k_star).astype(int)[:, None] - 1
        reference = np.take_along_axis(exact.ratios, at, axis=1)[:, 0]
        true.append(np.log(spectra.ratio / reference))
        reported.append(spectra.ratio_error)
    true, reported = np.sqrt(np.mean(np.square(true))), np.sqrt(np.mean(np.square(reported)))
    assert 0.5 < reported / true < 2  # R is at an arg max, which favours large errors
    assert 0.3 / np.sqrt(d) < true < 5 / np.sqrt(d)


def test_a_sketch_keeps_no_parameters():
    tracker = tracked(walk(6, 100_000, dtype=np.float32), sketch=50)
    kept = json.dumps(tracker.state_dict()["store"])
    assert len(kept) < 50 * 30 * 7


def test_a_sketch_is_decided_by_its_seed():
    thetas = walk(6, 400)
    one, same, other = (tracked(thetas, sketch=40, seed=s).sequence().K for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, equal_nan=True)


def test_the_same_projection_in_pieces():
    values, whole, split = np.random.default_rng(0).normal(size=999), np.zeros(20), np.zeros(20)
    sketch.project(values, whole, 7, 0)
    sketch.project(values[:400], split, 7, 0)
    sketch.project(values[400:], split, 7, 400)
    np.testing.assert_allclose(split, whole, atol=1e-12)


# -- resuming --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"store": "bfloat16"}, {"sketch": 40}, {"probe_parameters": True}])
@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, options, at):
    thetas = walk(12, 50)
    whole = tracked(thetas, **options).sequence()
    first = tracked(thetas[:at], path=tmp_path / "run.npz", **options)
    state = first.state_dict()
    for step in (at, at + 1):  # goes on after the checkpoint, then dies
        first.update(thetas[step] + 1, step=step)
    second = GramTracker(4, path=tmp_path / "run.npz", resume=True, **options)
    second.load_state_dict(state)
    for step in range(at, 13):
        second.update(thetas[step], step=step, loss=float(step))
    resumed = second.sequence()
    np.testing.assert_array_equal(resumed.K, whole.K)
    np.testing.assert_array_equal(resumed.steps, whole.steps)
    np.testing.assert_array_equal(GramSequence.load(tmp_path / "run.npz").K, whole.K)
    assert resumed.probes.keys() == whole.probes.keys()


def test_a_state_of_another_tracker_is_refused():
    state = tracked(walk(5, 10)).state_dict()
    with pytest.raises(ValueError, match=r"state must be of a tracker with .*'W_max': 5.* got .*'W_max': 4"):
        GramTracker(5).load_state_dict(state)
    with pytest.raises(ValueError, match="state must be of format 2, got None"):
        GramTracker(5).load_state_dict({})
    resumed = GramTracker(4)
    resumed.load_state_dict(state)
    with pytest.raises(ValueError, match="params must keep their shape"):
        resumed.update(np.ones(11), step=6)


# -- bad input in mid-run --------------------------------------------------------------------------------


def test_what_changes_in_mid_run_is_named():
    thetas = walk(4, 10)

    def changed(params, message):
        tracker = tracked(thetas, shape=lambda t: {"a": t[:5], "b": t[5:]})
        with pytest.raises(ValueError, match=message):
            tracker.update(params, step=9)
        tracker.update({"a": thetas[0, :5], "b": thetas[0, 5:]}, step=10)  # a refused record leaves no trace
        assert tracker.sequence().T == 5

    def ones(n=5, dtype=np.float64):
        return np.ones(n, dtype)

    keep = "params must keep their"
    changed({"a": ones(), "b": ones(), "c": ones()}, f"{keep} tensors, got c more and nothing less at step 9")
    changed({"a": ones()}, f"{keep} tensors, got nothing more and b less at step 9")
    changed({"a": ones(), "b": ones(6)}, keep + r" shape, \(5,\) of 'b', got \(6,\) at step 9")
    changed({"a": ones(), "b": ones(5, np.float32)}, f"{keep} dtype, float64 of 'b', got float32 at step 9")


def test_parameters_must_be_floating():
    with pytest.raises(ValueError, match="params must be floating-point arrays, got int64"):
        GramTracker(4).update(np.arange(5))


def test_a_nan_is_named_with_its_tensor_and_ends_the_recording():
    thetas = walk(4, 10)
    tracker = tracked(thetas, shape=lambda t: {"a": t[:5], "b": t[5:]})
    for step in (7, 8):
        with pytest.raises(ValueError, match="params must be finite, got NaN or infinity in 'b' at step 7"):
            tracker.update({"a": np.ones(5), "b": np.full(5, np.nan)}, step=step)
    assert tracker.sequence().T == 4


def test_config_is_checked_before_training(tmp_path):
    with pytest.raises(ValueError, match="config must hold JSON values only"):
        GramTracker(4, path=tmp_path / "run.npz", config={"when": object()})


# -- logging ---------------------------------------------------------------------------------------------


def test_log_receives_plain_floats():
    received = []
    thetas = walk(12, 50)
    tracker = GramTracker(6, eta=1e-2, log=lambda values, step: received.append((step, values)), log_window=4)
    for step, theta in enumerate(thetas):
        tracker.update(theta, step=step)
    spectra = tracker.sequence().window(4)
    assert [step for step, _ in received] == list(spectra.steps)
    assert all(type(value) is float for _, values in received for value in values.values())
    for name in ("k_star", "ratio", "gap"):
        np.testing.assert_allclose([values[name] for _, values in received], getattr(spectra, name))
    np.testing.assert_allclose([values["adiabatic"] for _, values in received[1:]], spectra.adiabatic(1e-2))


# -- on disk ---------------------------------------------------------------------------------------------


def test_the_file_is_up_to_date_after_every_record(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)  # after the first time everything goes to the journal
    path, thetas = tmp_path / "run.npz", walk(12, 50)
    tracker = GramTracker(4, path=path, config={"seed": 1}, probe_parameters=True)
    for step, theta in enumerate(thetas):
        tracker.update(theta, step=step, loss=1.0 / (step + 1))
        if step >= 2:
            found = GramSequence.load(path)
            assert step == found.T
            wanted = tracker._recording.sequence()
            np.testing.assert_array_equal(found.K, wanted.K)
            np.testing.assert_array_equal(
                found.metrics["loss"], tracker._recording.sequence().metrics["loss"]
            )
            np.testing.assert_array_equal(found.probes["parameters"], wanted.probes["parameters"])
            assert found.config == {"seed": 1}
    assert journal_path(path).exists()
    tracker.sequence()
    assert not journal_path(path).exists()
    assert GramSequence.load(path).T == 12


def test_a_journal_cut_short_loses_only_its_last_line(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    path, thetas = tmp_path / "run.npz", walk(12, 50)
    tracker = tracked(thetas, path=path)
    whole = journal_path(path).read_bytes()
    for cut in (2, 20, 200):
        journal_path(path).write_bytes(whole[:-cut])
        assert 9 <= GramSequence.load(path).T <= 11, cut
    journal_path(path).write_bytes(whole[:-1] + b"\x00\xff garbage")
    assert GramSequence.load(path).T in (11, 12)
    journal_path(path).write_bytes(b"nonsense")
    assert GramSequence.load(path).T == 2
    del tracker


@pytest.mark.parametrize("written", [True, False])
def test_records_that_move_while_they_are_read_are_not_lost(tmp_path, monkeypatch, written):
    from spectral_edge.validate.gram import sequence

    thetas = np.random.default_rng(0).normal(size=(12, 30))
    path, read = tmp_path / "run.npz", sequence.continued
    monkeypatch.setattr(recording, "PATIENCE", 1e9)  # after the first time everything goes to the journal
    tracker = GramTracker(4, path=path)
    for theta in thetas[: 9 if written else 2]:
        tracker.update(theta)
    assert path.exists() == written

    def late(*arguments):
        """The journal, read after a tracker elsewhere has emptied it into the file."""
        monkeypatch.setattr(sequence, "continued", read)
        for theta in thetas[9:11] if written else thetas[2:5]:
            tracker.update(theta)
        tracker.close()
        return read(*arguments)

    monkeypatch.setattr(sequence, "continued", late)
    found = GramSequence.load(path)
    wanted = 10 if written else 4
    assert len(found.steps) == wanted


def test_a_journal_of_another_run_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    path = tmp_path / "run.npz"
    tracker = tracked(walk(12, 50), path=path)
    foreign = journal_path(path).read_bytes()
    tracker.sequence()
    tracked(walk(5, 50), path=path, overwrite=True).sequence()
    journal_path(path).write_bytes(foreign)
    assert GramSequence.load(path).T == 5


def test_a_full_disk_leaves_the_records_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    path, thetas = tmp_path / "run.npz", walk(12, 50)
    tracker = GramTracker(4, path=path)
    from spectral_edge.validate.gram.live import journal

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, line):
            self.file.write(line[:5])
            raise OSError(28, "No space left on device")

    for step, theta in enumerate(thetas):
        if step == 6:
            tracker._recording._journal._file = Full(tracker._recording._journal._file)
            with pytest.raises(
                OSError, match=r"path must be writable, got .*run\.npz\.journal \(No space left"
            ):
                tracker.update(theta, step=step)
            assert GramSequence.load(path).T == 5
            continue
        tracker.update(theta, step=step)
    assert journal.read_journal(path) is None or GramSequence.load(path).T == 12
    assert GramSequence.load(path).T == 12
    np.testing.assert_allclose(GramSequence.load(path).K, GramSequence.from_parameters(thetas, W_max=4).K)


TRAINING = """
import sys, numpy as np
from spectral_edge.validate import GramTracker
from spectral_edge.validate.gram.live import recording
recording.PATIENCE = float(sys.argv[2])
rng, theta = np.random.default_rng(0), np.zeros(200)
tracker = GramTracker(4, path=sys.argv[1])
tracker.update(theta, step=0)
for step in range(1, 1_000_000):
    theta = theta + rng.normal(size=200)
    tracker.update(theta, step=step, loss=float(step))
    print(step, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("patience", [0.0, 5.0, 1e9])
@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(tmp_path, patience):
    rng, thetas = np.random.default_rng(0), [np.zeros(200)]
    for _ in range(10_000):
        thetas.append(thetas[-1] + rng.normal(size=200))
    for attempt in range(2):
        path = tmp_path / f"run{attempt}.npz"
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(path), str(patience)], stdout=subprocess.PIPE, text=True
        )
        early = [process.stdout.readline() for _ in range(3)]
        time.sleep(0.05 + 0.11 * attempt)
        process.send_signal(signal.SIGKILL)
        told = int([*early, *process.stdout.read().split()][-1])
        process.wait()
        process.stdout.close()
        found = GramSequence.load(path)
        assert told <= found.T <= told + 1
        wanted = GramSequence.from_parameters(np.array(thetas[: found.T + 1]), W_max=4)
        np.testing.assert_allclose(found.K, wanted.K, rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(found.steps, wanted.steps)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_does_not_touch_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 1e9)
    tracker = tracked(walk(12, 50), path=tmp_path / "run.npz")
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    process = multiprocessing.get_context("fork").Process(target=tracker._finish)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert len(before) == 3  # with the lock


@pytest.mark.slow
def test_a_long_run_is_checked_in_parts(tmp_path):
    band = np.zeros((9_000, 33))
    band[:, 0] = 1
    sequence = GramSequence.from_inner_products(band)
    assert sequence.T == 9_000
    band[8_000, 1] = 2
    with pytest.raises(ValueError, match="K must be positive semi-definite"):
        GramSequence.from_inner_products(band)


def test_the_file_is_whole_when_the_process_ends_without_a_word(tmp_path):
    program = TRAINING.replace("1_000_000", "30")
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run.npz"), "1e9"], check=True, capture_output=True
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]
    assert GramSequence.load(tmp_path / "run.npz").T == 29
