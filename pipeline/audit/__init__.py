"""Audit: how well sessions can be ranked without a look at the path."""
