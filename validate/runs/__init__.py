"""Data is made: real training runs that the package can repeat (torch extra), and their bundled recordings."""
