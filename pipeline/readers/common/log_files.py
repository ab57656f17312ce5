"""Read the bytes of a log file: unpacked, and text with line feeds and without a mark.

In a text format a row is a line; the functions here number lines from 1.
"""

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pipeline.errors import LogError, printable
from pipeline.readers.common.limits import limits
from pipeline.storage.overlap import overlapped, usable_cores
from pipeline.storage.paths import StoragePath

T = TypeVar("T")

HEAD_BYTES = 65_536
RAW_CHARACTERS = 1000  # of a rejected row are kept
LARGE_BYTES = 256 * 2**20  # a larger text isn't read at once
BLOCK_BYTES = 4 * 2**20  # but so much at a time: as much as stays in a processor's cache
_COUNTED_BYTES = 2**18  # at a time, for the same reason
_MOST_THREADS = 8  # each holds a block and what is made of it
_TYPICAL_RATIO = 10  # of a packed log
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PACKED_SUFFIXES = {".gz", ".gzip", ".zst", ".zstd"}
_LOG_SUFFIXES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet"}


def read_head(path: StoragePath) -> bytes:
    """Return the first 64 KiB of a file, unpacked."""
    with _opened(path, limits().file_bytes) as (file, _):
        return file.read(HEAD_BYTES)


def read_unpacked(path: StoragePath) -> bytes:
    """Return a whole file, unpacked if its first bytes say that it is gzip or zstd."""
    return b"".join(_chunks(path, limits().file_bytes))


@contextmanager
def _opened(path: StoragePath, most: int) -> Iterator[tuple[BinaryIO | pa.NativeFile, int]]:
    """Give a file's content, unpacked, and how many of its bytes may be read, at most `most`."""
    try:
        with path.open("rb") as file:
            packing, n_file_bytes = _packing(file)
            if packing is None:
                yield file, most
                return
            with pa.input_stream(file, compression=packing) as unpacked:
                yield unpacked, most_unpacked_bytes(n_file_bytes, most)
    except (OSError, pa.ArrowException) as error:
        raise LogError(path, f"it can't be read: {error}", "is the file complete?") from error


def _packing(file: BinaryIO | pa.NativeFile) -> tuple[str | None, int]:
    """Return how a file is packed, by its first bytes, and its size; leave it at its beginning."""
    first = file.read(4)
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    packing = next((name for magic, name in _PACKED.items() if first.startswith(magic)), None)
    return packing, n_bytes


def most_unpacked_bytes(n_file_bytes: int, most: int) -> int:
    """Return how much a packed file of this size may hold: a small one can be endless."""
    allowed = limits()
    return min(most, max(allowed.unpacked_free_bytes, allowed.unpacked_ratio * n_file_bytes))


def _chunks(path: StoragePath, most: int) -> Iterator[bytes]:
    """Give a file's bytes, unpacked, a block at a time, and no more than `most`."""
    with _opened(path, most) as (file, allowed):
        n_bytes = 0
        while chunk := file.read(BLOCK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > allowed:
                raise LogError(
                    path,
                    f"it holds more than {allowed:,} bytes",
                    "split it, or set the limits of docs/limits.md",
                )
            yield chunk


def as_text(head_or_file: bytes) -> bytes:
    """Return UTF-8 text without byte order mark, its lines ended by line feeds.

    UTF-16, as spreadsheets save it, is known by its mark.
    """
    text = head_or_file
    if text.startswith(_UTF_16):
        text = text.decode("utf-16", errors="replace").encode()
    return _with_line_feeds(text.removeprefix(codecs.BOM_UTF8))


def _with_line_feeds(text: bytes) -> bytes:
    """Return text in which a carriage return that stands alone has become a line feed."""
    if b"\r" not in text:
        return text
    codes = np.frombuffer(text, np.uint8)
    returns = np.flatnonzero(codes == ord("\r"))
    alone = returns[codes[np.minimum(returns + 1, len(codes) - 1)] != ord("\n")]
    if not len(alone):
        return text
    codes = codes.copy()
    codes[alone] = ord("\n")
    return codes.tobytes()


def as_utf8(text: bytes) -> bytes:
    """Return `text` with a replacement character for each byte that is not UTF-8."""
    return text.decode("utf-8", errors="replace").encode()


def read_text(path: StoragePath) -> bytes:
    """Return a whole text file as `as_text` has it."""
    return as_text(read_unpacked(path))


class TextBlock(NamedTuple):
    """Whole lines of a text file."""

    text: bytes
    first_line: int  # of the file, from 1
    n_lines: int  # empty ones too


def is_large(path: StoragePath) -> bool:
    """Say whether a file is too large to be read at once; a packed one counts ten times."""
    with path.open("rb") as file:
        packing, n_bytes = _packing(file)
    return n_bytes * (_TYPICAL_RATIO if packing else 1) > LARGE_BYTES


def text_blocks(path: StoragePath, most: int | None = None) -> Iterator[TextBlock]:
    """Give a text file as `as_text` has it, some megabytes of whole lines at a time.

    A file of more than `most` bytes is an error; None: as many as may be read in pieces.
    UTF-16, and lines ended by carriage returns alone, come in one block. Of a line that is
    longer than allowed the beginning is given, so that it is one row, and no more is kept.
    """
    n_lines, rest, is_first = 0, [b""], True
    chunks = _chunks(path, limits().streamed_bytes if most is None else most)
    chunk = next(chunks, b"")
    if chunk.startswith(_UTF_16):
        text = read_text(path)
        yield TextBlock(text, 1, count_lines(text))
        return
    while chunk:
        following = next(chunks, b"")
        end = chunk.rfind(b"\n") + 1
        if end:
            end = end if following else len(chunk)  # the last line may have no end
            block = _block(b"".join([*rest, memoryview(chunk)[:end]]), n_lines, is_first)
            yield block
            n_lines, rest, is_first = n_lines + block.n_lines, [chunk[end:]], False
        elif not _is_endless(rest):
            rest.append(chunk)
        chunk = following
    if any(rest) or is_first:
        yield _block(b"".join(rest), n_lines, is_first)


def _block(text: bytes, n_lines_before: int, is_first: bool) -> TextBlock:
    """Return a block; only the first can begin with a mark of its encoding."""
    text = as_text(text) if is_first else _with_line_feeds(text)
    return TextBlock(text, n_lines_before + 1, count_lines(text))


def _is_endless(line: Sequence[bytes]) -> bool:
    """Say whether the beginning of a line is too long already; at a carriage return it ends."""
    return sum(map(len, line)) > limits().line_bytes and not any(b"\r" in part for part in line)


def each_block(read: Callable[[TextBlock], T], blocks: Iterable[TextBlock]) -> Iterator[T]:
    """Give `read` of each block, in order, on all cores if there is more than one block."""
    remaining = iter(blocks)
    first, second = next(remaining, None), next(remaining, None)
    if first is not None and second is None:
        yield read(first)
    elif first is not None and second is not None:
        n_threads = min(usable_cores(), _MOST_THREADS)
        yield from overlapped(read, chain([first, second], remaining), n_threads)


def count_lines(text: bytes) -> int:
    """Return the number of lines, empty ones too."""
    codes = np.frombuffer(text, np.uint8)
    parts = (codes[i : i + _COUNTED_BYTES] for i in range(0, len(codes), _COUNTED_BYTES))
    n_ended = sum(int(np.count_nonzero(part == ord("\n"))) for part in parts)
    return n_ended + bool(text and not text.endswith(b"\n"))


def split_lines(text: bytes) -> pa.LargeBinaryArray:
    """Return the lines of `text`, none of it copied; `\\r` before the end is still there."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    if text and not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    # A line's value runs up to the next one's start, line end included: offsets are shared.
    offsets = np.append(0, np.minimum(ends + 1, len(text))).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)


def written_lines(lines: pa.LargeBinaryArray) -> Int64[np.ndarray, " rows"]:
    """Return the numbers of the lines that are not empty."""
    offsets = np.frombuffer(lines.buffers()[1], np.int64)[: len(lines) + 1]
    text = np.frombuffer(lines.buffers()[2], np.uint8)
    first = text[offsets[:-1]] if len(lines) else text[:0]
    is_empty = (first == ord("\n")) | ((first == ord("\r")) & (np.diff(offsets) <= 2))
    return np.flatnonzero(~is_empty) + 1


def line_bytes(lines: pa.LargeBinaryArray) -> Int64[np.ndarray, " rows"]:
    """Return how long each line is, its end included."""
    return np.diff(np.frombuffer(lines.buffers()[1], np.int64)[: len(lines) + 1])


def quote_lines(path: StoragePath, line: Int64[np.ndarray, " rows"]) -> list[str]:
    """Return these lines of a text file, which are in order, cut at 1,000 characters."""
    quoted: list[str] = []
    for block in text_blocks(path):
        index = line - block.first_line
        chosen = index[(index >= 0) & (index < block.n_lines)]
        if not len(chosen):
            continue
        lines = split_lines(block.text)
        rows = pc.binary_slice(lines.take(pa.array(chosen)), 0, 4 * RAW_CHARACTERS).to_pylist()
        decoded = (row.decode("utf-8", errors="replace") for row in rows)
        quoted += [row.rstrip("\r\n")[:RAW_CHARACTERS] for row in decoded]
    return quoted


def bare_name(path: StoragePath) -> str:
    """Return a file's name without the suffixes of its packing and format."""
    name = path.name
    for suffixes in (_PACKED_SUFFIXES, _LOG_SUFFIXES):
        suffix = Path(name).suffix
        if suffix.lower() in suffixes:
            name = name.removesuffix(suffix)
    return printable(name)
