"""Leave one recorder out: what a model does where it knows neither the recorder nor the people.

    python -m benchmarks.recorders [--seeds 0 1 2] [--out mauth ...] [--only sapimouse ...]
        [--set augment.stretch=0.0 ...] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). For each of twelve recorders: a
network is trained on the people of the others, on bots simulated from these people, and on recorded
families of bots; calibration and thresholds come from other people of the same recorders. A third
of the families and of the simulated generators is left out each time. Then the left-out recorder's
people are scored, bots of generators never seen that are simulated from them, and recorded families
never seen: as they were recorded, and throttled to 20 events a second.

The augmentation, the drawing, the network, the loss, the calibration and the thresholds are the
product's. To train three dozen networks in minutes, the prints of augmented windows are drawn once
a recorder and seed, and every network is trained from these for as many steps as the default has,
without early stopping. Recordings are cut into parts of at most 2,400 events.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Bool, Float16, Float64, Int64, Shaped

from benchmarks.delbot import PEOPLE, read_delbot
from benchmarks.sources import read_all, recordings_folder, with_settings
from model.augment import augment
from model.bootstrap import rate_interval
from model.calibrate import Calibration, fit_calibration, fit_length_calibration
from model.config import RunConfig
from model.drawing import draw_print
from model.network import Network, new_network
from model.policy import Policy, fit_policy, score_reference
from model.step import make_optimizer
from model.training_data import draw_sub_sessions
from pipeline.scores.table import goes_somewhere, pool_logits
from pipeline.sessions.resample import resample, throttle_sessions
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import (
    Points,
    concatenate_points,
    cut_windows,
    pad_windows,
    subsample_windows,
)
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.splits.groups import parse_synthetic
from rasterize.motion import Paths, to_device

Images = Float16[np.ndarray, "windows cells cells panels"]
Names = Shaped[np.ndarray, " sessions"]

RATES = {"as recorded": 0.0, "20 events a second": 50.0}  # period, ms
BATCH = 128
N_PRINTS = 3_000  # a recorder and class, to train from
N_CALIB = 800  # sub-sessions of people of a recorder, half as many of its bots
N_RESAMPLES = 500


@dataclass(frozen=True)
class Prints:
    """The windows of sessions as prints, and whose sessions they are."""

    images: Images
    session: Int64[np.ndarray, " windows"]
    n_events: Int64[np.ndarray, " windows"]
    moves: Bool[np.ndarray, " sessions"]  # and farther than across a target
    group: Names  # the person, or what made them


@dataclass(frozen=True)
class Recorder:
    """All that is drawn of one recorder's people and of the bots made from them."""

    n_people: int
    people: Images  # to train from, each person as often
    bots: Images
    bot_of: Names  # the generator of each of these
    calib: Prints
    calib_bots: Prints
    test: dict[str, Prints]  # by rate
    test_bots: dict[str, Prints]


def read_recorders(data: Path) -> dict[str, Sessions]:
    """Return the people of each recorder, by the name of their set."""
    found = {path.stem: read_all(path) for path in sorted((data / "people").glob("*.parquet"))}
    found["sapimouse"] = read_all(data / "sapimouse")
    found["balabit"] = read_all(data / "balabit" / "training_files")
    found["human_recordings"] = read_all(data / "human_recordings")
    delbot = read_delbot(data / "delbot")
    found["delbot"] = delbot.take(delbot.account_id.astype(str) == PEOPLE)
    unnamed = found["human_recordings"]
    found["human_recordings"] = replace(unnamed, account_id=np.full(len(unnamed), "one", object))
    return {name: replace(s, label=np.zeros(len(s), np.int8)) for name, s in found.items()}


def cut_parts(sessions: Sessions, n_events: int, most: int, rng: np.random.Generator) -> Sessions:
    """Return at most so many parts of sessions of up to so many events, spread over people."""
    n_parts = np.maximum(sessions.n_events // n_events, 1)
    parent = np.repeat(np.arange(len(sessions)), n_parts)
    begin = n_events * (np.arange(len(parent)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts))
    order = rng.permutation(len(parent))
    person = sessions.account_id.astype(str)[parent[order]]
    _, code = np.unique(person, return_inverse=True)
    by_person = np.argsort(code, kind="stable")
    firsts = np.searchsorted(code[by_person], np.arange(code.max() + 1))
    turn = np.empty(len(order), np.int64)
    turn[by_person] = np.arange(len(order)) - firsts[code[by_person]]
    chosen = np.sort(order[np.argsort(turn, kind="stable")[:most]])
    parent, begin = parent[chosen], begin[chosen]
    length = np.minimum(sessions.n_events[parent] - begin, n_events)
    offsets = np.append(0, np.cumsum(length))
    first = sessions.offsets[parent] + begin
    event = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], length)
    parts = sessions.gather(parent, event, offsets)
    names = [f"{name}#{at}" for name, at in zip(parts.session_id, begin, strict=True)]
    first_us = np.repeat(parts.t_us[offsets[:-1]], length)
    return replace(parts, session_id=np.array(names, object), t_us=parts.t_us - first_us)


def training_points(
    sessions: Sessions, config: RunConfig, rng: np.random.Generator
) -> tuple[Points, Int64[np.ndarray, " windows"]]:
    """Return windows of the sessions, and of a copy throttled whole, as `model.train` has them."""
    plain = resample(sessions, config.resample).sessions
    longest = np.log(config.augment.slowest_recorder_ms)
    period_ms = np.exp(rng.uniform(np.log(config.resample.period_ms), longest, len(plain)))
    points, owners = [], []
    for copy in (plain, throttle_sessions(plain, period_ms)):
        windows = cut_windows(copy, config.window)
        points.append(pad_windows(copy, windows, config.window.max_events))
        owners.append(windows.session)
    return concatenate_points(points), np.concatenate(owners)


def drawn_alike(group: Names, n: int, rng: np.random.Generator) -> Int64[np.ndarray, " drawn"]:
    """Return `n` numbers of rows, those of each group as often."""
    _, code = np.unique(group.astype(str), return_inverse=True)
    weight = 1 / np.bincount(code)[code]
    return rng.choice(len(group), n, p=weight / weight.sum())


@partial(jax.jit, static_argnums=2)
def _augmented(paths: Paths, key: jax.Array, config: RunConfig) -> jax.Array:
    changed = augment(paths, key, config.augment, config.resample)
    return draw_print(changed, config.panels).astype(jnp.float16)


@partial(jax.jit, static_argnums=1)
def _plain(paths: Paths, config: RunConfig) -> jax.Array:
    return draw_print(paths, config.panels).astype(jnp.float16)


def draw(
    points: Points, chosen: Int64[np.ndarray, " drawn"], config: RunConfig, seed: int | None
) -> Images:
    """Return the prints of the chosen windows, augmented if there is a seed."""
    parts = [np.zeros((0, *config.panels.shape), np.float16)]
    for begin in range(0, len(chosen), BATCH):
        batch = chosen[np.minimum(np.arange(begin, begin + BATCH), len(chosen) - 1)]
        paths = to_device(points.take(batch))
        if seed is None:
            images = _plain(paths, config)
        else:
            images = _augmented(paths, jax.random.fold_in(jax.random.key(seed), begin), config)
        parts.append(np.asarray(images)[: len(chosen) - begin])
    return np.concatenate(parts)


def prints_of(sessions: Sessions, group: Names, config: RunConfig, period_ms: float = 0) -> Prints:
    """Return sessions as scoring draws them, at most eight windows each, throttled if asked for."""
    if period_ms:
        sessions = throttle_sessions(sessions, np.full(len(sessions), period_ms))
    plain = resample(sessions, config.resample).sessions
    windows = subsample_windows(cut_windows(plain, config.window), 8)
    points = pad_windows(plain, windows, config.window.max_events)
    images = draw(points, np.arange(len(points)), config, None)
    n_events = windows.stop - windows.start
    return Prints(images, windows.session, n_events, goes_somewhere(sessions), group)


def generators_of(sessions: Sessions) -> Names:
    """Return what made each synthetic session."""
    return parse_synthetic(sessions.session_id)[1]


def people_apart(
    sessions: Sessions, share: float, rng: np.random.Generator
) -> tuple[Sessions, Sessions]:
    """Return the sessions of a share of the people, and of the others; of one or two people's,
    a share of the sessions."""
    person = sessions.account_id.astype(str)
    names = np.unique(person)
    if len(names) < 3:
        person = np.arange(len(sessions))
        names = person
    first = rng.permutation(names)[: max(round(share * len(names)), 1)]
    is_first = np.isin(person, first)
    return sessions.take(is_first), sessions.take(~is_first)


def make_recorder(sessions: Sessions, config: RunConfig, number: int) -> Recorder:
    """Draw what is needed of one recorder."""
    rng = np.random.default_rng([config.seed, number])
    train, calib = people_apart(sessions, 0.6, rng)
    parts = cut_parts(train, 1_500, 400, rng)
    points, owner = training_points(parts, config, rng)
    chosen = drawn_alike(parts.account_id[owner], N_PRINTS, rng)
    people = draw(points, chosen, config, number)
    bots = simulate_sessions(parts, BOT_NAMES, 4, config.seed)
    made_by = generators_of(bots)
    points, owner = training_points(bots, config, rng)
    chosen_bots = drawn_alike(made_by[owner], N_PRINTS, rng)

    def sub_sessions(of: Sessions, group: Names, n: int) -> Prints:
        _, code = np.unique(group.astype(str), return_inverse=True)
        weight, fewest = 1 / np.bincount(code)[code], config.window.min_events
        drawn, parent = draw_sub_sessions(of, weight, n, fewest, config.augment, rng)
        return prints_of(drawn, group[parent], config)

    long = cut_parts(calib, 6_000, 200, rng)
    calib_bots = simulate_sessions(cut_parts(calib, 1_500, 100, rng), BOT_NAMES, 2, config.seed + 1)
    tested = cut_parts(sessions, 2_400, 400, rng)
    test_bots = simulate_sessions(cut_parts(sessions, 1_500, 100, rng), BOT_NAMES, 5, config.seed)
    n_people = len(np.unique(sessions.account_id.astype(str)))
    person = tested.account_id if n_people > 2 else tested.session_id
    return Recorder(
        n_people=n_people,
        people=people,
        bots=draw(points, chosen_bots, config, number),
        bot_of=made_by[owner[chosen_bots]],
        calib=sub_sessions(long, long.account_id, N_CALIB),
        calib_bots=sub_sessions(calib_bots, generators_of(calib_bots), N_CALIB // 2),
        test={rate: prints_of(tested, person, config, ms) for rate, ms in RATES.items()},
        test_bots={
            rate: prints_of(test_bots, generators_of(test_bots), config, ms)
            for rate, ms in RATES.items()
        },
    )


@dataclass(frozen=True)
class Family:
    """A recorded family of bots."""

    images: Images  # to train from
    test: dict[str, Prints]


def make_families(bots: Sessions, config: RunConfig) -> dict[str, Family]:
    """Draw each recorded family: 300 sessions to train from, 70 others to test."""
    rng, found = np.random.default_rng(config.seed), {}
    for name in np.unique(bots.account_id.astype(str)):
        own = bots.take(np.flatnonzero(bots.account_id.astype(str) == name)[:370])
        points, _ = training_points(own.take(np.arange(300)), config, rng)
        test = own.take(np.arange(300, len(own)))
        found[str(name)] = Family(
            draw(points, rng.integers(0, len(points), 500), config, 0),
            {r: prints_of(test, test.account_id, config, ms) for r, ms in RATES.items()},
        )
    return found


def left_out_names(names: Sequence[str], number: int, seed: int) -> set[str]:
    """Return a third of the names; those with the same first word stay together."""
    kin = sorted({name.split("_")[0] for name in names})
    held = set(np.random.default_rng(seed).permutation(kin)[number % 3 :: 3])
    return {name for name in names if name.split("_")[0] in held}


@dataclass(frozen=True)
class Source:
    """What training draws from: half people, a quarter simulated bots, a quarter recorded ones.

    Recorders count alike, those of one person half.
    """

    recorders: Sequence[Recorder]
    families: Sequence[Family]
    bots: Sequence[Int64[np.ndarray, " prints"]]  # of each recorder, those that may be trained on

    def batch(self, rng: np.random.Generator) -> tuple[Images, np.ndarray]:
        """Return prints and their labels."""
        share = np.array([0.5 if r.n_people == 1 else 1.0 for r in self.recorders])
        n_people, images = BATCH // 2, []
        picked = rng.choice(len(self.recorders), BATCH, p=share / share.sum())
        for i, number in enumerate(picked.tolist()):
            recorder = self.recorders[number]
            if i < n_people:
                images.append(recorder.people[rng.integers(len(recorder.people))])
            elif self.families and rng.random() < 0.5:
                family = self.families[int(rng.integers(len(self.families)))]
                images.append(family.images[rng.integers(len(family.images))])
            else:
                images.append(recorder.bots[int(rng.choice(self.bots[number]))])
        return np.stack(images), (np.arange(BATCH) >= n_people).astype(np.float32)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _step(
    graph: nnx.GraphDef, config: RunConfig, weights: Any, state: Any, batch: Any, key: jax.Array
) -> tuple[Any, Any]:
    params, statistics = weights
    images, labels = batch

    def loss(params: nnx.State) -> tuple[jax.Array, nnx.State]:
        network = nnx.merge(graph, params, jax.tree.map(lambda kept: kept, statistics))
        logits = network(images.astype(jnp.float32), key)
        smoothing = config.train.label_smoothing
        targets = labels * (1 - smoothing) + smoothing / 2
        value = optax.sigmoid_binary_cross_entropy(logits, targets).mean()
        return value, nnx.state(network, nnx.BatchStat)

    gradient, statistics = jax.grad(loss, has_aux=True)(params)
    updates, state = make_optimizer(config.train).update(gradient, state, params)
    return (optax.apply_updates(params, updates), statistics), state


def train(source: Source, config: RunConfig) -> Network:
    """Train a network from prints, for as many steps as the default takes."""
    graph, *states = nnx.split(new_network(config), nnx.Param, nnx.BatchStat)
    weights = tuple(jax.tree.map(jnp.array, states))
    state = make_optimizer(config.train).init(weights[0])
    rng = np.random.default_rng(config.seed)
    for step in range(config.train.epochs * config.train.steps_per_epoch):
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        weights, state = _step(graph, config, weights, state, source.batch(rng), key)
    return nnx.merge(graph, *weights)


@partial(jax.jit, static_argnums=0)
def _logits(graph: nnx.GraphDef, params: nnx.State, images: jax.Array) -> jax.Array:
    return nnx.merge(graph, params)(images.astype(jnp.float32))


Logits = tuple[Float64[np.ndarray, " sessions"], Int64[np.ndarray, " sessions"], Names]


def logits_of(network: Network, prints: Prints, config: RunConfig) -> Logits:
    """Return logits of the sessions that don't abstain, their events, and their groups."""
    compiled, parts = partial(_logits, *nnx.split(network)), [np.zeros(0, np.float32)]
    for begin in range(0, len(prints.images), 256):
        batch = prints.images[begin : begin + 256]
        empty = np.zeros((256 - len(batch), *batch.shape[1:]), batch.dtype)
        filled = np.concatenate([batch, empty])
        parts.append(np.asarray(compiled(filled))[: len(batch)])
    n = len(prints.moves)
    pooled = pool_logits(np.concatenate(parts), prints.session, n, config.score.pooling)
    n_events = np.bincount(prints.session, prints.n_events, n).astype(np.int64)
    scored = np.isfinite(pooled) & prints.moves
    return pooled[scored], n_events[scored], prints.group[scored]


@dataclass(frozen=True)
class Detector:
    """A network with its calibration and thresholds."""

    network: Network
    config: RunConfig
    calibration: Calibration
    policy: Policy

    def flagged(self, prints: Prints) -> tuple[Float64[np.ndarray, " sessions"], Names]:
        """Return by how much log odds are over the threshold, above 0 flagged, and the groups."""
        logits, n_events, group = logits_of(self.network, prints, self.config)
        odds = self.calibration.log_odds(logits, n_events)
        return odds - np.log(self.policy.threshold / (1 - self.policy.threshold)), group


def calibrate(network: Network, recorders: Sequence[Recorder], config: RunConfig) -> Detector:
    """Set the level as `model.fraud_training.calibrate_network` does, all recorders alike."""
    people = [logits_of(network, recorder.calib, config) for recorder in recorders]
    bots = [logits_of(network, recorder.calib_bots, config) for recorder in recorders]
    kept = [N_CALIB // (4 if r.n_people == 1 else 2) for r in recorders]
    logits, n_events, person = (
        np.concatenate([column[:n] for column, n in zip(columns, kept, strict=True)])
        for columns in zip(*people, strict=True)
    )
    bot_logits, bot_events, _ = (np.concatenate(columns) for columns in zip(*bots, strict=True))
    by_length = fit_length_calibration(
        logits, n_events, config.window.min_events, config.window.max_events
    )
    both = np.concatenate([logits, bot_logits]), np.concatenate([n_events, bot_events])
    label = np.repeat([0, 1], [len(logits), len(bot_logits)])
    fitted = fit_calibration(by_length.adjust(*both), label)
    calibration = replace(fitted, length=by_length)
    policy = fit_policy(
        calibration.apply(logits, n_events),
        person,
        config.policy,
        weights=np.ones(len(logits)),
        reference=score_reference(fitted.score_of),
    )
    return Detector(network, config, calibration, policy)


def share_by_group(flagged: Bool[np.ndarray, " sessions"], group: Names) -> dict[str, float]:
    """Return the share of each group that is flagged."""
    names = np.unique(group.astype(str))
    return {str(name): float(flagged[group.astype(str) == name].mean()) for name in names}


def row_of(
    detector: Detector, recorder: Recorder, families: dict[str, Family], unseen: set[str]
) -> dict[str, Any]:
    """Return the figures of a recorder that was left out."""
    row: dict[str, Any] = {"n_people": recorder.n_people}
    for rate in RATES:
        above, person = detector.flagged(recorder.test[rate])
        bots, made_by = detector.flagged(recorder.test_bots[rate])
        is_unseen = np.isin(made_by.astype(str), list(unseen))
        knowing = float(np.quantile(above, 1 - detector.policy.budget))
        found = {
            "n_sessions": len(above),
            "fpr": asdict(rate_interval(above >= 0, person, N_RESAMPLES, 0)),
            "recall": share_by_group(bots[is_unseen] >= 0, made_by[is_unseen]),
            "recall_knowing_the_people": share_by_group(
                bots[is_unseen] >= knowing, made_by[is_unseen]
            ),
            "families": {
                name: float((detector.flagged(family.test[rate])[0] >= 0).mean())
                for name, family in families.items()
            },
        }
        row[rate] = found
    return row


def measure(
    recorders: dict[str, Recorder],
    families: dict[str, Family],
    out: str,
    only: Sequence[str],
    config: RunConfig,
) -> dict[str, Any]:
    """Train without one recorder and return its figures."""
    number = list(recorders).index(out)
    unseen = left_out_names(BOT_NAMES, number, 8)
    held = left_out_names(list(families), number, 7)
    others = [recorders[name] for name in recorders if name != out and (not only or name in only)]
    trainable = [family for name, family in families.items() if name not in held]
    bots = [np.flatnonzero(~np.isin(recorder.bot_of, list(unseen))) for recorder in others]
    network = train(Source(others, trainable, bots), config)
    detector = calibrate(network, others, config)
    row = row_of(detector, recorders[out], {name: families[name] for name in held}, unseen)
    return {"out": out, "seed": config.seed} | row


def percent(value: float | np.floating) -> str:
    """Return a share as a percentage."""
    return f"{100 * float(value):.1f}"


def mean_and_median(shares: Sequence[float]) -> str:
    """Return both as percentages, a dash if there are none."""
    return f"{percent(np.mean(shares))}, {percent(np.median(shares))}" if shares else "-"


def to_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table for each rate, a row a recorder, means over seeds."""
    lines = []
    for rate in RATES:
        lines += [
            f"**{rate}**",
            "",
            "| left out | people | sessions | FPR, mean over seeds (each; interval of the first) "
            "| recall, generators never seen: mean, median | knowing the people "
            "| families never seen: mean, median |",
            "|---|---|---|---|---|---|---|",
        ]
        rates, columns = {}, []
        for out in dict.fromkeys(row["out"] for row in rows):
            own = [row for row in rows if row["out"] == out]
            each = [row[rate]["fpr"]["value"] for row in own]
            first = own[0][rate]["fpr"]
            lists = [
                [share for row in own for share in row[rate][name].values()]
                for name in ("recall", "recall_knowing_the_people", "families")
            ]
            rates[out] = float(np.mean(each))
            columns.append(lists)
            recall, knowing, family = map(mean_and_median, lists)
            lines.append(
                f"| {out} | {own[0]['n_people']} | {own[0][rate]['n_sessions']} "
                f"| {percent(rates[out])} ({', '.join(map(percent, each))}; "
                f"{percent(first['low'])} to {percent(first['high'])}) "
                f"| {recall} | {knowing} | {family} |"
            )
        worst = max(rates, key=lambda name: rates[name])
        together = [[share for lists in columns for share in lists[i]] for i in range(3)]
        recall, knowing, family = map(mean_and_median, together)
        lines += [
            f"| **all** | | | mean {percent(np.mean(list(rates.values())))}, median "
            f"{percent(np.median(list(rates.values())))}, worst {percent(rates[worst])} ({worst}) "
            f"| {recall} | {knowing} | {family} |",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--out", nargs="*", default=[], help="recorders to leave out; all")
    parser.add_argument("--only", nargs="*", default=[], help="recorders to train on; all others")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = recordings_folder("people", "sapimouse", "balabit", "human_recordings", "delbot", "bots")
    people, bots = read_recorders(data), read_all(data / "bots", account="generator")
    rows = []
    for seed in options.seeds:
        config = with_settings(RunConfig(seed=seed), options.set)
        recorders = {
            name: make_recorder(sessions, config, number)
            for number, (name, sessions) in enumerate(people.items())
        }
        families = make_families(bots, config)
        for out in options.out or recorders:
            rows.append(measure(recorders, families, out, options.only, config))
            print(f"seed {seed}, without {out}: done", flush=True)
    print(to_text(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
