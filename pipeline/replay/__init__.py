"""Recordings that come back: movements that are too much like those of another session."""
