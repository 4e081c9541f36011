"""``python -m spectral_edge`` is the command ``spectral-edge``."""

from spectral_edge.cli import main

if __name__ == "__main__":
    main()
