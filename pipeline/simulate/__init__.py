"""Synthetic bots in the likeness of people's sessions."""
