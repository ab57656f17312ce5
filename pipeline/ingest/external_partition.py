"""Split the events of a log too large for memory into files by session, and read these back.

All events of a session are in one of them, in the order of the log.
"""

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.readers.common.cells import one_dictionary
from pipeline.schemas import EVENTS
from pipeline.storage.paths import StoragePath

N_FILES: Final = 64
_FEW_WORDS: Final = 8


def _with_own_words(events: pa.Table) -> pa.Table:
    """Return events whose dictionaries have no words but theirs.

    Those of all sessions of a block would be put together again for each file.
    """
    for name in ("session_id", "account_id"):
        words = one_dictionary(events[name])
        if len(words.dictionary) > _FEW_WORDS:
            index = events.schema.get_field_index(name)
            words = words.dictionary_decode().dictionary_encode()
            events = events.set_column(index, events.schema.field(name), words)
    return events


class ExternalPartition:
    """Some dozen files in the system's temporary folder (TMPDIR); use it as a context."""

    def __init__(self, n_files: int | None = None):
        self._stack = ExitStack()
        self._n_files = N_FILES if n_files is None else n_files
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> "ExternalPartition":
        """Make the folder."""
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pointerprint-"))
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the files."""
        self._close()
        self._stack.close()

    def add(self, events: pa.Table) -> None:
        """Write each of these `EVENTS` to the file of its session."""
        ids = one_dictionary(events["session_id"])
        words = ids.dictionary.to_pylist()
        of_word = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words]
        file = np.array([*of_word, 0], np.int64) % self._n_files  # without a session: the first
        of_event = file[ids.indices.fill_null(len(words)).to_numpy()]
        of_event = of_event.astype(np.uint16)  # which NumPy sorts by counting
        order = np.argsort(of_event, kind="stable")
        ordered = events.take(pa.array(order))
        bounds = np.searchsorted(of_event[order], np.arange(self._n_files + 1)).tolist()
        for number, (start, stop) in enumerate(pairwise(bounds)):
            if stop > start:
                part = _with_own_words(ordered.slice(start, stop - start))
                self._writer(number).write_table(part)

    def read(self) -> Iterator[pa.Table]:
        """Give the `EVENTS` of each file."""
        self._close()
        for number in range(self._n_files):
            path = self._path(number)
            if path.exists():
                with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                    yield reader.read_all()

    def _path(self, number: int) -> StoragePath:
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
