"""Numba kernels: arrays and scalars in, arrays and scalars out; no defaults, no Python objects."""

from spectral_edge.simulate._compiling import cache_somewhere

cache_somewhere()
