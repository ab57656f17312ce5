"""Train flow: a store with labels to a challenger, and to a new champion if it is better."""

from pathlib import Path
from typing import Annotated

import flows.settings  # noqa: F401 - before Prefect

# isort: split
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows.days import alone_with, flow_run_name, run_site
from flows.parameters import Models, Scores, Settings, Simulate, Store, Where, described
from flows.site import Site
from model.config import RunConfig
from pipeline.promotion import Promote

When = Annotated[Promote, Field(description="Whether the new model scores from now on.")]
Config = Annotated[
    RunConfig | None,
    Field(description="All of it. Empty: the settings' [run]."),
]


@task(cache_policy=NO_CACHE)
def train_challenger(site: Site, promote: Promote) -> Path:
    """Labelled sessions to a trained model with its figures, promoted if it is better."""
    from flows.jobs.days import train_and_compare

    logger = get_run_logger()

    def tell(epoch: object) -> None:
        logger.info("%s", epoch)

    found = train_and_compare(site, promote, tell)
    card = (found.run / "MODEL_CARD.md").read_text()
    create_markdown_artifact(
        card, key="model-card", description=f"{found.model_id}: {found.why}"[:200]
    )
    return found.run


@flow(flow_run_name=flow_run_name)
@described
def train(
    settings: Settings = None,
    store: Store = None,
    scores: Scores = None,
    models: Models = None,
    simulate: Simulate = None,
    device: Where = None,
    promote: When = "if better",
    config: Config = None,
) -> Path:
    """Train on the store and the labels fed back; promote the model on a clear gain."""
    site = run_site(
        settings, store=store, scores=scores, models=models, simulate=simulate, device=device,
        run=config,
    )  # fmt: skip
    with alone_with(site.models):
        return train_challenger(site, promote)
