"""What the early warning found: one row per feature, the table of them, and the sentence that sums it up."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.theory.files import jsonable
from spectral_edge.validate.referee.early_warning.features import SPECTRAL
from spectral_edge.validate.referee.statistics import Estimate, short

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

#: With fewer runs of either kind the bootstrap says nothing: five hits of five do not exclude chance at 95 %.
MIN_RUNS = 6


@dataclass(frozen=True)
class Warner:
    """How one feature, or a combination of them, warns (8.4) on families it has not seen.

    Attributes
    ----------
    name, group, meaning : str
        Of the feature; group "together" for a combination.
    warns : str
        Side that was learned to warn: "high", "low", or "mixed" where the folds disagree.
    auc : Estimate
        Probability that a positive record scores above a negative one of the same step and family; 0.5 is chance.
    when : Estimate
        The same among runs that all have a transition: whether it tells when, not only whether.
    unmatched : Estimate
        The same whatever the steps of the two: as it is usually reported, with time in it.
    over_loss : Estimate
        `auc` minus that of the validation loss, paired.
    by_family : mapping of str to float
        `auc` of every family when it was left out.
    hit_rate : Estimate
        Share of transitions with an alarm within the horizon.
    false_alarm_rate : Estimate
        Share of runs in which an alarm sounded at a negative record, up to the family's last transition.
    false_alarms_per_run : float
        How many alarms begin there per run.
    lead_records, lead_steps : tuple of int
        From the first alarm within the horizon to the transition, of every transition that was hit.
    transitions, runs : int
        Runs with positive records that were judged; all runs that were.
    missing : tuple of str
        Runs on which the feature is not judged because it was not recorded.
    passes : bool or None
        Whether the interval of `auc` lies above 0.5; None with fewer than `MIN_RUNS` runs of either kind.
    roc : (2, m) float64
        False-alarm and hit rate, matched in time.

    Examples
    --------
    >>> from spectral_edge import simulate, validate
    >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
    >>> runs = [
    ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
    ...     for w in worlds
    ... ]
    >>> found = validate.early_warning(runs)
    >>> warner = found["g_23"]
    >>> warner.group, warner.warns, warner.passes  # too few runs to pass or fail
    ('spectral', 'low', None)
    """

    name: str
    group: str
    meaning: str
    warns: str
    auc: Estimate
    when: Estimate
    unmatched: Estimate
    over_loss: Estimate
    by_family: Mapping[str, float]
    hit_rate: Estimate
    false_alarm_rate: Estimate
    false_alarms_per_run: float
    lead_records: tuple[int, ...]
    lead_steps: tuple[int, ...]
    transitions: int
    runs: int
    missing: tuple[str, ...]
    passes: bool | None
    roc: FloatArray = field(repr=False)


@dataclass(frozen=True)
class EarlyWarning:
    """What warns of a transition (8.4), and what the spectral features add to what one watches anyway.

    Attributes
    ----------
    warners : tuple of Warner
        Single features, then the combinations.
    adds : Estimate
        AUC of everything together minus that of the baselines together, paired.
    instead : Estimate
        AUC of the spectral features together minus that of the baselines together, paired.
    left_out : {"family", "seed"}
        What was left out in turn: seeds where only one family has transitions.
    families : mapping of str to int
        Transitions judged in each family.
    not_judged : mapping of str to str
        Runs left out altogether, with the reason.
    horizon : int
        Records within which the transition must come for a record to be positive.
    false_alarms : float
        Share of the other families' runs in which an alarm may sound at a negative record: sets its threshold.
    seed : int
        Of the bootstrap over runs.
    label : str
        What counts as a transition.
    late : mapping of str to Estimate
        A reading: `auc` by the name of the feature where the transition is a test accuracy of 0.95, when learning
        is half over: too late for a fair contest. Empty where another transition was asked for.
    unfair : str
        Why the transitions themselves are labelled that late; empty where they are not.

    Examples
    --------
    >>> from spectral_edge import simulate, validate
    >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
    >>> runs = [
    ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
    ...     for w in worlds
    ... ]
    >>> found = validate.early_warning(runs)
    >>> found.left_out, found.families
    ('seed', {'planted gap-precedes-grokking': 2})
    """

    warners: tuple[Warner, ...]
    adds: Estimate
    instead: Estimate
    left_out: str
    families: Mapping[str, int]
    not_judged: Mapping[str, str]
    horizon: int
    false_alarms: float
    seed: int
    label: str = ""
    late: Mapping[str, Estimate] = field(default_factory=dict)
    unfair: str = ""

    def __getitem__(self, name: str) -> Warner:
        return next(warner for warner in self.warners if warner.name == name)

    def __str__(self) -> str:
        """Say the outcome in a few sentences."""
        singles = [w for w in self.warners if w.group == SPECTRAL]
        n, families = sum(self.families.values()), len(self.families)
        said = [
            f"Left out {self.left_out} by {self.left_out} ({n} transitions in {families} "
            f"{'family' if families == 1 else 'families'}), {_listed([w.name for w in singles if w.passes])} "
            f"warned better than chance of a transition within {self.horizon} records"
            + (f" ({self.label})." if self.label else ".")
        ]
        if self.unfair:
            said.append(
                f"That label comes when learning is half over; the fair one cannot be judged ({self.unfair})."
            )
        shown = [name for name in ("all spectral", "validation loss") if name in self.late]
        if shown:
            aucs = ", ".join(f"{name} {self.late[name]} (at the onset {self[name].auc})" for name in shown)
            said.append(f"Labelled at a test accuracy of 0.95 instead, when learning is half over: {aucs}.")
        if any(w.passes is None for w in singles):
            said.append(f"A feature judged on fewer than {MIN_RUNS} runs of a kind is undecided.")
        known = [w.auc for w in self.warners if w.name == "weight decay" and np.isfinite(w.auc.value)]
        if known:
            said.append(f"Knowing the weight decay alone, which never changes, gives an AUC of {known[0]}.")
        if any(np.isfinite(w.when.value) for w in singles):
            timed = _listed([w.name for w in singles if w.when.low > 0.5])
            said.append(f"Among runs that all have a transition, {timed} told when it comes.")
        low, high = self.adds.low, self.adds.high
        if np.isfinite(low):
            what = "add to" if low > 0 else "take away from" if high < 0 else "add nothing that is certain to"
            said.append(
                f"Together, the spectral features {what} what one watches anyway: the AUC changes by {self.adds}."
            )
        else:
            said.append("What the spectral features add to the baselines cannot be judged on so few runs.")
        return " ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """JSON values with stable keys; NaN and infinity become None, an estimate is value, low and high.

        Returns
        -------
        dict
            The fields, and the sentences of ``str`` as "meaning".

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
        >>> runs = [
        ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
        ...     for w in worlds
        ... ]
        >>> validate.early_warning(runs).to_dict()["horizon"]
        10
        """
        found: dict[str, Any] = jsonable(asdict(self) | {"meaning": str(self)})
        return found

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per feature or combination (needs the extra ``data``).

        Returns
        -------
        pandas.DataFrame
            With the features' names as its index; an estimate is three columns, and each family has its AUC.

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
        >>> runs = [
        ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
        ...     for w in worlds
        ... ]
        >>> validate.early_warning(runs).to_dataframe().loc["g_23", "warns"]
        'low'
        """
        import pandas as pd

        rows = []
        for warner in self.warners:
            row = asdict(warner)
            del row["roc"], row["by_family"]
            for name, value in list(row.items()):
                if isinstance(value, Estimate):
                    row |= {f"{name}_low": value.low, f"{name}_high": value.high, name: value.value}
            rows.append(row | {f"auc {family}": auc for family, auc in warner.by_family.items()})
        return pd.DataFrame(rows).set_index("name")

    def table(self, *, wide: bool = False) -> "Table":
        """The features as a table for the terminal.

        Parameters
        ----------
        wide : bool
            120 columns, with the comparison with the loss, alarms and leads.

        Returns
        -------
        rich.table.Table

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
        >>> runs = [
        ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
        ...     for w in worlds
        ... ]
        >>> len(validate.early_warning(runs).table().columns)
        4
        """
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(
            title=f"Early warning: a transition within {self.horizon} records?",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        names = ("feature", "warns", "AUC, 95 %", "when, 95 %", *(("over the loss",) if wide else ()))
        for name in names:
            table.add_column(name, no_wrap=True)
        for name in ("hits", "false", "lead") if wide else ():
            table.add_column(name, justify="right", no_wrap=True)
        for i, w in enumerate(self.warners):
            style = {True: "bold green", False: "", None: "cyan"}[w.passes]
            row = [escape(w.name), w.warns, escape(str(w.auc)), escape(str(w.when))]
            if wide:
                row.append(escape(str(w.over_loss)))
                lead = f"{np.median(w.lead_records):g} rec." if w.lead_records else "–"
                row += [f"{short(w.hit_rate.value, 2)}", f"{short(w.false_alarm_rate.value, 2)}", lead]
            last = i + 1 < len(self.warners) and self.warners[i + 1].group != w.group
            table.add_row(*row, style=style, end_section=last)
        return table


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no spectral feature"
