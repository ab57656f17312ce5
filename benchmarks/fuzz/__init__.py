"""Hostile logs, made and mutated, and what has to hold whatever is in them.

`grammar.py` makes files of each format from choices, `check.py` reads one and raises if a
promise is broken, `seeds.py` gives real files to begin with. The tests draw the choices with
hypothesis; `python -m benchmarks.fuzz` lets atheris draw them, guided by coverage.
"""
