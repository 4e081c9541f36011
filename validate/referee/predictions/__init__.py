"""One small file per prediction, all of one shape."""
