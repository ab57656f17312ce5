"""How cost grows: with sessions, events a session, panels, and cells a side."""

from dataclasses import replace

from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, interleaved
from model.config import PanelsConfig, RunConfig
from model.fraud import FraudScorer
from model.network import new_network
from rasterize.panels import PANELS

NAMES = ("sessions", "events a session", "panels", "cells a side")
BASE = (512, 200, 8, 24)
OTHERS = ((64, 256, 1024), (50, 800, 3200), (1, 4, 12), (16, 32, 48))


def measure(repeats: int) -> Result:
    """Change one thing at a time; resample, cut, draw and predict, without files."""
    sizes = {BASE}
    for place, others in enumerate(OTHERS):
        sizes |= {(*BASE[:place], other, *BASE[place + 1 :]) for other in others}
    cases = {}
    for n_sessions, n_events, n_panels, cells in sorted(sizes):
        panels = PanelsConfig(names=tuple(PANELS)[:n_panels], cells=cells)
        config, sessions = replace(RunConfig(), panels=panels), make_sessions(n_sessions, n_events)
        cases[n_sessions, n_events, n_panels, cells] = (
            lambda scorer=FraudScorer(config, new_network(config)), sessions=sessions: (
                scorer.predict(sessions)
            )
        )
    timings = interleaved({str(key): case for key, case in cases.items()}, repeats)
    rows = [
        dict(zip(NAMES, key, strict=True))
        | {
            "ms a session": 1000 * timings[str(key)].wall_s / key[0],
            "cores busy": timings[str(key)].cores,
        }
        for key in cases
    ]
    return Result("scaling", "Cost against size, one thing changed at a time", rows)
