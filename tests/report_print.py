"""A page with made-up prints, put together by hand: three panels and ten events."""

from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_sessions

from pipeline.report.page import page_html, path_json
from rasterize.draw import density
from rasterize.palette import BACKGROUND, SCALE
from rasterize.print_json import cells_json, panels_json, print_json, raised_json

DAY = "2026-11-02"
PANELS = ("speed_turn", "hodograph", "hold_drag")
CELLS = 24
N_EVENTS = 10
CROWDED, BESIDE = 5 * CELLS + 7, 5 * CELLS + 8  # of speed_turn: three events, and two
TO_THE_RIGHT, TO_THE_LEFT = 12 * CELLS + 20, 12 * CELLS + 3  # of hodograph: odd and even events
LIFTED = 20 * CELLS + 20  # of speed_turn: what raised the score most


def cell_of() -> np.ndarray:
    """Return the cell of each event in each panel: the first event counts in none."""
    cells = np.full((len(PANELS), N_EVENTS), -1)
    cells[0, 1:] = [CROWDED] * 3 + [BESIDE] * 2 + [LIFTED] * 4
    cells[0, 9] = 0
    cells[1, 1::2], cells[1, 2::2] = TO_THE_RIGHT, TO_THE_LEFT
    return cells


def counts(cells: np.ndarray) -> np.ndarray:
    """Return how many events lie in each cell of each panel."""
    counted = [np.bincount(row[row >= 0], minlength=CELLS * CELLS) for row in cells]
    return np.stack(counted, -1).reshape(CELLS, CELLS, len(PANELS)).astype(np.float64)


def a_print(account: bool = False, raised: bool = True) -> dict[str, Any]:
    """Return the print of a case."""
    own = counts(cell_of())
    weights = np.zeros_like(own)
    weights[20, 20, 0], weights[5, 7, 0], weights[12, 3, 1] = 0.3, -0.1, 0.1
    return {
        "own": print_json(density(own)),
        "account": print_json(density(np.roll(own, 1, axis=0))) if account else None,
        "raised": raised_json(weights) if raised else None,
        "cell_of": cells_json(cell_of()),
    }


def print_page(to: Path, *prints: dict[str, Any] | None, has_people: bool = True) -> Path:
    """Write a page of a case for each print; the first is flagged, for a reason in words."""
    path = [(100 * i, 100 * i, 30 * (i % 3)) for i in range(N_EVENTS)]
    sessions = make_sessions(path)
    rows = [case_row(i) for i in range(len(prints))]
    report = {
        "day": a_day(rows),
        "agreement": {"n_fraud": 0, "n_legitimate": 0, "min_each": 10},
        "fed_back": None,
        "n_cases": len(rows),
        "n_scored": len(rows),
        "n_missing": 0,
        "scale": SCALE.tolist(),
        "speeds": [30, 10_000],
        "background": list(BACKGROUND),
        "codes": {"print": {"words": "The print is unlike people's.", "misleads": ""}},
        "page": 0,
        "pages": [to.name],
        "queue": rows,
        "panels": panels_json(PANELS, CELLS),
        "cells": CELLS,
        "reference_print": print_json(density(np.roll(counts(cell_of()), 2, 0)))
        if has_people
        else None,
    }
    blocks = {
        f"case-{i}": {
            "path": path_json(sessions, 0),
            "worst_ms": 0,
            "account_block": None,
            "original": None,
            "reasons": [{"code": "print", "text": "People turn at this speed; here nothing does."}],
            "print": found,
            "weights": [[400.0, 500.0, 0.5], [100.0, 200.0, 0.2]] if found and i == 0 else [],
        }
        for i, found in enumerate(prints)
    }
    to.write_text(page_html(report, blocks), encoding="utf-8")
    return to


def case_row(i: int) -> dict[str, Any]:
    """Return a row of the queue."""
    return {
        "id": f"s{i}",
        "account": "someone",
        "started_at": None,
        "score": 0.1 if i else 0.9,
        "band": "low" if i else "high",
        "flagged": i == 0,
        "threshold": 0.8,
        "abstained": None,
        "reasons": [] if i else ["print"],
        "replay_of": None,
        "recorder": None,
        "recorder_known": None,
        "n_events": N_EVENTS,
        "n_windows": 1,
        "model": "made by hand",
        "run": "run 1",
        "scored_at": f"{DAY}T12:00:00+00:00",
        "label": None,
        "account_known": {},
        "fed_back": None,
    }


def a_day(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what stands on top of the page."""
    bands = {
        band: sum(row["band"] == band for row in rows)
        for band in ("high", "medium", "low", "abstained")
    }
    return {
        "date": DAY,
        "days": [{"date": DAY, "n": len(rows), "flagged": 1, "bands": bands}],
        "histogram": {"now": [1] * 20, "earlier": [0] * 20},
        "drift": None,
    }
