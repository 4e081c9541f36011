"""The command ``spectral-edge``: thin wrappers that call the floors and print what they return."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from spectral_edge import __version__

app = typer.Typer(
    name="spectral-edge",
    help="State, simulate and referee the spectral edge thesis (arXiv:2603.28964).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
console = Console()
stderr = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print `value` as strict JSON (no NaN), one document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"spectral-edge {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input is one line on standard error and exit status 2."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = getattr(error, "format_message", lambda: str(error))()
        stderr.print(f"spectral-edge: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except (ValueError, OSError) as error:
        stderr.print(f"spectral-edge: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except ImportError as error:
        stderr.print(f"spectral-edge: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        stderr.print("spectral-edge: interrupted")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
