"""One file that holds a run: vectors or states side by side; and one that holds only a model."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files.reading import read_run

T = 13


def walk(P: int = 400, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(T, P)), axis=0)


def test_vectors_side_by_side(tmp_path: Path) -> None:
    steps = np.random.default_rng(1).permutation(T) * 100
    np.savez(tmp_path / "run.npz", **{f"theta_{step}": walk()[step // 100] for step in steps})
    found = read_run(tmp_path / "run.npz", W_max=6).whole
    np.testing.assert_allclose(found.K, GramSequence.from_parameters(walk(), W_max=6).K, rtol=1e-9)
    np.testing.assert_array_equal(found.steps, 100 * np.arange(1, T))


def test_a_stack_in_safetensors(tmp_path: Path) -> None:
    save_file({"thetas": walk()}, tmp_path / "stack.safetensors")
    np.testing.assert_allclose(
        read_run(tmp_path / "stack.safetensors").whole.K, GramSequence.from_parameters(walk()).K, rtol=1e-9
    )


@pytest.mark.parametrize("name", ["model.safetensors", "arrays.npz"])
def test_one_model_is_one_line(tmp_path: Path, name: str) -> None:
    state = {
        f"{i}.{part}": np.ones(5 if part == "bias" else (5, 5))
        for i in range(3)
        for part in ("weight", "bias")
    }
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else np.savez(path, **state)
    with pytest.raises(
        ValueError, match=r"path must hold (at least 3 checkpoints|one stack of parameter vectors)"
    ) as refused:
        read_run(path)
    assert "\n" not in str(refused.value)


def test_options_that_do_not_go_with_a_stack(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", walk())
    for option, value in {"select": "*a*", "exclude": ["b"], "steps": r"(\d+)", "by": "layer"}.items():
        with pytest.raises(ValueError, match=f"{option} needs checkpoints"):
            read_run(tmp_path / "stack.npy", **{option: value})
