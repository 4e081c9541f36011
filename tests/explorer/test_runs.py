"""What the runs tab shows: the library's numbers, read again when the file has changed."""

from pathlib import Path

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.explorer import runs
from spectral_edge.validate.runs.bundle import bundled_folder


def walk(n: int, P: int = 60) -> validate.GramSequence:
    thetas = np.cumsum(np.random.default_rng(3).normal(size=(n + 1, P)), axis=0)
    return validate.GramSequence.from_parameters(thetas, steps=np.arange(n + 1) * 10, W_max=16)


def test_the_bundled_runs_are_there_without_a_path() -> None:
    found = runs.sources([])
    folders = (bundled_folder(), bundled_folder() / "all", bundled_folder() / "dense")
    assert len(found) == sum(len(list(folder.glob("*.npz"))) for folder in folders)
    assert len({source.name for source in found}) == len(found)


def test_a_view_has_what_the_library_computes() -> None:
    source = next(one for one in runs.sources([]) if one.name == "single-a+b-wd1-seed42")
    view = source.view(8)
    sequence = source.read()
    windows = sequence.window(8)
    np.testing.assert_array_equal(view.windows.ratio, windows.ratio)
    np.testing.assert_array_equal(view.alpha, windows.alpha())
    np.testing.assert_array_equal(view.adiabatic, windows.adiabatic(sequence.config["learning_rate"]))
    assert {curve.name for curve in view.losses} >= {"train_loss", "test_loss"}
    assert view.level.shape == windows.steps.shape
    assert source.view(8) is view


def test_a_forecast_is_what_the_library_says() -> None:
    source = next(one for one in runs.sources([]) if one.name == "dense-mlp-adamw-seed100")
    run = source.read()
    found, library = runs.foreseen(run, 10, 750), validate.forecast(run, step=750)
    assert found.told == str(library)
    assert found.steps[0] == library.step
    np.testing.assert_array_equal(found.sigma, library.ahead[: len(found.steps)])
    none = runs.foreseen(walk(12), 10, 120)
    assert none.told.startswith("No forecast")
    assert not len(none.steps)


def test_noise_is_seldom_above_the_level_of_noise() -> None:
    view = runs.view(walk(150, P=2000), 8)
    seen = np.isfinite(view.level)
    assert seen.mean() > 0.9
    assert np.mean(view.windows.ratio[seen] > view.level[seen]) < 0.15


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    walk(30).save(path)
    source = runs.Source(path)
    assert source.changed()
    assert source.read().T == 30
    assert not source.changed()
    walk(45).save(path)
    assert source.changed()
    assert source.view(5).windows.steps[-1] == 450


def test_a_recording_of_which_there_is_a_journal_only(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    tracker = validate.GramTracker(8, path=path)
    for step, theta in enumerate(np.cumsum(np.random.default_rng(0).normal(size=(20, 50)), axis=0)):
        tracker.update(theta, step=step)
    source = runs.Source(path)
    assert source.growing
    assert source.read().T == 19
    tracker.close()
    assert not source.growing


def test_layers_of_a_run(tmp_path: Path) -> None:
    path, rng = tmp_path / "run.npz", np.random.default_rng(0)
    tracker = validate.GramTracker(8, path=path, by="layer")
    params = {name: rng.normal(size=(4, 5)) for name in ("layers.0.weight", "layers.1.weight")}
    for step in range(20):
        params = {name: value + 0.1 * rng.normal(size=value.shape) for name, value in params.items()}
        tracker.update(params, step=step)
    tracker.close()
    source = runs.Source(path)
    assert source.parts() == [runs.WHOLE, "layers.0", "layers.1"]
    one = source.view(5, "layers.1")
    np.testing.assert_array_equal(one.windows.sigma, source.read().parts()["layers.1"].window(5).sigma)


def test_a_stack_of_parameters_and_checkpoints_can_be_looked_at(tmp_path: Path) -> None:
    thetas = np.cumsum(np.random.default_rng(1).normal(size=(25, 40)), axis=0)
    np.save(tmp_path / "stack.npy", thetas)
    assert runs.Source(tmp_path / "stack.npy").view(5).windows.W == 5


def test_a_run_shorter_than_a_window_says_so() -> None:
    with pytest.raises(ValueError, match=r"W must be below the 5 updates recorded so far, got 8"):
        runs.view(walk(5), 8)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PATH must exist"):
        runs.sources([tmp_path / "nothing.npz"])
