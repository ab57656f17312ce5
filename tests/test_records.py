"""Records kept as JSON: what was written comes back, and anything else is refused in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SchemaError
from pipeline.storage.records import parse_record, read_record, record_json, write_record


@dataclass(frozen=True)
class Part:
    """A record within another."""

    rate: float
    word: Literal["low", "high"] = "low"


@dataclass(frozen=True)
class Whole:
    """A record of every kind of value."""

    name: str
    n: int
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, Part] = field(default_factory=dict)
    one: Part | None = None


WHOLE = Whole("a", 3, (Part(0.5), Part(1.0, "high")), {"x": Part(2.0)}, Part(0.0))


def test_a_record_comes_back_as_it_was(tmp_path):
    path = write_record(WHOLE, tmp_path / "whole.json")

    assert json.loads(path.read_text())["parts"][1] == {"rate": 1.0, "word": "high"}
    assert read_record(Whole, path) == WHOLE


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text())
def test_numbers_and_text_are_kept_exactly(rate, n, name):
    record = Whole(name, n, (Part(rate),))
    assert parse_record(Whole, json.loads(json.dumps(record_json(record))), "here") == record


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"extra": 1}, "extra: unknown field"),
        ({"one": {"rate": 1.0, "word": "low", "more": 2}}, "one.more: unknown field"),
        ({"one": {"rate": 1.0}}, "one.word: missing field"),
        ({"n": "3"}, "n: Input should be a valid integer"),
        ({"n": 3.5}, "n: "),
        ({"n": True}, "n: "),
        ({"parts": [{"rate": "much", "word": "low"}]}, r"parts\.0\.rate: "),
        ({"parts": [{"rate": 1.0, "word": "middle"}]}, r"parts\.0\.word: "),
        ({"by_name": []}, "by_name: "),
        ({"one": {"rate": float("inf"), "word": "low"}}, "not finite"),
    ],
)
def test_anything_else_is_refused_with_the_field_and_the_way_out(change, what):
    with pytest.raises(SchemaError, match=what) as error:
        parse_record(Whole, record_json(WHOLE) | change, "whole.json", "write it again")
    assert error.value.where == "whole.json"
    assert error.value.hint == "write it again"


def test_a_missing_field_is_refused_even_if_it_has_a_default():
    found = record_json(WHOLE)
    del found["parts"]
    with pytest.raises(SchemaError, match="parts: missing field"):
        parse_record(Whole, found, "here")


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"n": NaN}', '{"n": Infinity}', "[" * 10**5])
def test_a_file_that_holds_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "whole.json"
    path.write_text(text)
    with pytest.raises(SchemaError, match=r"can't be read|expected a JSON object"):
        read_record(Whole, path)


def test_a_number_too_large_is_refused(tmp_path):
    path = tmp_path / "part.json"
    path.write_text('{"rate": 1e999, "word": "low"}')
    with pytest.raises(SchemaError, match="finite"):
        read_record(Part, path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="it can't be read"):
        read_record(Part, tmp_path / "none.json", "make one")
