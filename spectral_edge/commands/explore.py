"""``spectral-edge explore``: a local page with the regimes of the gap equation and the spectra of runs."""

from pathlib import Path
from typing import Annotated

import typer

from spectral_edge.commands.console import say


def explore(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Recordings, folders of them, stacks or folders of checkpoints; by default the bundled runs.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; by default one that is free.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Build the page once and stop: says whether it can be served.")
    ] = False,
) -> None:
    """Explore regimes with sliders, and look at runs, finished or being recorded (needs the extra app).

    The page is served on this machine only; Ctrl-C ends it.

    Example: spectral-edge explore runs/
    """
    given = list(paths or ())
    for path in given:
        if not path.exists() and not path.with_name(path.name + ".journal").exists():
            raise FileNotFoundError(f"PATH must be a file or a folder, got nothing at {path}")
    try:
        from spectral_edge.explorer import server
    except ImportError:
        raise ImportError("the explorer needs Panel and Bokeh: pip install 'spectral-edge[app]'") from None
    if check:
        say(f"the explorer's page was built: {server.build_once(given)} plots")
        return
    server.serve(given, port=port, show=not no_open)
