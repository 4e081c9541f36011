"""A training is not harmed by what records it: its errors become warnings where somebody else's code calls."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class Shelter:
    """Decides whether an error is raised.

    Parameters
    ----------
    on_error : {"raise", "warn"} or None
        None: raised where the tracker is called directly, a warning where an optimiser or a framework calls.
    """

    def __init__(self, on_error: str | None) -> None:
        self.on_error = on_error
        self._told: set[str] = set()

    @contextmanager
    def over(self, what: str = "recording failed", *, framework: bool = True) -> Iterator[None]:
        """Turn what is raised inside into a warning, once, if it is to be one; interrupts pass."""
        try:
            yield
        except Exception as error:
            if (self.on_error or ("warn" if framework else "raise")) == "raise":
                raise
            if str(error) not in self._told:
                self._told.add(str(error))
                warnings.warn(f"{what}, the training goes on: {error}", stacklevel=4)
