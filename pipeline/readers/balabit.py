"""The Balabit Mouse Dynamics Challenge (Fülöp et al. 2016): `user7/session_0041905381`.

The client's clock counts: the other one is the recorder's, late by what the network took.
Scroll rows carry no position (0, 0), and 65535, 65535 is no position either.
"""

from pathlib import Path

from pipeline.readers.common import log_files
from pipeline.readers.common.delimited import has_header, read_recording
from pipeline.readers.common.formats import Format, Log, LogFile

HEADER = ("record timestamp", "client timestamp", "button", "state", "x", "y")


def recognise_balabit(head: bytes, path: Path) -> bool:
    """Say whether the header is Balabit's."""
    return has_header(head, HEADER)


def read_balabit(file: LogFile) -> Log:
    """Return the log of one session, named as the file; the folder is the account."""
    return read_recording(file, "balabit", "t_s", log_files.bare_name(file.path))


FORMAT = Format("balabit", recognise_balabit, read_balabit, quote=log_files.quote_lines)
