"""Drawing: a path of 200 events to its print, or to a picture of 64 x 64, per CPU-second."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import peers_draw
from benchmarks.speed.peers_print import naive_print
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, interleaved
from model.batches import SCORED
from model.config import PanelsConfig
from model.drawing import draw_print
from model.network import WINDOWS_AT_ONCE
from pipeline.sessions.windows import WindowConfig, cut_windows, pad_windows
from pipeline.storage.overlap import overlapped, usable_cores
from rasterize.canvas import Canvas
from rasterize.draw import draw_path
from rasterize.motion import on_host
from rasterize.panels import PANELS

N_CALLS, N_EVENTS = 8, 200
OF_PEERS = 64  # paths that a peer draws at a time
PRINT, PATH = "ours, the default print", "ours, the path alone"


def measure(repeats: int) -> Result:
    """Draw the same paths by every means; ours as the scoring job does, a call on each core."""
    sessions = make_sessions(SCORED, N_EVENTS)
    windows = cut_windows(sessions, WindowConfig(min_events=2))
    points = pad_windows(sessions, windows, N_EVENTS)
    paths, default = on_host(points), PanelsConfig()
    step = WINDOWS_AT_ONCE.get(jax.default_backend(), SCORED)
    every_panel, canvas = PanelsConfig(names=tuple(PANELS)), Canvas(placement="box")

    def ours(draw):
        # The sum stands for the network: images are made whole, read, and stay on the device.
        program = jax.jit(
            lambda parts: jax.lax.map(
                lambda part: jnp.sum(jax.lax.optimization_barrier(draw(part))), parts
            )
        )
        parts = jax.tree.map(lambda column: column.reshape(-1, step, *column.shape[1:]), paths)

        def call(_: int) -> jax.Array:
            return program(parts).block_until_ready()

        return lambda: list(overlapped(call, range(N_CALLS), usable_cores()))

    def by(pen):
        return lambda: [
            pen(*(np.asarray(column[i]) for column in (points.t_ms, points.x_px, points.y_px)))
            for i in range(OF_PEERS)
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
    n_paths = {n: SCORED * N_CALLS if n.startswith("ours") else OF_PEERS for n in cases}
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
    return Result("draw", f"Drawing, {N_EVENTS} events; ours {SCORED} paths a call", rows)
