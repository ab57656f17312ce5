"""A day of scores with its store, made by hand: enough to open a report in a browser."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from conftest import make_sessions
from people import people
from tiny import TINY, score_now, untrained_with

from model.owner.profiles import Profiles
from model.owner.scorer import OwnerScorer
from model.owner.train import PopulationData
from model.run import save_model
from pipeline.reasons.account import measure_constancy
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.schemas import QUARANTINE, SCORES
from pipeline.sessions.sessions import Sessions
from pipeline.storage.publish import seal, write_parquet
from pipeline.storage.store import Part, write_part

DAY, EARLIER = "2026-11-02", "2026-11-01"

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "\"'><svg onload=window.hacked=3>",
    "=HYPERLINK(\"http://127.0.0.1:9/steal\",\"click\")",
    "@SUM(1,1)",
    "-12345",
    "'=quoted",
    "gnp.\u202egpj.exe",
    "<!--",
    "{{script}} ${blocks} \\u003c",
    "a\u0000b\u2028c\nd",
    "قائمة-1",
    "x" * 5000,
    "{}",
    "constructor",
)  # fmt: skip


def walk(rng: np.random.Generator, n_events: int) -> list[tuple]:
    """Return a crooked path with a click and a long rest."""
    t_ms = np.cumsum(rng.choice([8, 16, 24], n_events)).astype(float)
    t_ms[n_events // 2 :] += 3000
    x, y = 400 + rng.normal(0, 9, (2, n_events)).cumsum(axis=1)
    kind = np.zeros(n_events)
    kind[[n_events // 2, -2]] = 1
    kind[[n_events // 2 + 1, -1]] = 2
    return list(zip(t_ms - t_ms[0], x, y, kind, strict=True))


def a_store(
    folder: Path, names: list[str], n_events: int = 60, accounts: bool = True
) -> tuple[Path, Sessions]:
    """Return a store of sessions with these names: three to an account, every second labelled."""
    rng = np.random.default_rng(0)
    n = len(names)
    began = np.datetime64("2026-11-01T08:00:00", "us") + np.arange(n) * np.timedelta64(173, "s")
    sessions = make_sessions(
        *(walk(rng, n_events) for _ in names),
        session_id=np.array(names, object),
        account_id=np.array(
            [f"<b>acc</b> {i // 3}" if accounts else None for i in range(n)], object
        ),
        started_at=began,
        label=np.where(np.arange(n) % 2 == 0, np.arange(n) % 4 == 0, -1).astype(np.int8),
        viewport_width=np.full(n, 1280, np.int32),
        viewport_height=np.full(n, 720, np.int32),
    )
    store = folder / "store"
    write_part(Part(store, DAY, "made"), [sessions], QUARANTINE.empty_table(), {"files": []})
    return store, sessions


def scores_of(sessions: Sessions, seed: int = 0) -> pa.Table:
    """Return rows of every band; the first session abstains, and the third is a replay."""
    rng = np.random.default_rng(seed)
    n = len(sessions)
    score = rng.beta(0.6, 1.5, n).astype(np.float32)
    score[0] = np.nan
    band = np.select(
        [np.isnan(score), score >= 0.8, score >= 0.5], ["abstained", "high", "medium"], "low"
    )
    rows = [
        {
            "session_id": sessions.session_id[i],
            "account_id": sessions.account_id[i],
            "started_at": sessions.started_at[i].item().replace(tzinfo=UTC),
            "fraud_score": None if np.isnan(score[i]) else float(score[i]),
            "band": str(band[i]),
            "is_flagged": bool(score[i] >= 0.8),
            "threshold": 0.8,
            "abstain_reason": "no_moves" if np.isnan(score[i]) else None,
            "reasons": ["replay_of_session"] if i == 2 else [],
            "replay_of": sessions.session_id[1] if i == 2 else None,
            "recorder": str(sessions.source[i]),
            "recorder_known": i % 2 == 0,
            "n_events": int(sessions.n_events[i]),
            "n_windows": 0 if np.isnan(score[i]) else 1,
            "worst_window_ms": None if np.isnan(score[i]) else 0,
            "model_id": "made by hand",
            "run_id": "run 1",
            "scored_at": datetime(2026, 11, 2, 12, tzinfo=UTC),
        }
        for i in range(n)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCORES)


def a_day(folder: Path, names: list[str], n_events: int = 60, accounts: bool = True) -> Path:
    """Return SCORES of two days, whose manifest knows the store."""
    store, sessions = a_store(folder, names, n_events, accounts)
    read_from = {"paths": [str(store)], "format": "auto", "columns": {}}
    for seed, day in enumerate((DAY, EARLIER)):
        partition = folder / "scores" / f"run_date={day}"
        partition.mkdir(parents=True)
        write_parquet(scores_of(sessions, seed), partition / "part-00000.parquet")
        seal(partition, {"read_from": read_from, "run": str(folder / "no run")})
    return folder / "scores"


def owners_day(folder: Path) -> Path:
    """Return SCORES of four accounts' own sessions and of slower hands under their names.

    Calibration and thresholds are made up; habits are compared with the accounts' own.
    """
    trained, known = people(0, 12), people(100, 4)
    slow = people(100, 4, 1, slower=3.0)
    slow = replace(slow, session_id=np.array([f"{name} slow" for name in slow.account_id], object))
    is_enrolled = np.arange(len(known)) % 3 > 0
    config = replace(TINY, task="owner")
    scorer = OwnerScorer(config, Profiles.empty(PopulationData(config, trained).population()))
    usual = replace(
        fit_reference_ranges(trained, trained.account_id), own=measure_constancy(trained)
    )
    model = untrained_with(scorer.enroll(known.take(is_enrolled)))
    save_model(replace(model, reference_ranges=usual), folder / "run")
    parts = [known.take(~is_enrolled), slow]
    made = Part(folder / "store", DAY, "made")
    write_part(made, parts, QUARANTINE.empty_table(), {"files": []})
    score_now([folder / "store"], folder / "run", folder / "scores", DAY)
    return folder / "scores"


def block(page: str, name: str) -> dict:
    """Return a block of data of a page."""
    begin = page.index(f'<script type="application/json" id="{name}">')
    begin = page.index(">", begin) + 1
    return json.loads(page[begin : page.index("</script>", begin)])
