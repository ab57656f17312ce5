"""Sample data in, the README's picture out: four recordings, and a bot in the likeness of each.

python docs/make_picture.py
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from model.device import prepare_jax
from pipeline.ingest import ingest_logs
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


def make_picture(to: Path) -> Path:
    """Draw the people's sessions in the upper row and their twins below."""
    prepare_jax()
    from flows.jobs.draw import draw

    logs = pd.concat([pd.read_csv(ROOT / "sample_data" / "logs" / name) for name in LOGS])
    rows = logs.set_index("session_id").loc[[*PEOPLE, *TWINS]]  # in this order
    with tempfile.TemporaryDirectory() as folder:
        rows.to_csv(log := Path(folder) / "eight.csv")
        ingest_logs([log], store := Path(folder) / "store", ingest_date="2026-11-01")
        return draw(store, to, canvas=replace(Canvas(), placement="box"), limit=len(rows))


if __name__ == "__main__":
    print(make_picture(ROOT / "docs" / "images" / "sessions.png"))
