"""The planted worlds: runs in which a claim holds by construction (private behind the function `simulate.planted`)."""
