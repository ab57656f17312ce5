"""Draw the pictures of README and docs from sample_data/.

python docs/make_picture.py [RUN]

Four recordings and a synthetic session made from each; the print of a person beside that of a bot.
With a RUN (such as the demo's), what raised its scores, too.
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
from pipeline.config import AS_RECORDED
from pipeline.ingest.ingest import ingest_logs
from pipeline.ingest.parse import parse_logs
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import WindowConfig, Windows, cut_windows, pad_windows
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.store import load_sessions
from rasterize.canvas import Canvas

ROOT = Path(__file__).resolve().parent.parent
LOGS = ("human.csv", "bots.csv.gz")
PEOPLE = ("browse_020", "grid_hop_008", "to_center_from_ul_005", "slide_001")
SYNTHETIC = (
    "browse_020~teleport-1",
    "grid_hop_008~lagged_pid-0",
    "to_center_from_ul_005~gaussian_random_walk_bridge-1",
    "slide_001~windmouse-1",
)
PRINTED = ("browse", "grid_hop", "to_")  # how the names of recordings with free movements begin
SHOWN = "browse_011"
BOT = "bezier"
PANELS = ("hodograph", "speed_turn", "speed_change", "change_return")


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
    """Draw the people's sessions above the synthetic ones; `draw` sorts by name."""
    from rasterize.picture import contact_sheet, draw_pictures

    index = {name: i for i, name in enumerate(sessions.session_id)}
    sessions = sessions.take(np.array([index[name] for name in (*PEOPLE, *SYNTHETIC)]))
    windows = cut_windows(sessions)
    windows = windows.take(np.unique(windows.session, return_index=True)[1])
    pictures = draw_pictures(pad_windows(sessions, windows, 256), canvas)
    contact_sheet(pictures, [str(name) for name in sessions.session_id], canvas).save(to)
    return to


def prints_of_two(to: Path) -> Path:
    """Draw the print of a person above that of a bot that makes the same movements."""
    from model.config import InputConfig, PanelsConfig
    from model.prints import session_prints
    from rasterize.print_picture import SessionPrint, print_sheet

    person = concatenate_sessions(list(parse_logs([ROOT / "sample_data" / "logs" / LOGS[0]])))
    person = person.take(np.array([str(name).startswith(PRINTED) for name in person.session_id]))
    bot = simulate_sessions(person, (BOT,), 1, 0)
    inputs = InputConfig(AS_RECORDED, WindowConfig(max_events=128), PanelsConfig(PANELS))
    sheets = []
    for name, sessions in (("a person", person), (f"a bot ({BOT})", bot)):
        names = np.array([str(one).partition("~")[0] for one in sessions.session_id])
        (i,) = np.flatnonzero(names == SHOWN)
        begin, end = sessions.offsets[i], sessions.offsets[i + 1]
        window = Windows(*(np.array([int(number)]) for number in (i, begin, end)))
        sheets.append(
            SessionPrint(
                name=name,
                caption=f"one of {len(sessions)} sessions",
                detail="",
                points=pad_windows(sessions, window, int(end - begin)),
                counts=session_prints(inputs, sessions).counts.sum(axis=0),
            )
        )
    print_sheet(sheets, inputs.panels.panels).save(to)
    return to


def make_pictures(images: Path, run: Path | None = None) -> list[Path]:
    """Write sessions.png, print.png and, with a RUN, attribution.png."""
    prepare_jax()
    from flows.jobs.draw import DrawJob, draw_paths

    box = replace(Canvas(), placement="box")
    with store_of((*PEOPLE, *SYNTHETIC)) as store:
        made = [above_each_other(load_sessions([store]), box, images / "sessions.png")]
    made.append(prints_of_two(images / "print.png"))
    if run is not None:
        with store_of((*PEOPLE[:2], *SYNTHETIC[:2])) as store:
            made.append(draw_paths(DrawJob(store, images / "attribution.png", model=run)))
    return made


if __name__ == "__main__":
    trained = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(*make_pictures(ROOT / "docs" / "images", trained), sep="\n")
