"""The command ``spectral-edge``: the commands put together, and one line on bad input."""

import sys
from concurrent.futures import BrokenExecutor
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from spectral_edge import __version__
from spectral_edge.commands.analyze import analyze
from spectral_edge.commands.bbp import bbp
from spectral_edge.commands.console import say, stderr
from spectral_edge.commands.explore import explore
from spectral_edge.commands.forecast import forecast
from spectral_edge.commands.ode import ode
from spectral_edge.commands.propositions import propositions
from spectral_edge.commands.record import record
from spectral_edge.commands.sweep import sweep
from spectral_edge.commands.validate import validate
from spectral_edge.commands.watch import watch

app = typer.Typer(
    name="spectral-edge",
    help="State, simulate and referee the spectral edge thesis (arXiv:2603.28964).",
    no_args_is_help=True,
    rich_markup_mode="rich",  # Markdown would take the asterisks of '*attn*'
    pretty_exceptions_enable=False,
)
for command in (validate, analyze, forecast, watch, explore, record, bbp, ode, sweep, propositions):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"spectral-edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _complain(message: str) -> NoReturn:
    """One line on standard error, and exit status 2."""
    line = " ".join(message.split())
    stderr.print(f"spectral-edge: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input is one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console of cp1252 or ASCII has no σ
    try:
        status = app(args=arguments, prog_name="spectral-edge", standalone_mode=False)
    except typer.exceptions.TyperException as error:
        _complain(error.format_message())
    except (ValueError, OSError, ImportError) as error:
        _complain(str(error))
    except BrokenExecutor:
        _complain("a process was killed from outside, perhaps for want of memory: try fewer --jobs")
    except (KeyboardInterrupt, typer.Abort):
        say("spectral-edge: interrupted", stderr)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
