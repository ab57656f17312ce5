"""Ablation of the fraud task: which panels, how fine, which network, how long a training."""

import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast
from unittest import mock

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from benchmarks.bots.__main__ import DEALT
from benchmarks.bots.detectors import Detector, Scores, network_detector, train_model
from benchmarks.bots.figures import alarm_row, family_row
from benchmarks.bots.folds import Fold, labelled, make_fold, other_people
from benchmarks.macs import count_macs
from benchmarks.sources import recordings_folder, with_settings
from model.config import RunConfig
from model.fraud import FraudScorer
from model.network import Network
from model.prints import session_prints
from model.run import TrainedModel
from pipeline.scores.table import goes_somewhere
from pipeline.sessions.sessions import Sessions

N_FOLDS: Final = 3
ENOUGH: Final = 0.9  # recall
OTHERS: Final = ("balabit, stretches", "sample, sessions")


class NoLinear(Network):
    """The network without the linear layer from pixels to the logit."""

    def __call__(
        self,
        images: Float[Array, "batch cells cells panels"],
        dropout_key: PRNGKeyArray | None = None,
    ) -> Float[Array, " batch"]:
        """Return a logit for each print."""
        linear = jnp.einsum("bijp,ijp->b", images, self.pixels[...])
        return super().__call__(images, dropout_key) - linear  # whose weights stay 0


class LinearAlone(Network):
    """The linear layer from pixels to the logit, and nothing else."""

    def __call__(
        self,
        images: Float[Array, "batch cells cells panels"],
        dropout_key: PRNGKeyArray | None = None,
    ) -> Float[Array, " batch"]:
        """Return a logit for each print."""
        return jnp.einsum("bijp,ijp->b", images, self.pixels[...]) + self.bias[...]


@dataclass(frozen=True)
class Row:
    """One change of the default's settings, or of its network."""

    name: str
    settings: tuple[str, ...] = ()
    network: type[Network] = Network
    print_share: float = (
        0.0  # of a session's logit, from its mean print; the rest: its windows' mean
    )

    def config(self, settings: Sequence[str] = (), seed: int = 0) -> RunConfig:
        """Return its settings, on top of those of all rows."""
        config = RunConfig(seed=seed)
        config = replace(config, split=replace(config.split, shares=DEALT))
        return with_settings(config, (*settings, *self.settings))

    def macs(self, settings: Sequence[str] = ()) -> int:
        """Return the multiply-accumulates of a window: drawing and network."""
        config = self.config(settings)
        found = count_macs(config.panels, config.network, config.window.max_events)
        if self.network is LinearAlone:
            return found.drawing + found.linear
        return found.drawing + found.network - (found.linear if self.network is NoLinear else 0)


PANEL_NAMES: Final = RunConfig().panels.names


def _panels(*names: str) -> tuple[str, ...]:
    return (f"panels.names={names}",)


def _without(left: str) -> tuple[str, ...]:
    return _panels(*(name for name in PANEL_NAMES if name != left))


ROWS: Final = (
    Row("default"),
    *(Row(f"without {name}", _without(name)) for name in PANEL_NAMES),
    *(
        Row(f"{name} alone", _panels(name))
        for name in ("hodograph", "speed_turn", "speed_change", "step_return")
    ),
    Row("with interval_speed", _panels(*PANEL_NAMES, "interval_speed")),
    *(Row(f"{n} cells", (f"panels.cells={n}",)) for n in (16, 32)),
    Row("logit of the session's print", print_share=1.0),
    Row("half of it, half the windows' mean", print_share=0.5),
    Row("no linear layer", network=NoLinear),
    Row("linear layer alone", network=LinearAlone),
    *(
        Row(f"convolutions of {'-'.join(map(str, widths))}, {hidden} hidden",
            (f"network.widths={widths}", f"network.hidden={hidden}"))
        for widths, hidden in (((8, 16, 16), 32), ((16, 32, 32), 64), ((64, 128, 128), 256))
    ),
    *(Row(f"{n} epochs", (f"train.epochs={n}",)) for n in (3, 6, 24, 48)),
)  # fmt: skip


def measured(
    rows: Sequence[Row],
    settings: Sequence[str],
    seeds: int,
    folds: Sequence[int],
    done: Container[tuple[str, int, int]],
) -> Iterator[dict[str, Any]]:
    """Measure what is not `done`; give a line for each row, seed and fold."""
    missing = [
        (fold, row, seed)
        for fold in folds
        for row in rows
        for seed in range(seeds)
        if (row.name, seed, fold) not in done
    ]
    if not missing:
        return
    folder = recordings_folder("sapimouse", "bots", "balabit", "human_recordings")
    sessions, everyone_else = labelled(folder), other_people(folder)
    others = {name: everyone_else[name] for name in OTHERS}
    made: dict[int, Fold] = {}
    for number, row, seed in missing:
        if number not in made:
            made = {number: make_fold(sessions, N_FOLDS, number, 0, holds_simulated=False)}
        figures = measure(made[number], others, row, row.config(settings, seed))
        yield {"row": row.name, "seed": seed, "fold": number, "figures": figures}


def measure(fold: Fold, others: dict[str, Sessions], row: Row, config: RunConfig) -> dict[str, Any]:
    """Train on what a fold leaves; give AUC and recall of its families, and false positives."""
    with tempfile.TemporaryDirectory() as folder, building(row.network):
        model, _, _ = train_model(fold, config, True, Path(folder) / "state")
    detectors: dict[str, Detector] = {"network": network_detector(model)}
    if row.print_share:
        detectors = {"network": print_detector(model, row.print_share)}
    families = {}
    for name, of_family in fold.matched.items():
        found = family_row(of_family, detectors).get("network")
        if found is not None:
            recall = found["caught"]
            families[name] = {
                "auc": found["auc"]["value"],
                "recall": None if recall is None else recall["value"],
            }
    people = {"sapimouse, stretches": fold.people} | others
    rates = {name: alarm_row(of, detectors)["network"]["rate"] for name, of in people.items()}
    return {"families": families, "false_positives": rates}


def print_detector(model: TrainedModel, share: float) -> Detector:
    """Return what scores a session's mean print, or in part so. No threshold is set for it."""
    scorer = cast(FraudScorer, model.scorer)

    def log_odds(tested: Sessions) -> Scores:
        images = session_prints(scorer.inputs, tested).mean_images
        batches = (images[i : i + 64] for i in range(0, len(images), 64))
        of_print = np.concatenate(
            [np.asarray(scorer.network(jnp.asarray(batch))) for batch in batches]
        )
        seen = scorer.predict(tested).of_session
        both = share * of_print + (1 - share) * seen
        return np.where(goes_somewhere(tested) & np.isfinite(seen), both, np.nan)

    return Detector(log_odds, 0.5, np.inf, None)


def building(network: type[Network]) -> AbstractContextManager[Any]:
    """Let training build this network."""
    if network is Network:
        return nullcontext()
    return mock.patch(
        "model.train.new_network",
        lambda config: network(config.network, config.panels, config.seed),
    )


def summary(figures: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of all folds of one seed together."""
    families = {name: row for of in figures for name, row in of["families"].items()}
    aucs = [row["auc"] for row in families.values()]
    recalls = [row["recall"] for row in families.values() if row["recall"] is not None]
    return {
        "auc": float(np.mean(aucs)),
        "lowest": min(aucs),
        "families": sum(recall >= ENOUGH for recall in recalls),
        "of": len(recalls),
        **{
            name: float(np.mean([of["false_positives"][name] for of in figures]))
            for name in figures[0]["false_positives"]
        },
    }
