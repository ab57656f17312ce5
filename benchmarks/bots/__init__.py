"""Bots against people when distances, durations, pauses and the recorder are alike.

    python -m benchmarks.bots [--folds 3] [--only 0] [--set train.epochs=8 ...] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): SapiMouse's people, 18
families of bots, Balabit's challenge; and the sample's recordings. Families, simulated bots and
people are dealt into folds: what a fold tests on it has not trained on. Three kinds of test:

- matched: moves of bots and people with about the same distance, duration and pause, put
  together to sessions (benchmarks/matching.py), both on one clock
- twins: simulated bots with the plan of a person's own stretch
- as they come: whole sessions of bots, stretches of people

Beside them: false alarms on people of two recorders that were never trained on, and whether
the network's features tell the recorders apart.
"""
