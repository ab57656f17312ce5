"""Drawing: a path of 200 events to its print, or to a picture of 64 x 64, per CPU-second."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import peers_draw
from benchmarks.speed.peers_print import naive_print
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, interleaved
from model.config import PanelsConfig
from model.drawing import draw_print
from pipeline.sessions.windows import WindowConfig, cut_windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.draw import draw_path
from rasterize.motion import to_device
from rasterize.panels import PANELS

BATCH, N_BATCHES, N_EVENTS = 64, 8, 200
PRINT, PATH = "ours, the default print", "ours, the path alone"


def measure(repeats: int) -> Result:
    """Draw the same paths by every means; ours as in the scoring job, several batches in flight."""
    sessions = make_sessions(BATCH, N_EVENTS)
    windows = cut_windows(sessions, WindowConfig(min_events=2))
    points = pad_windows(sessions, windows, N_EVENTS)
    paths, default = to_device(points), PanelsConfig()
    every_panel, canvas = PanelsConfig(names=tuple(PANELS)), Canvas(placement="box")

    def ours(draw):
        # The sum stands for the network: the image is read on the device and stays there.
        program = jax.jit(lambda p: jnp.sum(draw(p)))
        return lambda: jax.block_until_ready([program(paths) for _ in range(N_BATCHES)])

    def by(pen):
        return lambda: [
            pen(*(np.asarray(column[i]) for column in (points.t_ms, points.x_px, points.y_px)))
            for i in range(BATCH)
        ]

    n_panels, cells, side = len(default.names), default.cells, canvas.size
    print_shape = f"{n_panels} panels of {cells} x {cells}"
    cases = {
        PRINT: (print_shape, ours(lambda p: draw_print(p, default))),
        "ours, every panel": (
            f"{len(PANELS)} panels of {cells} x {cells}",
            ours(lambda p: draw_print(p, every_panel)),
        ),
        PATH: (f"{side} x {side} x 3", ours(lambda p: draw_path(p, canvas))),
        "NumPy's histogram2d, the default print": (
            print_shape,
            by(lambda *path: naive_print(*path, default.panels, cells)),
        ),
        **{
            f"{name}, the path alone": (f"{side} x {side} x 3", by(pen))
            for name, pen in (
                ("Pillow, as a user writes it", peers_draw.pillow_as_a_user_writes_it),
                ("Pillow, tuned", peers_draw.pillow_tuned),
                ("OpenCV, anti-aliased", peers_draw.opencv),
                ("matplotlib, one figure", peers_draw.Matplotlib()),
            )
        },
    }
    timings = interleaved({name: case for name, (_, case) in cases.items()}, repeats)
    n_paths = {n: BATCH * (N_BATCHES if n.startswith("ours") else 1) for n in cases}
    rate = {name: n_paths[name] / timing.cpu_s for name, timing in timings.items()}
    rows = [
        {
            "drawn by": name,
            "what": shape,
            "paths per CPU-second": rate[name],
            f"{PRINT} / this": rate[PRINT] / rate[name],
            f"{PATH} / this": rate[PATH] / rate[name],
        }
        for name, (shape, _) in cases.items()
    ]
    return Result("draw", f"Drawing, {N_EVENTS} events, batches of {BATCH}", rows)
