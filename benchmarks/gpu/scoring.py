"""Scoring from points on the host: sessions a second, the transfer included."""

from collections import deque
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.machine import Peaks
from benchmarks.gpu.programs import Compiled, Setting, compiled_forward, on, sample_paths
from benchmarks.gpu.timing import Limit, median_seconds, row_of
from benchmarks.speed.timing import Result
from rasterize.draw import FASTEST, Splat
from rasterize.motion import Paths

IN_FLIGHT = 2  # batches: one is sent while another is computed


def scoring(setting: Setting, peaks: Peaks, limit: Limit) -> Result:
    """Score batches of every size on the device, and some of them on the CPU beside it."""
    device, sizes = setting.device, setting.sizes
    rows = [
        row_of(
            {"device": device.device_kind, "network": dtype, "batch": n},
            limit,
            partial(_measure, setting, device, setting.splat, dtype, n, peaks),
        )
        for n in sizes.score_batches
        for dtype in setting.dtypes
    ]
    notes = [
        f"A session is one window of {sizes.config.window.max_events} places. {IN_FLIGHT} batches "
        "in flight; points come from the host, logits go back. Roofline: the longest of "
        "arithmetic, memory and transfer, with what the compiler counts for this program, at the "
        "speeds of the first table. A share above 1: much of what is counted as memory lay in "
        "caches; the last column leaves memory out."
    ]
    if setting.has_gpu:
        cpu_rows = [
            row_of(
                {"device": "CPU", "network": "float32", "batch": n},
                limit,
                partial(_measure, setting, setting.cpu, FASTEST["cpu"], "float32", n, None),
            )
            for n in sizes.cpu_batches
        ]
        notes.append(_ratio(rows, cpu_rows))
        rows += cpu_rows
    return Result("scoring", "Scoring from points on the host", rows, notes)


def _ratio(rows: list[dict], cpu_rows: list[dict]) -> str:
    best, of_cpu = (
        max((row.get("sessions/s", 0.0) for row in some), default=0.0) for some in (rows, cpu_rows)
    )
    if not best or not of_cpu:
        return "GPU against CPU: not measured."
    return f"GPU against this machine's CPU, the best of each: **{best / of_cpu:.1f}x**."


def _measure(
    setting: Setting,
    device: Any,
    splat: Splat,
    dtype: str,
    n_windows: int,
    peaks: Peaks | None,
) -> dict[str, object]:
    paths = sample_paths(setting.sizes.config, n_windows)
    score, program = compiled_forward(setting, device, splat, dtype, paths)
    n_batches = setting.sizes.n_batches
    case_s = setting.sizes.case_s
    run_s = median_seconds(lambda: _stream(score, device, paths, n_batches), case_s)
    streamed_s = run_s / n_batches
    lying = on(device, paths)
    lying_s = median_seconds(lambda: score(lying).block_until_ready(), case_s)
    found: dict[str, object] = {
        "sessions/s": n_windows / streamed_s,
        "ms a batch": 1000 * streamed_s,
        "ms without transfer": 1000 * lying_s,
    }
    if peaks is None:
        return found
    flops, moved = _counted(program)
    sent = sum(column.nbytes for column in paths)
    least_s, limited_by = peaks.least_s(dtype, flops, moved, sent)
    return found | {
        "MFLOP a session": flops / n_windows / 1e6,
        "kB a session": moved / n_windows / 1e3,
        "kB sent": sent / n_windows / 1e3,
        "share of the roofline": least_s / streamed_s,
        "limited by": limited_by,
        "share without memory": peaks.least_s(dtype, flops, 0.0, sent)[0] / streamed_s,
    }


def _stream(score: Compiled, device: Any, paths: Paths, n_batches: int) -> None:
    """Send batches, compute them and fetch their logits, so many in flight at a time."""
    waiting: deque[Any] = deque()
    for _ in range(n_batches):
        waiting.append(score(on(device, paths)))
        if len(waiting) > IN_FLIGHT:
            np.asarray(waiting.popleft())
    for logits in waiting:
        np.asarray(logits)


def _counted(program: Any) -> tuple[float, float]:
    """Return the floating point operations and the bytes of memory that the compiler counts."""
    counts = program.cost_analysis() or {}
    counts = counts[0] if isinstance(counts, list) else counts
    return float(counts.get("flops", 0.0)), float(counts.get("bytes accessed", 0.0))
