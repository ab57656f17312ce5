"""Synthetic sessions, made from people's."""
