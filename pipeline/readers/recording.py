"""What recorders of research data sets write: a file a session, a folder an account."""

from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.errors import UnknownFormatError, printable
from pipeline.readers import cells, opening
from pipeline.readers.base import Log, LogFile, join_logs
from pipeline.readers.columns import constant
from pipeline.readers.csv import Columns, Rows, read_delimited, read_header
from pipeline.readers.limits import limits
from pipeline.readers.tabular import cell_types, check_header, to_log

SCROLL: Final = "Scroll"
_NAMES: Final = {"event": "state", "button": "button", "x": "x", "y": "y"}


def has_header(head: bytes, header: tuple[str, ...]) -> bool:
    """Say whether a file's first line is exactly this."""
    return tuple(read_header(opening.as_text(head)).names) == header


def read_recording(file: LogFile, source: str, unit: str, session_id: str) -> Log:
    """Return the log of one session; `unit` (`t_s` or `t_ms`) is that of the client's time."""
    names = {unit: "client timestamp"} | _NAMES
    account_id = printable(file.path.resolve().parent.name)

    def choose(found: list[str]) -> Columns:
        if missing := set(names.values()) - set(found):
            raise UnknownFormatError(
                file.path, f"it is no {source} log: it has no column {', '.join(sorted(missing))}"
            )
        check_header(found, file.path)
        types = cell_types(names)
        return {ours: (name, types[ours]) for ours, name in names.items()}

    def as_log(rows: Rows) -> Log:
        table, n = _with_scrolls(rows.table), rows.table.num_rows
        table = table.append_column("session_id", constant(session_id, n))
        table = table.append_column("account_id", constant(account_id, n))
        return to_log(table, rows.line, rows.rejected, source, file.path)

    return join_logs(read_delimited(file.path, limits().file_bytes, choose, as_log))


def _with_scrolls(table: pa.Table) -> pa.Table:
    """Return a recording in which turns of the wheel are events like others.

    They are written as button Scroll going Up or Down.
    """
    button, event = (cells.words(table[name]) for name in ("button", "event"))
    buttons, events = button.dictionary.to_pylist(), event.dictionary.to_pylist()
    if SCROLL in buttons:
        is_scroll = button.indices.to_numpy() == buttons.index(SCROLL)
        codes = np.where(is_scroll, np.int32(len(events)), event.indices.to_numpy())
        event = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([*events, "scroll"]))
    given = {name: table[name] for name in table.column_names}
    return pa.table(given | {"button": button, "event": event})
