"""SapiMouse (Antal, Fejér, Buza 2021): `user1/session_2020_05_14_3min.csv`.

Files of different accounts have the same name, so a session is called by folder and file.
"""

from pipeline.errors import printable
from pipeline.readers.common.delimited import session_file_format
from pipeline.readers.common.log_files import bare_name
from pipeline.storage.paths import StoragePath

SAPIMOUSE_HEADER = ("client timestamp", "button", "state", "x", "y")


def _session_id(path: StoragePath) -> str:
    return f"{printable(path.resolve().parent.name)}/{bare_name(path)}"


FORMAT = session_file_format("sapimouse", SAPIMOUSE_HEADER, "t_ms", _session_id)
