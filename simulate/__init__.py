"""First floor: worlds in which the claims can be watched. Imports `theory` only."""
