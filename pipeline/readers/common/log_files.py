"""A file in, its bytes out: unpacked, and for text with one kind of line end and no mark.

In a text format a row is a line; the functions here number lines from 1.
"""

import codecs
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pipeline.errors import LogError, printable
from pipeline.readers.common.limits import limits

HEAD_BYTES = 65_536
RAW_CHARACTERS = 1000  # of a rejected row are kept
_CHUNK_BYTES = 8 * 2**20
LARGE_BYTES = 256 * 2**20  # a larger text isn't read at once
BLOCK_BYTES = 4 * 2**20  # but so much at a time: as much as stays in a processor's cache
_COUNTED_BYTES = 2**18  # at a time, for the same reason
_USUAL_RATIO = 10  # of a packed log
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PACKED_SUFFIXES = {".gz", ".gzip", ".zst", ".zstd"}
_LOG_SUFFIXES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet"}


def read_head(path: Path) -> bytes:
    """Return the first 64 KiB of a file, unpacked."""
    return _read(path, HEAD_BYTES)


def read_unpacked(path: Path) -> bytes:
    """Return a whole file, unpacked if its first bytes say that it is gzip or zstd."""
    return _read(path, None)


def _read(path: Path, n_bytes: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            first = file.read(4)
            packing = next(
                (name for magic, name in _PACKED.items() if first.startswith(magic)), None
            )
            n_file_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            if packing is None:
                return _read_within(file, n_bytes, limits().file_bytes, path)
            most = most_unpacked_bytes(n_file_bytes, limits().file_bytes)
            with pa.input_stream(file, compression=packing) as unpacked:
                return _read_within(unpacked, n_bytes, most, path)
    except (OSError, pa.ArrowException) as error:
        raise LogError(path, f"it can't be read: {error}", "is the file complete?") from error


def most_unpacked_bytes(n_file_bytes: int, most: int) -> int:
    """Return how much a packed file of this size may hold: a small one can be endless."""
    allowed = limits()
    return min(most, max(allowed.unpacked_free_bytes, allowed.unpacked_ratio * n_file_bytes))


def _read_within(
    file: BinaryIO | pa.NativeFile, n_bytes: int | None, most: int, path: Path
) -> bytes:
    """Return the first `n_bytes` of a stream; None: all, if they are no more than `most`."""
    if n_bytes is not None:
        return file.read(n_bytes)
    content = io.BytesIO()
    while chunk := file.read(_CHUNK_BYTES):
        content.write(chunk)
        if content.tell() > most:
            raise _too_large(path, most)
    return content.getvalue()


def _too_large(path: Path, most: int) -> LogError:
    return LogError(
        path,
        f"it holds more than {most:,} bytes",
        "split it, or set the limits of docs/limits.md",
    )


def as_text(head_or_file: bytes) -> bytes:
    """Return UTF-8 text without byte order mark, its lines ended by line feeds.

    UTF-16, as spreadsheets save it, is known by its mark.
    """
    text = head_or_file
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = text.decode("utf-16", errors="replace").encode()
    return _with_line_feeds(text.removeprefix(codecs.BOM_UTF8))


def _with_line_feeds(text: bytes) -> bytes:
    """Return text in which a carriage return that stands alone has become a line feed."""
    if b"\r" not in text:
        return text
    codes = np.frombuffer(text, np.uint8)
    before = np.flatnonzero(codes[:-1] == ord("\r"))
    if not text.endswith(b"\r") and (codes[before + 1] == ord("\n")).all():
        return text
    return re.sub(rb"\r(?!\n)", b"\n", text)


def as_utf8(text: bytes) -> bytes:
    """Return `text` with a replacement character for each byte that is not UTF-8."""
    return text.decode("utf-8", errors="replace").encode()


def read_text(path: Path) -> bytes:
    """Return a whole text file as `as_text` has it."""
    return as_text(read_unpacked(path))


class TextBlock(NamedTuple):
    """Whole lines of a text file."""

    text: bytes
    first_line: int  # of the file, from 1
    n_lines: int  # empty ones too


def is_large(path: Path) -> bool:
    """Say whether a file is too large to be read at once; a packed one is taken for ten times."""
    with path.open("rb") as file:
        is_packed = any(map(file.read(4).startswith, _PACKED))
        n_bytes = file.seek(0, os.SEEK_END)
    return n_bytes * (_USUAL_RATIO if is_packed else 1) > LARGE_BYTES


def text_blocks(path: Path, most: int | None = None) -> Iterator[TextBlock]:
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


def _chunks(path: Path, most: int) -> Iterator[bytes]:
    """Give a file's bytes, unpacked, a block at a time, and no more than `most`."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
            packing = next((n for magic, n in _PACKED.items() if first.startswith(magic)), None)
            n_file_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            if packing is None:
                yield from _chunks_within(file, most, path)
                return
            with pa.input_stream(file, compression=packing) as unpacked:
                most = most_unpacked_bytes(n_file_bytes, most)
                yield from _chunks_within(unpacked, most, path)
    except (OSError, pa.ArrowException) as error:
        raise LogError(path, f"it can't be read: {error}", "is the file complete?") from error


def _chunks_within(file: BinaryIO | pa.NativeFile, most: int, path: Path) -> Iterator[bytes]:
    n_bytes = 0
    while chunk := file.read(BLOCK_BYTES):
        n_bytes += len(chunk)
        if n_bytes > most:
            raise _too_large(path, most)
        yield chunk


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


def quote_lines(path: Path, line: Int64[np.ndarray, " rows"]) -> list[str]:
    """Return these lines of a text file, which are in order, cut at 1,000 characters."""
    quoted: list[str] = []
    for block in text_blocks(path):
        place = line - block.first_line
        chosen = place[(place >= 0) & (place < block.n_lines)]
        if not len(chosen):
            continue
        lines = split_lines(block.text)
        rows = pc.binary_slice(lines.take(pa.array(chosen)), 0, 4 * RAW_CHARACTERS).to_pylist()
        decoded = (row.decode("utf-8", errors="replace") for row in rows)
        quoted += [row.rstrip("\r\n")[:RAW_CHARACTERS] for row in decoded]
    return quoted


def bare_name(path: Path) -> str:
    """Return a file's name without the suffixes of its packing and format."""
    name = path.name
    for suffixes in (_PACKED_SUFFIXES, _LOG_SUFFIXES):
        suffix = Path(name).suffix
        if suffix.lower() in suffixes:
            name = name.removesuffix(suffix)
    return printable(name)
