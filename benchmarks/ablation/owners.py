"""Ablation of the owner task: which panels, how fine, of what, and how they are compared."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from benchmarks import owners
from benchmarks.balabit import read_balabit
from benchmarks.sapimouse import is_long
from benchmarks.sources import read_all, recordings_folder, with_settings
from model.config import OwnerConfig, PanelsConfig, RunConfig
from model.metrics import roc_curve
from model.owner.population import Population, SessionEmbeddings, fit_population
from model.owner.train import PopulationData
from model.owner.trials import with_pseudo_speakers
from model.prints import Prints, session_prints
from model.run import input_config
from pipeline.features.best_feature import roc_auc
from pipeline.sessions.sessions import Sessions
from rasterize.draw import density
from rasterize.panels import PANELS

FOLDS: Final = 5
SECONDS: Final = 15.0
COLUMNS: Final = {
    "sapimouse_15s": "SapiMouse, 15 s",
    "sapimouse_60s": "60 s",
    "sapimouse_60s_eer": "EER, 60 s",
    "balabit": "Balabit, all",
    "balabit_matched": "device matched",
    "balabit_matched_15s": "15 s, matched",
}
EVERY_PANEL: Final = tuple(PANELS)
TAUGHT_BY: Final = ("people", "known")


@dataclass(frozen=True)
class Row:
    """One change of the default's settings."""

    name: str
    settings: tuple[str, ...] = ()
    of_sessions: bool = False  # the image of a session's summed counts, not the mean of images


def _panels_but(left: str) -> str:
    return f"owner.panels.names={tuple(name for name in EVERY_PANEL if name != left)}"


ROWS: Final = (
    Row("default"),
    Row("all twelve panels", (f"owner.panels.names={EVERY_PANEL}",)),
    *(Row(f"{name} alone", (f"owner.panels.names={(name,)}",)) for name in EVERY_PANEL),
    *(Row(f"without {name}", (_panels_but(name),)) for name in EVERY_PANEL),
    *(Row(f"shrinkage {n:g}", (f"owner.shrinkage={n}",)) for n in (0.3, 3.0)),
    Row("session print", of_sessions=True),
    *(Row(f"{n} cells", (f"owner.panels.cells={n}",)) for n in (16, 32)),
    *(Row(f"windows of {n} events", (f"owner.window.max_events={n}",)) for n in (64, 256)),
    Row("windows cut at rests of 1 s too", ("owner.window.rule=both",)),
    Row("no pseudo-speakers", ("owner.mirrored=False", "owner.paces=()")),
)
"""Rows that share a drawing stand together."""


def drawn_by(config: RunConfig) -> RunConfig:
    """Return the settings that decide what is drawn: rows that share them share the drawing."""
    of = config.owner
    panels = PanelsConfig(names=EVERY_PANEL, cells=of.panels.cells)
    drawn = OwnerConfig(panels=panels, window=of.window, mirrored=of.mirrored, paces=of.paces)
    return RunConfig(task="owner", owner=drawn)


@dataclass(frozen=True)
class Recordings:
    """Who is enrolled, and who is tried."""

    people: Sessions  # SapiMouse
    parts: Sessions  # 15 s each of its shorter sessions
    known: Sessions  # Balabit's training sessions
    claims: Sessions  # its labelled sessions
    cut: Sessions  # 15 s each of them
    is_matched: Bool[np.ndarray, " claims"]  # whose device doesn't decide them
    whose: Int64[np.ndarray, " cut"]  # claim of each cut

    @staticmethod
    def read() -> "Recordings":
        """Return the recordings; without any, say so and exit."""
        folder = recordings_folder("sapimouse", "balabit")
        people = read_all(folder / "sapimouse")
        known, claims = read_balabit(folder / "balabit")
        cut, whose = owners.time_stretches(claims, SECONDS)
        return Recordings(
            people=people,
            parts=owners.time_stretches(people.take(~is_long(people)), SECONDS)[0],
            known=known,
            claims=claims,
            cut=cut,
            is_matched=owners.matched(known, claims),
            whose=whose,
        )


class Drawing:
    """Everything that rows with the same settings of drawing need, all panels, drawn once."""

    def __init__(self, recordings: Recordings, config: RunConfig):
        self.of, self.config = recordings, config
        self.data = {name: PopulationData(config, getattr(recordings, name)) for name in TAUGHT_BY}
        self.prints = {
            name: session_prints(input_config(config), getattr(recordings, name))
            for name in ("people", "parts", "known", "claims", "cut")
        }

    @cached_property
    def everyone(self) -> dict[str, Prints]:
        """Return the prints of sessions and of their pseudo-speakers'."""
        return {
            name: session_prints(
                input_config(self.config),
                with_pseudo_speakers(getattr(self.of, name), self.config.owner),
            )
            for name in TAUGHT_BY
        }

    def population(
        self, name: str, is_used: Bool[np.ndarray, " sessions"], row: Row, config: RunConfig
    ) -> Population:
        """Return the population that some of the sessions of `people` or `known` teach."""
        data = self.data[name]
        if row.of_sessions:
            prints = self.everyone[name]
            session = np.flatnonzero(is_used[data.parent] & (prints.n_windows > 0))
            images = _described(prints.take(session), row, config).mean
        else:
            chosen = is_used[data.parent][data.session]
            session, (cells, _, _) = data.session[chosen], config.owner.panels.shape
            images = data.images[chosen]
            if config.owner.panels.names != EVERY_PANEL:
                images = images.reshape(-1, cells, cells, len(EVERY_PANEL))[..., _panels(config)]
                images = images.reshape(len(session), -1)
        return fit_population(images, session, data.account, config.owner, config.seed)


def measured(
    rows: Sequence[Row], settings: Sequence[str], seeds: int, done: Container[tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    """Measure what is not `done`; give a line for each row and seed."""
    missing = [(row, n) for row in rows for n in range(seeds) if (row.name, n) not in done]
    recordings = Recordings.read() if missing else None
    drawing = None
    for row, seed in missing:
        config = with_settings(RunConfig(task="owner", seed=seed), (*settings, *row.settings))
        if drawing is None or drawing.config != drawn_by(config):
            drawing = None  # the one before may go before there is another
            drawing = Drawing(recordings, drawn_by(config))
        yield {"row": row.name, "seed": seed, "figures": measure(drawing, row, config)}


def measure(drawing: Drawing, row: Row, config: RunConfig) -> dict[str, float]:
    """Return the figures of a row."""
    described = {name: _described(of, row, config) for name, of in drawing.prints.items()}
    return _sapimouse(drawing, described, row, config) | _balabit(drawing, described, row, config)


def _sapimouse(
    drawing: Drawing, described: dict[str, SessionEmbeddings], row: Row, config: RunConfig
) -> dict[str, float]:
    people, parts = drawing.of.people, drawing.of.parts
    account, of_part = people.account_id.astype(str), parts.account_id.astype(str)
    names = np.random.default_rng(config.seed).permutation(np.unique(account))
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"15s": [], "60s": []}
    for fold in range(FOLDS):
        held = names[fold::FOLDS]
        own = np.isin(account, held)
        verifier = owners.Verifier.of(
            drawing.population("people", ~own, row, config),
            _taken(described["people"], own & is_long(people)),
            account[own & is_long(people)],
        )
        for length, kind, claimed_by, is_tried in (
            ("15s", "parts", of_part, np.isin(of_part, held)),
            ("60s", "people", account, own & ~is_long(people)),
        ):
            tried, whose = _taken(described[kind], is_tried), claimed_by[is_tried]
            for name in held:
                score = verifier.scores(tried, np.full(len(whose), name))
                found[length].append((score, whose != name))
    figures = {}
    for length, pairs in found.items():
        score, is_other = (np.concatenate(column) for column in zip(*pairs, strict=True))
        is_scored = np.isfinite(score)
        curve = roc_curve(score[is_scored], is_other[is_scored].astype(np.int64))
        figures |= {f"sapimouse_{length}": curve.auc(), f"sapimouse_{length}_eer": curve.eer()}
    return {name: float(figures[name]) for name in COLUMNS if name in figures}


def _balabit(
    drawing: Drawing, described: dict[str, SessionEmbeddings], row: Row, config: RunConfig
) -> dict[str, float]:
    of = drawing.of
    everyone = drawing.population("known", np.ones(len(of.known), bool), row, config)
    verifier = owners.Verifier.of(everyone, described["known"], of.known.account_id)

    def auc(name: str, tried: Sessions, chosen: Bool[np.ndarray, " tried"]) -> float:
        score = verifier.scores(described[name], tried.account_id)
        chosen = chosen & np.isfinite(score)
        return float(roc_auc(score[chosen], tried.label[chosen]))

    return {
        "balabit": auc("claims", of.claims, np.ones(len(of.claims), bool)),
        "balabit_matched": auc("claims", of.claims, of.is_matched),
        "balabit_matched_15s": auc("cut", of.cut, of.is_matched[of.whose]),
    }


def _panels(config: RunConfig) -> list[int]:
    return [EVERY_PANEL.index(name) for name in config.owner.panels.names]


def _described(prints: Prints, row: Row, config: RunConfig) -> SessionEmbeddings:
    """Return what describes each session: the panels of the row, one image."""
    chosen = _panels(config)
    if row.of_sessions:
        images, n_windows = density(prints.counts[..., chosen]), np.minimum(prints.n_windows, 1)
    else:
        images, n_windows = prints.mean_images[..., chosen], prints.n_windows
    return SessionEmbeddings(images.reshape(len(images), -1), n_windows)


def _taken(evidence: SessionEmbeddings, chosen: Shaped[np.ndarray, " chosen"]) -> SessionEmbeddings:
    return SessionEmbeddings(evidence.mean[chosen], evidence.n_windows[chosen])
