"""Staged scores and recordings in, evidence out: which sessions repeat others.

A replay shows only beside its original, so the search needs many sessions at once; their events
it doesn't need. What it holds is bounded: beyond `MOST_MOVEMENTS` it goes on in blocks of shards,
and a replay is found if its original is in the same block, or in the history.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from pipeline.replay.null_model import NullModel
from pipeline.replay.recordings import (
    Recordings,
    concatenate_recordings,
    read_recordings,
    record,
)
from pipeline.replay.search import ReplayEvidence, find_replays, log_odds
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import open_parquet
from pipeline.storage.shards import StagedShards

log = logging.getLogger(__name__)

MOST_MOVEMENTS: Final = 200_000  # searched in at once, and as many earlier ones


def search_replays(
    staged: StagedShards, n_shards: int, history: Iterable[Sessions], chance: NullModel
) -> Iterator[ReplayEvidence]:
    """Give the evidence on the sessions of each shard, compared with others and with `history`."""
    earlier = _recorded(history)
    blocks = list(_blocks(staged, n_shards))
    if len(blocks) > 1:
        log.warning(
            "too many movements to compare all with each other: replays are looked for in "
            "%d blocks of %d shards and more", len(blocks), min(map(len, blocks)),
        )  # fmt: skip
    for block in blocks:
        tables = [open_parquet(staged.part(number)).read() for number in block]
        recordings = [
            read_recordings(staged.recordings(number), table)
            for number, table in zip(block, tables, strict=True)
            if table.num_rows
        ]
        suspicion = np.concatenate([np.zeros(0), *map(log_odds, tables)])
        everything = concatenate_recordings([*recordings, *earlier]) if recordings else None
        evidence = find_replays(everything, chance, suspicion) if everything else _none()
        stops = np.cumsum([table.num_rows for table in tables])
        for table, stop in zip(tables, stops.tolist(), strict=True):
            yield evidence.take(slice(stop - table.num_rows, stop))


def _blocks(staged: StagedShards, n_shards: int) -> Iterator[list[int]]:
    """Put shards together until they have too many movements."""
    block: list[int] = []
    n_movements = 0
    for number in range(n_shards):
        n_own = (staged.read_note(number) or {}).get("n_movements", 0)
        if block and n_movements + n_own > MOST_MOVEMENTS:
            yield block
            block, n_movements = [], 0
        block.append(number)
        n_movements += n_own
    if block:
        yield block


def _recorded(history: Iterable[Sessions]) -> list[Recordings]:
    """Return recordings of earlier sessions: of too many, those that are named last."""
    kept: list[Recordings] = []
    n_movements = n_dropped = 0
    for sessions in history:
        kept.append(record(sessions, is_earlier=True))
        n_movements += kept[-1].n_movements
        while n_movements > MOST_MOVEMENTS and len(kept) > 1:
            n_movements -= kept[0].n_movements
            n_dropped += len(kept.pop(0))
    if n_dropped:
        log.warning("history: the first %d sessions are too many to be searched", n_dropped)
    return kept


def _none() -> ReplayEvidence:
    """Return the evidence on no session."""
    empty = np.zeros(0)
    return ReplayEvidence(
        empty, empty.astype(object), empty.astype(bool), *[empty.astype(np.int64)] * 2
    )
