"""sample_data/ in, a folder of small files of each format out, to begin fuzzing with."""

import gzip
import io
import json
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from pipeline.readers.common import log_files

SAMPLES: Final = {
    "csv": (
        "other_columns.csv", "recordings.csv.zst", "tools/pynput.csv", "tools/spreadsheet.csv",
        "tools/evtrack.txt", "tools/mouse_module.csv", "tools/opensesame_mousetrap.csv",
    ),
    "jsonl": ("recordings.jsonl.gz", "tools/jspsych.json", "tools/page_events.json"),
    "parquet": ("recordings.parquet",),
    "balabit": ("balabit/user1/session_0001",),
    "sapimouse": ("sapimouse/user1/session_1min.csv",),
    "rrweb": (
        "rrweb_array.json", "rrweb_lines.jsonl.gz", "rrweb_packed.jsonl", "tools/event_table.jsonl",
        "tools/sentry_segments.json", "tools/datadog.json", "tools/browserbase.json",
    ),
    "posthog": ("posthog.jsonl", "tools/posthog_blob_v1.jsonl", "tools/posthog_export.json"),
}  # fmt: skip
_LINES: Final = 12  # of a file, for the fuzzer to get through many


def write_seeds(sample_data: Path, format: str, corpus: Path) -> int:
    """Write what there is of a format to `corpus`, whole, in part, and packed; return how many."""
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = []
    for name in SAMPLES[format]:
        path = sample_data / "formats" / name
        seeds += [path.read_bytes(), *_parts(path, format)]
    for number, content in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(content)
    return len(seeds)


def _parts(path: Path, format: str) -> list[bytes]:
    """Return the beginning of a file, plain and packed."""
    if format == "parquet":
        sink = io.BytesIO()
        pq.write_table(pq.read_table(path).slice(0, _LINES), sink)
        return [sink.getvalue()]
    content = log_files.read_unpacked(path)
    if content.startswith(b"["):
        try:
            content = json.dumps(json.loads(content)[:_LINES]).encode()
        except ValueError:  # lines, each of them an array
            content = b"\n".join(content.split(b"\n")[:_LINES])
    else:
        content = b"\n".join(content.split(b"\n")[:_LINES])
    return [content, gzip.compress(content, mtime=0)]
