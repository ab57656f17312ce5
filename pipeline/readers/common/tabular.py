"""Turn a table of cells into a log, by the columns that csv, jsonl and parquet share.

Which columns those are `columns.py` finds out; here their cells become events. A row that says
nothing of the pointer (a key, a page that loads) is ignored; its session is a visit all the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from pipeline.errors import LogError
from pipeline.readers.common import cells, columns, names, words
from pipeline.readers.common.cells import constant, nothing, zeros
from pipeline.readers.common.columns import Reading
from pipeline.readers.common.formats import VISITS, Log, LogFile, reject
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS, Button

AS_NAMED = Reading({})
_WORD_CHARACTERS = 40  # of an unknown word are shown
_WORDS_SHOWN = 1000  # unknown words of a block


def check_width(found: Sequence[str], where: object) -> None:
    """Raise `LogError` if there are absurdly many columns."""
    if len(found) > limits().columns:
        raise LogError(
            where,
            f"it has {len(found):,} columns, {limits().columns:,} are read",
            "is it a log? docs/limits.md",
        )


def check_doubles(found: Sequence[str], read: Iterable[str], where: object) -> None:
    """Raise `LogError` if two columns have the name of one that is read."""
    counts = Counter(found)
    twice = sorted(name for name in read if counts[name] > 1)
    if twice:
        raise LogError(where, f"more than one column is named {', '.join(twice)}", "rename them")


def cell_types(ours: Iterable[str]) -> dict[str, pa.DataType]:
    """Return the type of each of our columns where every cell is as it should be."""
    types = dict.fromkeys(columns.WORDS, pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys(columns.NUMBERS, pa.float64()) | {"x": pa.float32(), "y": pa.float32()}
    types |= dict.fromkeys(names.TIME_UNITS, pa.float64())
    types |= dict.fromkeys(names.DATES, pa.string())
    return {name: types[name] for name in ours}


def to_log(
    table: pa.Table,
    line: Int64[np.ndarray, " rows"],
    rejected: pa.Table,
    source: str,
    file: LogFile,
    reading: Reading = AS_NAMED,
) -> Log:
    """Return the log of a table with our column names, whatever the types of its columns.

    What cleaning rejects (no number, no session) stays, as null.
    """
    if reading.has_lists:
        table, line, uneven = unroll(table, line)
        rejected = pa.concat_tables([rejected, uneven])
    n = table.num_rows
    given = {name: table[name] for name in table.column_names}
    kind = cells.kinds(given, n)
    button = cells.buttons(given, kind)
    unknown = _unknown_words(given, kind, button)
    if button.min(initial=0) < 0:
        button = np.where(button == words.UNKNOWN, np.int8(Button.OTHER), button)
    label, is_wrong_label = nothing(n, pa.int8()), zeros(n, np.bool_)
    if "label" in given:
        label, is_wrong_label = cells.labels(given["label"])

    def named(name: str, default: str | None) -> pa.DictionaryArray:
        return cells.words(given[name]) if name in given else constant(default, n)

    def sizes(name: str) -> pa.Array:
        return cells.sizes(given[name]) if name in given else nothing(n, pa.int32())

    has_account = "account_id" in given
    time = next(name for name in names.TIMES if name in given)
    made = {
        "session_id": _session_ids(given, file, reading),
        "account_id": named("account_id", None if has_account else file.account_id)
        if has_account or "session_id" not in given
        else constant(None, n),
        "source": named("source", source),
        "t_us": cells.times_us(given[time], time),
        "x_px": cells.positions(given["x"]),
        "y_px": cells.positions(given["y"]),
        "kind": pa.array(kind),
        "button": pa.array(button),
        "label": label,
        "viewport_width": sizes("viewport_width"),
        "viewport_height": sizes("viewport_height"),
        "line": pa.array(line),
        "written_us": nothing(n, pa.int64()),
    }
    events = pa.table([made[name] for name in EVENTS.names], schema=EVENTS)
    log = Log(events, rejected, {}, words=unknown, note=reading.note)
    if kind.min(initial=0) >= 0 and not np.any(is_wrong_label):
        return log
    log = _without_ignored(log, kind == words.NOT_POINTER)
    kind, is_wrong_label = (a[kind != words.NOT_POINTER] for a in (kind, is_wrong_label))
    log = _without(log, kind == words.UNKNOWN, "unknown_event")
    return _without(log, is_wrong_label[kind != words.UNKNOWN], "unknown_label")


def _session_ids(
    given: Mapping[str, pa.ChunkedArray], file: LogFile, reading: Reading
) -> pa.DictionaryArray:
    """Return the session of each row: what its columns say, or else the file."""
    n = len(given["x"])
    name = "account_id" if reading.account_is_session else "session_id"
    ids = cells.words(given[name]) if name in given else constant(file.session_id, n)
    if "window_id" not in given:
        return ids
    windows = cells.words(given["window_id"]).cast(pa.string())
    named = pc.binary_join_element_wise(ids.cast(pa.string()), windows, "/")
    return pc.coalesce(named, ids.cast(pa.string())).dictionary_encode()


def _unknown_words(
    given: Mapping[str, pa.ChunkedArray],
    kind: np.ndarray,
    button: np.ndarray,
) -> Counter[str]:
    """Return the words of events and buttons that nobody knows, and in how many rows they are."""
    unknown: Counter[str] = Counter()
    event = "event" if "event" in given else "state"
    for name, code in ((event, kind), ("button", button)):
        if code.min(initial=0) < 0 and name in given:
            is_unknown = code == words.UNKNOWN
            found = cells.words(given[name]).filter(pa.array(is_unknown)).cast(pa.string())
            for row in found.value_counts().to_pylist()[:_WORDS_SHOWN]:
                unknown[f"{name} {(row['values'] or '')[:_WORD_CHARACTERS]}"] += row["counts"]
    return unknown


def _without(log: Log, is_bad: Bool[np.ndarray, " rows"], reason: str) -> Log:
    """Move the events where `is_bad` to the rejected rows."""
    if not is_bad.any():
        return log
    bad = reject(log.events["line"].to_numpy()[is_bad], reason)
    kept = log.events.filter(pa.array(~is_bad))
    rejected = pa.concat_tables([log.rejected, bad])
    return Log(kept, rejected, log.ignored, log.visits, log.words, log.note)


def _without_ignored(log: Log, is_ignored: Bool[np.ndarray, " rows"]) -> Log:
    """Leave out the rows that say nothing of the pointer; their sessions are visits."""
    if not is_ignored.any():
        return log
    left_out = log.events.filter(pa.array(is_ignored))
    ids = cells.one_dictionary(left_out["session_id"]).indices.fill_null(-1).to_numpy()
    first = np.unique(ids, return_index=True)[1]
    visits = left_out.take(pa.array(first)).select(VISITS.names).cast(VISITS.remove_metadata())
    visits = visits.filter(visits["session_id"].is_valid())
    ignored = {"not_a_pointer_event": int(is_ignored.sum())}
    kept = log.events.filter(pa.array(~is_ignored))
    return Log(kept, log.rejected, ignored, visits, log.words, log.note)


def unroll(
    table: pa.Table, line: Int64[np.ndarray, " rows"]
) -> tuple[pa.Table, Int64[np.ndarray, " events"], pa.Table]:
    """Return a table whose rows hold a path each, in lists, as one with a row an event.

    A row whose lists are of unequal length is rejected.
    """
    listed = [n for n in table.column_names if n in ("x", "y", *names.TIMES)]
    paths = [
        [_list_in(cell) for cell in row]
        for row in zip(*(table[n].to_pylist() for n in listed), strict=True)
    ]
    is_even = np.array([len({len(cells) for cells in path}) == 1 for path in paths], bool)
    kept = np.flatnonzero(is_even)
    row = np.repeat(kept, [len(paths[i][0]) for i in kept])
    unrolled = {
        name: pa.chunked_array([np.concatenate([np.zeros(0), *(paths[i][k] for i in kept)])])
        for k, name in enumerate(listed)
    }
    others = table.take(pa.array(row))
    made = {n: unrolled[n] if n in unrolled else others[n] for n in table.column_names}
    return pa.table(made), line[row], reject(line[~is_even], "lists_of_unequal_length")


def _list_in(cell: object) -> np.ndarray:
    """Return the numbers in a cell, which holds a list, text of one, or a number."""
    if isinstance(cell, list | tuple | np.ndarray):
        return np.array([v if isinstance(v, int | float) else np.nan for v in cell], np.float64)
    return columns.numbers_in("" if cell is None else cell)
