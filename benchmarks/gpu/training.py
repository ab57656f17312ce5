"""Training steps a second: changing the paths, drawing, network, gradient and new weights."""

from functools import partial
from typing import Any

from benchmarks.gpu.programs import Setting, Trainer
from benchmarks.gpu.timing import Limit, median_seconds, row_of
from benchmarks.speed.timing import Result
from rasterize.draw import FASTEST, Splat

STEPS = 10  # before the loss is waited for


def training(setting: Setting, limit: Limit) -> Result:
    """Take steps with batches of every size on the device, and the smallest on the CPU."""
    sizes, name = setting.sizes, setting.device.device_kind
    cases: list[tuple[str, Any, Splat, str, int]] = [
        (name, setting.device, setting.splat, dtype, n)
        for n in sizes.train_batches
        for dtype in setting.dtypes
    ]
    if setting.has_gpu:
        cases.append(("CPU", setting.cpu, FASTEST["cpu"], "float32", sizes.train_batches[0]))
    rows = [
        row_of(
            {"device": shown, "network": dtype, "batch": n},
            limit,
            partial(_measure, setting, device, splat, dtype, n),
        )
        for shown, device, splat, dtype, n in cases
    ]
    return Result("training", "Training steps, windows lie on the device", rows)


def _measure(
    setting: Setting, device: Any, splat: Splat, dtype: str, n_windows: int
) -> dict[str, object]:
    trainer = Trainer(setting, device, splat, dtype, n_windows)

    def some_steps() -> None:
        for _ in range(STEPS - 1):
            trainer.step()
        trainer.step().block_until_ready()

    step_s = median_seconds(some_steps, setting.sizes.case_s) / STEPS
    return {"steps/s": 1 / step_s, "windows/s": n_windows / step_s}
