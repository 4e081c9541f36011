"""Shared by all tests: reproducible hypothesis, no display, and what is dear made once for all processes."""

import os
import pickle
from collections.abc import Callable
from typing import Any

# One process per core runs the tests: threads of the linear algebra beside them only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import matplotlib
import pytest
from filelock import FileLock
from hypothesis import settings

matplotlib.use("agg")
os.environ.setdefault("COLUMNS", "200")  # tables are not folded in captured output
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=80, database=None)
settings.load_profile("reproducible")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Any]], Any]:
    """``shared(name, make)``: what `make` gives, made by the first process of the session that asks for `name`."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def get(name: str, make: Callable[[], Any]) -> Any:
        path = folder / f"{name}.pickle"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
        return pickle.loads(path.read_bytes())

    return get


@pytest.fixture(scope="session")
def proofs(shared: Callable[[str, Callable[[], Any]], Any]) -> dict[str, Any]:
    """The outcome of every proof by its proposition's id, run once for all processes."""
    from spectral_edge import theory

    found: dict[str, Any] = shared("proofs", lambda: {p.id: p.prove() for p in theory.propositions()})
    for p in theory.propositions():
        vars(p)["_outcome"] = found[p.id]  # where `prove` keeps it
    return found
