"""K of vectors that are there: in memory, in memory maps, in dask arrays; the second pass that refines it."""
