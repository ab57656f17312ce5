"""Make a report page: one HTML file that runs without a network and without a server.

Everything that comes from a log is data in a block of JSON, which no browser runs; the page's
script puts it on the screen as text. The content security policy allows the one style and the
one script that are named by their hash, pictures that are in the file, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64

from pipeline.monitoring.drift import psi
from pipeline.scores.table import BANDS
from pipeline.sessions.sessions import Sessions

LONGEST: Final = 2000  # events of a path on a page
LONGEST_BESIDE: Final = 400  # of a session that is shown for comparison


def path_json(
    sessions: Sessions, i: int, around_ms: int | None = None, longest: int = LONGEST
) -> dict[str, Any]:
    """Return up to `longest` events of session `i`, those around `around_ms` if it has more."""
    begin, end = int(sessions.offsets[i]), int(sessions.offsets[i + 1])
    start, n_shown = shown_events(sessions, i, around_ms, longest)
    stop = start + n_shown
    shown = slice(begin + start, begin + stop)
    t_us = sessions.t_us[shown].astype(np.float64)
    step_us = _step(t_us, (1000.0, 100.0))
    x_px, y_px = sessions.x_px[shown].astype(np.float64), sessions.y_px[shown].astype(np.float64)
    step_px = _step(np.concatenate([x_px, y_px]), (1.0, 0.1))
    return {
        "step_ms": step_us / 1000,
        "step_px": step_px,
        "t": _differences(t_us / step_us),
        "x": _differences(x_px / step_px),
        "y": _differences(y_px / step_px),
        "kind": "".join(map(str, sessions.kind[shown])),
        "n_before": start,
        "n_after": end - begin - stop,
        "duration_ms": int(sessions.t_us[end - 1] // 1000) if end > begin else 0,
        "viewport": [int(sessions.viewport_width[i]), int(sessions.viewport_height[i])],
    }


def shown_events(
    sessions: Sessions, i: int, around_ms: int | None = None, longest: int = LONGEST
) -> tuple[int, int]:
    """Return from which event of session `i` on, and how many, are shown.

    A third of them come before `around_ms`.
    """
    t_us = sessions.t_us[sessions.offsets[i] : sessions.offsets[i + 1]]
    n = len(t_us)
    if n <= longest:
        return 0, n
    at = 0 if around_ms is None else int(np.searchsorted(t_us, 1000 * around_ms))
    return min(max(at - longest // 3, 0), n - longest), longest


def _step(values: Float64[np.ndarray, " values"], steps: tuple[float, float]) -> float:
    """Return the coarser step where every value is a multiple of it, else the finer one."""
    coarse, fine = steps
    return coarse if (values % coarse == 0).all() else fine


def _differences(values: Float64[np.ndarray, " values"]) -> list[int]:
    """Return whole numbers that add up to `values`: the first, then what is added each time."""
    return np.diff(np.rint(values).astype(np.int64), prepend=0).tolist()


N_SCORE_BINS: Final = 10  # of the scores, equally full on the earlier days
N_BARS: Final = 20  # of the histogram, equally wide


def day_json(scores: pd.DataFrame, date: str) -> dict[str, Any]:
    """Return the counts of each day, and how `date`'s scores lie against the earlier days'.

    `scores` has `run_date`, `band`, `is_flagged` and `fraud_score` of every day.
    """
    is_now, is_earlier = scores["run_date"] == date, scores["run_date"] < date
    is_scored = scores["fraud_score"].notna()
    now = scores.loc[is_now & is_scored, "fraud_score"].to_numpy(np.float64)
    earlier = scores.loc[is_earlier & is_scored, "fraud_score"].to_numpy(np.float64)
    return {
        "date": date,
        "days": [_counts(str(name), part) for name, part in scores.groupby("run_date", sort=True)],
        "histogram": {"now": _bars(now), "earlier": _bars(earlier)},
        "drift": score_drift(now, earlier),
    }


def score_drift(
    now: Float[np.ndarray, " sessions"], earlier: Float[np.ndarray, " earlier"]
) -> dict[str, float] | None:
    """Return the population stability index, and what chance alone makes of it; None: no scores.

    A small day's 0.3 may be nothing: of two draws from one population it is about
    (bins - 1)(1/n + 1/m).
    """
    if not len(now) or not len(earlier):
        return None
    ranked = np.sort(earlier)
    edges = np.unique(ranked[np.arange(1, N_SCORE_BINS) * len(ranked) // N_SCORE_BINS])
    before, here = (
        np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
        for scores in (earlier.astype(np.float64), now.astype(np.float64))
    )
    value, by_chance, _ = psi(
        before.astype(np.float64), here.astype(np.float64), float(len(earlier)), float(len(now))
    )
    return {"psi": value, "by_chance": by_chance, "n_now": len(now), "n_earlier": len(earlier)}


def _counts(date: str, of_day: pd.DataFrame) -> dict[str, Any]:
    bands = of_day["band"].astype(str).value_counts().to_dict()
    return {
        "date": date,
        "n": len(of_day),
        "flagged": int(np.count_nonzero(of_day["is_flagged"])),
        "bands": {band: bands.get(band, 0) for band in BANDS},
    }


def _bars(scores: Float64[np.ndarray, " sessions"]) -> list[int]:
    """Return how many scores lie in each twentieth of 0 to 1."""
    return np.histogram(scores, N_BARS, (0, 1))[0].tolist()


SCRIPTS: Final = (
    "text.js",
    "draw.js",
    "charts.js",
    "verdicts.js",
    "queue.js",
    "print.js",
    "choice.js",
    "case.js",
    "main.js",
)


def page_html(report: Mapping[str, Any], blocks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a page: `report` is what stands on top and in the queue, `blocks` the rest by name.

    A block stays text until its case is opened: a page of a thousand cases opens at once.
    """
    texts = [_json_block(name, content) for name, content in {"report": report, **blocks}.items()]
    style, script = _template("page.css"), "\n".join(map(_template, SCRIPTS))
    slots = {
        "policy": content_policy(style, script),
        "style": style,
        "script": script,
        "blocks": "\n".join(texts),
    }
    before, *rest = _template("page.html").split("{{")
    parts = [before]
    for piece in rest:  # not one replacement after another: what a log says is never a slot
        name, _, after = piece.partition("}}")
        parts += [slots[name], after]
    return "".join(parts)


def content_policy(style: str, script: str) -> str:
    """Return what the browser may do with the page: not one thing that it doesn't need."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _json_block(name: str, content: Mapping[str, Any]) -> str:
    """Return a block that is data to the browser; no `<` in it, so nothing can end it early."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")
