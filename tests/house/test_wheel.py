"""What is installed: exactly the files of the floors, from a checkout with links and from one without."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.house.source import FLOORS, FOLDERS, ROOT, dotted, files

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def expected() -> set[str]:
    """Names that the wheel must hold, read from the tree and the package data that are declared."""
    names = {f"spectral_edge/{path.relative_to(ROOT)}" for floor in FLOORS for path in files(floor)}
    names |= {str(path.relative_to(ROOT)) for path in files("spectral_edge")}
    for package, patterns in SETUPTOOLS["package-data"].items():
        inside = package.replace(".", "/")
        own = ROOT / inside.removeprefix(
            "spectral_edge/"
        )  # a room of a floor, which is installed inside the door
        folder = own if own.is_dir() else ROOT / inside
        for pattern in patterns:
            found = [path for path in folder.glob(pattern) if path.is_file()]
            assert found, f"{package} declares {pattern}, and there is none"
            names |= {f"{inside}/{path.relative_to(folder)}" for path in found}
    return names


def build(checkout: Path, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(checkout),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SetuptoolsDeprecationWarning" not in done.stderr
    return next(folder.glob("*.whl"))


def copy(folder: Path) -> Path:
    """A checkout to build in: the working tree as it is, without what earlier builds left."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


def contents(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]


def test_the_wheel_holds_exactly_the_files_of_the_floors(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    found = contents(build(copy(tmp_path / "checkout"), tmp_path))
    assert len(found) == len(set(found))  # nothing twice, once by its floor and once by its link
    assert set(found) == expected()


def test_a_checkout_without_links_gives_the_same_wheel_and_it_works(tmp_path: Path) -> None:
    """As git makes it under ``core.symlinks=false``: each link a small text file."""
    (tmp_path / "checkout").mkdir()
    checkout = copy(tmp_path / "checkout")
    for floor in FLOORS:
        link = checkout / "spectral_edge" / floor
        target = os.readlink(link) if link.is_symlink() else link.read_text()
        assert target == f"../{floor}"
        link.unlink()
        link.write_text(target)
    wheel = build(checkout, tmp_path)
    assert set(contents(wheel)) == expected()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    # an installed package has its metadata; the version is read from there
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "spectral_edge",
            "bbp",
            "--P",
            "1e8",
            "--W",
            "10",
            "--eta",
            "1",
            "--B",
            "8",
            "--json",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"vacuous": true' in done.stdout
    where = "import spectral_edge.theory as t; print(t.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", where],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "site"))


def test_packages_listed_are_those_that_exist() -> None:
    found = {dotted(path) for folder in FOLDERS for path in files(folder) if path.name == "__init__.py"}
    assert set(SETUPTOOLS["packages"]) == found


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there that not everyone has")
def test_links_lead_to_the_floors() -> None:
    for floor in FLOORS:
        link = ROOT / "spectral_edge" / floor
        if link.is_symlink():  # a clone under core.symlinks=false has text files, and works
            assert link.readlink() == Path("..", floor)
            assert link.resolve() == ROOT / floor
        else:
            assert link.read_text().strip() == f"../{floor}"
