"""Read a file of JSON, and tell what it holds: rrweb's events, or rows of the pointer.

A table with such events in its cells, as a warehouse exports it, is read as JSON, a row a line.
"""

import csv
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pipeline.errors import ColumnsError
from pipeline.readers.common import log_files
from pipeline.readers.common.columns import check_mapping, shown
from pipeline.readers.common.delimited import BLANKS, read_header
from pipeline.readers.common.formats import Log, LogFile, rejected_file
from pipeline.readers.common.json_rows import FoundRows
from pipeline.readers.common.json_walk import Walk, has_long_numbers
from pipeline.readers.common.limits import limits
from pipeline.readers.common.names import IDENTIFIERS
from pipeline.readers.common.rrweb_events import Batches
from pipeline.readers.common.scopes import Findings, Place, Scope

_IN_CELLS = re.compile(rb'"(type|source)"{1,2}\s*:')
"""What a table holds in which events lie as JSON; marks in a cell of CSV are doubled."""
_QUOTED_NAME = re.compile(rb'"[\w $.-]{1,60}"\s*[,;\t|]')
_ZLIB = (b"x\x01", b"x\x9c", b"x\xda")


def read_events(file: LogFile, source: str, lines: bytes | None = None) -> Iterator[Log]:
    """Give the log of rrweb's events in a file; `source` is the format's name.

    `lines` is what the file holds as JSON, where it is no text.
    """
    useless = sorted(set(file.columns) - set(IDENTIFIERS))
    check_mapping(file.columns)
    if useless and file.is_named:
        raise ColumnsError(
            file.path,
            f"it holds rrweb's events: --columns {useless[0]} has no use",
            f"of {', '.join(IDENTIFIERS)} you may say what they are called",
        )
    batches = Batches()
    if (walk := _walked(file, batches, lines)) is None:
        yield rejected_file("empty_file")
    else:
        yield batches.to_log(source, file, walk.ignored, walk.is_one_document)


def read_rows(file: LogFile, source: str) -> Iterator[Log]:
    """Give the log of the rows in a file, which may lie in arrays and objects."""
    rows = FoundRows(file=file)
    if (walk := _walked(file, rows)) is None:
        yield rejected_file("empty_file")
    else:
        yield rows.to_log(source, walk.ignored, walk.is_one_document)


def _walked(file: LogFile, sink: Batches | FoundRows, lines: bytes | None = None) -> Walk | None:
    """Go through a file; return the walk, None if there is nothing in it."""
    content = lines
    if content is None:
        content = log_files.as_text(inflated(log_files.read_unpacked(file.path)))
        if not _is_json(content):
            content = _delimited_as_lines(content) or content
    if not content.strip():
        return None
    walk = Walk(sink, _asked(file), has_long_numbers(content))
    if isinstance(sink, Batches):
        sink.unpacked = walk.unpacked
    text = content.decode("utf-8", errors="replace")
    del content
    walk.text(text)
    _check_asked(walk, file)
    return walk


def _asked(file: LogFile) -> dict[str, str]:
    return {ours: theirs for ours, theirs in file.columns.items() if ours in IDENTIFIERS}


def _check_asked(walk: Walk, file: LogFile) -> None:
    """Raise `ColumnsError` for an identifier that the user named and that is nowhere."""
    missing = sorted(set(walk.asked) - walk.names_seen)
    if missing and file.is_named:
        ours = walk.asked[missing[0]]
        found = sorted(walk.names_seen)
        raise ColumnsError(
            file.path,
            f"--columns {ours}={missing[0]}: nothing is called {missing[0]!r} there",
            f"found {shown(found)}" if found else "leave it out: a session a file",
        )


def inflated(content: bytes) -> bytes:
    """Return JSON whose body, below a first line of JSON, or all of it, is packed by zlib.

    That is how Sentry keeps a segment. What is cut off is given as far as it goes.
    """
    start = content.find(b"\n") + 1 if content.startswith(b"{") else 0
    if content[start : start + 2] not in _ZLIB:
        return content
    try:
        return content[:start] + zlib.decompressobj().decompress(
            content[start:], limits().unpacked_free_bytes
        )
    except zlib.error:
        return content


class _Found(Findings):
    """What lies in the beginning of a file, and nothing of it kept."""

    has_rows = has_windows = False

    def event(self, event: Mapping[str, Any], scope: Scope, place: Place) -> None:
        self.has_events = True
        self.has_windows |= "window_id" in scope.find()[0]

    def row(self, row: Mapping[str, Any], scope: Scope, place: Place) -> None:
        self.has_rows = True


def _is_json(text: bytes) -> bool:
    """Say whether a text can be JSON; a name in marks before a comma is a table's header."""
    text = text.lstrip()
    return text.startswith((b"{", b"[", b'"', b"null")) and not _QUOTED_NAME.match(text)


def _delimited_as_lines(text: bytes) -> bytes | None:
    """Return a table with events in its cells as lines of JSON; None where it is none."""
    if not _IN_CELLS.search(text):
        return None
    header = read_header(text)
    if header.is_missing or len(header.names) < 2 or header.separator == BLANKS:
        return None
    csv.field_size_limit(max(csv.field_size_limit(), limits().event_bytes))
    body = io.StringIO(text[header.end :].decode("utf-8", errors="replace"), newline="")
    try:
        rows = list(csv.reader(body, delimiter=header.separator))
    except csv.Error:
        return None
    # A line for the header, so that rows without line ends in their cells keep their numbers.
    return b"\n" + as_lines(dict(zip(header.names, row, strict=False)) for row in rows)


def as_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as lines of JSON."""
    return "\n".join(json.dumps(row, default=_as_text) for row in rows).encode()


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def kind_of_rows(lines: bytes) -> str | None:
    """Return `rrweb` or `posthog` if rows of a table have events in their cells, else None."""
    kind = kind_of_json(lines) if _IN_CELLS.search(lines.replace(b"\\", b"")) else None
    return None if kind == "jsonl" else kind


@lru_cache(4)
def kind_of_json(head: bytes) -> str | None:
    """Return `rrweb`, `posthog` or `jsonl` by how a file begins, None where it is none of them.

    An event that is cut off, since its page is long, counts as one.
    """
    text = log_files.as_text(inflated(head)).lstrip()
    if not _is_json(text):
        lines = _delimited_as_lines(text)
        return None if lines is None else kind_of_rows(lines.lstrip())
    found = _Found()
    walk = Walk(found)
    walk.begin(text.decode("utf-8", errors="replace"))
    has_events = found.has_events or walk.ignored["no_events"]
    if has_events or (not found.has_rows and walk.saw_event):
        return "posthog" if found.has_windows or walk.saw_window else "rrweb"
    return "jsonl" if found.has_rows else None
