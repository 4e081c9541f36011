"""The house: what the wheel holds, which way imports run, what an import costs."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {"theory": 0, "simulate": 1, "validate": 2, "door": 3}
WINGS = {"gram": 0, "runs": 1, "referee": 2}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Absolute names of everything `path` imports from this package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "spectral_edge"}


def floor_of(name: str) -> str:
    second = ([*name.split("."), ""])[1]
    return second if second in FLOORS else "door"


@pytest.mark.parametrize("floor", ["theory", "simulate", "validate"])
def test_imports_run_downwards(floor: str) -> None:
    files = modules(floor)
    assert files
    for path in files:
        for name in imported(path):
            assert FLOORS[floor_of(name)] <= FLOORS[floor], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("wing", ["gram", "runs", "referee"])
def test_wings_of_validate_import_downwards(wing: str) -> None:
    for path in modules(f"validate/{wing}"):
        for name in imported(path):
            parts = name.split(".")
            if parts[1] != "validate":
                continue
            assert parts[2] in WINGS, f"{path.relative_to(ROOT)} imports {name}: name the wing"
            assert WINGS[parts[2]] <= WINGS[wing], f"{path.relative_to(ROOT)} imports {name}"


def test_floors_do_not_use_bare_names() -> None:
    for floor in ("theory", "simulate", "validate"):
        for path in modules(floor):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert (node.module or "").split(".")[0] not in FLOORS, f"{path} imports {node.module}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_has_one_top_level_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"spectral_edge"}


def test_wheel_misses_no_module_and_no_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("theory", "simulate", "validate"):
        for path in modules(folder):
            assert f"spectral_edge/{path.relative_to(ROOT)}" in names
    for path in modules("spectral_edge"):
        assert str(path.relative_to(ROOT)) in names
    assert "spectral_edge/py.typed" in names
    assert "spectral_edge/validate/referee/report/page.html.jinja" in names
    recordings = {path.name for path in (ROOT / "validate/runs/data").glob("*.npz")}
    assert recordings
    assert {Path(name).name for name in names if name.endswith(".npz")} >= recordings


def test_packages_listed_are_those_that_exist() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"spectral_edge", "spectral_edge.commands"}
    for floor in ("theory", "simulate", "validate"):
        found |= {
            "spectral_edge." + ".".join(path.parent.relative_to(ROOT).parts)
            for path in (ROOT / floor).rglob("__init__.py")
        }
    assert listed == found


def test_import_loads_no_floor_and_nothing_heavy() -> None:
    code = (
        "import sys, spectral_edge; heavy = {'numpy', 'numba', 'sympy', 'matplotlib', 'torch', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("floor", ["theory", "simulate", "validate"])
def test_a_floor_loads_without_its_extras(floor: str) -> None:
    code = (
        f"import sys, spectral_edge; spectral_edge.{floor}; dir(spectral_edge.{floor});"
        "print(sorted({'torch', 'pandas', 'xarray', 'hypothesis', 'dask'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names_are_attribute_errors() -> None:
    import spectral_edge
    from spectral_edge import validate

    with pytest.raises(AttributeError, match="nothing"):
        spectral_edge.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        validate.nothing  # noqa: B018
