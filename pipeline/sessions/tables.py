"""Sessions from tables of events, and to and from the `SESSIONS` table. (Arrow's columns.)"""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

from pipeline.readers.common.cells import one_dictionary, run_starts
from pipeline.schemas import SESSIONS, check_schema
from pipeline.sessions.sessions import ABSOLUTE_US, EVENT_COLUMNS, Sessions


def to_sessions(events: pa.Table, source_file: str, source_sha256: str) -> Sessions:
    """Group clean `events` (sorted by session, then time) into sessions of one file.

    Of what a session says more than once (label, account, viewport) the first word counts.
    """
    ids = one_dictionary(events["session_id"])
    codes = ids.indices.to_numpy()
    starts = run_starts(codes)
    offsets = np.r_[starts, len(codes)].astype(np.int64)
    t_us = events["t_us"].to_numpy()
    first_t_us = t_us[starts]
    since_first = np.repeat(first_t_us, np.diff(offsets))
    np.subtract(t_us, since_first, out=since_first)
    return Sessions(
        session_id=_chosen(ids, starts),
        account_id=_first_said(events["account_id"], offsets),
        source=_first_said(events["source"], offsets),
        recorder=np.full(len(starts), None, object),
        started_at=np.where(
            first_t_us >= ABSOLUTE_US,
            first_t_us.astype("datetime64[us]"),
            np.datetime64("NaT", "us"),
        ),
        label=_first_said(events["label"], offsets, missing=-1).astype(np.int8),
        viewport_width=_first_said(events["viewport_width"], offsets, missing=0).astype(np.int32),
        viewport_height=_first_said(events["viewport_height"], offsets, missing=0).astype(np.int32),
        source_file=np.full(len(starts), source_file, object),
        source_sha256=np.full(len(starts), source_sha256, object),
        offsets=offsets,
        t_us=since_first,
        x_px=events["x_px"].to_numpy(),
        y_px=events["y_px"].to_numpy(),
        kind=events["kind"].to_numpy(),
        button=events["button"].to_numpy(),
    )


def empty_sessions(visits: pa.Table, source_file: str, source_sha256: str) -> Sessions:
    """Return sessions without any event, a row of `visits` each.

    `visits` has the columns of a session, and `t_us`: when it was first seen, null if not known.
    """
    n = visits.num_rows
    first_us = visits["t_us"].fill_null(0).to_numpy()
    moments = np.where(
        first_us >= ABSOLUTE_US, first_us.astype("datetime64[us]"), np.datetime64("NaT", "us")
    )
    return Sessions(
        session_id=_words(visits["session_id"]),
        account_id=_words(visits["account_id"]),
        source=_words(visits["source"]),
        started_at=moments,
        label=np.full(n, -1, np.int8),
        recorder=np.full(n, None, object),
        viewport_width=visits["viewport_width"].fill_null(0).to_numpy().astype(np.int32),
        viewport_height=visits["viewport_height"].fill_null(0).to_numpy().astype(np.int32),
        source_file=np.full(n, source_file, object),
        source_sha256=np.full(n, source_sha256, object),
        offsets=np.zeros(n + 1, np.int64),
        t_us=np.zeros(0, np.int64),
        x_px=np.zeros(0, np.float32),
        y_px=np.zeros(0, np.float32),
        kind=np.zeros(0, np.int8),
        button=np.zeros(0, np.int8),
    )


def _words(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return strings as an object array with None where null."""
    return np.array(column.cast(pa.string()).to_pylist(), object)


def _chosen(
    column: pa.Array | pa.ChunkedArray, row: Int64[np.ndarray, " chosen"]
) -> Shaped[np.ndarray, " chosen"]:
    """Return the values in these rows as Python has them, None where null."""
    chosen = column.take(pa.array(row))
    if pa.types.is_dictionary(chosen.type):
        chosen = chosen.cast(chosen.type.value_type)  # many times as fast to take out
    return np.array(chosen.to_pylist(), object)


def _first_said(
    column: pa.ChunkedArray, offsets: Int64[np.ndarray, " bounds"], missing: object = None
) -> np.ndarray:
    """Return each session's first non-null value, or `missing`."""
    if column.null_count == len(column):
        return np.full(len(offsets) - 1, missing, object)
    if not column.null_count:
        return _chosen(column, offsets[:-1])
    given = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    first = np.searchsorted(given, offsets[:-1])
    row = np.append(given, -1)[first]
    has_one = (row >= 0) & (row < offsets[1:])
    values = np.full(len(offsets) - 1, missing, object)
    values[has_one] = _chosen(column, row[has_one])
    return values


def sessions_table(sessions: Sessions) -> pa.Table:
    """Return the `SESSIONS` table: a row a session, its events in list columns."""

    def events(name: str, value_type: pa.DataType) -> pa.Array:
        values = pa.array(getattr(sessions, name), value_type)
        # 32-bit list offsets: 2**31 events in one table; the store writes far smaller parts.
        return pa.ListArray.from_arrays(pa.array(sessions.offsets, pa.int32()), values)

    known_size = sessions.viewport_width > 0
    columns = {
        "session_id": pa.array(sessions.session_id, pa.string()),
        "account_id": pa.array(sessions.account_id, pa.string()),
        "source": pa.array(sessions.source, pa.string()).dictionary_encode(),
        "recorder": pa.array(sessions.recorder, pa.string()),
        "started_at": pa.array(sessions.started_at, pa.timestamp("us")).cast(
            pa.timestamp("us", tz="UTC")
        ),
        "label": pa.array(sessions.label, mask=sessions.label < 0),
        "viewport_width": pa.array(sessions.viewport_width, mask=~known_size),
        "viewport_height": pa.array(sessions.viewport_height, mask=~known_size),
        **{name: events(name, SESSIONS.field(name).type.value_type) for name in EVENT_COLUMNS},
        "n_events": pa.array(sessions.n_events, pa.int32()),
        "source_file": pa.array(sessions.source_file, pa.string()),
        "source_sha256": pa.array(sessions.source_sha256, pa.string()),
    }
    return pa.table([columns[name] for name in SESSIONS.names], schema=SESSIONS)


def sessions_from_table(table: pa.Table, where: object = "table") -> Sessions:
    """Return the sessions of a `SESSIONS` table; its list columns are not copied."""
    check_schema(table.schema, SESSIONS, where)
    table = table.combine_chunks()
    lists = {name: _one_chunk(table[name], SESSIONS.field(name).type) for name in EVENT_COLUMNS}
    offsets = lists["t_us"].offsets.to_numpy().astype(np.int64)
    begin, end = (offsets[0], offsets[-1]) if len(offsets) else (0, 0)

    def number(name: str, missing: int, dtype: type) -> np.ndarray:
        return table[name].fill_null(missing).to_numpy().astype(dtype)

    return Sessions(
        session_id=_words(table["session_id"]),
        account_id=_words(table["account_id"]),
        source=_words(table["source"]),
        recorder=_words(table["recorder"])
        if "recorder" in table.column_names
        else np.full(table.num_rows, None, object),
        started_at=table["started_at"].cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]"),
        label=number("label", -1, np.int8),
        viewport_width=number("viewport_width", 0, np.int32),
        viewport_height=number("viewport_height", 0, np.int32),
        source_file=_words(table["source_file"]),
        source_sha256=_words(table["source_sha256"]),
        offsets=offsets - begin,
        **{
            name: array.values.to_numpy()[begin:end]  # `values` ignores a slice: cut it here
            for name, array in lists.items()
        },
    )


def _one_chunk(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ListArray:
    """Return a list column as one array."""
    return column.chunk(0) if column.num_chunks else pa.array([], type_)
