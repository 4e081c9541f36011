"""``spectral-edge watch``: the spectrum of a training in a terminal, while it is recorded."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from spectral_edge.explorer.runs import RunView, Source

#: Longest bar of the spectrum, and columns of a curve, in characters.
BAR, CURVE = 36, 48
#: Seconds without a record after which that is said: the training may have been killed.
QUIET = 60
BLOCKS = " ▁▂▃▄▅▆▇█"


def watch(
    path: Annotated[
        Path, typer.Argument(help="The recording that a GramTracker writes; its journal is read too.")
    ],
    W: Annotated[int, typer.Option("--W", min=3, help="Window: the number of last updates looked at.")] = 10,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the file.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print what is there now and stop.")] = False,
) -> None:
    """Watch the spectrum of a run while it trains in another process; Ctrl-C ends the watching, not the training.

    Example: spectral-edge watch run.npz --W 10
    """
    from spectral_edge.explorer.runs import Source
    from spectral_edge.theory.checks import finite  # noqa: F401  (numpy is there before the screen is taken)

    source = Source(path)
    if not path.exists() and not source.growing:
        if once:
            raise FileNotFoundError(f"PATH must be a recording, finished or begun, got nothing at {path}")
        console.print(f"waiting for {path}", highlight=False, markup=False)
    pace = Pace()
    if once:
        source.read()  # refuses what cannot be read; of a run that is watched the next look may read it
        console.print(frame(source, W, pace))
        return
    from rich.live import Live

    live = Live(console=console, refresh_per_second=4, screen=console.is_terminal, transient=True)
    with live, suppress(KeyboardInterrupt), _interrupts() as interrupted:
        while not interrupted.is_set():
            if source.changed():
                live.update(frame(source, W, pace))
            sleep(every)


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Note Ctrl-C besides raising it: raised within a callback of a library it may be lost."""
    noted = Event()

    def note(number: int, where: object) -> None:
        noted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class Pace:
    """How fast a run goes, from when its steps were seen."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def remaining(self, step: int, end: Any) -> float | None:
        """Seconds until `end` at the pace so far; None where the end or the pace is not known."""
        now = monotonic()
        if self._first is None:
            self._first = now, step
        since, first = self._first
        if not isinstance(end, int) or step <= first:
            return None
        return max(0, end - step) * (now - since) / (step - first)


def frame(source: "Source", W: int, pace: Pace) -> "RenderableType":
    """Everything on the screen at one moment."""
    from rich.console import Group
    from rich.text import Text

    from spectral_edge.explorer import runs

    try:
        sequence = source.read()
    except (ValueError, OSError) as error:
        return Text(f"{source.name}: not readable yet ({error})")
    step = int(sequence.steps[-1])
    left = pace.remaining(step, sequence.config.get("max_steps"))
    state = "being recorded" if source.growing else "finished"
    if source.growing and (idle := source.idle) > QUIET:
        state += f", but no record for {_duration(idle)}"
    head = f"{source.name}  {state}  step {step:,}  {sequence.T:,} updates"
    if left is not None:
        head += f"  expected end in {_duration(left)}"
    if sequence.T <= W:
        more = W + 1 - sequence.T
        return Text(f"{head}\n{more} more update{'s' * (more > 1)} until windows of {W} can be shown")
    shown = source.view(W)
    parts: list[Any] = [
        Text(head, style="bold"),
        Text(),
        _spectrum(shown),
        Text(),
        _gap(shown),
        *_curves(shown),
    ]
    told = runs.foreseen(sequence, W, int(shown.windows.steps[-1])).told
    return Group(*parts, Text(), Text(told))


def _spectrum(shown: "RunView") -> Any:
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    sigma, k = shown.windows.sigma[-1], shown.windows.k_star[-1]
    positive = sigma[sigma > 0]
    title = "singular values (parameter units), bars logarithmic"
    table = Table("", title, "", "", box=None, padding=(0, 1, 0, 0), header_style="dim")
    if not positive.size:
        return Text("the updates of this window are all zero")
    low, high = np.log(positive[-1]) - 0.5, np.log(positive[0])
    for j, value in enumerate(sigma, start=1):
        share = 0.0 if value <= 0 else (np.log(value) - low) / (high - low)
        table.add_row(f"σ{j}", Text("█" * max(1, round(share * BAR)), style="cyan"), f"{value:.4g}",
                      "← gap" if j == k else "")  # fmt: skip
    return table


def _gap(shown: "RunView") -> Any:
    import numpy as np
    from rich.text import Text

    k, ratio = shown.windows.k_star[-1], shown.windows.ratio[-1]
    if not np.isfinite(k):
        return Text("no gap: the window has numerical rank below 2")
    level = shown.level[-1]
    if not np.isfinite(level):
        known = "what noise gives cannot be said yet"
    else:
        known = f"{'above' if ratio > level else 'within'} what noise alone reaches ({level:.4g})"
    return Text(f"k* = {k:.0f}   R = {ratio:.4g}, {known}")


def _curves(shown: "RunView") -> list[Any]:
    from rich.text import Text

    rows = [("R", shown.windows.ratio)]
    rows += [(curve.name.replace("_", " "), curve.values) for curve in (*shown.losses, *shown.accuracies)]
    width = max(len(name) for name, _ in rows)
    return [Text(f"{name:<{width}} {_sparkline(values)} {values[-1]:.4g}") for name, values in rows]


def _sparkline(values: Any) -> str:
    """The curve in block characters, one for each of `CURVE` stretches of it."""
    import numpy as np

    parts = np.array_split(np.asarray(values, dtype=float), min(CURVE, len(values)))
    means = np.array(
        [part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts]
    )
    if not np.isfinite(means).any():
        return " " * len(means)
    low, high = np.nanmin(means), np.nanmax(means)
    scaled = (means - low) / (high - low) if high > low else np.full(len(means), 0.5)
    return "".join(" " if np.isnan(x) else BLOCKS[1 + round(x * (len(BLOCKS) - 2))] for x in scaled)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
