"""Hostile logs of every format: each row is accounted for, and nothing but our errors is raised."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.check import check_file
from benchmarks.fuzz.grammar import FORMATS, file_of

MANY = int(os.environ.get("POINTERPRINT_FUZZ_FILES", "400"))


class Drawn:
    """Choices that hypothesis makes, and can make smaller."""

    def __init__(self, draw):
        self.draw = draw

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def blob(self, most: int) -> bytes:
        return self.draw(st.binary(max_size=most))


@st.composite
def files(draw, format_: str) -> bytes:
    return file_of(Drawn(draw), format_)


@pytest.mark.parametrize("n_files", [36, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("format_", FORMATS)
def test_every_row_of_a_hostile_log_is_accounted_for(format_, n_files):
    """Check so many files; a third for the formats of JSON, which take longer."""

    @settings(
        max_examples=n_files // (3 if format_ in ("jsonl", "rrweb", "posthog") else 1),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files(format_), st.booleans())
    def reads(content, is_named):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "log")
            path.write_bytes(content)
            check_file(path, format_ if is_named else "auto")

    reads()
