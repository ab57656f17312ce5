"""Find replays: movements that are too much like those of another session."""
