"""Events of a log too large for memory, dealt out to files by session, and read back file by file.

All events of a session are in one of them, in the order of the log.
"""

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.schemas import EVENTS

N_FILES: Final = 64


class Spill:
    """Some dozen files in the system's temporary folder (TMPDIR); use it as a context."""

    def __init__(self, n_files: int | None = None):
        self._stack = ExitStack()
        self._n_files = N_FILES if n_files is None else n_files
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> "Spill":
        """Make the folder."""
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pointerprint-"))
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Take the files away."""
        self._close()
        self._stack.close()

    def add(self, events: pa.Table) -> None:
        """Deal out `EVENTS`."""
        ids = events["session_id"].unify_dictionaries().combine_chunks()
        words = ids.dictionary.to_pylist()
        of_word = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words]
        file = np.array([*of_word, 0], np.int64) % self._n_files  # without a session: the first
        of_event = file[ids.indices.fill_null(len(words)).to_numpy()]
        for number in np.unique(of_event).tolist():
            self._writer(number).write_table(events.filter(pa.array(of_event == number)))

    def read(self) -> Iterator[pa.Table]:
        """Give the `EVENTS` of each file."""
        self._close()
        for number in range(self._n_files):
            path = self._path(number)
            if path.exists():
                with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                    yield reader.read_all()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.arrows"

    def _writer(self, number: int) -> pa.ipc.RecordBatchStreamWriter:
        if number not in self._writers:
            # A stream, not a file: each block of the log has a dictionary of its own.
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[number] = pa.ipc.new_stream(
                str(self._path(number)), EVENTS, options=options
            )
        return self._writers[number]

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
