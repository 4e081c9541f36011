"""Dense runs: small networks recorded at every step, in regimes where the theory of a rolling window can be decided."""
