"""SapiMouse (Antal, Fejér, Buza 2021): `user1/session_2020_05_14_3min.csv`.

Files of different accounts have the same name, so a session is called by folder and file.
"""

from pathlib import Path

from pipeline.errors import printable
from pipeline.readers.common import log_files
from pipeline.readers.common.delimited import has_header, read_recording
from pipeline.readers.common.formats import Format, Log, LogFile

HEADER = ("client timestamp", "button", "state", "x", "y")


def recognise_sapimouse(head: bytes, path: Path) -> bool:
    """Say whether the header is SapiMouse's."""
    return has_header(head, HEADER)


def read_sapimouse(file: LogFile) -> Log:
    """Return the log of one session, named as folder and file; the folder is the account."""
    folder = printable(file.path.resolve().parent.name)
    session_id = f"{folder}/{log_files.bare_name(file.path)}"
    return read_recording(file, "sapimouse", "t_ms", session_id)


FORMAT = Format("sapimouse", recognise_sapimouse, read_sapimouse, quote=log_files.quote_lines)
