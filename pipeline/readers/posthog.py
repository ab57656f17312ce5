"""PostHog's session recordings, and others whose events name the window they come from.

A window of the browser is a session of its own, called by session and window, or file and window:
what the pointer does in two windows is no path. The events are rrweb's.
"""

from collections.abc import Iterator

from pipeline.readers.common.formats import Format, Log, LogFile
from pipeline.readers.common.json_files import kind_of_json, read_events
from pipeline.storage.paths import StoragePath


def _recognise(head: bytes, path: StoragePath) -> bool:
    """Say whether the file begins with an event of a window that has a name."""
    return kind_of_json(head) == "posthog"


def _read(file: LogFile) -> Iterator[Log]:
    """Give the log of the windows recorded in a file."""
    return read_events(file, "posthog")


FORMAT = Format("posthog", _recognise, _read)
