"""Turn a table of cells into an events table, by the columns that csv, jsonl and parquet share.

Required: `session_id`, a time (`t_us`, `t_ms`, `t_s`, or ISO 8601 in `t_iso` or `t`), `x`
and `y` in CSS pixels. Optional: `event` (a word, see `cells.KINDS`; empty is a move),
`button` (a word, or the DOM's number), `account_id`, `label`, `viewport_width`,
`viewport_height` and `source`. `scroll_y` is known and not kept; other columns aren't read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from pipeline.errors import ConfigError, LogError, MissingColumnsError, did_you_mean
from pipeline.readers.common import cells
from pipeline.readers.common.cells import constant, nothing, zeros
from pipeline.readers.common.formats import Log, reject
from pipeline.readers.common.limits import limits
from pipeline.schemas import EVENTS

TIMES: Final = ("t_us", "t_ms", "t_s", "t_iso", "t")  # the first of them that is there counts
REQUIRED: Final = ("session_id", "t_ms", "x", "y")
_WORDS = ("session_id", "event", "button", "account_id", "source")
_NUMBERS = ("x", "y", "label", "viewport_width", "viewport_height")
KNOWN: Final = (*_WORDS, *_NUMBERS, *TIMES, "scroll_y")


def check_mapping(columns: Mapping[str, str]) -> None:
    """Raise `ConfigError` if `columns` names a column of ours that doesn't exist."""
    for ours in columns:
        if ours not in KNOWN:
            near = did_you_mean(ours, KNOWN)
            raise ConfigError(
                f"columns {ours}={columns[ours]}",
                f"unknown column {ours!r}",
                f"did you mean {near[0]}?" if near else f"known: {', '.join(KNOWN)}",
            )


def check_header(found: Sequence[str], where: object) -> None:
    """Raise `LogError` if two columns have one name, or if there are absurdly many."""
    if len(found) > limits().columns:
        raise LogError(
            where,
            f"it has {len(found):,} columns, {limits().columns:,} are read",
            "is it a log? docs/limits.md",
        )
    twice = sorted(name for name, n in Counter(found).items() if n > 1)
    if twice:
        raise LogError(where, f"more than one column is named {', '.join(twice)}", "rename them")


def log_names(columns: Mapping[str, str], found: Sequence[str], where: object) -> dict[str, str]:
    """Return our name -> the log's name of each column to read; one of them is a time.

    A name that the user gave goes before ours; where the log hasn't it, ours is looked for.
    """
    check_mapping(columns)
    chosen = {ours: columns.get(ours, ours) for ours in KNOWN}
    names = {
        ours: name if name in found else ours
        for ours, name in chosen.items()
        if name in found or ours in found
    }
    names.pop("scroll_y", None)
    times = [t for t in TIMES if t in columns and t in names] + [t for t in TIMES if t in names]
    missing = [name for name in REQUIRED if name not in names]
    if times:
        missing = [name for name in missing if name != "t_ms"]
    if missing:
        raise MissingColumnsError(where, missing, found)
    return {ours: name for ours, name in names.items() if ours not in TIMES or ours == times[0]}


def cell_types(ours: Iterable[str]) -> dict[str, pa.DataType]:
    """Return the type of each of our columns where every cell is as it should be."""
    types = dict.fromkeys(_WORDS, pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys(_NUMBERS, pa.float64()) | {"x": pa.float32(), "y": pa.float32()}
    types |= dict.fromkeys(TIMES, pa.float64()) | dict.fromkeys(("t_iso", "t"), pa.string())
    return {name: types[name] for name in ours}


def to_log(
    table: pa.Table,
    line: Int64[np.ndarray, " rows"],
    rejected: pa.Table,
    source: str,
    where: object,
    is_beginning: bool = True,
) -> Log:
    """Return the log of a table with our column names, whatever the types of its columns.

    What cleaning rejects (no number, no session) stays, as null. Only at the beginning of a file
    is a column without any time taken for another kind of column.
    """
    n = table.num_rows
    given = {name: table[name] for name in table.column_names}
    moves = nones = zeros(n, np.int8)  # Kind.MOVE, Button.NONE
    kind = cells.kinds(given["event"]) if "event" in given else moves
    button = cells.buttons(given["button"], kind) if "button" in given else nones
    label, is_wrong_label = nothing(n, pa.int8()), zeros(n, np.bool_)
    if "label" in given:
        label, is_wrong_label = cells.labels(given["label"])

    def words(name: str, default: str | None) -> pa.DictionaryArray:
        return cells.words(given[name]) if name in given else constant(default, n)

    def sizes(name: str) -> pa.Array:
        return cells.sizes(given[name]) if name in given else nothing(n, pa.int32())

    columns = {
        "session_id": cells.words(given["session_id"]),
        "account_id": words("account_id", None),
        "source": words("source", source),
        "t_us": _times_us(given, where, is_beginning),
        "x_px": cells.positions(given["x"]),
        "y_px": cells.positions(given["y"]),
        "kind": pa.array(kind),
        "button": pa.array(button),
        "label": label,
        "viewport_width": sizes("viewport_width"),
        "viewport_height": sizes("viewport_height"),
        "line": pa.array(line),
    }
    events = pa.table([columns[name] for name in EVENTS.names], schema=EVENTS)
    log = _without(Log(events, rejected, {}), kind < 0, "unknown_event")
    return _without(log, is_wrong_label[kind >= 0], "unknown_label")


def _times_us(given: Mapping[str, pa.ChunkedArray], where: object, is_beginning: bool) -> pa.Array:
    """Return the time column in microseconds."""
    name = next(name for name in TIMES if name in given)
    times = cells.times_us(given[name], "t_iso" if name == "t" else name)
    if is_beginning and name == "t" and times.null_count == len(times) > 0:
        raise LogError(
            where,
            f"column t should hold ISO 8601 times and holds {given[name][0].as_py()!r}",
            "for numbers, name their unit: --columns t_ms=t, t_s=t or t_us=t",
        )
    return times


def _without(log: Log, is_bad: Bool[np.ndarray, " rows"], reason: str) -> Log:
    """Move the events where `is_bad` to the rejected rows."""
    if not is_bad.any():
        return log
    bad = reject(log.events["line"].to_numpy()[is_bad], reason)
    kept = log.events.filter(pa.array(~is_bad))
    return Log(kept, pa.concat_tables([log.rejected, bad]), log.ignored)


def parse_columns(text: str | None) -> dict[str, str]:
    """Return `session_id=sid,t_ms=ts` as a mapping from our names to the log's."""
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    wrong = [ours for ours, equals, theirs in pairs if not (ours and equals and theirs)]
    if wrong:
        raise ConfigError(
            "--columns",
            f"{wrong[0]!r} has no name on both sides",
            "write it like session_id=sid,t_ms=ts",
        )
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
