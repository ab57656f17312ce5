"""Bots in the likeness of human sessions: movements -> plan -> a generator's path -> twins."""
