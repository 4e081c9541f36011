"""First floor: worlds in which the claims can be watched. Imports `theory` only.

=====================  ==================================================================
`gap_ode`              the gap equation 3.3, integrated
`gap_sweep`            the same for many parameters at once: regimes on all cores
`feedback_sweep`       the alpha-feedback loop 7.3; `hysteresis`
`dyson`                all W singular values with noise: level repulsion (4)
`follow_modes`         modes by their directions; `mode_exchanges`, `time_to_exchange`; `repulsion_exponent`
`null_ratio`           R and k* of windows of pure noise (2.6, 2.7); `null_quantile`
`noise`                a run in which nothing happens: K at any P, any autocorrelation; `projected`
`local_colour`         the autocorrelation of a run's updates as it changes in time; `effective_dimension`
`spiked`               signals in noise at any P: the exact band of K (9); `turning`
`window_sigma`         singular values of every window, quick enough for thousands of sequences
`planted`              runs in which a claim holds by construction, with their truth; `scenarios`
=====================  ==================================================================

The numbered sections are those of docs/theory.md; ``spectral-edge propositions 3.3`` prints a statement, and
``spectral-edge propositions 3`` its section, wherever the package is installed.
"""

from spectral_edge.simulate._colour import MEMORY, Colour, effective_dimension, local_colour
from spectral_edge.simulate._dyson import DysonPaths, dyson
from spectral_edge.simulate._exchanges import (
    ModeExchanges,
    TimeToExchange,
    mode_exchanges,
    time_to_exchange,
)
from spectral_edge.simulate._feedback import FeedbackSweep, Hysteresis, feedback_sweep, hysteresis
from spectral_edge.simulate._gap import GapRun, gap_ode
from spectral_edge.simulate._levels import RepulsionExponent, repulsion_exponent
from spectral_edge.simulate._modes import FollowedModes, follow_modes
from spectral_edge.simulate._noise import Noise, noise, projected
from spectral_edge.simulate._null import NullRatio, goe_spacings, null_quantile, null_ratio
from spectral_edge.simulate._planted.planted import PlantedRun, planted, scenarios
from spectral_edge.simulate._spiked import SpikedTrajectory, spiked, turning
from spectral_edge.simulate._sweep import GapSweep, gap_sweep
from spectral_edge.simulate._windows import window_sigma

__all__ = [
    "MEMORY",
    "Colour",
    "DysonPaths",
    "FeedbackSweep",
    "FollowedModes",
    "GapRun",
    "GapSweep",
    "Hysteresis",
    "ModeExchanges",
    "Noise",
    "NullRatio",
    "PlantedRun",
    "RepulsionExponent",
    "SpikedTrajectory",
    "TimeToExchange",
    "dyson",
    "effective_dimension",
    "feedback_sweep",
    "follow_modes",
    "gap_ode",
    "gap_sweep",
    "goe_spacings",
    "hysteresis",
    "local_colour",
    "mode_exchanges",
    "noise",
    "null_quantile",
    "null_ratio",
    "planted",
    "projected",
    "repulsion_exponent",
    "scenarios",
    "spiked",
    "time_to_exchange",
    "turning",
    "window_sigma",
]
