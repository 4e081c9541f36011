"""Which way imports run, that none runs in a circle, and what an import costs."""

import ast
import subprocess
import sys

import networkx as nx
import pytest

from tests.house.source import FLOORS, FOLDERS, ROOT, files, imported, module_of, modules, tree

LEVELS = {"theory": 0, "simulate": 1, "validate": 2, "door": 3}
WINGS = {"gram": 0, "runs": 1, "referee": 2}


def floor_of(name: str) -> str:
    second = ([*name.split("."), ""])[1]
    return second if second in LEVELS else "door"


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_run_downwards(floor: str) -> None:
    found = files(floor)
    assert found
    for path in found:
        for name in imported(path):
            assert LEVELS[floor_of(name)] <= LEVELS[floor], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("wing", ["gram", "runs", "referee"])
def test_wings_of_validate_import_downwards(wing: str) -> None:
    for path in files(f"validate/{wing}"):
        for name in imported(path):
            parts = name.split(".")
            if parts[1] != "validate":
                continue
            assert parts[2] in WINGS, f"{path.relative_to(ROOT)} imports {name}: name the wing"
            assert WINGS[parts[2]] <= WINGS[wing], f"{path.relative_to(ROOT)} imports {name}"


def test_commands_do_not_import_the_app() -> None:
    for path in files("spectral_edge/commands"):
        assert "spectral_edge.cli" not in {module_of(name) for name in imported(path)}


def test_floors_do_not_use_bare_names() -> None:
    for floor in FLOORS:
        for path in files(floor):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ImportFrom):
                    assert (node.module or "").split(".")[0] not in FLOORS, f"{path} imports {node.module}"


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which needs every other, itself through others included."""
    graph = nx.DiGraph()
    graph.add_edges_from((name, other) for name, others in imports.items() for other in others - {name})
    return sorted(sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1)


def test_no_imports_run_in_a_circle() -> None:
    """Within functions neither: what is put off there is needed all the same."""
    imports = {
        name: {module_of(other) for other in imported(path, typing=False)} for name, path in modules().items()
    }
    assert circles(imports) == []


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_every_import_of_ours_is_found() -> None:
    """In the checkout, as an editor follows it: a module where the path says, and the name within it."""
    for folder in (*FOLDERS, "tests", "benchmarks"):
        for path in files(folder):
            for name in imported(path):
                module = module_of(name)
                assert module in modules(), f"{path.relative_to(ROOT)} imports {name}"
                if module != name:
                    assert name.rpartition(".")[2] in names_in(module), (
                        f"{path.relative_to(ROOT)} imports {name}"
                    )


def names_in(module: str) -> set[str]:
    """What a module binds at its top level, imports and lazy names included."""
    found: set[str] = set()
    for node in ast.walk(tree(modules()[module])):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found | lazy_names(module)


def lazy_names(module: str) -> set[str]:
    """What ``__all__`` announces and ``__getattr__`` fetches."""
    for node in tree(modules()[module]).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return {element.value for element in getattr(node.value, "elts", ())}
    return set()


def test_no_module_is_hidden_by_a_name_of_its_package() -> None:
    """``from spectral_edge.simulate import noise`` is a function: there must be no module of that name too."""
    for package, path in modules().items():
        if path.name != "__init__.py":
            continue
        bound = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        defined = {node.name for node in tree(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for name in {*bound, *defined, *lazy_names(package)}:
            module = f"{package}.{name}"
            if module in modules():
                assert bound.get(name, module) == module, f"{package} hides its module {name}"
                assert name not in defined, f"{package} hides its module {name}"


def test_import_loads_no_floor_and_nothing_heavy() -> None:
    code = (
        "import sys, spectral_edge; heavy = {'numpy', 'numba', 'sympy', 'matplotlib', 'torch', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_loads_nothing_heavy_until_a_command_needs_it() -> None:
    """What keeps ``--help`` and a wrong path quick: what is loaded can be asserted, a time cannot."""
    code = (
        "import sys; from spectral_edge.cli import main\n"
        "try: main(['analyze', 'nowhere'])\n"
        "except SystemExit as stopped: assert stopped.code == 2\n"
        "heavy = {'numpy', 'numba', 'sympy', 'matplotlib', 'torch', 'scipy', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_ground_floor_loads_without_scipy() -> None:
    code = (
        "import sys; from spectral_edge.theory import bbp_vacuity; bbp_vacuity(10**8, 10, 1e-3, 20);"
        "print(sorted({'scipy', 'sympy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_loads_without_its_extras(floor: str) -> None:
    code = (
        f"import sys, spectral_edge; spectral_edge.{floor}; dir(spectral_edge.{floor});"
        "print(sorted({'torch', 'pandas', 'xarray', 'hypothesis', 'dask'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
