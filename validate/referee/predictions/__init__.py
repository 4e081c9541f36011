"""One small file per prediction, all of one shape."""

from spectral_edge.validate.referee.predictions import (
    p01_bbp_vacuous,
    p02_gap_above_noise,
    p10_gap_precedes_grokking,
    p11_weight_decay_needed,
)

PREDICTIONS = tuple(
    module.PREDICTION
    for module in (
        p01_bbp_vacuous,
        p02_gap_above_noise,
        p10_gap_precedes_grokking,
        p11_weight_decay_needed,
    )
)
