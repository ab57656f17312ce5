"""Fuzz a reader, guided by coverage: `python -m benchmarks.fuzz --format csv --seconds 600`.

atheris (`pip install pointerprint[fuzz]`) mutates files of `sample_data/`, and makes others by
the grammar from its own bytes. A file that breaks a promise is kept in `--to`, with what it
broke on stderr; the process then ends with 77, and with another number than 0 if the
interpreter itself died. Without a finding it says how many files it read.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris
import numpy as np

with atheris.instrument_imports(include=["pipeline"]):
    from benchmarks.fuzz.check import check_file
    from benchmarks.fuzz.grammar import FORMATS, file_of
    from benchmarks.fuzz.seeds import write_seeds

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_BY_GRAMMAR: Final = 0xF5  # the first byte of an input that the grammar reads as its choices
_BY_GRAMMAR_SEEDS: Final = 30
_WORDS: Final = (
    "session_id", "t_ms", "t_iso", "account_id", "viewport_width", "timestamp", "positions",
    "timeOffset", "source", "events", "data", "null", "NaN", "Infinity", "1e999", "65535",
)  # fmt: skip


class Choices:
    """Choices that the fuzzer's bytes make."""

    def __init__(self, content: bytes):
        self.provider = atheris.FuzzedDataProvider(content)

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return self.provider.ConsumeIntInRange(low, high)

    def blob(self, most: int) -> bytes:
        """Return up to `most` bytes."""
        return self.provider.ConsumeBytes(self.number(0, most))


def main() -> None:
    """Run libFuzzer on one format until the time is over or a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=list(FORMATS), required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--to", type=Path, default=ROOT / "out" / "fuzz")
    chosen = parser.parse_args()
    corpus = chosen.to / chosen.format
    write_seeds(ROOT / "sample_data", chosen.format, corpus)
    for number in range(_BY_GRAMMAR_SEEDS):
        choices = np.random.default_rng(number).bytes(600)
        (corpus / f"choices-{number}").write_bytes(bytes([_BY_GRAMMAR]) + choices)
    words = chosen.to / "words"
    words.write_text("".join(f'"{word}"\n' for word in _WORDS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")

        def read_one(content: bytes) -> None:
            if content[:1] == bytes([_BY_GRAMMAR]):
                content = file_of(Choices(content[1:]), chosen.format)
            path.write_bytes(content)
            check_file(path, chosen.format)

        options = [
            f"-max_total_time={chosen.seconds}", "-max_len=8192", "-timeout=30",
            "-rss_limit_mb=3000", f"-dict={words}", f"-artifact_prefix={chosen.to}/found-",
            "-print_final_stats=1", str(corpus),
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options], read_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
