"""The page on a free port of this machine, for this machine alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import panel as pn

from spectral_edge.explorer.look import Look
from spectral_edge.explorer.regimes_tab import RegimesTab
from spectral_edge.explorer.runs import sources
from spectral_edge.explorer.runs_tab import RunsTab

TITLE = "spectral-edge explorer"
#: Loopback: nothing outside this machine reaches the page.
SUBTITLE = "Regimes of the gap equation, and what a run's updates say"
TEMPLATE = Path(__file__).with_name("page.html")
ADDRESS = "127.0.0.1"


def page(paths: Sequence[Path]) -> Callable[[], Any]:
    """What is shown to each browser that comes."""

    def build() -> Any:
        arguments = {name: values[0].decode() for name, values in pn.state.session_args.items() if values}
        dark = arguments.get("theme") == "dark"
        look = Look(dark)
        regimes, runs = RegimesTab(look), RunsTab(look, sources(paths))
        label = f".bk-tab, .bk-tab.bk-active {{ color: {look.text}; background: {look.background}; }}"
        tabs = pn.Tabs(
            ("Regimes", regimes.view()), ("Runs", runs.view()),
            active=int(bool(paths)), sizing_mode="stretch_width", stylesheets=[label],
        )  # fmt: skip
        for one in tabs.select():  # each has a style of its own, which no rule of the page reaches
            one.stylesheets = [*one.stylesheets, look.style]
        config: Any = pn.config
        config.theme = "dark" if dark else "default"
        template = pn.Template(TEMPLATE.read_text(encoding="utf-8"), location=True)
        for name, value in (("dark", dark), ("background", look.background), ("text", look.text), ("line", look.grid),
                            ("subtitle", SUBTITLE), ("title", TITLE)):  # fmt: skip
            template.add_variable(name, value)
        template.add_panel("main", tabs)
        if pn.state.location is not None:
            for name, widget in {**regimes.link, **runs.link}.items():
                pn.state.location.sync(widget, {"value": name})
            pn.state.location.sync(tabs, {"active": "tab"})
        return template

    return build


def serve(paths: Sequence[Path], *, port: int = 0, show: bool = True) -> Any:
    """Serve the page until the process is interrupted."""
    pn.extension("codeeditor")
    return pn.serve(page(paths), address=ADDRESS, port=port, show=show, title=TITLE, verbose=True)


def build_once(paths: Sequence[Path]) -> int:
    """Build the page without a browser; returns how many plots it has."""
    from bokeh.document import Document
    from bokeh.models import Plot

    document = Document()
    page(paths)().server_doc(document)
    return sum(1 for _ in document.select({"type": Plot}))
