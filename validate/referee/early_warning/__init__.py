"""Early warning: whether a transition is coming, and whether spectra say so better than loss, norm and clock."""
