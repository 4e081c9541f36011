"""K of vectors: in memory, in memory maps, in dask arrays; the second pass that refines it."""
