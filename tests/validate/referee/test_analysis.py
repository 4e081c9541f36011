"""What is said of one run: whether its gap is more than noise, in which groups, and what a user should know."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from spectral_edge import simulate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files.metrics import read_metrics
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.analysis import ALPHA, QUANTILE, above_noise, analyse


def walk(n: int = 15, P: int = 400, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, P)), axis=0)


def write(folder: Path, thetas: np.ndarray, steps=None, names=("layers.0.w", "layers.1.w")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for step, theta in zip(range(len(thetas)) if steps is None else steps, thetas, strict=True):
        parts = np.array_split(theta.astype(np.float32), len(names))
        save_file(dict(zip(names, parts, strict=True)), folder / f"step{step}.safetensors")
    return folder


# -- noise ------------------------------------------------------------------------------------------------


def test_a_random_walk_is_called_one() -> None:
    found = [above_noise(GramSequence.from_parameters(walk(seed=seed)), W=4, seed=seed) for seed in range(20)]
    assert (
        sum(one.is_noise for one in found) >= 18
    )  # at ALPHA = 5 %, three of twenty would be one in thirteen
    assert np.mean([one.share for one in found]) < 0.1
    assert "a random walk gives this too" in str(found[int(np.argmax([one.p_value for one in found]))])


def test_momentum_alone_is_noise_of_that_correlation() -> None:
    K = simulate.noise(120, P=1e5, autocorrelation=0.9, W_max=40, seed=3).K
    run = GramSequence.from_inner_products(K)
    assert np.median(run.window(10).ratio) > 2  # and yet
    assert above_noise(run, W=10).is_noise


def test_what_is_planted_is_more_than_noise() -> None:
    world = simulate.planted("gap-above-noise", 1)
    run = GramSequence.from_inner_products(world.K, world.steps, world.P)
    found = above_noise(run, W=10)
    assert not found.is_noise
    assert found.share > 0.5
    assert found.p_value <= ALPHA
    assert "more than a random walk gives" in str(found)
    control = simulate.planted("gap-above-noise", 1, control=True)
    assert (
        above_noise(GramSequence.from_inner_products(control.K, control.steps, control.P), W=10).share < 0.5
    )


def test_the_level_is_the_quantile_of_noise_like_the_run() -> None:
    run = GramSequence.from_parameters(walk(n=40), W_max=20)
    found = above_noise(run, W=5, draws=50, seed=9)
    ratios = worlds.noise_ratios(run, 100, 9, 5)  # half for the level, half to compare with
    np.testing.assert_array_equal(found.level, np.quantile(ratios[:50], QUANTILE, axis=0))
    assert found.share == np.mean(run.window(5).ratio > found.level)
    again = above_noise(run, W=5, draws=50, seed=9)
    np.testing.assert_array_equal(found.level, again.level)


def test_windows_across_a_gap_have_no_level() -> None:
    K = GramSequence.from_parameters(walk(n=41)).K.copy()
    K[:25, 25:] = K[25:, :25] = np.nan
    found = above_noise(GramSequence.from_inner_products(K), W=5)
    undefined = np.isnan(found.level)
    assert undefined[21:25].all()
    assert undefined.sum() == 4
    assert found.is_noise


def test_a_run_without_any_gap_says_so() -> None:
    direction = np.random.default_rng(0).normal(size=50)
    found = above_noise(GramSequence.from_parameters(np.arange(20.0)[:, None] * direction), W=5)
    assert str(found) == "no window has a gap to compare with noise"
    assert found.is_noise


# -- the whole of it --------------------------------------------------------------------------------------


def test_groups_are_what_selecting_them_gives(tmp_path: Path) -> None:
    write(tmp_path, walk())
    found = analyse(tmp_path, 4, by="layer")
    assert list(found.groups) == ["layers.0", "layers.1"]
    for name, part in found.groups.items():
        alone = analyse(tmp_path, 4, select=f"{name}.*")
        np.testing.assert_array_equal(part.windows.sigma, alone.windows.sigma)
        np.testing.assert_array_equal(part.noise.level, alone.noise.level)
    both = sum(part.windows.K[:, 0] for part in found.groups.values())
    np.testing.assert_allclose(both, found.windows.K[:, 0], rtol=1e-12)


def test_the_band_is_kept_and_not_all_of_K(tmp_path: Path) -> None:
    found = analyse(write(tmp_path, walk(n=301, P=40)), 4)
    assert found.sequence.K.shape == (300, 17)


def test_uneven_steps_are_remarked_on(tmp_path: Path) -> None:
    steps = [0, *(2**i for i in range(10)), 1000]
    (note,) = analyse(write(tmp_path / "uneven", walk(12), steps), 5).notes
    assert note.startswith(
        "steps are uneven: 7 of 7 windows mix updates over fewer and more steps, at worst over 1 and over 1"
    )
    assert not analyse(write(tmp_path / "even", walk(12), 100 * np.arange(12)), 5).notes
    last = [*range(0, 1100, 100), 1150]  # one checkpoint more at the end
    assert not analyse(write(tmp_path / "last", walk(12), last), 5).notes


def test_copies_are_named_by_step_and_dropped_on_request(tmp_path: Path) -> None:
    thetas = walk()
    thetas[7] = thetas[6]
    write(tmp_path, thetas, 10 * np.arange(15))
    found = analyse(tmp_path, 4)
    assert found.copies == {70: 60}
    assert "copies of earlier checkpoints: step 70 of 60; --drop-copies" in found.notes[0]
    without = analyse(tmp_path, 4, drop_copies=True)
    assert not without.copies
    np.testing.assert_array_equal(without.sequence.steps, np.delete(10 * np.arange(1, 15), 6))


def test_snapshots_that_are_all_equal_are_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "still.npy", np.ones((12, 30)))
    with pytest.raises(ValueError, match="path must hold snapshots that differ, got 12 equal ones"):
        analyse(tmp_path / "still.npy", 4)


def test_gaps_to_rounding_are_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start, drift = rng.normal(size=(2, 400))
    thetas = start + 1e-4 * np.arange(15)[:, None] * drift
    for dtype in (np.float16, np.float32, np.float64):
        np.save(tmp_path / f"{np.dtype(dtype)}.npy", thetas.astype(dtype))
    (note,) = analyse(tmp_path / "float32.npy", 4).notes
    assert note.startswith("in 11 of 11 windows the gap ends at rounding: σ below")
    (note,) = analyse(tmp_path / "float16.npy", 4).notes
    assert note.startswith(("every singular value is rounding", "in 11 of 11 windows"))
    assert not analyse(tmp_path / "float64.npy", 4).notes
    np.save(tmp_path / "walk.npy", walk().astype(np.float32))
    assert not analyse(tmp_path / "walk.npy", 4).notes


# -- metrics ----------------------------------------------------------------------------------------------


LOGGED = [(0, 9.0), (5, 8.0), (9, 7.0), (20, 6.0), (21, 5.5), (29, 5.0), (31, 4.0), (77, 1.0)]


def log(path: Path, form: str) -> Path:
    rows = [{"step": step, "val_loss": value, "note": "text"} for step, value in LOGGED]
    if form == "csv":
        lines = ["step,val_loss,note,empty", *(f"{r['step']},{r['val_loss']},text," for r in rows)]
        (path := path / "metrics.csv").write_text("\n".join(lines))
    elif form == "jsonl":
        (path := path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        (path := path / "trainer_state.json").write_text(json.dumps({"global_step": 30, "log_history": rows}))
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl", "trainer_state"])
def test_what_was_logged_last_before_each_checkpoint(tmp_path: Path, form: str) -> None:
    found = read_metrics(log(tmp_path, form), [0, 10, 20, 30, 40, 50])
    assert list(found) == ["val_loss"]
    np.testing.assert_array_equal(found["val_loss"], [7.0, 6.0, 5.0, 4.0, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "a column step, got a, b"),
        ("", "a column step, got none"),
        ("step,x\n900,1\n", "for the steps 0 … 50, got none"),
    ],
)
def test_logs_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_metrics(tmp_path / "m.csv", [0, 10, 50])
    (tmp_path / "trainer_state.json").write_text("{")
    with pytest.raises(ValueError, match="damaged file"):
        read_metrics(tmp_path / "trainer_state.json", [0, 10, 50])


def test_metrics_are_found_beside_and_kept(tmp_path: Path) -> None:
    folder = write(tmp_path / "run" / "checkpoints", walk(), 10 * np.arange(15))
    log(tmp_path / "run", "csv")
    found = analyse(folder, 4)
    np.testing.assert_array_equal(found.sequence.metrics["val_loss"][:4], [7.0, 6.0, 5.0, 4.0])
    assert found.sequence.config["metrics"].endswith("metrics.csv")
    (tmp_path / "other.csv").write_text("step,acc\n50,0.5\n")
    assert list(analyse(folder, 4, metrics=tmp_path / "other.csv").sequence.metrics) == ["acc"]
    (tmp_path / "run" / "metrics.csv").write_text("nothing,here\n1,2\n")
    (note,) = analyse(folder, 4).notes  # what was not asked for does not stop anything
    assert "metrics.csv beside the checkpoints is not used" in note
    with pytest.raises(ValueError, match="metrics must have a column step"):
        analyse(folder, 4, metrics=tmp_path / "run" / "metrics.csv")


def test_epochs_are_joined_by_epochs(tmp_path: Path) -> None:
    for t, theta in enumerate(walk()):
        save_file({"w": theta}, tmp_path / f"epoch={t}-val_loss={3 - 0.1 * t:.2f}.safetensors")
    rows = [f"{t},{100 * t},{3 - 0.1 * t}" for t in range(15)]
    (tmp_path / "metrics.csv").write_text("\n".join(["epoch,step,val_loss", *rows]))
    found = analyse(tmp_path, 4)
    np.testing.assert_allclose(found.sequence.metrics["val_loss"], 3 - 0.1 * np.arange(1, 15))
    assert "steps are those after 'epoch'" in found.notes[0]
