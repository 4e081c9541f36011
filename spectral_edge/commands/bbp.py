"""``spectral-edge bbp``: whether the BBP threshold is vacuous, and whether that means anything."""

from typing import Annotated

import typer

from spectral_edge.commands.console import AsJson, console, numbers, print_json


def bbp(
    P: Annotated[float, typer.Option("--P", help="Number of parameters.")],
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")],
    eta: Annotated[float, typer.Option("--eta", help="Learning rate (per step).")],
    B: Annotated[float, typer.Option("--B", help="Batch size.")],
    sigma: Annotated[
        str | None, typer.Option(help="W singular values (parameter units), comma separated, largest first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the BBP threshold is vacuous here, and whether that means anything.

    Example: spectral-edge bbp --P 1.6e8 --W 10 --eta 1e-3 --B 20
    """
    from dataclasses import asdict

    from rich.table import Table

    from spectral_edge.theory import bbp_vacuity

    answer = bbp_vacuity(P, W, eta, B, None if sigma is None else numbers("sigma", sigma))
    if as_json:
        print_json({**asdict(answer), "sentence": str(answer)})
        return
    table = Table("quantity", "value (parameter units)", "in units of d_crit", box=None)
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
