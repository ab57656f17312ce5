"""Read a file of JSON, and tell what it holds: rrweb's events, or rows of the pointer."""

import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pipeline.errors import ColumnsError
from pipeline.readers.common import log_files
from pipeline.readers.common.columns import check_mapping, shown
from pipeline.readers.common.formats import Log, LogFile, rejected_file
from pipeline.readers.common.json_rows import FoundRows
from pipeline.readers.common.json_walk import Walk, has_long_numbers
from pipeline.readers.common.limits import limits
from pipeline.readers.common.names import IDENTIFIERS
from pipeline.readers.common.rrweb_events import Batches
from pipeline.readers.common.scopes import Findings, Place, Scope

_ZLIB = (b"x\x01", b"x\x9c", b"x\xda")


def read_events(file: LogFile, source: str) -> Iterator[Log]:
    """Give the log of rrweb's events in a file; `source` is the format's name."""
    useless = sorted(set(file.columns) - set(IDENTIFIERS))
    check_mapping(file.columns)
    if useless and file.is_named:
        raise ColumnsError(
            file.path,
            f"it holds rrweb's events: --columns {useless[0]} has no use",
            f"of {', '.join(IDENTIFIERS)} you may say what they are called",
        )
    batches = Batches()
    if (walk := _walked(file, batches)) is None:
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


def _walked(file: LogFile, sink: Batches | FoundRows) -> Walk | None:
    """Go through a file; return the walk, None if there is nothing in it."""
    content = log_files.as_text(inflated(log_files.read_unpacked(file.path)))
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


@lru_cache(4)
def kind_of_json(head: bytes) -> str | None:
    """Return `rrweb`, `posthog` or `jsonl` by how a file begins, None where it is none of them.

    An event that is cut off, since its page is long, counts as one.
    """
    text = log_files.as_text(inflated(head)).lstrip()
    if not text.startswith((b"{", b"[", b'"', b"null")):
        return None
    found = _Found()
    walk = Walk(found)
    walk.begin(text.decode("utf-8", errors="replace"))
    has_events = found.has_events or walk.ignored["no_events"]
    if has_events or (not found.has_rows and walk.saw_event):
        return "posthog" if found.has_windows or walk.saw_window else "rrweb"
    return "jsonl" if found.has_rows else None
