"""rrweb recordings: events wherever they lie in JSON (see `common/json_walk.py`)."""

from collections.abc import Iterator

from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.json_files import kind_of_json, read_events
from pipeline.storage.paths import StoragePath


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the file begins with an event, packed or not, or with what holds one."""
    return kind_of_json(head) == "rrweb"


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log of the recordings in a file."""
    return read_events(file, "rrweb")


FORMAT = Format("rrweb", _recognise, _read)
