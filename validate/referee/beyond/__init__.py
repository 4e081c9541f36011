"""Beyond the twenty predictions: what the thesis says of function space, of capabilities, of other theories.

Every statement here has a control, an interval, a planted world in which it must be supported and a world of noise in
which it must not. ``python -m spectral_edge.validate.referee.beyond NAME`` trains the small networks that it needs
(torch extra) and writes what came out to ``results/NAME.json``; docs/beyond.md shows it.
"""
