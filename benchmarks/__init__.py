"""Measurements, each a command: `python -m benchmarks.window_rules`."""
