"""Sphinx: the documentation as pages; ``make html`` builds them without a network and without a warning."""

import re
import shutil
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = "https://github.com/spectral-edge/spectral-edge/blob/main"

project = "spectral-edge"
author = "The spectral-edge authors"
copyright = "2026, the spectral-edge authors"
version = release = installed("spectral-edge")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = f"spectral-edge {release}"
html_theme_options = {
    "navigation_depth": 3,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
nb_execution_mode = "off"  # the notebooks are stored executed, and a test executes them

# MathJax from an installed package, so that a built page needs no network.
mathjax_path = "mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
mathjax2_config = {"tex2jax": {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]]}}

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # numpydoc's sections say what an argument is
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def prepare(app: Any, config: Any) -> None:
    """Put what stands elsewhere where Sphinx looks for it: notebooks, the changelog, MathJax."""
    notebooks = HERE / "notebooks"
    notebooks.mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copyfile(path, notebooks / path.name)
    shutil.copyfile(ROOT / "CHANGELOG.md", HERE / "changelog.md")
    found = find_spec("jupyter_server_mathjax")
    assert found is not None and found.origin is not None
    target = HERE / "_static" / "mathjax"
    if not target.exists():
        shutil.copytree(Path(found.origin).parent / "static", target)


def name_statements(app: Any, docname: str, source: list[str]) -> None:
    """Give every statement and section of the theory a name that docstrings can link to."""
    if docname == "theory":
        source[0] = re.sub(r"^(##+ )(\d+(?:\.\d+)?[a-z]?)( |\. )", r"(statement-\2)=\n\1\2\3", source[0], flags=re.M)


def link_statements(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make “section 3.6” in a docstring a link to that statement."""

    def linked(match: re.Match[str]) -> str:
        word, number = match[1], match[2]
        target = number if number in known else number.split(".")[0]
        return f":ref:`{word} {number} <statement-{target}>`" if target in known else match[0]

    known = statements()
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"\b([Ss]ections?) (\d+(?:\.\d+)?[a-z]?)\b", linked, line).replace(" of docs/theory.md", "")


def statements() -> set[str]:
    """Numbers of the sections and statements of docs/theory.md."""
    return set(re.findall(r"^##+ (\d+(?:\.\d+)?[a-z]?)[ .]", (HERE / "theory.md").read_text(encoding="utf-8"), re.M))


def link_files(app: Any, docname: str, source: list[str]) -> None:
    """Links to files of the repository lead there; the pages themselves stay readable in the repository."""

    def linked(match: re.Match[str]) -> str:
        target = (Path(app.env.doc2path(docname)).parent / match[1]).resolve()
        inside = target.is_relative_to(HERE) or not target.is_relative_to(ROOT) or not target.exists()
        return match[0] if inside else f"]({PAGES}/{target.relative_to(ROOT)})"

    source[0] = re.sub(r"\]\((\.\.?/[^)#]+)\)", linked, source[0])


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("config-inited", prepare)
    app.connect("source-read", name_statements)
    app.connect("source-read", link_files)
    app.connect("autodoc-process-docstring", link_statements)
