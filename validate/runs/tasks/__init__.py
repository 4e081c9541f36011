"""The tasks that runs are trained on, one file each: its data, its configuration."""
