"""Sessions to a table and back, and chosen ones."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import make_sessions

from pipeline.errors import SchemaError
from pipeline.schemas import EVENTS, SESSIONS
from pipeline.sessions.sessions import concatenate_sessions
from pipeline.sessions.tables import sessions_from_table, sessions_table, to_sessions

A = [(0, 1, 2), (10, 3, 4)]
B = [(0, 5, 6, 1), (7, 8, 9, 2), (9, 9, 9, 0)]


def columns_of(sessions):
    return {name: getattr(sessions, name).tolist() for name in vars(sessions)}


def test_a_table_gives_the_sessions_back():
    sessions = make_sessions(A, [], B, label=np.array([1, 0, -1], np.int8))
    assert columns_of(sessions_from_table(sessions_table(sessions))) == columns_of(sessions)


def test_a_slice_of_a_table_has_only_its_own_events():
    table = sessions_table(make_sessions(A, B)).slice(1)
    sessions = sessions_from_table(table)
    assert sessions.offsets.tolist() == [0, 3]
    assert sessions.x_px.tolist() == [5, 8, 9]


def test_take_and_concatenate_are_each_others_inverse():
    sessions = make_sessions(A, B)
    swapped = sessions.take(np.array([1, 0]))
    assert swapped.session_id.tolist() == ["s1", "s0"]
    assert swapped.x_px.tolist() == [5, 8, 9, 1, 3]
    parts = [sessions.take(np.array([0])), sessions.take(np.array([1]))]
    assert columns_of(concatenate_sessions(parts)) == columns_of(sessions)


def test_of_what_is_said_twice_the_first_word_counts():
    rows = {
        "session_id": pa.array(["a", "a", "b"]).dictionary_encode(),
        "account_id": pa.array([None, "owner", None]).dictionary_encode(),
        "source": pa.array(["csv"] * 3).dictionary_encode(),
        "t_us": [10**15, 10**15 + 5000, 7],
        "x_px": [1.0, 2.0, 3.0],
        "y_px": [0.0, 0.0, 0.0],
        "kind": [0, 0, 0],
        "button": [0, 0, 0],
        "label": [None, 1, 0],
        "viewport_width": [None, 800, None],
        "viewport_height": [None, 600, None],
        "line": [2, 3, 4],
        "written_us": pa.nulls(3, pa.int64()),
    }
    arrays = [pa.array(rows[n]).cast(EVENTS.field(n).type) for n in EVENTS.names]
    sessions = to_sessions(pa.table(arrays, schema=EVENTS), "log.csv", "0" * 64)
    assert sessions.account_id.tolist() == ["owner", None]
    assert sessions.label.tolist() == [1, 0]
    assert sessions.viewport_width.tolist() == [800, 0]
    assert sessions.t_us.tolist() == [0, 5000, 0]
    # The first clock counts since 1970, the second from nobody knows when.
    assert np.isnat(sessions.started_at).tolist() == [False, True]


def test_another_table_is_refused():
    with pytest.raises(SchemaError, match="missing column"):
        sessions_from_table(pa.table({"session_id": ["a"]}))
    newer = SESSIONS.with_metadata({"schema": "sessions", "version": "3"})
    with pytest.raises(SchemaError, match="version 3"):
        sessions_from_table(newer.empty_table())
