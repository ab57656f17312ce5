"""Is what attribution points at what the score comes from? Take it away, and score again.

    python -m benchmarks.attribution RUN STORE... [--json FILE]

From sessions with a logit above 0 a share of their events is deleted: those of the highest weight,
of the lowest, or some at random. What is left is scored from the beginning: standardised, cut into
windows, drawn. Then the same with cells of the print: a share of them becomes as the reference has
them (the print of the people trained on, or of the claimed account). If attribution is faithful,
the logit falls most without what weighs most. With a fraud model the sessions are synthetic bots in
the likeness of the store's; with an owner model they claim another account.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Float32, Float64, Shaped

from benchmarks.robustness.changes import kept, owners
from model.attribution import Attribution, attribute
from model.fraud import FraudScorer
from model.owner.population import SessionEmbeddings
from model.owner.profiles import compare_with_profiles
from model.owner.scorer import OwnerScorer
from model.prints import input_windows, session_prints, window_counts
from model.run import TrainedModel, load_model
from pipeline.reasons.account import cut_sub_sessions
from pipeline.scores.table import pool_logits
from pipeline.sessions.sessions import Sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.store import load_sessions
from rasterize.draw import density

SHARES: Final = (0.05, 0.1, 0.2)  # of a session's events, or of its print's cells
LENGTH: Final = 1000  # events of a person's sub-session
DRAWS: Final = 5  # at random, for each share

Logits = Float64[np.ndarray, " sessions"]
Masks = Bool[np.ndarray, "sessions cells cells panels"]


def logits_of(model: TrainedModel, sessions: Sessions) -> Logits:
    """Return each session's logit as scoring has it."""
    return model.scorer.predict(sessions).of_session


def suspicious(model: TrainedModel, sessions: Sessions, n: int, seed: int) -> Sessions:
    """Return sessions with a logit above 0: synthetic bots, or impostors."""
    rng = np.random.default_rng(seed)
    parts, _ = cut_sub_sessions(sessions, LENGTH)
    chosen = parts.take(np.sort(rng.permutation(len(parts))[: 3 * n]))
    if isinstance(model.scorer, FraudScorer):
        chosen = simulate_sessions(chosen, BOT_NAMES, 1, seed)
    else:
        claimed = rng.permutation(chosen.account_id)
        is_other = claimed != chosen.account_id
        chosen = replace(chosen, account_id=claimed).take(np.flatnonzero(is_other))
    return chosen.take(np.flatnonzero(logits_of(model, chosen) > 0)[:n])


def deleted(sessions: Sessions, is_deleted: Bool[np.ndarray, " events"]) -> Sessions:
    """Return sessions without some events; the path goes on as if their segments hadn't been.

    A segment leads to its event. A session's first event has none, and always stays.
    """
    first = sessions.offsets[:-1][sessions.n_events > 0]
    is_deleted = is_deleted.copy()
    is_deleted[first] = False
    columns = {}
    for name in ("t_us", "x_px", "y_px"):
        values = getattr(sessions, name)
        exact = values.astype(np.float64)
        shift = np.cumsum(np.where(is_deleted, np.diff(exact, prepend=0), 0))
        shift -= np.repeat(shift[first], sessions.n_events[sessions.n_events > 0])
        columns[name] = (exact - shift).astype(values.dtype)
    return kept(replace(sessions, **columns), ~is_deleted)


def highest_events(
    weight: Shaped[np.ndarray, " events"], sessions: Sessions, share: float
) -> Bool[np.ndarray, " events"]:
    """Mark the `share` of each session's events that weigh most."""
    owner = owners(sessions)
    rank = np.empty(len(owner), np.int64)
    rank[np.lexsort((-weight, owner))] = np.arange(len(owner))
    return rank - sessions.offsets[owner] < share * sessions.n_events[owner]


def highest_cells(weight: Float[np.ndarray, "sessions cells cells panels"], share: float) -> Masks:
    """Mark the `share` of each session's cells that weigh most, whatever their panel."""
    flat = weight.reshape(len(weight), -1)
    rank = np.argsort(np.argsort(-flat, axis=1, kind="stable"), axis=1)
    return (rank < share * flat.shape[1]).reshape(weight.shape)


class WithCells:
    """The logits of sessions some of whose print's cells are as their reference has them."""

    def __init__(self, model: TrainedModel, sessions: Sessions):
        self.model, self.sessions = model, sessions
        prints = [
            model.scorer.reference_print(account, model.people)[0]
            for account in sessions.account_id
        ]
        self.reference = np.concatenate([one.mean_images for one in prints if one is not None])

    def __call__(self, masks: Masks) -> Logits:
        """Return the logits where the cells of `masks` are the reference's."""
        scorer = self.model.scorer
        if isinstance(scorer, FraudScorer):
            return self._fraud(scorer, masks)
        return self._owner(cast(OwnerScorer, scorer), masks)

    def _fraud(self, scorer: FraudScorer, masks: Masks) -> Logits:
        network = nnx.jit(scorer.network)
        resampled, windows = input_windows(scorer.inputs, self.sessions)
        logits = np.zeros(len(windows), np.float32)
        for chosen, counts in window_counts(scorer.inputs, resampled.sessions, windows):
            of = windows.session[chosen]
            logits[chosen] = network(self._replaced(density(counts), masks[of], of))
        how = self.model.config.score.pooling
        return pool_logits(logits, windows.session, len(self.sessions), how)

    def _owner(self, scorer: OwnerScorer, masks: Masks) -> Logits:
        profiles, prints = scorer.profiles, session_prints(scorer.inputs, self.sessions)
        everyone = np.arange(len(self.sessions))
        images = self._replaced(prints.mean_images, masks, everyone)
        embeddings = SessionEmbeddings(profiles.population.embed(images), prints.n_windows)
        known = profiles.confident(self.model.config.owner.min_confidence)
        account = self.sessions.account_id
        ratio = compare_with_profiles(embeddings, account, known, profiles.population)
        return scorer.logits_of_ratios(ratio, prints.n_windows, account)

    def _replaced(
        self,
        images: Float32[np.ndarray, "rows cells cells panels"],
        masks: Bool[np.ndarray, "rows cells cells panels"],
        of: Shaped[np.ndarray, " rows"],
    ) -> Float32[np.ndarray, "rows cells cells panels"]:
        return np.where(masks, self.reference[of], images)


def falls(
    model: TrainedModel, sessions: Sessions, found: Attribution, seed: int
) -> Iterator[tuple[str, float, str, Logits]]:
    """Give what is taken away, which share, which of it, and how far each logit falls."""
    base, rng = logits_of(model, sessions), np.random.default_rng(seed)
    with_cells = WithCells(model, sessions)

    def without_events(weight: np.ndarray, share: float) -> Logits:
        chosen = highest_events(weight, sessions, share)
        return base - logits_of(model, deleted(sessions, chosen))

    def without_cells(weight: np.ndarray, share: float) -> Logits:
        return base - with_cells(highest_cells(weight, share))

    for what, weight, without in (
        ("events", found.events, without_events),
        ("cells", found.cells, without_cells),
    ):
        for share in SHARES:
            at_random = [without(rng.random(weight.shape), share) for _ in range(DRAWS)]
            yield what, share, "highest", without(weight, share)
            yield what, share, "random", np.mean(at_random, axis=0)
            yield what, share, "lowest", without(-weight, share)


def interval(values: Logits, seed: int = 0) -> str:
    """Return a mean over sessions with its bootstrap interval of 95 %."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--sessions", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write every fall here")
    arguments = parser.parse_args()
    model = load_model(arguments.run)
    stores = load_sessions(arguments.stores)
    sessions = suspicious(model, stores, arguments.sessions, arguments.seed)
    base = logits_of(model, sessions)
    print(f"{len(sessions)} sessions of {LENGTH} events, median logit {np.median(base):.2f}\n")
    print("Mean fall of the logit without\n")
    print("| | highest weight | at random | lowest weight |\n|---|---|---|---|")
    written, cells = [], []
    found = attribute(model, sessions)
    for what, share, which, fall in falls(model, sessions, found, arguments.seed):
        written.append({"what": what, "share": share, "which": which, "fall": fall.tolist()})
        cells.append(interval(fall))
        if which == "lowest":
            print(f"| {share:.0%} of {what} | {' | '.join(cells[-3:])} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(written))


if __name__ == "__main__":
    main()
