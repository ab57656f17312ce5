"""Monitoring: a model's reference distributions, and a day's drift from them."""
