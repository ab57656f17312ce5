"""How cost grows: with sessions, events a session, cells a side, and windows a batch."""

from dataclasses import replace

import jax

from benchmarks.speed.network import untrained
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, interleaved
from model.config import RunConfig
from model.network import SCORING_BATCH, predict
from model.score import look
from pipeline.windows import cut_windows

BASE = (512, 200, 64)  # sessions, events a session, cells a side
SESSIONS = (64, 256, 1024)
EVENTS = (50, 200, 800)
SIDES = (32, 64, 96)
BATCHES = (16, 32, 64, 128, 256)


def measure(repeats: int) -> Result:
    """Change one thing at a time; standardise, cut, lay out, draw and look, without files."""
    sizes = {BASE}
    sizes |= {(n, BASE[1], BASE[2]) for n in SESSIONS}
    sizes |= {(BASE[0], n, BASE[2]) for n in EVENTS}
    sizes |= {(BASE[0], BASE[1], n) for n in SIDES}
    cases, config = {}, RunConfig()
    for n_sessions, n_events, side in sorted(sizes):
        sessions = make_sessions(n_sessions, n_events)
        at_side = replace(
            config,
            canvas=replace(config.canvas, size=side, cell_px=config.canvas.cell_px * 64 / side),
        )
        cases[(n_sessions, n_events, side, SCORING_BATCH)] = (
            lambda network=untrained(at_side), at_side=at_side, sessions=sessions: look(
                network, at_side, sessions
            )
        )
    sessions, network = make_sessions(BASE[0], BASE[1]), untrained(config)
    windows = cut_windows(sessions, config.window)
    for batch in BATCHES:
        if batch != SCORING_BATCH:
            cases[(*BASE, batch)] = lambda batch=batch: jax.block_until_ready(
                predict(network, sessions, windows, config.window.max_events, batch)
            )
    timings = interleaved({str(key): case for key, case in cases.items()}, repeats)
    rows = []
    for key in sorted(cases):
        timing = timings[str(key)]
        names = ("sessions", "events a session", "cells a side", "windows a batch")
        rows.append(
            dict(zip(names, key, strict=True))
            | {"ms a session": 1000 * timing.wall_s / key[0], "cores busy": timing.cores}
        )
    return Result("scaling", "Cost against size, one thing changed at a time", rows)
