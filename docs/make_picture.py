"""Sample data in, the pictures of README and docs out.

python docs/make_picture.py [RUN]

Four recordings, and a bot in the likeness of each; the channels of one. With a RUN (such as the
demo's), what raised its scores, too.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from model.device import prepare_jax
from pipeline.ingest import ingest_logs
from pipeline.sessions import Sessions
from pipeline.store import load_sessions
from pipeline.windows import cut_windows, pad_windows
from rasterize.canvas import Canvas

ROOT = Path(__file__).resolve().parent.parent
LOGS = ("human.csv", "bots.csv.gz")
PEOPLE = ("browse_020", "grid_hop_008", "to_center_from_ul_005", "slide_001")
TWINS = (
    "browse_020~teleport-1",
    "grid_hop_008~lagged_pid-0",
    "to_center_from_ul_005~gaussian_random_walk_bridge-1",
    "slide_001~windmouse-1",
)


@contextmanager
def store_of(names: tuple[str, ...]) -> Iterator[Path]:
    """Give a store of some of the sample's sessions, those that there are."""
    logs = pd.concat([pd.read_csv(ROOT / "sample_data" / "logs" / name) for name in LOGS])
    rows = logs[logs["session_id"].isin(names)]
    with tempfile.TemporaryDirectory() as folder:
        rows.to_csv(log := Path(folder) / "some.csv", index=False)
        ingest_logs([log], store := Path(folder) / "store", ingest_date="2026-11-01")
        yield store


def above_each_other(sessions: Sessions, canvas: Canvas, to: Path) -> Path:
    """Draw the people's sessions in the upper row and their twins below; `draw` sorts by name."""
    from rasterize.picture import contact_sheet, draw_pictures

    place = {name: i for i, name in enumerate(sessions.session_id)}
    sessions = sessions.take(np.array([place[name] for name in (*PEOPLE, *TWINS)]))
    windows = cut_windows(sessions)
    windows = windows.take(np.unique(windows.session, return_index=True)[1])
    pictures = draw_pictures(pad_windows(sessions, windows, 256), canvas)
    contact_sheet(pictures, [str(name) for name in sessions.session_id], canvas).save(to)
    return to


def make_pictures(images: Path, run: Path | None = None) -> list[Path]:
    """Write sessions.png, channels.png and, with a RUN, attribution.png."""
    prepare_jax()
    from flows.jobs.draw import draw

    box = replace(Canvas(), placement="box")
    with store_of((*PEOPLE, *TWINS)) as store:
        made = [above_each_other(load_sessions([store]), box, images / "sessions.png")]
        made.append(draw(store, images / "channels.png", PEOPLE[3], canvas=box))
    if run is not None:
        with store_of((*PEOPLE[:2], *TWINS[:2])) as store:
            made.append(draw(store, images / "attribution.png", run=run))
    return made


if __name__ == "__main__":
    trained = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(*make_pictures(ROOT / "docs" / "images", trained), sep="\n")
