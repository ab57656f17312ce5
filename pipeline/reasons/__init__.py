"""Reason codes: measurements of a session beside those of legitimate people."""
