"""Drawing: a path of 200 events to a picture of 64 x 64, images per CPU-second."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import peers_draw
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, interleaved
from pipeline.windows import WindowConfig, cut_windows, pad_windows
from rasterize.canvas import Canvas
from rasterize.draw import draw, to_device

BATCH, N_BATCHES = 64, 8
SPEED_COLOUR = ("ink", "speed")


def measure(repeats: int) -> Result:
    """Draw the same paths by every means; ours as in the scoring job, several batches in flight."""
    sessions = make_sessions(BATCH)
    windows = cut_windows(sessions, WindowConfig(min_events=2))
    points = pad_windows(sessions, windows, 200)
    paths = to_device(points)

    def ours(canvas: Canvas):
        # The sum stands for the network: the image is read on the device and stays there.
        program = jax.jit(lambda p: jnp.sum(draw(p, canvas)))
        return lambda: jax.block_until_ready([program(paths) for _ in range(N_BATCHES)])

    def by(pen):
        return lambda: [
            pen(*(np.asarray(column[i]) for column in (points.t_ms, points.x_px, points.y_px)))
            for i in range(BATCH)
        ]

    cases = {
        "ours, speed colour (2 channels)": ours(Canvas(channels=SPEED_COLOUR, placement="box")),
        "ours, the default's 6 channels": ours(Canvas()),
        "Pillow, as a user writes it": by(peers_draw.pillow_as_a_user_writes_it),
        "Pillow, tuned": by(peers_draw.pillow_tuned),
        "OpenCV, anti-aliased": by(peers_draw.opencv),
        "matplotlib, one figure": by(peers_draw.Matplotlib()),
    }
    timings = interleaved(cases, repeats)
    n_images = {n: BATCH * (N_BATCHES if n.startswith("ours") else 1) for n in cases}
    rate = {name: n_images[name] / timing.cpu_s for name, timing in timings.items()}
    rows = [
        {
            "drawn by": name,
            "images per CPU-second": rate[name],
            "ours, 2 channels / this": rate["ours, speed colour (2 channels)"] / rate[name],
            "ours, 6 channels / this": rate["ours, the default's 6 channels"] / rate[name],
        }
        for name in cases
    ]
    return Result("draw", "Drawing, 200 events, 64 x 64 cells, batches of 64", rows)
