"""The commands of ``spectral-edge``, one file each, and what they share (`console`).

A command's file is cheap to import: what it needs of the floors, it imports when it is called. It looks at what it
was given before that, so that a wrong path is said at once.
"""
