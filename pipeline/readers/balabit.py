"""The Balabit Mouse Dynamics Challenge (Fülöp et al. 2016): `user7/session_0041905381`.

The client's clock counts: the other one is the recorder's, late by what the network took.
Scroll rows carry no position (0, 0), and 65535, 65535 is no position either.
"""

from pipeline.readers.common.delimited import session_file_format
from pipeline.readers.common.log_files import bare_name

BALABIT_HEADER = ("record timestamp", "client timestamp", "button", "state", "x", "y")
FORMAT = session_file_format("balabit", BALABIT_HEADER, "t_s", bare_name)
