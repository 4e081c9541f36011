"""Data comes in: Gram sequences from arrays, checkpoints and live training."""
