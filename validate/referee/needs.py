"""What a prediction needs of runs to be judged, what of it they lack, and how it is recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import knows, metric
from spectral_edge.validate.referee.curvature import source
from spectral_edge.validate.referee.events import is_watched
from spectral_edge.validate.referee.series import validation_loss

#: The transition, as something to be recorded: by default a test accuracy.
TRANSITION = "transition"
#: Curvature as the optimiser sees it, by whichever probes it is told.
CURVATURE = "response (or metric beside hessian)"
#: Singular values of query matrices, which have a name each.
QUERIES = "queries"
#: The validation loss, which counts where it was measured at every record.
LOSS = "test_loss"
#: Window that curvature is needed on.
WINDOW = 10
_PROBES = "probes=validate.probes.from_loss(model, loss, optimizer=optimizer) where the run is recorded"
#: How what a run may lack is recorded; what is not here stands on its card.
HOW = {
    "P": "GramSequence.from_parameters or a GramTracker",
    "records": "record more often, or longer",
    "band": "GramTracker(W_max=…)",
    TRANSITION: "tracker.update(model, step=step, test_accuracy=…), or event=",
    QUERIES: "tracker.update(model, **validate.probes.query_spectra(model))",
    LOSS: "tracker.update(model, step=step, test_loss=…), with every= as often as it is measured",
    "validation_gradient": "validate.probes.from_loss(model, loss, validation=validation_loss)",
    **dict.fromkeys(("gradient", "hessian", "response", "metric", "ablation", CURVATURE), _PROBES),
}


@dataclass(frozen=True)
class Needs:
    """What a prediction needs of a run that it is to be judged on, and which runs it needs.

    Attributes
    ----------
    runs : str
        Which runs and how many, in words.
    config : tuple of str
        Fields of the card.
    metrics : tuple of str
        "test_loss" (by any of its names), `TRANSITION`, `QUERIES`.
    probes : tuple of str
        Names of probes, and `CURVATURE`.
    records, band : int
        Updates that are recorded, and lags of K that are kept.
    P : bool
        Whether the number of parameters must be known.
    """

    runs: str = "one run"
    config: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    records: int = 10
    band: int = 10
    P: bool = False

    def lacking(self, run: GramSequence) -> Iterator[str]:
        """What one run lacks, by its name in `HOW` or on the card.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(40, 300)), axis=0)
        >>> run = validate.GramSequence.from_parameters(walk, config={"lr": 0.1})
        >>> list(Needs(config=("learning_rate", "weight_decay"), probes=("hessian",)).lacking(run))
        ['weight_decay', 'hessian']
        """
        if self.P and run.P is None:
            yield "P"
        if self.records > run.T:
            yield "records"
        if run.W_max < min(self.band, run.T):
            yield "band"
        yield from (field for field in self.config if not knows(run, field))
        yield from (name for name in self.metrics if not _has(run, name))
        yield from (name for name in self.probes if not _probed(run, name))

    def met(self, run: GramSequence) -> bool:
        """Whether a run lacks nothing."""
        return next(self.lacking(run), None) is None

    def missing(self, runs: Sequence[GramSequence]) -> dict[str, int]:
        """By what is lacking, how many of `runs` lack it."""
        count: dict[str, int] = {}
        for run in runs:
            for name in self.lacking(run):
                count[name] = count.get(name, 0) + 1
        return count

    def told(self, runs: Sequence[GramSequence]) -> str:
        """Say what is needed, and of what is missing how it is recorded."""
        missing = self.missing(runs)
        words = {
            "records": f"{self.records} updates",
            "band": f"{self.band} lags of K",
            LOSS: f"{LOSS} at every record",
        }
        together: dict[tuple[int, str], list[str]] = {}  # what is recorded in one way is said once
        for name, count in missing.items():
            together.setdefault((count, how(name)), []).append(words.get(name, name))
        lines = [f"It needs {self.runs}."]
        for (count, way), names in together.items():
            lacks = "None has" if count == len(runs) else f"{count} of {len(runs)} lack"
            lines.append(f"{lacks} {', '.join(names)} ({way}).")
        return " ".join(lines)


def _probed(run: GramSequence, name: str) -> bool:
    return source(run, WINDOW) is not None if name == CURVATURE else name in run.probes


def how(name: str) -> str:
    """How something is recorded, as code."""
    return HOW.get(name, f"config={{'{name}': …}}")


def _has(run: GramSequence, name: str) -> bool:
    if name == TRANSITION:
        return is_watched(run)
    if name == QUERIES:
        return any(key.endswith(".Q.sigma_1") and "cross" not in key for key in run.metrics)
    if name == LOSS:
        return validation_loss(run) is not None
    return metric(run, name) is not None
