"""First floor: worlds in which the claims can be watched. Imports `theory` only.

=====================  ==================================================================
`gap_ode`              the gap equation 3.3, integrated
=====================  ==================================================================

The numbered sections are those of docs/theory.md.
"""

from spectral_edge.simulate.gap import GapRun, gap_ode

__all__ = ["GapRun", "gap_ode"]
