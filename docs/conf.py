"""Sphinx: the documentation as pages; ``make html`` builds them without a network and without a warning."""

import inspect
import re
import shutil
from importlib import import_module
from importlib.metadata import metadata
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "spectral-edge"
author = "The spectral-edge authors"
copyright = "2026, the spectral-edge authors"
version = release = installed("spectral-edge")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",  # MathJax from an installed package: a built page needs no network
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {
    ".rst": "restructuredtext",
    ".md": "myst-nb",
    ".ipynb": "myst-nb",
}  # autosummary writes the first
templates_path = ["_templates"]
exclude_patterns = ["_build"]
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = f"spectral-edge {release}"
html_sidebars = {
    name: [] for name in ("start", "thesis", "benchmarks", "changelog")
}  # pages without pages below them
html_theme_options = {
    "navigation_depth": 3,
    "navbar_align": "left",
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
nb_execution_mode = "off"  # the notebooks are stored executed, and a test executes them

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # numpydoc's sections say what an argument is
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def prepare(app: Any, config: Any) -> None:
    """Put what stands elsewhere where Sphinx looks for it: notebooks, the changelog, the reference."""
    notebooks = HERE / "notebooks"
    notebooks.mkdir(exist_ok=True)
    (HERE / "api").mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copyfile(path, notebooks / path.name)
    shutil.copyfile(ROOT / "CHANGELOG.md", HERE / "changelog.md")
    for floor in ("theory", "simulate", "validate"):
        (HERE / "api" / f"{floor}.md").write_text(api_page(floor), encoding="utf-8")
    (HERE / "api" / "commands.md").write_text(commands_page(), encoding="utf-8")


def api_page(floor: str) -> str:
    """The page of a floor: every public name, under what its module, or its wing of a floor with wings, is about."""
    module = import_module(f"spectral_edge.{floor}")
    groups: dict[str, list[str]] = {}
    for name in module.__all__:
        found = getattr(module, name)
        home = getattr(found, "__module__", getattr(found, "__name__", module.__name__))
        wing = next((wing for wing in WINGS if home.startswith(f"{module.__name__}.{wing}")), None)
        home = f"{module.__name__}.{wing}" if wing else home
        about = inspect.getdoc(import_module(home)).splitlines()[0].rstrip(".").removesuffix(". Mark [T]")
        groups.setdefault(about if home != module.__name__ else "The floor itself", []).append(name)
    parts = [
        f"# {floor}",
        f"{inspect.getdoc(module).splitlines()[0]}\n",
        f"`from spectral_edge import {floor}`\n",
    ]
    for about, names in sorted(groups.items(), key=section):
        listed = "\n".join(f"   {name}" for name in sorted(names, key=str.lower))
        parts.append(
            f"## {about}\n\n```{{eval-rst}}\n.. currentmodule:: spectral_edge.{floor}\n\n"
            f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{listed}\n```\n"
        )
    return "\n".join(parts)


#: Parts of the top floor, in the order in which data goes through them.
WINGS = ("gram", "runs", "referee")


def section(group: tuple[str, list[str]]) -> tuple[float, str]:
    """What groups of a page are sorted by: their wing or the section that they are about; the others come first."""
    for i, wing in enumerate(WINGS):
        if group[0] == inspect.getdoc(import_module(f"spectral_edge.validate.{wing}")).splitlines()[0].rstrip(
            "."
        ):
            return (float(i), "")
    number = re.match(r"Section (\d+)", group[0])
    return (float(number[1]) if number else 0.0, group[0])


def commands_page() -> str:
    """The page of the command line: what ``--help`` prints of every command."""
    from typer.main import get_command

    from spectral_edge.cli import app

    group: Any = get_command(app)
    parts = ["# Commands", "`spectral-edge COMMAND --help` prints the same.\n"]
    for name, command in group.commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        rows = []
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in record[0]:
                rows.append(
                    "| "
                    + " | ".join(f"`{c}`" if i == 0 else c.replace("|", "/") for i, c in enumerate(record))
                    + " |"
                )
        options = "| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
        parts.append(f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n{options}")
    return "\n".join(parts)


def name_statements(app: Any, docname: str, source: list[str]) -> None:
    """Give every statement and section of the theory a name that docstrings can link to."""
    if docname == "theory":
        source[0] = re.sub(
            r"^(##+ )(\d+(?:\.\d+)?[a-z]?)( |\. )", r"(statement-\2)=\n\1\2\3", source[0], flags=re.M
        )


#: The number of a section after that word; or a number with a dot that stands by itself, which may be a statement's.
STATEMENT = re.compile(
    r"\b([Ss]ections? )(\d+(?:\.\d+)?[a-z]?)\b"
    r"|(?<![\w.=<>±+*/^−\"`-])(?<![=<>≈≤≥] )(\d{1,2}\.\d{1,2}[a-z]?)(?![\w%\"`]|\.\d| %)"
)


def link_statements(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make “section 3.6”, and “(3.6)” where that is the number of a statement, a link in a docstring."""

    def linked(match: re.Match[str]) -> str:
        word, number = match[1] or "", match[2] or match[3]
        target = number if number in known or not word else number.split(".")[0]
        return f":ref:`{word}{number} <statement-{target}>`" if target in known else match[0]

    if isinstance(obj, int | float | str):  # its docstring would be that of the type
        lines[:] = said_of_constant(name)
    known = statements()
    example = table = False
    for i, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))  # and what it prints
        if example:
            continue
        # |x| is an absolute value and g_- a name here, not reStructuredText
        lines[i] = re.sub(r"(?<!`)\|", r"\\|", re.sub(r"(?<=\w)_(?=[^\w`]|$)", r"\\_", line))
        table = bool(line.strip()) and (table or line.lstrip().startswith("===="))
        if not table:  # its columns would no longer hold the words
            lines[i] = STATEMENT.sub(linked, lines[i]).replace(" of docs/theory.md", "")


def said_of_constant(name: str) -> list[str]:
    """The comment ``#: …`` above a constant, wherever on its floor it is defined."""
    floor, _, constant = name.rpartition(".")
    folder = Path(inspect.getfile(import_module(floor))).parent
    for path in sorted(folder.rglob("*.py")):
        found = re.search(rf"((?:^#: .*\n)+){constant} = ", path.read_text(encoding="utf-8"), re.M)
        if found:
            return found[1].replace("#: ", "").splitlines()
    return []


def statements() -> set[str]:
    """Numbers of the sections and statements of docs/theory.md."""
    return set(
        re.findall(r"^##+ (\d+(?:\.\d+)?[a-z]?)[ .]", (HERE / "theory.md").read_text(encoding="utf-8"), re.M)
    )


def source_address() -> str | None:
    """Where the repository can be read: the address that pyproject.toml gives as ``Source``, if it does."""
    urls = dict(line.split(", ", 1) for line in metadata("spectral-edge").get_all("Project-URL") or ())
    return urls.get("Source")


def link_files(app: Any, docname: str, source: list[str]) -> None:
    """Links to files of the repository lead there, or are words only; the pages stay readable in the repository."""

    def linked(match: re.Match[str]) -> str:
        target = (Path(app.env.doc2path(docname)).parent / match[2]).resolve()
        if target.is_relative_to(HERE) or not target.is_relative_to(ROOT) or not target.exists():
            return match[0]
        return f"[{match[1]}]({address}/blob/main/{target.relative_to(ROOT)})" if address else match[1]

    address = source_address()
    source[0] = re.sub(r"\[([^\]]+)\]\((\.\.?/[^)#]+)\)", linked, source[0])


#: σ_j, x^{1/4}, K_{st}, X_tX_t: an index after one letter, one after a capital or after an index, or a capital; words
#: joined by an underscore are left alone.
INDEX = re.compile(
    r"(?:(?<![A-Za-z0-9_][A-Za-z])(?<=[a-z])|(?<![A-Za-z0-9_][A-Z][a-z])(?<=[A-Z][a-z])|(?<=_[a-z][a-z])|(?<=[A-ZΑ-ω‖|)\]]))"
    r"([_^])(\{[^{}]+\}|crit|eff|max|\d+|[A-Za-z]\*?(?![A-Za-z](?!_)))"
)


def set_indices(app: Any, doctree: Any, docname: str) -> None:
    """Set the indices of formulas in running text lower or higher: σ_j is what the sources can hold."""
    from docutils import nodes

    exact = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.doctest_block)
    for text in list(doctree.findall(nodes.Text)):
        if not INDEX.search(text) or within(text, exact):
            continue
        parts: list[Any] = []
        end = 0
        for found in INDEX.finditer(text):
            kind = nodes.subscript if found[1] == "_" else nodes.superscript
            parts += [nodes.Text(text[end : found.start()]), kind("", found[2].strip("{}"))]
            end = found.end()
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def within(node: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a node stands inside one of these."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds) or node.tagname.startswith("desc_"):
            return True
    return False


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("config-inited", prepare)
    app.connect("source-read", name_statements)
    app.connect("source-read", link_files)
    app.connect("doctree-resolved", set_indices)
    app.connect("autodoc-process-docstring", link_statements)
