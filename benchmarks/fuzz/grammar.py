"""Choices in, the bytes of a hostile file of some format out.

Each file is mostly as its format has it, so that it gets past the first check, and odd in a
few places. Who chooses is for the caller to say: see `Choose`.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.readers.balabit import BALABIT_HEADER
from pipeline.readers.sapimouse import SAPIMOUSE_HEADER

ODD_TEXT: Final = (
    "", " ", "a", "b", "é", "\u202etxt", "../../x", "/etc/passwd", "a\0b", "a\nb", 'a"b', '"',
    "=1+1", "@x", "\ud83d\ude00", "null", "NaN", "inf", "-inf", "1e999", "-1e-999", "0x10", "1_0",
    "\uff11", "1e308", "9" * 30, "9" * 400, "2026-11-01T00:00:00Z", "2026-11-01", "0001-01-01",
    "9999-12-31T23:59:59.999999999Z", "true", "[]", "{}", "\ufeff", "a,b", "a;b", "a\tb", "~",
    "s~line-1",
)  # fmt: skip
ODD_NUMBERS: Final = (
    0, 1, -1, 0.5, 65535, 32767, 32768, -32768, 4294967, 4294967296, 2**31, 2**32, 2**53, 2**63 - 1,
    2**63, 2**64, -(2**63), 1e14, 1e15, 1.7e15, 4e15, 4e18, 1e300, -1e300, 1e-300, 1e38, 3.5e38,
)  # fmt: skip
EVENTS: Final = ("move", "down", "up", "drag", "scroll", "click", "touch", "Scroll", "hover", "")
COLUMNS: Final = (
    "session_id", "t_ms", "x", "y", "event", "button", "account_id", "label", "viewport_width",
    "viewport_height", "source", "t_us", "t_s", "t_iso", "t", "scroll_y", "other",
)  # fmt: skip
CLOCKS: Final = ("t_ms", "t_us", "t_s", "client timestamp", "time", "Timestamp", "ts")
OTHER_NAMES: Final = {
    "session_id": ("sessionId", "visit", "user", "trial"), "x": ("clientX", "xpos", "mouse.x"),
    "y": ("clientY", "ypos", "mouse.y"), "t_ms": ("time", "Timestamp", "ts", "date", "1"),
    "event": ("type", "state", "action", "pressed"), "button": ("Button", "mouse_button"),
}  # fmt: skip


T = TypeVar("T")


class Choose(Protocol):
    """Whoever makes the choices."""

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        ...

    def blob(self, most: int) -> bytes:
        """Return up to `most` bytes."""
        ...


def one_of(choose: Choose, options: Sequence[T]) -> T:
    """Return one of the options."""
    return options[choose.number(0, len(options) - 1)]


def odds(choose: Choose, one_in: int) -> bool:
    """Say yes once in a while."""
    return choose.number(1, one_in) == one_in


def text(choose: Choose) -> str:
    """Return a word, odd or of any bytes."""
    if odds(choose, 8):
        return choose.blob(12).decode("utf-8", errors="replace")
    return one_of(choose, ODD_TEXT)


def quantity(choose: Choose) -> float | int:
    """Return a number that a log may hold, or one that none should."""
    if odds(choose, 6):
        return one_of(choose, ODD_NUMBERS)
    return choose.number(-50, 3000)


def cell(choose: Choose, column: str) -> object:
    """Return what may stand in a column."""
    if odds(choose, 12):
        return one_of(choose, (text(choose), None, quantity(choose)))
    if column in ("session_id", "account_id", "source"):
        return one_of(choose, ("a", "b", "c"))
    if column in ("event", "state"):
        return one_of(choose, EVENTS)
    if column == "button":
        return one_of(choose, ("left", "right", "0", "1", "", "NoButton", "Scroll"))
    if column == "label":
        return one_of(choose, (0, 1, ""))
    if column in ("t", "t_iso"):
        return f"2026-11-01T00:00:{choose.number(0, 59):02}Z"
    return quantity(choose)


def times(choose: Choose, n: int) -> list[int | None]:
    """Return the times of a clock that is set now and then, and of batches; or none at all."""
    if not odds(choose, 3):
        return [None] * n
    t = one_of(choose, (0, 1_767_225_600_000))
    made: list[int | None] = []
    for _ in range(n):
        t += choose.number(0, 40)
        if odds(choose, 8):
            t += one_of(choose, (-500, -2000, -60_000, -86_400_000, 1000, 7000, 2**32))
        made.append(t)
    return made


def delimited(choose: Choose, header: Sequence[str]) -> bytes:
    """Return delimited text: header and rows, some of them torn."""
    separator = one_of(choose, (",", ",", ";", "\t", "|", " "))
    end = one_of(choose, ("\n", "\n", "\r\n", "\r"))
    lines = [separator.join(header)]
    n = choose.number(0, 40) if odds(choose, 4) else choose.number(0, 12)
    for t in times(choose, n):
        row = {name: cell(choose, name) for name in header}
        row |= {name: t for name in CLOCKS if name in row and t is not None}
        cells = [_quoted(choose, row[name], separator) for name in header]
        if odds(choose, 10):
            cells = cells[: choose.number(0, len(cells))] + [text(choose)] * choose.number(0, 2)
        lines.append(separator.join(cells))
    content = end.join(lines) + end * choose.number(0, 2)
    if odds(choose, 12):
        return content.encode("utf-16", errors="replace")
    return (b"\xef\xbb\xbf" if odds(choose, 12) else b"") + _torn(
        choose, content.encode("utf-8", errors="replace")
    )


def _quoted(choose: Choose, value: object, separator: str) -> str:
    word = "" if value is None else str(value)
    if odds(choose, 10) or (separator in word and not odds(choose, 4)):
        return '"' + word.replace('"', '""') + '"'
    return word


def _torn(choose: Choose, content: bytes) -> bytes:
    """Return the bytes, in some files with others put in or the end cut off."""
    if odds(choose, 6):
        place = choose.number(0, len(content))
        content = content[:place] + choose.blob(8) + content[place:]
    return content[: choose.number(0, len(content))] if odds(choose, 12) else content


def csv(choose: Choose) -> bytes:
    """Return a log in csv."""
    return delimited(choose, _columns(choose))


def balabit(choose: Choose) -> bytes:
    """Return a log as Balabit has them."""
    return delimited(choose, BALABIT_HEADER)


def sapimouse(choose: Choose) -> bytes:
    """Return a log as SapiMouse has them."""
    return delimited(choose, SAPIMOUSE_HEADER)


def _columns(choose: Choose) -> list[str]:
    """Return column names: those needed, mostly, and some more."""
    names = ["session_id", one_of(choose, ("t_ms", "t_us", "t_s", "t")), "x", "y"]
    names += [one_of(choose, COLUMNS) for _ in range(choose.number(0, 4))]
    if odds(choose, 12):
        names.pop(choose.number(0, 3))
    if odds(choose, 4):
        names = [one_of(choose, OTHER_NAMES.get(name, (name,))) for name in names]
    return names if odds(choose, 12) else list(dict.fromkeys(names))


def value(choose: Choose, depth: int = 3) -> object:
    """Return a JSON value of any kind."""
    kind = choose.number(0, 6 if depth else 4)
    if kind == 5:
        return [value(choose, depth - 1) for _ in range(choose.number(0, 3))]
    if kind == 6:
        return {text(choose): value(choose, depth - 1) for _ in range(choose.number(0, 3))}
    return (text, quantity, lambda _: None, lambda _: True, lambda _: 0)[kind](choose)


def jsonl(choose: Choose) -> bytes:
    """Return a log in JSON lines."""
    names = _columns(choose)
    lines = []
    for _ in range(choose.number(1, 12)):
        row = {name: cell(choose, name) for name in names if not odds(choose, 12)}
        row |= {"position": [quantity(choose), quantity(choose)]} if odds(choose, 12) else {}
        if odds(choose, 8):
            row[one_of(choose, names)] = value(choose)
        lines.append(json.dumps(value(choose) if odds(choose, 16) else row))
    return _torn(choose, "\n".join(lines).encode("utf-8", errors="replace"))


def rrweb_event(choose: Choose) -> object:
    """Return one of rrweb's events."""
    if odds(choose, 16):
        return value(choose)
    event: dict[str, object] = {
        "type": choose.number(0, 6) if odds(choose, 4) else 3,
        "timestamp": 1_700_000_000_000 + choose.number(0, 10_000),
    }
    source = one_of(choose, (1, 1, 1, 2, 3, 4, 5, 6, 12))
    data: dict[str, object] = {"source": source}
    if source in (1, 6, 12):
        data["positions"] = [
            {"x": quantity(choose), "y": quantity(choose), "id": 1, "timeOffset": -i * 50}
            for i in range(choose.number(0, 4))
        ]
    else:
        data |= {"type": choose.number(0, 10), "x": quantity(choose), "y": quantity(choose)}
        data |= {"width": quantity(choose), "height": quantity(choose), "text": "typed"}
    for part in (event, data):
        if odds(choose, 8):
            part[one_of(choose, list(part))] = value(choose)
    event["data"] = data
    return event


def packed(choose: Choose, content: bytes) -> str:
    """Return bytes packed as rrweb's packer does it, or PostHog, or not quite."""
    squeezed = zlib.compress(content) if choose.number(0, 1) else gzip.compress(content, mtime=0)
    return _torn(choose, squeezed).decode("latin1")


def rrweb(choose: Choose) -> bytes:
    """Return recordings as rrweb has them: one document, or lines."""
    items: list[object] = []
    for _ in range(choose.number(1, 8)):
        item = rrweb_event(choose)
        if odds(choose, 4):
            item = packed(choose, json.dumps(item).encode())
        if odds(choose, 6):
            item = {"session_id": cell(choose, "session_id"), "events": [item, rrweb_event(choose)]}
        items.append(item)
    if odds(choose, 3):
        return _torn(choose, json.dumps(_held(choose, items)).encode())
    if choose.number(0, 1):
        return _torn(choose, json.dumps(items).encode())
    return _torn(choose, "\n".join(map(json.dumps, items)).encode())


def _held(choose: Choose, items: list[object], depth: int = 3) -> object:
    """Return events as some export holds them: in objects and arrays, with ids somewhere."""
    keys = ("events", "snapshots", "data", "records", "w1", "w2", "snapshot_data_by_window_id", "x")
    held: object = items if choose.number(0, 1) else [items, items[:1]]
    for _ in range(choose.number(1, depth)):
        names = {one_of(choose, ("sessionId", "windowId", "id", "user")): text(choose)}
        if odds(choose, 4):
            held = json.dumps(held)
        outer = {one_of(choose, keys): held, one_of(choose, keys): items[:2]}
        held = outer | names if choose.number(0, 1) else names | outer
        held = [held, text(choose)] if odds(choose, 4) else held
    return held


def posthog(choose: Choose) -> bytes:
    """Return a recording as PostHog has them."""
    lines = []
    for _ in range(choose.number(1, 8)):
        event = rrweb_event(choose)
        if isinstance(event, dict) and odds(choose, 3):
            event["data"] = packed(choose, json.dumps(event.get("data")).encode())
        pair = [one_of(choose, ("w1", "w2", text(choose))), event]
        lines.append(json.dumps(value(choose) if odds(choose, 16) else pair))
    return _torn(choose, "\n".join(lines).encode())


_TYPES: Final = (
    pa.float64(), pa.float32(), pa.float16(), pa.int64(), pa.int8(), pa.uint64(), pa.string(),
    pa.large_string(), pa.binary(), pa.bool_(), pa.date32(), pa.time64("us"), pa.timestamp("ns"),
    pa.timestamp("ms", "UTC"), pa.duration("us"), pa.decimal128(20, 3), pa.list_(pa.int32()),
    pa.struct([("a", pa.int32())]), pa.null(), pa.dictionary(pa.int32(), pa.string()),
)  # fmt: skip


def parquet(choose: Choose) -> bytes:
    """Return a log in Parquet whose columns have any types."""
    n = choose.number(0, 6)
    names = _columns(choose)
    columns = []
    for name in names:
        wanted = pa.string() if name in ("session_id", "event", "t", "t_iso") else pa.float64()
        type_ = one_of(choose, _TYPES) if odds(choose, 4) else wanted
        columns.append(_column(choose, name, type_, n))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names), sink, row_group_size=max(n // 2, 1))
    return _torn(choose, sink.getvalue())


def _column(choose: Choose, name: str, type_: pa.DataType, n: int) -> pa.Array:
    """Return `n` cells as well as the type can hold them; those that it can't are null."""
    cells = [cell(choose, name) for _ in range(n)]
    columns = []
    for word in cells:
        try:
            columns.append(pa.array([word]).cast(type_))
        except (pa.ArrowException, OverflowError, ValueError):
            columns.append(pa.nulls(1, type_))
    return pa.concat_arrays(columns) if columns else pa.array([], type_)


FORMATS: Final[dict[str, Callable[[Choose], bytes]]] = {
    "csv": csv, "jsonl": jsonl, "parquet": parquet, "balabit": balabit, "sapimouse": sapimouse,
    "rrweb": rrweb, "posthog": posthog,
}  # fmt: skip


def file_of(choose: Choose, format: str) -> bytes:
    """Return the bytes of a hostile file, sometimes packed, sometimes cut short."""
    content = FORMATS[format](choose)
    if odds(choose, 8):
        content = _torn(choose, gzip.compress(content, mtime=0))
    elif odds(choose, 16):
        content = _torn(choose, pa.Codec("zstd").compress(content, asbytes=True))
    return content
