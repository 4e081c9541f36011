"""What a statement comes to: an estimate, its control, and one sentence on what that shows."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from spectral_edge.theory.files import jsonable, replace_atomically
from spectral_edge.validate.referee.statistics import LEVEL, Comparison, Estimate, mean
from spectral_edge.validate.referee.verdict import NOT_RUN, NOT_SPECIFIC, REFUTED, SUPPORTED, UNDECIDED

#: Where the results that come with the package are.
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Finding:
    """One statement, judged.

    Attributes
    ----------
    id, claim : str
        Its name; what is claimed.
    statistic, against : str
        What `treated` is, and what `control` is.
    treated, control, excess : Estimate
        Means over runs with 95 % intervals, and the mean of their differences, each run less its own control.
    p_value : float
        One-sided.
    n : int
        Runs.
    verdict : str
        As of a prediction: see `rule`.
    rule : str
        When it is supported.
    shows : str
        What the outcome does and does not show.
    readings : dict of str to Estimate
        Other readings and further controls; none of them decides.
    """

    id: str
    claim: str
    statistic: str
    against: str
    verdict: str
    rule: str
    shows: str = ""
    treated: Estimate = field(default_factory=lambda: Estimate(np.nan, np.nan, np.nan))
    control: Estimate = field(default_factory=lambda: Estimate(np.nan, np.nan, np.nan))
    excess: Estimate = field(default_factory=lambda: Estimate(np.nan, np.nan, np.nan))
    p_value: float = float("nan")
    n: int = 0
    readings: dict[str, Estimate] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Comparison, n: int, **about: Any) -> "Finding":
        """The finding that a comparison is, with what is said of it."""
        return cls(
            treated=found.treated,
            control=found.control,
            excess=found.excess,
            p_value=found.p_value,
            n=n,
            **about,
        )

    @classmethod
    def missing(cls, id: str, claim: str, rule: str, why: str) -> "Finding":
        """A statement that could not be judged."""
        return cls(id, claim, "–", "–", NOT_RUN, rule, shows=why)


def paired(treated: ArrayLike, control: ArrayLike) -> Comparison:
    """Each run against its own control: means, the mean difference, and Student's one-sided test of it.

    Runs in which either is unknown (NaN) do not count.

    Examples
    --------
    >>> paired([1.0, 1.2, 0.9], [0.5, 0.6, 0.5]).excess.low > 0
    True
    """
    one, other = np.asarray(treated, dtype=float), np.asarray(control, dtype=float)
    known = np.isfinite(one) & np.isfinite(other)
    difference = (one - other)[known]
    p = float("nan")
    if len(difference) > 1 and difference.std() > 0:
        p = float(stats.ttest_1samp(difference, 0, alternative="greater").pvalue)
    elif len(difference) > 1:
        p = 0.0 if difference[0] > 0 else 1.0
    return Comparison(mean(one[known]), mean(other[known]), mean(difference), p)


def judged(nulls: Sequence[Comparison], *, above: float | None = None, smallest: float = 0.0) -> str:
    """The verdict of a statistic that must exceed every one of its nulls, and lie above a threshold where there is one.

    Refuted where its interval lies below the threshold: without one nothing is refuted. Not specific where it lies
    above the threshold and a null does as well, or where a null leaves no room for an excess of `smallest`.
    """
    treated = nulls[0].treated
    if above is not None and treated.high < above:
        return REFUTED
    passed = above is None or treated.low > above
    if passed and all(one.p_value < LEVEL and one.excess.low > 0 for one in nulls):
        return SUPPORTED
    alike = any(one.excess.high < smallest for one in nulls)
    if above is not None:
        alike = passed and any(one.control.low > above or one.excess.high < smallest for one in nulls)
    return NOT_SPECIFIC if alike else UNDECIDED


def save(name: str, findings: Sequence[Finding], about: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write what came out as JSON: the command, its seeds, and every finding."""
    table = {"name": name, **about, "findings": [asdict(one) | _estimates(one) for one in findings]}
    text = json.dumps(jsonable(table), indent=1, ensure_ascii=False) + "\n"
    return replace_atomically(folder / f"{name}.json", lambda file: file.write(text.encode()))


def _estimates(one: Finding) -> dict[str, Any]:
    named = {name: getattr(one, name)._asdict() for name in ("treated", "control", "excess")}
    return named | {"readings": {name: value._asdict() for name, value in one.readings.items()}}


def load(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """What `save` wrote."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found
