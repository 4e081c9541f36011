"""Training frameworks: thin, and each imports its framework only when it is used."""
