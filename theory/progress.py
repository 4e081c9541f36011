"""The progress bar: one form wherever something takes longer than two seconds, on standard error."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn


def progress_bar(
    *more: "str | ProgressColumn", transient: bool = True, console: "Console | None" = None
) -> "Progress":
    """Return a bar, to be entered as a context: description, share, then `more`, time taken and time left.

    Parameters
    ----------
    *more : str or rich.progress.ProgressColumn
        Columns between the share and the times; a string is a format of the task.
    transient : bool
        Take the bar away when it is done.
    console : rich.console.Console, optional
        Where to draw; by default standard error.

    Returns
    -------
    rich.progress.Progress
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        *more,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    console = console or Console(stderr=True)
    if transient and not console.is_interactive:
        console = Console(quiet=True)  # else a log gets an empty line where a bar would have been
    return Progress(*columns, console=console, transient=transient)
