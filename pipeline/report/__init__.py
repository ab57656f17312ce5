"""Scores, sessions and pictures in, a page for analysts out: HTML that needs no network."""
