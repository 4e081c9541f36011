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


@app.command()
def bbp(
    P: Annotated[float, typer.Option("--P", help="Number of parameters.")],
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")],
    eta: Annotated[float, typer.Option("--eta", help="Learning rate.")],
    B: Annotated[float, typer.Option("--B", help="Batch size.")],
    sigma: Annotated[
        str | None, typer.Option(help="W singular values, comma separated, largest first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the BBP threshold is vacuous here, and whether that means anything.

    Example: `spectral-edge bbp --P 1.6e8 --W 10 --eta 1e-3 --B 20`
    """
    from dataclasses import asdict

    from rich.table import Table

    from spectral_edge.theory import bbp_vacuity

    answer = bbp_vacuity(P, W, eta, B, None if sigma is None else _numbers("sigma", sigma))
    if as_json:
        print_json({**asdict(answer), "sentence": str(answer)})
        return
    table = Table("quantity", "value", "in units of d_crit", box=None)
    for name, value in (
        ("noise per entry, nu", answer.nu),
        ("detection, d_crit", answer.d_crit),
        ("noise floor, nu*sqrt(P)", answer.noise_floor),
        ("direction half recovered", answer.direction_scale),
        ("sigma_W seen" if answer.observed else "sigma_W of pure noise", answer.ratio * answer.d_crit),
    ):
        table.add_row(name, f"{value:.4g}", f"{value / answer.d_crit:.4g}")
    console.print(table)
    console.print(str(answer), highlight=False, markup=False)


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be numbers separated by commas, got {text!r}") from None


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
