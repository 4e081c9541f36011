"""Which steps are recorded."""

from collections.abc import Callable

from spectral_edge.theory.checks import whole


class Cadence:
    """A record every so many steps, counted from the last one.

    Parameters
    ----------
    every : int
        Steps, or calls where no steps are given.
    say : callable
        Told at the second call which calls are recorded.

    Attributes
    ----------
    recorded : int or None
        Step of the last record, or of the starting point.
    seen : int or None
        Step of the last call.
    """

    def __init__(self, every: int, say: Callable[[str], object]) -> None:
        self.every, self._say = every, say
        self.recorded: int | None = None
        self.seen: int | None = None
        self._said = every == 1

    def begin(self, step: int | None) -> None:
        """Go on after `step`."""
        self.recorded = self.seen = step

    def next(self, step: int | None) -> int:
        """The step of this call: that given, or one more than that of the last call."""
        if step is None:
            return 0 if self.seen is None else self.seen + 1
        return whole("step", step, 0)

    def wants(self, step: int) -> bool:
        """Whether `step` is recorded."""
        return self.recorded is None or step >= self.recorded + self.every

    def pass_over(self, step: int) -> None:
        """Take note of a call that is not recorded."""
        self._explain(step)
        self.seen = step

    def record(self, step: int) -> None:
        """Take note of a record."""
        self._explain(step)
        self.recorded = self.seen = step

    def _explain(self, step: int) -> None:
        if self._said or self.seen is None or self.recorded is None:
            return
        self._said = True
        stride = step - self.seen
        if stride >= self.every:
            what = f"calls are {stride} steps apart, so each is recorded"
        else:
            gap = -(-self.every // stride) * stride
            what = f"steps {self.recorded + gap}, {self.recorded + 2 * gap}, … are recorded"
        self._say(f"every={self.every} counts steps: {what}")
