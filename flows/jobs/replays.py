"""Find which of the scored sessions repeat others, and mark them in their rows.

A replay shows only beside its original, so the search needs many sessions at once; their events
it doesn't need. What it holds is bounded: beyond `MOST_MOVEMENTS` it goes on in blocks of shards,
and a replay is found if its original is in the same block, or in the history.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from model.run import TrainedModel
from pipeline.replay.search import find_replays, log_odds, with_replays
from pipeline.replay.signature import (
    Recordings,
    concatenate_recordings,
    read_recordings,
    record,
)
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import open_parquet
from pipeline.storage.shards import StagedShards

log = logging.getLogger(__name__)

MOST_MOVEMENTS: Final = 200_000  # searched in at once, and as many earlier ones


def mark_replays(
    staged: StagedShards, n_shards: int, history: Iterable[Sessions], model: TrainedModel
) -> Iterator[pa.Table]:
    """Give the rows of each shard, raised where a session repeats another or one of `history`."""
    null_model = model.null_model or {}
    earlier = _recorded(history)
    blocks = list(_blocks(staged, n_shards))
    if len(blocks) > 1:
        log.warning(
            "too many movements to compare all with each other: replays are searched for in "
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
        if everything is None:
            yield from tables
            continue
        found = find_replays(everything, null_model, suspicion)
        stop = 0
        for table in tables:
            start, stop = stop, stop + table.num_rows
            yield with_replays(
                table,
                found.take(slice(start, stop)),
                model.calibration.base_rate,
                model.policy.medium_threshold,
            )


def _blocks(staged: StagedShards, n_shards: int) -> Iterator[list[int]]:
    """Put shards together until they have too many movements."""
    block: list[int] = []
    n_movements = 0
    for number in range(n_shards):
        n_own = (staged.read_result(number) or {}).get("n_movements", 0)
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
