"""As published: claims about runs that grok and runs that do not (10 to 12)."""

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card, knows, number
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.partners import decay_groups, decay_pairs
from spectral_edge.validate.referee.published.record import (
    WIDTHS,
    AsPublished,
    Found,
    Runs,
    lacking,
    long_enough,
    share,
    width,
)
from spectral_edge.validate.referee.statistics import geometric_mean

FALL = 1.5  # g_23 at its peak over g_23 later
#: Operations that do not grok for the author either: controls, with weight decay and without.
CONTROLS = ("a2+ab+b2", "a3+ab")
ALLOWED = 1  # runs without weight decay that may grok: 0 of 24, in a later version 1
CONTROLS_EVERY = 500  # steps between the author's records of runs without weight decay
CONTROLS_MERGED = 5  # records of ours that make one of those
NARROW = 5  # the widest window that the bands hold then
BEFORE = 5  # records before the grok step, for comparison
WITH, WITHOUT = "runs with weight decay that grok", "runs without weight decay of the same recipe"

# -- 10 --------------------------------------------------------------------------------------------------------


def subleading(run: GramSequence) -> tuple[FloatArray, FloatArray]:
    """Steps, and λ_2 − λ_3 of the Gram matrix there; in Dyck-1 and SCAN from two rows on, where it is λ_2."""
    W = width(run)
    windows = run.window(W)
    if card(run).task not in WIDTHS:
        return windows.steps.astype(float), windows.g_23
    first = [run.window(rows) for rows in range(2, W)]
    g = [one.g_23[0] if one.W > 2 else one.lam[0, 1] for one in first]
    steps = [one.steps[0] for one in first]
    return np.concatenate([steps, windows.steps]), np.concatenate([g, windows.g_23])


def decline(run: GramSequence, step: int | None = None) -> float:
    """The peak of g_23 over its value at the last window, of those up to `step` if one is given; NaN without any."""
    steps, g = subleading(run)
    g = g if step is None else g[steps <= step]
    return float(g.max() / g[-1]) if len(g) and g[-1] > 0 else float("nan")


def _declines(run: GramSequence) -> bool:
    """Whether a run counts as one whose gap declines: not without a grok step, unless in Dyck-1 and SCAN."""
    if card(run).task in WIDTHS:
        return decline(run) > FALL
    step = grok_step(run)
    return step is not None and decline(run, step) > FALL


def recorded_as_controls(without: Runs) -> str:
    """What the interval of the author's controls does to the decline from peak to end, in words; empty without any."""
    chosen = [
        run for run in without
        if knows(run, "record_every") and number(run, "record_every") * CONTROLS_MERGED == CONTROLS_EVERY
        and run.T > CONTROLS_MERGED * NARROW and run.W_max >= CONTROLS_MERGED * (NARROW + 1) - 1
    ]  # fmt: skip
    if not chosen:
        return ""
    falls = [[_peak_over_end(one) > FALL for one in (run, run.every(CONTROLS_MERGED))] for run in chosen]
    fine, coarse = (share(np.array(group)) for group in zip(*falls, strict=True))
    return (
        f"The author records runs without weight decay every {CONTROLS_EVERY} steps and the others more often: in "
        f"windows of {NARROW} updates g_23 declines from peak to end in {fine} of them, and in {coarse} where every "
        f"{CONTROLS_MERGED}th record is taken."
    )


def _peak_over_end(run: GramSequence) -> float:
    g = run.window(NARROW).g_23
    return float(g.max() / g[-1]) if g[-1] > 0 else float("nan")


def _precedes(runs: Runs) -> Found:
    chosen = long_enough(runs, 1)
    decays, without = decay_groups(chosen)
    grokked = [run for run in decays if grok_step(run) is not None]
    if not grokked:
        return lacking(WITH)
    hits, false = (np.array([_declines(run) for run in group], dtype=bool) for group in (grokked, without))
    if not len(false):
        return lacking(f"{WITHOUT} (with it: {share(hits)})", float(hits.mean()))
    treated, control = decay_pairs(chosen)
    same_step = np.array([
        decline(other, step) > FALL
        for key, other in control.items() if (step := grok_step(treated[key])) is not None
    ])  # fmt: skip
    to_the_end = np.array([decline(run) > FALL for run in without])
    coarse = recorded_as_controls(without)
    unseen = sum(grok_step(run) is None and card(run).task not in WIDTHS for run in without)
    return Found(
        float(hits.mean()),
        bool(hits.all() and not false.any()),
        f"{share(hits)} runs that grok, {share(false)} without weight decay",
        f"Without a grok step there is no decline by definition: so in {unseen} of {len(without)} controls. Measured "
        f"at the step at which their partners grok, g_23 has declined in {share(same_step)}, and from peak to end in "
        f"{share(to_the_end)}. {coarse}".rstrip(),
    )


PRECEDES = AsPublished(
    f"In every run that groks the peak of g_23 = λ_2 − λ_3 before the grok step is more than {FALL:g} times its value "
    "at it, and in none without weight decay (no grok step counts as no decline; Dyck-1, SCAN: peak over final value).",
    _precedes,
)

# -- 11 --------------------------------------------------------------------------------------------------------


def _groks(runs: Runs) -> Found:
    decays, without = decay_groups(runs)
    counted = [run for run in decays if card(run).operation not in CONTROLS]
    if not counted:
        return lacking(WITH)
    hits = np.array([grok_step(run) is not None for run in counted])
    if not without:
        return lacking(f"{WITHOUT} (with it: {share(hits)} grok)", float(hits.mean()))
    false = np.array([grok_step(run) is not None for run in without])
    everyone = np.array([grok_step(run) is not None for run in decays])
    if hits.all() and false.sum() > ALLOWED:
        late = [
            f"{card(run).run} at step {grok_step(run):,}"
            for run, hit in zip(without, false, strict=True)
            if hit
        ]
        difference = (
            f"More than {ALLOWED} that groks without weight decay is too many ({', '.join(late)}); the referee "
            "compares the shares."
        )
    else:
        difference = (
            f"Runs with weight decay of {' and '.join(CONTROLS)} are the author's controls and do not count: with "
            f"them it is {share(everyone)}."
        )
    return Found(
        float(hits.mean()),
        bool(hits.all() and false.sum() <= ALLOWED),
        f"{share(hits)} with weight decay, {share(false)} without",
        difference,
    )


NEEDED = AsPublished(
    f"Every run with weight decay groks, those of {' and '.join(CONTROLS)} left out, and at most {ALLOWED} without.",
    _groks,
)

# -- 12 --------------------------------------------------------------------------------------------------------


def query_ratio(run: GramSequence) -> FloatArray:
    """σ_1/σ_2 of W_Q over time, (T,): geometric mean over the layers that attend to themselves; empty without any."""
    names = [name for name in run.metrics if name.endswith(".Q.sigma_1") and "cross" not in name]
    ratios = [run.metrics[name] / run.metrics[f"{name[:-1]}2"] for name in names]
    return np.exp(np.mean(np.log(ratios), axis=0)) if ratios else np.zeros(0)


def rise(run: GramSequence, step: int) -> float:
    """σ_1/σ_2 at the end of the run over that at `step`."""
    ratio, at = query_ratio(run), int(np.searchsorted(run.steps, step))
    return float(ratio[-1] / ratio[at]) if at < len(ratio) else float("nan")


def _opens(runs: Runs) -> Found:
    treated, control = decay_pairs([run for run in runs if len(query_ratio(run))])
    steps = {key: step for key, run in treated.items() if (step := grok_step(run)) is not None}
    if not steps:
        return lacking(f"{WITH} and the singular values of their W_Q")
    rises = geometric_mean([rise(treated[key], step) for key, step in steps.items()])
    others = [
        x for key, step in steps.items() if key in control and np.isfinite(x := rise(control[key], step))
    ]
    if not others:
        return lacking(f"{WITHOUT} (with it the ratio changes by {rises})", rises.value)
    flat = geometric_mean(others)
    before = geometric_mean([
        ratio[at] / ratio[max(0, at - BEFORE)]
        for key, step in steps.items()
        for ratio, at in [(query_ratio(treated[key]), int(np.searchsorted(treated[key].steps, step)))]
    ])  # fmt: skip
    return Found(
        rises.value,
        bool(rises.value > 1 and rises.value > flat.value),
        f"times {rises}, without weight decay {flat}",
        f"The end of the run is compared with the grok step, not the time around it: over the {BEFORE} records before "
        f"it the ratio changes by {before}.",
    )


OPENS = AsPublished(
    "σ_1/σ_2 of W_Q is larger at the end of a run than at the grok step, in the geometric mean over runs, and by more "
    "than without weight decay.",
    _opens,
)
