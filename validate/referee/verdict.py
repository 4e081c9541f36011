"""What a prediction returns: a verdict with its statistic, interval, control and readings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.placebos import OF_UPDATES, Placebo
from spectral_edge.validate.referee.published.record import AsPublished, Published
from spectral_edge.validate.referee.statistics import LEVEL, UNKNOWN, Comparison, Estimate

if TYPE_CHECKING:
    from spectral_edge.validate.referee.figures.drawing import Panel

SUPPORTED, NOT_SPECIFIC, REFUTED, UNDECIDED, NOT_RUN = (
    "supported",
    "not specific",
    "refuted",
    "undecided",
    "not run",
)
VERDICTS = (SUPPORTED, NOT_SPECIFIC, REFUTED, UNDECIDED, NOT_RUN)


_T = TypeVar("_T")
_ALONE: ContextVar[bool] = ContextVar("the verdict alone", default=False)


@contextmanager
def verdict_alone() -> Iterator[None]:
    """Judge without the readings that decide nothing: whoever counts verdicts needs none of them, and they cost most.

    What is judged so has the same verdict, statistic, effect and p-value.
    """
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def tried(readings: Mapping[str, _T], deciding: int = 1) -> dict[str, _T]:
    """The readings to go through: all of them; the `deciding` first where the verdict alone is asked for.

    Examples
    --------
    >>> with verdict_alone():
    ...     tried({"the rule's": 1, "another": 2})
    {"the rule's": 1}
    """
    return dict(list(readings.items())[: deciding if _ALONE.get() else None])


@dataclass(frozen=True)
class Reading:
    """One reading of the claim: its statistic on the treated runs and on the control, and whether each passes.

    Attributes
    ----------
    name : str
        What is read otherwise.
    treated, control : Estimate
        The statistic.
    passes, control_passes : bool or None
        None where the interval straddles the rule.

    Examples
    --------
    >>> one = Reading.above("weighted k*", Estimate(0.9, 0.8, 1.0), Estimate(0.5, 0.2, 0.8), threshold=0.6)
    >>> one.passes, one.control_passes
    (True, None)
    """

    name: str
    treated: Estimate
    control: Estimate
    passes: bool | None
    control_passes: bool | None

    @classmethod
    def above(cls, name: str, treated: Estimate, control: Estimate, threshold: float) -> "Reading":
        """Compare both with the threshold.

        Parameters
        ----------
        name : str
        treated, control : Estimate
        threshold : float
            In the unit of both.

        Returns
        -------
        Reading

        Examples
        --------
        >>> Reading.above("plain k*", Estimate(0.9, 0.8, 1.0), Estimate(0.5, 0.2, 0.55), 0.6).control_passes
        False
        """
        return cls(name, treated, control, passes(treated, threshold), passes(control, threshold))

    @classmethod
    def tested(cls, name: str, found: Comparison) -> "Reading":
        """The treated runs pass where the test against the control rejects.

        Parameters
        ----------
        name : str
        found : Comparison

        Returns
        -------
        Reading

        Examples
        --------
        >>> Reading.tested("noise", Comparison(UNKNOWN, UNKNOWN, UNKNOWN, p_value=0.01)).passes
        True
        """
        rejects = None if found.p_value != found.p_value else bool(found.p_value < LEVEL)
        return cls(name, found.treated, found.control, rejects, None)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one prediction in one world; `validate.check` says where the claims are.

    Attributes
    ----------
    number, id, claim : int, str, str
        Of the prediction.
    verdict : str
        One of `VERDICTS`.
    statistic : float
        What the rule is about, on the treated runs.
    control : float
        The same statistic on the control.
    effect : Estimate
        Effect size with its 95 % interval.
    p_value : float
        One-sided where the claim has a direction; NaN where no test applies.
    p_holm : float
        The same after Holm's correction over the twenty predictions; filled in by the scoreboard.
    n : int
        Number of runs.
    statistic_name, effect_name, meaning : str
        What `statistic` and `effect` are; what the verdict means, in two sentences.
    readings : tuple of Reading
        The sensitivity table: the rule's own reading first.
    worlds : dict of str to str
        Verdicts of the same test in the planted and in the noise world.
    size, power : Estimate
        How often the test comes out supported in the noise world and as expected in the planted one, measured by
        ``spectral-edge validate --calibrate``; filled in by the scoreboard, NaN where not measured.
    stress_size : Estimate
        How often it comes out supported in the worst of the worlds of `stress`, noise by other generators, measured by
        ``spectral-edge validate --calibrate --stress``.
    stress_world, stress_sets : str, int
        That world, and how many sets of runs were judged in it.
    refuted_size : Estimate
        How often it comes out refuted in the worst of those worlds and of the noise world.
    refuted_world, refuted_sets : str, int
        That world, and how many sets of runs were judged in it.
    runs_to_decide : int or None
        How many runs would decide what is undecided, see `deciding`; None where it is not a matter of their number.
    placebos : dict of str to str
        Verdicts of the same rule on statistics that measure nothing of the claim; of a *supported* one alone.
    published : Published
        The same claim by the author's own statistic and criterion; filled in by the scoreboard.
    details : dict
        Per-run figures behind the statistic (JSON values).

    Examples
    --------
    >>> from spectral_edge import validate
    >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
    >>> verdict = validate.check(validate.bundled()[0], predictions=PREDICTIONS[10:11])["weight-decay-needed"]
    >>> verdict.number, verdict.verdict, verdict.n
    (11, 'not run', 0)
    """

    number: int
    id: str
    claim: str
    verdict: str
    statistic: float = float("nan")
    control: float = float("nan")
    effect: Estimate = UNKNOWN
    p_value: float = float("nan")
    n: int = 0
    statistic_name: str = ""
    effect_name: str = ""
    meaning: str = ""
    readings: tuple[Reading, ...] = ()
    p_holm: float = float("nan")
    worlds: dict[str, str] = field(default_factory=dict)
    size: Estimate = UNKNOWN
    power: Estimate = UNKNOWN
    stress_size: Estimate = UNKNOWN
    stress_world: str = ""
    stress_sets: int = 0
    refuted_size: Estimate = UNKNOWN
    refuted_world: str = ""
    refuted_sets: int = 0
    runs_to_decide: int | None = None
    placebos: dict[str, str] = field(default_factory=dict)
    published: Published = field(default_factory=Published)
    details: dict[str, Any] = field(default_factory=dict)


#: Panels that show what runs hold beside the readings of a verdict: ``picture(verdict, runs, seed)``.
Picture = Callable[[Verdict, Sequence[GramSequence], int], "list[Panel]"]


class Drawn(NamedTuple):
    """A picture by its name in `figures.predictions`: predictions are read, and judge, without what draws them."""

    name: str
    options: dict[str, Any]


def drawn(name: str, **options: Any) -> Drawn:
    """The picture of that name in `figures.predictions`."""
    return Drawn(name, options)


@dataclass(frozen=True)
class Prediction:
    """One claim of the thesis and how it is judged; its file holds the rule's constants.

    Attributes
    ----------
    number, id, claim, reference : int, str, str, str
        As in the table of predictions; `reference` is where the thesis, and docs/theory.md, say so.
    statistic, treatment, control, rule : str
        In words.
    judge : callable
        ``judge(runs, noise) -> Verdict``: `runs` are recorded sequences, `noise` one tuple of noise
        sequences for each of them. It reads no files, draws nothing and knows nothing of other worlds.
    planted : callable
        ``planted(seed) -> runs`` in which the claim holds by construction.
    null_runs : callable, optional
        ``null_runs(runs, seed) -> runs`` in which it does not; by default noise takes the place of each run.
    expected_when_planted : str
        The verdict expected in the planted world: *supported*, but for a claim that noise shares.
    version : int
        Of the rule, raised when its statistic, its test or its planted world change: what was counted for another
        version is not its own.
    reported : str
        What the thesis itself reports, where it gives a number that is known to us.
    published : AsPublished
        The author's own test of it.
    compares : bool
        Whether runs with and without weight decay are compared: those of a recipe that has one kind alone in their
        family do not count then.
    dense : bool
        Whether runs of the experiment "dense", recorded at every step, are judged beside the others. They say nothing
        of claims about transitions and records far apart.
    needs : Needs
        What runs must hold for it to be judged on them.
    picture : callable, optional
        What the runs show beside the readings, one of its own or one that is `drawn`.
    noise_refutes : str
        Why noise refutes the claim by the claim's own words, where it does: *refuted* is not an error there.
    placebos : mapping of str to callable
        What the same rule must not support.
    boundaries : tuple of float
        Values of the effect at which the rule turns: as many runs decide as it takes to exclude one of them.
    changed_by : str
        What would change a verdict that is not *supported*, and the cheapest measurement of it.
    turned : mapping of str to callable
        What computes the statistic, by its name in the prediction's file, and what reverses its value. The planted
        world must lose its verdict then: a test sees to it.

    Examples
    --------
    >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
    >>> one = PREDICTIONS[2]
    >>> one.number, one.id, one.rule
    (3, 'small-gap-position', '≥ 90% of the windows, if more windows have a gap than chance makes')
    """

    number: int
    id: str
    claim: str
    reference: str
    statistic: str
    treatment: str
    control: str
    rule: str
    judge: Callable[[Sequence[GramSequence], Sequence[Sequence[GramSequence]]], Verdict]
    planted: Callable[[int], list[GramSequence]]
    null_runs: Callable[[Sequence[GramSequence], int], list[GramSequence]] | None = None
    expected_when_planted: str = SUPPORTED
    version: int = 1
    reported: str = ""
    dense: bool = False
    compares: bool = False
    published: AsPublished = field(
        default_factory=lambda: AsPublished("No test of the author's is known to us.")
    )
    needs: Needs = field(default_factory=Needs)
    picture: "Picture | Drawn | None" = None
    turned: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    noise_refutes: str = ""
    placebos: Mapping[str, Placebo] = field(default_factory=lambda: OF_UPDATES)
    boundaries: tuple[float, ...] = ()
    changed_by: str = ""

    def judge_planted(self, seed: int) -> str:
        """The verdict where the claim holds by construction.

        Parameters
        ----------
        seed : int
            Of the planted world, and of the noise beside it.

        Returns
        -------
        str
            One of `VERDICTS`.

        Examples
        --------
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> PREDICTIONS[10].judge_planted(1)
        'supported'
        """
        runs = self.planted(seed)
        return self.judge(runs, [worlds.matched_noise(run, seed) for run in runs]).verdict

    def judge_noise(
        self, runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]], seed: int
    ) -> str:
        """The verdict where nothing happens: a noise copy of every run takes its place, the others are its control.

        Parameters
        ----------
        runs : sequence of GramSequence
        noise : sequence of sequences of GramSequence
            Noise copies of each run, at least two.
        seed : int
            Of `null_runs`, where the prediction has its own.

        Returns
        -------
        str
            One of `VERDICTS`.

        Examples
        --------
        >>> from spectral_edge.validate.referee import worlds
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> runs = PREDICTIONS[10].planted(1)
        >>> PREDICTIONS[10].judge_noise(runs, [worlds.matched_noise(run, 1) for run in runs], 1)
        'refuted'
        """
        if self.null_runs is None:
            return self.judge([copies[0] for copies in noise], [copies[1:] for copies in noise]).verdict
        null = self.null_runs(runs, seed)
        return self.judge(null, [worlds.matched_noise(run, seed) for run in null]).verdict

    def verdict(self, verdict: str, **figures: Any) -> Verdict:
        """Return a `Verdict` that carries this prediction's number, id and claim.

        Parameters
        ----------
        verdict : str
            One of `VERDICTS`.
        **figures
            Other fields of the `Verdict`.

        Returns
        -------
        Verdict

        Examples
        --------
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> PREDICTIONS[10].verdict("refuted", n=3).id
        'weight-decay-needed'
        """
        return Verdict(self.number, self.id, self.claim, verdict, **figures)

    def not_run(self, missing: str) -> Verdict:
        """Return the verdict of a test whose data is missing.

        Parameters
        ----------
        missing : str
            What is missing, without a full stop.

        Returns
        -------
        Verdict

        Examples
        --------
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> PREDICTIONS[10].not_run("runs without weight decay").meaning
        'Not judged: runs without weight decay.'
        """
        return replace(self.verdict(NOT_RUN), meaning=f"Not judged: {missing}.")


def passes(estimate: Estimate, threshold: float) -> bool | None:
    """Whether the whole interval lies above `threshold` (True), below it (False), or straddles it (None)."""
    if estimate.low > threshold:
        return True
    return False if estimate.high <= threshold else None


def beyond(nulls: Sequence[Comparison], smallest: float | None = None) -> str:
    """The verdict of a statistic that must exceed several nulls.

    Supported where every test rejects and no run is alone: every interval of the excess over the runs lies above zero.
    Refuted where every one lies below zero: the runs show less than what nothing shows. Not specific where a null
    leaves no room for an excess of `smallest`, the least that would matter: what the runs show, it shows.
    """
    if all(one.p_value < LEVEL and one.excess.low > 0 for one in nulls):
        return SUPPORTED
    if all(one.excess.high < 0 for one in nulls):
        return REFUTED
    alike = smallest is not None and any(one.excess.high < smallest for one in nulls)
    return NOT_SPECIFIC if alike else UNDECIDED


def above_and_specific(treated: Estimate, threshold: float, nulls: Sequence[Comparison]) -> str:
    """The verdict of a statistic that must lie above a threshold and exceed its nulls.

    Refuted where it lies below the threshold, and below every null.
    """
    above = passes(treated, threshold)
    if above is False:
        return REFUTED if all(one.excess.high < 0 for one in nulls) else UNDECIDED
    if above and beyond(nulls) == SUPPORTED:
        return SUPPORTED
    return NOT_SPECIFIC if above else UNDECIDED


def decide(treated: bool | None, control: bool | None) -> str:
    """Combine the two into the verdict: supported only where the claim passes and its control fails."""
    if treated is False:
        return REFUTED
    if treated is None or control is None:
        return UNDECIDED
    return NOT_SPECIFIC if control else SUPPORTED
