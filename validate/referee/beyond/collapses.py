"""As many dense runs as decide prediction 16, by the spread of the bundled ones (torch extra).

Of the bundled dense runs twelve have collapses both at k* and elsewhere; by `runs_to_decide` it takes 124 such runs.
They are of six regimes, of which about two runs in three have both kinds: so many seeds of each are trained, none of
which anything was looked at of before, and no more, whatever comes out. The rule is that of the prediction.
"""

from collections.abc import Sequence
from dataclasses import replace

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond.finding import Finding
from spectral_edge.validate.referee.predictions.p16_gap_maximality import PREDICTION
from spectral_edge.validate.referee.verdict import NOT_RUN
from spectral_edge.validate.runs.dense.config import DenseConfig, dense_run

#: The regimes in which a bundled run has collapses of both kinds.
REGIMES = (
    "mlp-adamw-batch", "mlp-adamw", "mlp-sgd", "quadratic-adamw", "quadratic-gd-edge", "transformer-adamw",
)  # fmt: skip
SEEDS = tuple(range(300, 331))


def plans(seeds: Sequence[int]) -> list[tuple[DenseConfig]]:
    """The runs, seed by seed; the rule asks for no curvature, and none is measured."""
    runs = [dense_run(regime, seed) for seed in seeds for regime in REGIMES]
    return [(replace(run, curvature_every=run.max_steps + 1),) for run in runs]


def record(config: DenseConfig) -> GramSequence:
    """Train one of them."""
    from spectral_edge.validate.runs.dense.recording import train

    return train(config)["dense"]


def judge(runs: Sequence[GramSequence], bundled: Sequence[GramSequence] = ()) -> Finding:
    """Prediction 16 on `runs`; by regime, and together with the bundled ones, as readings."""
    verdict = PREDICTION.judge(runs, [])
    rule = PREDICTION.rule
    claim = f"{PREDICTION.claim.removesuffix('.')} (prediction 16)."
    if verdict.verdict == NOT_RUN:
        return Finding.missing(PREDICTION.id, claim, rule, verdict.meaning)
    own, *others = verdict.readings
    parts = {
        name: [run for run in runs if run.config["regime"] == name]
        for name in dict.fromkeys(str(run.config["regime"]) for run in runs)
    }
    parts["with the bundled runs"] = [*runs, *bundled]
    judged = {name: PREDICTION.judge(part, []) for name, part in parts.items()}
    return Finding(
        id=PREDICTION.id,
        claim=claim,
        statistic=PREDICTION.statistic,
        against=PREDICTION.control,
        verdict=verdict.verdict,
        rule=rule,
        shows=verdict.meaning,
        treated=own.treated,
        control=own.control,
        excess=verdict.effect,
        p_value=verdict.p_value,
        n=verdict.n,
        readings={one.name: one.treated for one in others}
        | {
            f"{name} ({one.n} runs), excess": one.effect
            for name, one in judged.items()
            if one.verdict != NOT_RUN
        },
    )
