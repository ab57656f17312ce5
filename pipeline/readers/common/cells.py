"""Convert the cells of a log to our units and codes.

A cell that means nothing becomes null; the reader or the cleaning decides what to do with the row.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int8, Int64, Shaped

from pipeline.readers.common.names import DATES, TIME_UNITS
from pipeline.readers.common.words import (
    UNKNOWN,
    button_of,
    is_number,
    is_scroll,
    kind_of,
    state_of,
)
from pipeline.schemas import Button, Kind

_LARGEST_US = 4e18  # two of them still fit one int64 when subtracted
_EXACT = 2**53  # smaller whole numbers are the same as float64
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_DATE = r"^\s*\d{4}[-/]\d\d?"
_TIME_OF_DAY = r"^\s*\d\d?:\d\d:\d\d([.,:]\d+)?\s*$"
_PRESSES = (Kind.DOWN, Kind.UP, Kind.CLICK)


def words(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of words or numbers as one dictionary of strings; codes by first use."""
    if _is_no_cell(column.type):
        column = pa.chunked_array([pa.nulls(len(column), pa.string())])
    if not pa.types.is_dictionary(column.type):
        return _as_text(column.cast(pa.string()).combine_chunks().dictionary_encode())
    if column.type == pa.dictionary(pa.int32(), pa.string()):
        return _as_text(one_dictionary(column))
    return words(column.cast(column.type.value_type))


def _as_text(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return words with a replacement character for each byte that is not UTF-8.

    Arrow believes a JSON line or a Parquet file that calls bytes text; Python then fails.
    """
    try:
        encoded.dictionary.validate(full=True)
    except pa.ArrowInvalid:
        raw = encoded.dictionary.cast(pa.binary()).to_pylist()
        text = [None if word is None else word.decode("utf-8", "replace") for word in raw]
        decoded = pa.array(text, pa.string()).take(encoded.indices)
        return decoded.dictionary_encode()  # two words may have become one
    return encoded


def _is_no_cell(type_: pa.DataType) -> bool:
    """Say whether a column holds neither words nor numbers: lists, structs, bytes."""
    return pa.types.is_nested(type_) or any(
        is_bytes(type_)
        for is_bytes in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
            pa.types.is_binary_view,
        )
    )


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as float64; text that is no number becomes null."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        is_number = pc.match_substring_regex(column, _NUMBER)
        column = pc.utf8_trim_whitespace(pc.if_else(is_number, column, None))
    if pa.types.is_temporal(column.type) or _is_no_cell(column.type):
        return pa.chunked_array([pa.nulls(len(column), pa.float64())])
    return column.cast(pa.float64(), safe=False)


def positions(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as float32; text that is no number becomes null."""
    if pa.types.is_float32(column.type):
        return column
    return numbers(column).cast(pa.float32(), safe=False)


def times_us(column: pa.ChunkedArray, unit: str) -> pa.Array:
    """Return times as whole microseconds; `unit` is one of `columns.TIMES`.

    A column of timestamps is read as such, whatever its name; without a zone it is UTC.
    """
    if pa.types.is_timestamp(column.type):
        return (
            column.cast(pa.timestamp("us", column.type.tz), safe=False)
            .cast(pa.int64())
            .combine_chunks()
        )
    if unit in DATES:
        return _dates_us(column, unit)
    per_unit = TIME_UNITS[unit]
    if pa.types.is_signed_integer(column.type) and per_unit >= 1:
        bounds = pc.min_max(column).as_py()
        if max(-(bounds["min"] or 0), bounds["max"] or 0) * per_unit < _EXACT:
            return pc.multiply(column.cast(pa.int64()), int(per_unit)).combine_chunks()
    given = numbers(column)
    with np.errstate(over="ignore"):  # what is infinite then is no time
        time = (given.fill_null(np.nan) if given.null_count else given).to_numpy() * per_unit
    if len(time) and time.min() > -_LARGEST_US and time.max() < _LARGEST_US:  # as it should be
        return pa.array(np.rint(time, out=time).astype(np.int64))
    is_time = np.abs(time) < _LARGEST_US  # false for NaN
    whole = np.rint(np.where(is_time, time, 0)).astype(np.int64)
    return pa.array(whole, mask=~is_time)


def _dates_us(column: pa.ChunkedArray, unit: str) -> pa.Array:
    """Return dates as microseconds since 1970, times of day since midnight; numbers are neither.

    `t_dmy` has the day first, `t_mdy` the month; all else is ISO 8601, its fractions of a second
    behind a point or a comma.
    """
    text = words(column).cast(pa.string())
    if unit in ("t_dmy", "t_mdy"):
        given = pc.utf8_trim_whitespace(text).to_pandas()
        moments = pd.to_datetime(
            given, format="mixed", dayfirst=unit == "t_dmy", utc=True, errors="coerce"
        )
        return _moments_us(moments)
    text = pc.replace_substring_regex(text, r"(\d\d:\d\d:\d\d)[,:](\d)", r"\1.\2")
    if text.null_count < len(text) and pc.any(pc.match_substring_regex(text, _TIME_OF_DAY)).as_py():
        is_time = pc.match_substring_regex(text, _TIME_OF_DAY)
        of_day = pd.to_timedelta(
            pc.if_else(is_time, text, None).to_pandas().str.strip(), errors="coerce"
        )
        return pa.array(of_day).cast(pa.duration("us"), safe=False).cast(pa.int64())
    is_dated = pc.match_substring_regex(text, _DATE)
    dated = pc.utf8_trim_whitespace(pc.if_else(is_dated, text, None))
    dated = pc.replace_substring_regex(dated, r"^(\d{4})/(\d\d?)/(\d\d?)", r"\1-\2-\3")
    return _moments_us(
        pd.to_datetime(dated.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    )


def _moments_us(moments: pd.Series) -> pa.Array:
    return pa.array(moments).cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())


def codes(
    cells: pa.DictionaryArray, meaning: Callable[[str | None], int]
) -> Int8[np.ndarray, " rows"]:
    """Return the code of each word; an empty cell is the word `None`."""
    table = [meaning(word) for word in cells.dictionary.to_pylist()]
    index = cells.indices
    if cells.null_count:
        index = index.fill_null(len(table))
        table.append(meaning(None))
    if len(set(table)) == 1:  # as where nothing but moves was written
        return np.full(len(index), table[0], np.int8)
    return np.array(table, np.int8)[index.to_numpy()]


def kinds(given: Mapping[str, pa.ChunkedArray], n: int) -> Int8[np.ndarray, " rows"]:
    """Return what each of `n` events is: a `Kind`, or `UNKNOWN` or `NOT_POINTER`.

    The `event` says it; where that is a click, or unknown, the button's `state` does, and a
    `button` that is the wheel makes any row a scroll.
    """
    named = {name: words(given[name]) for name in ("event", "state", "button") if name in given}
    kind = zeros(n, np.int8)  # Kind.MOVE
    if "event" in named:
        kind = codes(named["event"], kind_of)
    elif "state" in named:
        return _with_wheel(codes(named["state"], lambda word: state_of(word) if word else 0), named)
    if "state" in named:
        state = codes(named["state"], state_of)
        counts = (state >= 0) & np.isin(kind, (Kind.CLICK, UNKNOWN))
        kind = np.where(counts, state, kind)
    return _with_wheel(kind, named)


def _with_wheel(
    kind: Int8[np.ndarray, " rows"], named: Mapping[str, pa.DictionaryArray]
) -> Int8[np.ndarray, " rows"]:
    """Return the kinds with a scroll where the button is the wheel."""
    if "button" in named and any(map(is_scroll, named["button"].dictionary.to_pylist())):
        return np.where(codes(named["button"], is_scroll) == 1, np.int8(Kind.SCROLL), kind)
    return kind


def buttons(
    given: Mapping[str, pa.ChunkedArray], kind: Int8[np.ndarray, " rows"]
) -> Int8[np.ndarray, " rows"]:
    """Return the button of each event, a `Button`, or `UNKNOWN`.

    Without a column of buttons the word of a press may name its own (`left_down`). A number counts
    only where a button is pressed, let go or clicked: for a move a browser gives button 0 too,
    which is the left one and not pressed.
    """
    if "button" not in given:
        event = words(given["event"]) if "event" in given else None
        if event is None or not any(button_of(word) > 0 for word in event.dictionary.to_pylist()):
            return zeros(len(kind), np.int8)  # Button.NONE
        of_event = codes(event, button_of)
        is_press = np.isin(kind, _PRESSES) & (of_event >= 0)
        return np.where(is_press, of_event, np.int8(Button.NONE))
    cells = words(given["button"])
    button = codes(cells, button_of)
    is_numbered = codes(cells, lambda word: is_number(word or "")) == 1
    if is_numbered.any():
        button[is_numbered & ~np.isin(kind, _PRESSES)] = Button.NONE
    return button


def sizes(column: pa.ChunkedArray) -> pa.Array:
    """Return widths or heights in whole pixels; what can't be one is null."""
    size = numbers(column).fill_null(0).to_numpy()
    is_size = (size >= 1) & (size < 2**31)  # false for NaN
    return pa.array(np.where(is_size, size, 0).astype(np.int32), mask=~is_size)


def labels(column: pa.ChunkedArray) -> tuple[pa.Array, Bool[np.ndarray, " rows"]]:
    """Return labels as int8, and where a cell holds something other than 0 or 1."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    label = numbers(column).fill_null(np.nan).to_numpy()
    is_label = np.isin(label, (0, 1))
    is_given = codes(words(column), lambda word: bool((word or "").strip())) == 1
    whole = np.where(is_label, label, 0).astype(np.int8)
    return pa.array(whole, mask=~is_label), is_given & ~is_label


_SHARED = np.zeros(2**22, np.uint8)
_SHARED.flags.writeable = False


def one_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of words as one array with one dictionary."""
    unified = column.unify_dictionaries()
    return unified.chunk(0) if unified.num_chunks == 1 else unified.combine_chunks()


def constant(word: str | None, n: int) -> pa.DictionaryArray:
    """Return `n` times the same word."""
    index = nothing(n, pa.int32()) if word is None else pa.array(zeros(n, np.int32))
    return pa.DictionaryArray.from_arrays(index, pa.array([word or ""]))


def nothing(n: int, type_: pa.DataType) -> pa.Array:
    """Return `n` nulls of a type of fixed width."""
    n_bytes = n * type_.bit_width // 8
    buffers = [pa.py_buffer(zeros(size, np.uint8)) for size in (n // 8 + 1, n_bytes)]
    return pa.Array.from_buffers(type_, n, buffers, null_count=n)


def zeros(n: int, dtype: type[np.generic]) -> Shaped[np.ndarray, " rows"]:
    """Return `n` zeros to read: all columns that hold nothing else share one piece of memory."""
    n_bytes = n * np.dtype(dtype).itemsize
    return (_SHARED if n_bytes <= len(_SHARED) else np.zeros(n_bytes, np.uint8))[:n_bytes].view(
        dtype
    )


def run_starts(codes: Shaped[np.ndarray, " rows"]) -> Int64[np.ndarray, " runs"]:
    """Return where each run of equal values begins."""
    later = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return np.insert(later, 0, 0) if len(codes) else later
