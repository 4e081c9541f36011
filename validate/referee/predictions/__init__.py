"""One small file per prediction, all of one shape."""

from spectral_edge.validate.referee.predictions import (
    p01_bbp_vacuous,
    p02_gap_above_noise,
    p03_small_gap_position,
    p04_krylov_bound,
    p05_three_phases,
    p06_stability_hierarchy,
    p07_gap_flow,
    p08_inverted_hierarchy,
    p09_loss_decomposition,
    p10_gap_precedes_grokking,
    p11_weight_decay_needed,
    p12_gap_opens_at_grokking,
    p13_optimiser_dependence,
    p14_adiabatic_regimes,
    p15_gap_tracks_loss,
    p16_gap_maximality,
    p17_projection_keeps_gap,
    p18_lag_flip,
    p19_shift_detection,
    p20_collapse_time,
)

PREDICTIONS = tuple(
    module.PREDICTION
    for module in (
        p01_bbp_vacuous,
        p02_gap_above_noise,
        p03_small_gap_position,
        p04_krylov_bound,
        p05_three_phases,
        p06_stability_hierarchy,
        p07_gap_flow,
        p08_inverted_hierarchy,
        p09_loss_decomposition,
        p10_gap_precedes_grokking,
        p11_weight_decay_needed,
        p12_gap_opens_at_grokking,
        p13_optimiser_dependence,
        p14_adiabatic_regimes,
        p15_gap_tracks_loss,
        p16_gap_maximality,
        p17_projection_keeps_gap,
        p18_lag_flip,
        p19_shift_detection,
        p20_collapse_time,
    )
)
