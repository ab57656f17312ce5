"""Reason codes: measures of a session compared with those of legitimate people."""
