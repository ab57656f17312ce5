"""Columns of words, and of the same value over and over, without a copy that isn't needed."""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped


def one_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of words as one array with one dictionary."""
    unified = column.unify_dictionaries()
    return unified.chunk(0) if unified.num_chunks == 1 else unified.combine_chunks()


def known_words(column: pa.ChunkedArray) -> list[str | None]:
    """Return the words that a column of words chooses from."""
    unified = column.unify_dictionaries()
    return unified.chunk(0).dictionary.to_pylist() if unified.num_chunks else []


def constant(word: str | None, n: int) -> pa.DictionaryArray:
    """Return `n` times the same word."""
    if word is None:
        return pa.nulls(n, pa.dictionary(pa.int32(), pa.string()))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([word]))


def run_starts(codes: Shaped[np.ndarray, " rows"]) -> Int64[np.ndarray, " runs"]:
    """Return where each run of equal values begins."""
    later = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return np.insert(later, 0, 0) if len(codes) else later
