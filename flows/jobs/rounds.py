"""Training in rounds: a network, then new twins that it takes for human, then training on."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from model.config import RunConfig
from model.network import Network
from model.score import look
from model.train import Epoch, balance_groups, fit
from pipeline.groups import SIMULATED
from pipeline.sessions import Sessions, concatenate_sessions
from pipeline.simulate.twins import simulate_twins
from pipeline.splits import Split
from pipeline.standard import standardise
from pipeline.windows import cut_windows

log = logging.getLogger(__name__)


def fit_in_rounds(
    sessions: Sessions,
    split: Split,
    config: RunConfig,
    state_dir: Path,
    resume: bool = False,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[Network, list[Epoch]]:
    """Train on TRAIN, then `twins.hard_rounds` times on what then passes for human.

    Rounds draw twins of TRAIN's people by TRAIN's own simulated bots: nobody else's path and
    no generator that is held out comes in. Without simulated bots there is nothing to draw.
    """
    part = {name: _mask(split, name) for name in ("train", "valid")}
    network, history = _fit(sessions, split, config, state_dir, resume, progress)
    bots = _simulated(sessions.take(part["train"]))
    if not bots or not config.twins.hard_rounds:
        return network, history
    short = replace(config, train=replace(config.train, epochs=config.twins.round_epochs))
    for number in range(1, config.twins.hard_rounds + 1):
        twins, parent = passing_twins(network, config, sessions, part["train"], bots, number)
        log.info("round %d: %d new twins pass for human", number, len(twins))
        sessions = concatenate_sessions([sessions, twins])
        split = split.extended(sessions, parent)
        part = {name: _mask(split, name) for name in ("train", "valid")}
        folder, n_before = state_dir / f"round-{number}", len(history)

        def of_round(epoch: Epoch, n_before: int = n_before) -> None:
            progress(replace(epoch, epoch=n_before + epoch.epoch))

        network, epochs = _fit(
            sessions,
            split,
            short,
            folder,
            resume and (folder / "history.json").is_file(),
            of_round,
            network,
        )
        history = history + [replace(epoch, epoch=n_before + epoch.epoch) for epoch in epochs]
    return network, history


def passing_twins(
    network: Network,
    config: RunConfig,
    sessions: Sessions,
    is_train: Bool[np.ndarray, " sessions"],
    bots: tuple[str, ...],
    number: int,
) -> tuple[Sessions, Int64[np.ndarray, " twins"]]:
    """Return new twins that `network` takes for human, and the session that each is a twin of.

    For human passes who has a lower logit than the more suspicious of the people themselves
    (`twins.passing`). Of each generator the lowest tenth is kept in any case: one that is
    always seen through may not be forgotten, and a round is never empty.
    """
    people = np.flatnonzero(is_train & (sessions.label == 0))
    n_each = config.twins.candidates
    # Another seed than the first twins', or they would come again.
    drawn = simulate_twins(sessions.take(people), bots, n_each, config.seed + 7919 * number)
    logits = look(network, config, drawn).of_session
    own = look(network, config, sessions.take(people)).of_session
    passes = logits < np.nanquantile(own, config.twins.passing)
    for name in np.unique(drawn.source.astype(str)):
        of_bot = (drawn.source == name) & np.isfinite(logits)
        if of_bot.any():
            passes |= of_bot & (logits <= np.quantile(logits[of_bot], 0.1))
    twins = drawn.take(passes)
    ids = [f"{session_id}r{number}" for session_id in twins.session_id]
    return replace(twins, session_id=np.array(ids, object)), np.repeat(people, n_each)[passes]


def _fit(
    sessions: Sessions,
    split: Split,
    config: RunConfig,
    state_dir: Path,
    resume: bool,
    progress: Callable[[Epoch], None],
    start: Network | None = None,
) -> tuple[Network, list[Epoch]]:
    standard = standardise(sessions, config.standard).sessions
    return fit(
        standard,
        cut_windows(standard, config.window),
        balance_groups(split),
        _mask(split, "train"),
        _mask(split, "valid"),
        config,
        state_dir,
        resume,
        progress,
        start,
    )


def _simulated(sessions: Sessions) -> tuple[str, ...]:
    """Return the names of the simulated bots among `sessions`."""
    names = {str(source) for source in sessions.source[sessions.label == 1]}
    return tuple(sorted(n.removeprefix(SIMULATED) for n in names if n.startswith(SIMULATED)))


def _mask(split: Split, part: str) -> Bool[np.ndarray, " sessions"]:
    mask = np.zeros(len(split.part), bool)
    mask[split.indices(part)] = True
    return mask
