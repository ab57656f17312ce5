"""Write the tables of docs/formats.md: what is read of each example, and of each case.

    python docs/make_formats.py [FILE]

The examples lie in sample_data/formats. The cases lie beside the data for development, in the
folder `cases` next to POINTERPRINT_DATA (default ../shared/data); without them their table stays
as it is on the page, and the script says so.
"""

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final

from pipeline.errors import LogError
from pipeline.ingest.ingest import ingest_logs
from pipeline.readers.common.columns import parse_columns

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "formats.md"
DATA: Final = Path(os.environ.get("POINTERPRINT_DATA", ROOT.parent / "shared" / "data"))
CASES: Final = DATA.parent / "cases"
EXAMPLES: Final = (
    ("a table with our columns", "recordings.csv.zst"),
    ("the same as JSON lines", "recordings.jsonl.gz"),
    ("the same as Parquet", "recordings.parquet"),
    ("a table with other names", "other_columns.csv"),
    ("a spreadsheet with decimal commas", "tools/spreadsheet.csv"),
    (
        "a log without a header line",
        "tools/no_header.log --columns t_s=1,session_id=2,event=3,x=4,y=5",
    ),
    ("pynput", "tools/pynput.csv"),
    ("Python's `mouse` module", "tools/mouse_module.csv"),
    ("evtrack, blanks between cells", "tools/evtrack.txt"),
    ("OpenSesame with mousetrap, PsychoPy: lists in cells", "tools/opensesame_mousetrap.csv"),
    ("jsPsych's mouse tracking", "tools/jspsych.json"),
    ("events of a page, an array of nested rows", "tools/page_events.json"),
    ("Balabit's data set", "balabit"),
    ("SapiMouse", "sapimouse"),
    ("rrweb, an array", "rrweb_array.json"),
    ("rrweb, an event a line", "rrweb_lines.jsonl.gz"),
    ("rrweb, packed", "rrweb_packed.jsonl"),
    ("rrweb events in rows of a table, in JSON", "tools/event_table.jsonl"),
    ("PostHog, blob v2", "posthog.jsonl"),
    ("PostHog, blob v1", "tools/posthog_blob_v1.jsonl"),
    ("PostHog, exported to JSON", "tools/posthog_export.json"),
    ("Sentry, segments downloaded", "tools/sentry_segments.json"),
    ("Sentry, a segment as it is stored", "tools/sentry_segment"),
    ("Datadog's records", "tools/datadog.json"),
    ("Browserbase, an id in each event", "tools/browserbase.json"),
)
FLAGS_OF_CASES: Final = {
    "headerless/log.csv": "t_s=1,session_id=2,event=3,x=4,y=5",
    "microseconds-as-ms-crash-report/log.csv": "t_us=t_ms",
}
"""Cases about which the program asks, and the `--columns` that its hint names."""

_HEAD: Final = "| {0} | command | sessions | events | quarantined |\n|---|---|---|---|---|\n"


def examples_table() -> str:
    """Return what is read of each example: a row each."""
    return _HEAD.format("what you have") + "".join(
        _row(what, f"sample_data/formats/{words}", ROOT) for what, words in EXAMPLES
    )


def cases_table() -> str:
    """Return what is read of each case: a row each."""
    rows = []
    for name in case_files():
        columns = FLAGS_OF_CASES.get(name)
        words = f"cases/{name}" + (f" --columns {columns}" if columns else "")
        rows.append(_row(name.partition("/")[0].replace("-", " "), words, CASES.parent))
    return _HEAD.format("case") + "".join(rows)


def case_files() -> list[str]:
    """Return the logs of all cases, `case/file`."""
    files = (file for file in CASES.glob("*/*") if file.name != "case.md")
    return sorted(file.relative_to(CASES).as_posix() for file in files)


def _row(what: str, words: str, folder: Path) -> str:
    path, *flags = shlex.split(words)
    command = shlex.join(["pointerprint", "ingest", path, "--to", "out/store", *flags])
    columns = parse_columns(flags[1] if flags else None)
    with tempfile.TemporaryDirectory() as store:
        try:
            report = ingest_logs(
                [folder / path], Path(store, "store"), ingest_date="2026-11-01", columns=columns
            )
        except LogError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return f"| {what} | `{command}` | | | refused |\n"
    n_rejected = sum(report.rejected.values())
    counts = f"{report.n_sessions} | {report.n_events} | {n_rejected}"
    return f"| {what} | `{command}` | {counts} |\n"


def put(page: str, name: str, table: str) -> str:
    """Return the page with this table between the two marks of its name."""
    begin, end = f"<!-- {name}: made by docs/make_formats.py -->\n", f"<!-- end of {name} -->\n"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"docs/formats.md: expected the marks of {name!r} once each")
    return re.sub(f"{begin}.*?{end}", lambda _: begin + table + end, page, flags=re.DOTALL)


def formats_page() -> str:
    """Return the whole page with its tables made anew."""
    page = put(PAGE.read_text(), "examples", examples_table())
    if CASES.is_dir():
        return put(page, "cases", cases_table())
    print(f"no cases at {CASES}: their table stays as it is", file=sys.stderr)
    return page


if __name__ == "__main__":
    to = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    to.write_text(formats_page())
    print(to)
