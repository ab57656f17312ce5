"""What recorders of research data sets write: a file a session, a folder an account."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.columns import constant
from pipeline.errors import UnknownFormatError
from pipeline.names import printable
from pipeline.readers import opening
from pipeline.readers.base import Log, LogFile, reject_file
from pipeline.readers.csv import read_header, read_rows
from pipeline.readers.tabular import cell_types, check_header, to_log
from pipeline.schemas import EVENTS

_NAMES: Final = {"event": "state", "button": "button", "x": "x", "y": "y"}


def has_header(head: bytes, header: tuple[str, ...]) -> bool:
    """Say whether a file's first line is exactly this."""
    return tuple(read_header(opening.as_text(head)).names) == header


def read_recording(file: LogFile, source: str, unit: str, session_id: str) -> Log:
    """Return the log of one session; `unit` (`t_s` or `t_ms`) is that of the client's time."""
    text = opening.read_text(file.path)
    header = read_header(text)
    names = {unit: "client timestamp"} | _NAMES
    if not header.names:
        return Log(EVENTS.empty_table(), reject_file("empty_file"), {})
    if missing := set(names.values()) - set(header.names):
        raise UnknownFormatError(
            file.path, f"it is no {source} log: it has no column {', '.join(sorted(missing))}"
        )
    check_header(header.names, file.path)
    types = cell_types(names)
    rows = read_rows(text, header, {ours: (name, types[ours]) for ours, name in names.items()})
    n = rows.table.num_rows
    # A turn of the wheel is written as button Scroll going Up or Down.
    is_scroll = pc.equal(rows.table["button"].cast(pa.string()), "Scroll")
    event = pc.if_else(is_scroll, "scroll", rows.table["event"].cast(pa.string()))
    table = rows.table.set_column(rows.table.column_names.index("event"), "event", event)
    table = table.append_column("session_id", constant(session_id, n))
    table = table.append_column(
        "account_id", constant(printable(file.path.resolve().parent.name), n)
    )
    return to_log(table, rows.line, rows.rejected, source, file.path)
