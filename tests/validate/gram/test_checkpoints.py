"""Checkpoints on disk: every format gives the K of the arrays; what is wrong is named with file and tensor."""

import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files import bands, discovery, unfinished
from spectral_edge.validate.gram.files.checkpoints import read_checkpoints
from tests.command_line import run

SHAPES = {"layers.0.attn.w": (8, 5), "layers.1.attn.w": (8, 5), "layers.1.mlp.w": (7,), "head.w": (6, 2)}
STEPS = [0, 100, 200, 1000, 1100, 1250]


def run_of(dtype=np.float32, seed=0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    tensors = {
        name: np.cumsum(rng.normal(size=(len(STEPS), *shape)), axis=0) for name, shape in SHAPES.items()
    }
    return [{name: values[t].astype(dtype) for name, values in tensors.items()} for t in range(len(STEPS))]


def exact(run, names=tuple(SHAPES)) -> np.ndarray:
    thetas = np.array(
        [np.concatenate([state[name].astype(np.float64).ravel() for name in names]) for state in run]
    )
    updates = np.diff(thetas, axis=0)
    return updates @ updates.T


def write_safetensors(folder: Path, run) -> Path:
    for step, state in zip(STEPS, run, strict=True):
        save_file(state | {"count": np.array([step])}, folder / f"step_{step}.safetensors")
    return folder


def write_npz(folder, run, save=np.savez):
    for step, state in zip(STEPS, run, strict=True):
        save(folder / f"step_{step}.npz", count=np.array([step]), **state)
    return folder


def write_npy(folder, run):
    for step, state in zip(STEPS, run, strict=True):
        np.save(folder / f"theta{step}.npy", np.concatenate([value.ravel() for value in state.values()]))
    return folder


def write_sharded(folder, run):
    for step, state in zip(STEPS, run, strict=True):
        here = folder / f"checkpoint-{step}"
        here.mkdir()
        names = list(state)
        shards = {
            "model-00001-of-00002.safetensors": names[:2],
            "model-00002-of-00002.safetensors": names[2:],
        }
        for shard, members in shards.items():
            save_file({name: state[name] for name in members}, here / shard)
        weight_map = {name: shard for shard, members in shards.items() for name in members}
        (here / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        (here / "optimizer.bin").write_bytes(b"not weights")
        (here / "config.json").write_text("{}")
    (folder / "logs").mkdir()
    return folder


FORMATS = {
    "safetensors": write_safetensors,
    "npz": write_npz,
    "compressed npz": lambda folder, run: write_npz(folder, run, np.savez_compressed),
    "npy": write_npy,
    "sharded": write_sharded,
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_every_format_gives_the_same_K(tmp_path, kind, dtype):
    run = run_of(dtype)
    sequence = GramSequence.from_checkpoints(FORMATS[kind](tmp_path, run))
    np.testing.assert_allclose(sequence.K, exact(run), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(sequence.steps, STEPS[1:])
    assert sum(int(np.prod(shape)) for shape in SHAPES.values()) == sequence.P


def test_bfloat16_safetensors(tmp_path):
    run = run_of(ml_dtypes.bfloat16)
    found = GramSequence.from_checkpoints(write_safetensors(tmp_path, run), W_max=3)
    whole = exact(run)
    for lag in range(4):
        np.testing.assert_allclose(found.K[lag:, lag], np.diagonal(whole, -lag), rtol=1e-9)


def test_transposed_arrays_are_spilled(tmp_path):
    run = [{name: np.asfortranarray(value) for name, value in state.items()} for state in run_of()]
    found = GramSequence.from_checkpoints(write_npz(tmp_path, run))
    np.testing.assert_allclose(found.K, exact(run), rtol=1e-9, atol=1e-9)


def test_a_glob_and_steps_of_ones_own(tmp_path):
    run = run_of()
    write_safetensors(tmp_path, run)
    (tmp_path / "other.npy").write_bytes(b"")
    found = GramSequence.from_checkpoints(str(tmp_path / "step_*.safetensors"))
    np.testing.assert_array_equal(found.steps, STEPS[1:])
    backwards = GramSequence.from_checkpoints(
        str(tmp_path / "step_*"), steps=lambda path: 2000 - int(re.findall(r"\d+", path.name)[0])
    )
    np.testing.assert_allclose(backwards.K, found.K[::-1, ::-1], rtol=1e-9)


def test_steps_from_folders(tmp_path):
    for step, state in zip(STEPS, run_of(), strict=True):
        (tmp_path / f"epoch3-step{step}").mkdir()
        save_file(state, tmp_path / f"epoch3-step{step}" / "weights.safetensors")
    for path in (tmp_path, str(tmp_path / "*" / "weights.safetensors")):
        assert [found.step for found in discovery.find_checkpoints(path).checkpoints] == STEPS


def test_select_exclude_groups_and_wrappers(tmp_path):
    run = run_of()
    wrapped = [{f"module._orig_mod.{name}": value for name, value in state.items()} for state in run]
    write_safetensors(tmp_path, wrapped)
    attention = read_checkpoints(tmp_path, select="*attn*").whole
    np.testing.assert_allclose(attention.K, exact(run, ("layers.0.attn.w", "layers.1.attn.w")), rtol=1e-9)
    rest = GramSequence.from_checkpoints(tmp_path, exclude=["*attn*"])
    np.testing.assert_allclose((attention + rest).K, exact(run), rtol=1e-9)
    assert (attention + rest).P == GramSequence.from_checkpoints(tmp_path).P
    layers = read_checkpoints(tmp_path, by="layer")
    assert sorted(layers.groups) == ["head", "layers.0", "layers.1"]
    np.testing.assert_allclose(
        layers.groups["layers.1"].K, exact(run, ("layers.1.attn.w", "layers.1.mlp.w")), rtol=1e-9
    )
    np.testing.assert_allclose(sum(group.K for group in layers.groups.values()), layers.whole.K, rtol=1e-9)
    assert sorted(read_checkpoints(tmp_path, by="kind").groups) == [
        "head.w",
        "layers.*.attn.w",
        "layers.*.mlp.w",
    ]
    assert sorted(read_checkpoints(tmp_path, by=lambda name: name[-1]).groups) == ["w"]
    with pytest.raises(
        ValueError, match="by must be 'layer', 'kind' or a function of the name, got 'colour'"
    ):
        read_checkpoints(tmp_path, by="colour")


def test_long_tensors_are_read_in_stretches(tmp_path):
    rng = np.random.default_rng(0)
    thetas = np.cumsum(rng.normal(size=(4, 300_001)), axis=0).astype(np.float32)
    for step, theta in enumerate(thetas):
        save_file({"w": theta}, tmp_path / f"{step}.safetensors")
    told = []
    found = read_checkpoints(tmp_path, progress=lambda done, total: told.append((done, total))).whole
    np.testing.assert_array_equal(found.K, GramSequence.from_parameters(thetas).K)
    assert told[-1] == (thetas.nbytes, thetas.nbytes)
    assert len(told) == 3


def test_a_progress_bar(tmp_path, capsys):
    read_checkpoints(write_safetensors(tmp_path, run_of()), progress=True)
    assert "checkpoints" in capsys.readouterr().err


# -- interrupted work ------------------------------------------------------------------------------------


def test_interrupted_work_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    (tmp_path / "run").mkdir()
    folder, state = write_safetensors(tmp_path / "run", run_of()), tmp_path / "work.npz"
    read, tensor_band = [], bands.tensor_band

    def interrupted(tensor, *rest):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(tensor)
        return tensor_band(tensor, *rest)

    monkeypatch.setattr(bands, "tensor_band", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_checkpoints(folder, resume=state)
    assert state.exists()
    monkeypatch.setattr(
        bands, "tensor_band", lambda tensor, *rest: read.append(tensor) or tensor_band(tensor, *rest)
    )
    found = read_checkpoints(folder, resume=state).whole
    assert sorted(read) == sorted(SHAPES)  # each tensor once
    np.testing.assert_array_equal(found.K, read_checkpoints(folder).whole.K)
    assert not state.exists()


def test_work_of_other_files_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    (tmp_path / "run").mkdir()
    folder, state = write_safetensors(tmp_path / "run", run_of()), tmp_path / "work.npz"
    monkeypatch.setattr(unfinished.Work, "forget", lambda self: None)
    read_checkpoints(folder, resume=state)
    save_file(run_of(seed=1)[2], folder / "step_200.safetensors")
    with pytest.raises(ValueError, match="resume must be of the same files and arguments"):
        read_checkpoints(folder, resume=state)


# -- bad input -------------------------------------------------------------------------------------------


def damaged(folder: Path, change) -> Path:
    write_safetensors(folder, run_of())
    state = run_of()[3] | {}
    change(state)
    save_file(state, folder / "step_1000.safetensors")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.w"), r"no 'head\.w' in .*step_1000\.safetensors but in .*step_0"),
        (
            lambda s: s.update(new=np.ones(3, np.float32)),
            r"no 'new' in .*step_0\.safetensors but in .*step_1000",
        ),
        (lambda s: s.update({"head.w": s["head.w"].T.copy()}), r"got \(2, 6\) of 'head\.w' in .*step_1000"),
        (
            lambda s: s["head.w"].__setitem__((1, 1), np.nan),
            r"must be finite, got NaN or infinity in 'head\.w' of .*step_1000\.safetensors",
        ),
    ],
)
def test_one_checkpoint_that_differs(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        GramSequence.from_checkpoints(damaged(tmp_path, change))


@pytest.mark.parametrize("kind", ["safetensors", "npz", "npy"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_file_cut_short(tmp_path, kind, share):
    FORMATS[kind](tmp_path, run_of())
    victim = sorted(tmp_path.iterdir())[2]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"path must be a whole \.{kind} file, got .*{victim.name}"):
        GramSequence.from_checkpoints(tmp_path)


def test_a_header_that_lies(tmp_path):
    write_safetensors(tmp_path, run_of())
    (tmp_path / "step_100.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(
        ValueError, match=r"path must be a whole \.safetensors file, got a header longer than the file"
    ):
        GramSequence.from_checkpoints(tmp_path)


def test_an_npz_with_pickled_objects_is_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    for step in range(4):
        np.savez(tmp_path / f"{step}.npz", w=np.ones(3) * step**2, evil=np.array([Trap()], dtype=object))
    assert GramSequence.from_checkpoints(tmp_path).P == 3


def test_too_few_none_selected_and_no_steps(tmp_path):
    write_safetensors(tmp_path, run_of())
    with pytest.raises(ValueError, match="select must match a floating tensor, got none"):
        GramSequence.from_checkpoints(tmp_path, select="*conv*")
    with pytest.raises(ValueError, match="path must name at least 3 checkpoints, got 0"):
        GramSequence.from_checkpoints(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="path must name at least 3 checkpoints, got 2"):
        GramSequence.from_checkpoints(str(tmp_path / "step_1?00.*"), steps=lambda path: 1)
    for name in "abc":
        (tmp_path / "named").mkdir(exist_ok=True)
        np.save(tmp_path / "named" / f"{name}.npy", np.ones(3))
    with pytest.raises(ValueError, match="steps must differ"):
        GramSequence.from_checkpoints(tmp_path / "named", steps=lambda path: 3)
    with pytest.raises(ValueError, match="steps must have one entry per record"):
        GramSequence.from_checkpoints(tmp_path / "named", steps=[1, 2])


def test_a_folder_with_two_weights_files(tmp_path):
    for step in range(3):
        (tmp_path / f"c{step}").mkdir()
        for name in "ab":
            np.save(tmp_path / f"c{step}" / f"{name}.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"path must hold one weights file, got a\.npy, b\.npy"):
        GramSequence.from_checkpoints(str(tmp_path / "c*"))


def test_analyze_reads_checkpoints_from_the_command_line(tmp_path):
    (tmp_path / "run").mkdir()
    write_safetensors(tmp_path / "run", run_of())
    words = ("analyze", tmp_path / "run", "--W", 3, "--select")
    ran = run(*words, "*attn*", "--out", tmp_path, "--json")
    assert json.loads(ran.stdout)["P"] == 80
    ran = run(*words, "*conv*")
    assert ran.returncode == 2
    assert "select must match a floating tensor, got none" in ran.stderr
