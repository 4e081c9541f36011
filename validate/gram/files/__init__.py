"""K of files: checkpoints found, ordered and read tensor by tensor, and whatever else a user names."""
