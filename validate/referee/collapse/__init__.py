"""Collapse times: which modes can be followed, what each form predicts, how well that was."""
