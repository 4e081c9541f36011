"""K of a training while it runs: the tracker, what it keeps of the updates, and what is safe on disk."""
