"""Write docs/limits.md from the limits of the program.

python docs/make_limits.py [FILE]
"""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Final

from pipeline.ingest.clean import FARTHEST_PX
from pipeline.ingest.clock import LONGEST_US
from pipeline.readers.common.limits import LIMIT_VARIABLES, Limits
from pipeline.readers.common.log_files import HEAD_BYTES, RAW_CHARACTERS
from rasterize.canvas import LARGEST_SIZE

_DAY_US: Final = 86_400 * 1_000_000
PAGE: Final = Path(__file__).resolve().with_name("limits.md")
HEADING: Final = f"""\
# Limits

`python docs/make_limits.py` makes this page from
[pipeline/readers/common/limits.py](../pipeline/readers/common/limits.py).
Each limit has a test at a reduced value ([tests/test_limits.py](../tests/test_limits.py)).

What a log may cost is limited, since whoever moves the mouse writes it. `{LIMIT_VARIABLES}<NAME>`
in the environment sets one, such as `{LIMIT_VARIABLES}LINE_BYTES=4000000`; a misspelt name is an
error. A row over a limit goes to the quarantine, and the rest of the log is read. A file over one
is a row of the quarantine itself: `unreadable_file`. `training_events` bounds the memory of a
training ([training](training.md)).

| limit | of | default | more is |
|---|---|---:|---|
"""
FIXED: Final = f"""
These are fixed, since they define what an event, a session or a picture is:

| limit | default | more is |
|---|---:|---|
| x or y, from the corner | {FARTHEST_PX:,} px | row rejected: `absurd_position` |
| time from the session's median | {LONGEST_US // _DAY_US} days | row rejected: `absurd_time` |
| cells of a canvas, a side | {LARGEST_SIZE:,} | error |
| bytes by which a format is recognised | {HEAD_BYTES:,} | not looked at |
| characters of a rejected row that are kept | {RAW_CHARACTERS:,} | cut off |

No limit is set on the number of sessions in a file, nor on how deeply JSON is nested: memory grows
with a file's size alone, and the parsers don't descend by recursion.

A session that is too short abstains ([analyst](analyst.md#sessions-that-abstain)).
"""


def limits_page() -> str:
    """Return the whole page."""
    rows = [
        f"| `{one.name}` | {one.metadata['what']} | {one.default:,} | {one.metadata['excess']} |"
        for one in fields(Limits)
    ]
    return HEADING + "\n".join(rows) + "\n" + FIXED


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(limits_page())
    print(page)
