"""Train flow: stores to a RUN."""

from pathlib import Path

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from model.config import RunConfig
from model.device import prepare_jax


@task(cache_policy=NO_CACHE)
def train_model(stores: list[Path], run: Path, config: RunConfig, simulate: bool) -> Path:
    """Labelled sessions to a trained model with its figures."""
    prepare_jax()
    from flows.jobs.train import train as job

    job(stores, run, config, simulate)
    return run


@flow
def train(
    stores: list[Path], run: Path, config: RunConfig | None = None, simulate: bool = False
) -> Path:
    """Train on the labelled sessions of the stores; `simulate` adds bots in their likeness."""
    return train_model(stores, run, config or RunConfig(), simulate)
