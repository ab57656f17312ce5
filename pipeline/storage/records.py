"""Keep frozen dataclasses as JSON files, and read them back only if they are what was written.

A record is a dataclass of numbers, strings, other records, and tuples or mappings of these. Its
annotations are the format: a field that is missing or unknown, a value of another type, NaN and
infinity are refused, with the file and the field in the error.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from zipfile import BadZipFile

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import core_schema

from pipeline.errors import SchemaError
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import write_json

Record = TypeVar("Record")


class _ArrayField:
    """Tells pydantic to hold an array of numbers as lists; null is NaN."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        return core_schema.no_info_plain_validator_function(
            _parse_array,
            serialization=core_schema.plain_serializer_function_ser_schema(_listed),
        )


ARRAY: Final = _ArrayField()
"""`Annotated[Float64[np.ndarray, "..."], ARRAY]` is an array of numbers in a record."""


def write_record(record: object, path: StoragePath) -> StoragePath:
    """Write a record as a JSON file, whole or not at all, and return `path`."""
    return write_json(record_json(record), path)


def read_record(kind: type[Record], path: StoragePath, hint: str = "make it again") -> Record:
    """Return the record of this `kind` in a JSON file; `hint` is what to do if it isn't one."""
    return parse_record(kind, read_json(path, hint), path, hint)


def record_json(record: object) -> dict[str, Any]:
    """Return a record as JSON holds it."""
    return _adapter(type(record)).dump_python(record, mode="json")


def parse_record(
    kind: type[Record], found: Mapping[str, Any], where: object, hint: str = "make it again"
) -> Record:
    """Return the record of this `kind` that a JSON object stands for."""
    adapter = _adapter(kind)
    try:
        record = adapter.validate_json(json.dumps(found, allow_nan=False), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise SchemaError(where, f"{_dotted(first['loc'])}{first['msg']}", hint) from error
    except ValueError as error:  # a number that JSON has no word for, such as 1e999
        raise SchemaError(where, f"a number is not finite: {error}", hint) from error
    difference = _difference(found, adapter.dump_python(record, mode="json"), ())
    if difference:
        raise SchemaError(where, difference, hint)
    return record


def read_json(path: StoragePath, hint: str = "make it again") -> dict[str, Any]:
    """Return the JSON object in a file; NaN and infinity, which are not JSON, are refused."""
    try:
        found = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(path, f"it can't be read: {error}", hint) from error
    if not isinstance(found, dict):
        raise SchemaError(path, f"expected a JSON object, found a {type(found).__name__}", hint)
    return found


@cache
def _adapter(kind: type) -> TypeAdapter:
    """Return what validates a kind of record; it takes some 20 ms to make."""
    return TypeAdapter(kind)


def _difference(found: Any, expected: Any, at: tuple[object, ...]) -> str:
    """Return in which field the two differ, in words; nothing if in none.

    pydantic ignores the unknown fields of a dataclass, and fills in a default for a missing one.
    """
    if isinstance(expected, dict) and isinstance(found, Mapping):
        for name in [*expected, *found]:
            if name not in found or name not in expected:
                what = "missing" if name not in found else "unknown"
                return f"{_dotted((*at, name))}{what} field"
            if inner := _difference(found[name], expected[name], (*at, name)):
                return inner
        return ""
    if isinstance(expected, list) and isinstance(found, list):
        pairs = enumerate(zip(found, expected, strict=True))
        return next((d for i, (f, e) in pairs if (d := _difference(f, e, (*at, i)))), "")
    if isinstance(expected, float) and not math.isfinite(expected):
        return f"{_dotted(at)}{expected} is not a finite number"
    return ""


def _dotted(at: tuple[object, ...]) -> str:
    return f"{'.'.join(map(str, at))}: " if at else ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _parse_array(found: Any) -> np.ndarray:
    if isinstance(found, np.ndarray):
        return found
    try:
        return np.array(found, np.float64)
    except TypeError as error:
        raise ValueError(f"expected lists of numbers, found a {type(found).__name__}") from error


def _listed(values: np.ndarray) -> list[Any]:
    kept = values.astype(object)
    kept[np.isnan(values)] = None
    return kept.tolist()


def load_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of these names; they are numbers, and all of them finite."""
    hint = "train the model again"
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = [found[name] for name in names]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise SchemaError(path, f"it can't be read: {error}", hint) from error
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise SchemaError(path, f"a number of {name} is not finite", hint)
    return arrays
