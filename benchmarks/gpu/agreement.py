"""Do CPU and GPU give the same prints, logits and weights?"""

from collections.abc import Callable

import jax
import numpy as np

from benchmarks.gpu.programs import (
    Setting,
    Trainer,
    compiled_draw,
    compiled_forward,
    on,
    sample_paths,
)
from benchmarks.gpu.timing import Limit
from benchmarks.speed.timing import Result
from rasterize.draw import FASTEST, UNMEASURED

DRAWING, LOGITS, LOGITS_BF16, LOSS, WEIGHTS = 1e-4, 1e-3, 5e-2, 1e-3, 5e-2
"""Tolerances. Of images; of logits, in float32 and in bfloat16, as a share of the largest; of the
loss; of the change of all weights, as a share of it."""

STEPS = 2  # the first has a learning rate of 0


def agreement(setting: Setting, limit: Limit) -> tuple[Result, bool]:
    """Compare the device with the CPU, which draws by its scatter and computes in float32.

    Without a GPU the CPU draws and computes as a GPU would.
    """
    del limit  # the rest is worth nothing without this
    splat = setting.splat if setting.has_gpu else UNMEASURED
    paths = sample_paths(setting.sizes.config, setting.sizes.agree_batch)
    checks: dict[str, tuple[float, Callable[[], float]]] = {
        f"prints, {splat}": (DRAWING, lambda: _drawing(setting, splat, paths)),
        f"logits, {splat}, float32": (LOGITS, lambda: _logits(setting, splat, "float32", paths)),
        f"logits, {splat}, bfloat16": (
            LOGITS_BF16,
            lambda: _logits(setting, splat, "bfloat16", paths),
        ),
    }
    found = {name: (tolerance, check()) for name, (tolerance, check) in checks.items()}
    loss, weights = _training(setting, splat)
    found[f"loss after {STEPS - 1} step, float32"] = (LOSS, loss)
    found[f"change of weights in {STEPS} steps, float32"] = (WEIGHTS, weights)
    rows = [
        {
            "what": name,
            "difference": difference,
            "tolerance": tolerance,
            "agrees": "yes" if difference <= tolerance else "NO",
        }
        for name, (tolerance, difference) in found.items()
    ]
    title = "Does the device agree with the CPU?"
    note = (
        "Largest differences; of logits as a share of the largest logit, of weights the norm of "
        "the difference as a share of the norm of their change. float32 is computed in full here; "
        "a GPU's default rounds products to ten bits."
    )
    agrees = all(difference <= tolerance for tolerance, difference in found.values())
    return Result("agreement", title, rows, [note]), agrees


def _drawing(setting: Setting, splat, paths) -> float:
    ours = compiled_draw(setting, setting.device, splat, paths)(on(setting.device, paths))
    theirs = compiled_draw(setting, setting.cpu, FASTEST["cpu"], paths)(on(setting.cpu, paths))
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())


def _logits(setting: Setting, splat, dtype: str, paths) -> float:
    with jax.default_matmul_precision("highest"):
        ours, _ = compiled_forward(setting, setting.device, splat, dtype, paths)
        theirs, _ = compiled_forward(setting, setting.cpu, FASTEST["cpu"], "float32", paths)
    expected = np.asarray(theirs(on(setting.cpu, paths)))
    apart = np.abs(np.asarray(ours(on(setting.device, paths))) - expected)
    return float(apart.max() / max(np.abs(expected).max(), 1.0))


def _training(setting: Setting, splat) -> tuple[float, float]:
    """Return how far apart the last losses are, and how far the changes of the weights."""
    n_windows = setting.sizes.agree_batch
    with jax.default_matmul_precision("highest"):
        ours = Trainer(setting, setting.device, splat, "float32", n_windows)
        theirs = Trainer(setting, setting.cpu, FASTEST["cpu"], "float32", n_windows)
    before = theirs.numbers()
    losses = [[float(trainer.step()) for _ in range(STEPS)] for trainer in (ours, theirs)]
    change = np.linalg.norm(theirs.numbers() - before)
    apart = np.linalg.norm(ours.numbers() - theirs.numbers())
    if not change > 0:
        raise AssertionError("two training steps changed no weight")
    return abs(losses[0][-1] - losses[1][-1]), float(apart / change)
