"""Train once in a process of its own, and say as JSON which stage took how long.

    python -m benchmarks.speed.timed_training STORE RUN [--simulate] [--task owner]

`benchmarks.speed.training_run` starts it.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flows.jobs.progress import finish
from flows.jobs.train import TrainJob, train
from model.config import RunConfig

STAGES = {
    "read the store": ("flows.jobs.train.labelled_sessions",),
    "synthetic sessions, partitions": ("model.fraud_training.training_sessions",),
    "resample, copies, windows": (
        "model.train.resample",
        "model.train.cut_windows",
        "model.train._training_points",
        "model.train.window_weights",
        "model.train.to_device",
    ),
    "validation": ("model.train._validate",),
    "how people differ, trials in folds": (
        "model.owner.train.PopulationData",
        "model.owner.train.CrossFit",
    ),
    "calibration and thresholds": (
        "model.fraud_training.calibrate_network",
        "model.owner.train.calibrate_trials",
    ),
    "what people do, for reasons and replays": tuple(
        f"model.{module}.{function}"
        for module in ("fraud_training", "owner.train")
        for function in ("fit_null_model", "fit_reference_ranges", "print_of_people")
    ),
    "figures": (
        "model.fraud_training._evaluate_test_part",
        "model.fraud_training.training_reference",
        "model.owner.train.evaluate_folds",
        "model.owner.train.training_reference",
    ),
    "files and plots": ("flows.jobs.train.publish_run", "model.train.save_training"),
}
EPOCHS = "epochs, with tracing or compiling; owner task: all else"


@dataclass
class Clock:
    """Seconds and processor seconds of stages; one that is called in another is not counted twice.

    Threads that draw ahead count among the stage that waits for them.
    """

    spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    _inside: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what happens inside as `stage`."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._inside.append((0.0, 0.0))
        try:
            yield
        finally:
            took = time.perf_counter() - wall, time.process_time() - cpu
            inner = self._inside.pop()
            self._inside[-1] = _sum(self._inside[-1], took)
            self.spent[stage] = _sum(self.spent.get(stage, (0.0, 0.0)), took, inner)

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, counted as `stage`."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self.timed(stage):
                return function(*arguments, **named)

        return counted


def _sum(
    spent: tuple[float, float], more: tuple[float, float], less: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float]:
    return spent[0] + more[0] - less[0], spent[1] + more[1] - less[1]


def timed_training(job: TrainJob) -> dict[str, tuple[float, float]]:
    """Train, and return seconds and processor seconds of each stage."""
    clock = Clock()
    with ExitStack() as patches:
        for stage, names in STAGES.items():
            for name in names:
                module, function = name.rsplit(".", 1)
                original = getattr(__import__(module, fromlist=[function]), function)
                patches.enter_context(patch(name, clock.wrap(stage, original)))
        with clock.timed(EPOCHS):
            finish(train(job))
    return clock.spent


def main() -> None:
    """Train, and print the stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--task", choices=("fraud", "owner"), default="fraud")
    options = parser.parse_args()
    config = RunConfig(task=options.task)
    begun_cpu_s = time.process_time()
    stages = timed_training(TrainJob((options.store,), options.run, config, options.simulate))
    print(json.dumps({"stages": stages, "begun_cpu_s": begun_cpu_s}))


if __name__ == "__main__":
    main()
