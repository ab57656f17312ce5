"""Is what attribution points at what the score comes from? Cut it out, and score again.

    python -m benchmarks.attribution RUN STORE... [--json FILE]

From each session that the model leans to flag, a stretch of a tenth of its events is cut out
and the rest is scored anew: standardised, cut into windows, looked at, pooled. The stretch is
the one with the most weight by attribution, or by gradients, or one at random. A faithful
attribution finds the stretch whose loss lowers the logit most. With a fraud model, sessions
are made to lean by simulating twins of them; with an owner model, by claiming another account.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float64, Int64

from model.attribution import as_seen, attribute
from model.owner.score import compare_sessions
from model.run import TrainedModel, load_model
from model.score import look
from pipeline.reasons.stretches import cut_stretches
from pipeline.sessions import EVENT_COLUMNS, Sessions
from pipeline.simulate.generators import ALL
from pipeline.simulate.twins import simulate_twins
from pipeline.store import load_sessions
from pipeline.windows import cut_windows, pad_windows
from rasterize.draw import Paths, to_device

SHARE = 0.1  # of a session's events
LENGTH = 1000  # events of a stretch of a person's session: what is attributed
DRAWS = 5  # stretches at random for each session


def logits_of(model: TrainedModel, sessions: Sessions) -> Float64[np.ndarray, " sessions"]:
    """Return each session's logit as scoring has it."""
    if model.profiles is None:
        return look(model.network, model.config, sessions).of_session
    return compare_sessions(model.network, model.config, model.profiles, sessions).of_session


def leaning(model: TrainedModel, sessions: Sessions, n: int, seed: int) -> Sessions:
    """Return sessions with a logit above 0: twins of people's stretches, or impostors."""
    rng = np.random.default_rng(seed)
    stretches, _ = cut_stretches(sessions, LENGTH)
    chosen = stretches.take(np.sort(rng.permutation(len(stretches))[: 3 * n]))
    if model.profiles is None:
        chosen = simulate_twins(chosen, ALL, 1, seed)
    else:
        claimed = rng.permutation(chosen.account_id)
        is_other = claimed != chosen.account_id
        chosen = replace(chosen, account_id=claimed).take(np.flatnonzero(is_other))
    return chosen.take(np.flatnonzero(logits_of(model, chosen) > 0)[:n])


def by_gradient(model: TrainedModel, sessions: Sessions) -> Float64[np.ndarray, " events"]:
    """Return a first guess, by gradients, at what cutting out each segment takes away.

    Without a segment all that follows moves by it, in place and in time.
    """
    standard, config = as_seen(model, sessions)
    windows = cut_windows(standard.sessions, config)
    graph, params = nnx.split(model.network)

    @jax.jit
    def fall(paths: Paths, toward: jax.Array) -> jax.Array:
        def said(t_ms: jax.Array, x_px: jax.Array, y_px: jax.Array) -> jax.Array:
            moved = paths._replace(t_ms=t_ms, x_px=x_px, y_px=y_px)
            return (nnx.merge(graph, params)(moved) * toward).sum()

        columns = (paths.t_ms, paths.x_px, paths.y_px)
        total = jnp.zeros_like(paths.t_ms[:, 1:])
        for values, gradient in zip(columns, jax.grad(said, (0, 1, 2))(*columns), strict=True):
            after = jnp.cumsum(gradient[:, ::-1], axis=1)[:, ::-1][:, 1:]
            total += after * jnp.diff(values, axis=1)
        return total

    toward = _toward(model, sessions, standard.sessions, windows)
    seen = np.zeros(len(standard.event))
    for begin in range(0, len(windows), 64):
        chosen = np.minimum(np.arange(begin, begin + 64), len(windows) - 1)
        points = pad_windows(standard.sessions, windows.take(chosen), config.max_events)
        falls = np.asarray(fall(to_device(points), jnp.asarray(toward[chosen])))
        for row, w in enumerate(range(begin, min(begin + 64, len(windows)))):
            start, stop = windows.start[w], windows.stop[w]
            seen[start + 1 : stop] = falls[row, : stop - start - 1]
    weight = np.zeros(len(sessions.t_us))
    weight[standard.event] = seen
    return weight


def _toward(model: TrainedModel, sessions: Sessions, seen: Sessions, windows) -> np.ndarray:
    """Return how the logit changes with the network's outputs, by differences for an owner."""
    if model.profiles is None:
        return np.ones((len(windows), 1), np.float32)
    from model.network import predict
    from model.owner.population import Evidence, session_means
    from model.owner.profiles import compare

    config, profiles = model.config, model.profiles
    outputs = predict(model.network, seen, windows, config.owner.window.max_events)
    evidence = session_means(outputs, windows.session, len(sessions))
    places = profiles.of_account(config.owner.min_maturity)
    step = 1e-3

    def logit(mean: np.ndarray) -> np.ndarray:
        moved = Evidence(mean, evidence.n_windows)
        return -compare(moved, sessions.account_id, places, profiles.population)

    base = logit(evidence.mean)
    slopes = [
        (logit(evidence.mean + step * unit) - base) / step for unit in np.eye(outputs.shape[1])
    ]
    return np.stack(slopes, axis=1)[windows.session].astype(np.float32)


def top_stretch(weight: np.ndarray, sessions: Sessions) -> Int64[np.ndarray, " sessions"]:
    """Return where the stretch of each session with the most weight begins."""
    found = []
    for begin, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True):
        length = max(int(SHARE * (end - begin)), 1)
        total = np.append(0, np.cumsum(weight[begin:end]))
        found.append(int(np.argmax(total[length:-1] - total[: -length - 1])))
    return np.array(found)


def cut_out(sessions: Sessions, place: Int64[np.ndarray, " sessions"]) -> Sessions:
    """Return sessions without a stretch each; the path goes on from where it began."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in EVENT_COLUMNS}
    counts = []
    for i, (begin, end) in enumerate(zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)):
        first = begin + place[i]
        last = first + max(int(SHARE * (end - begin)), 1)
        event = np.r_[begin : first + 1, last + 1 : end]
        follows = event > last
        counts.append(len(event))
        for name in EVENT_COLUMNS:
            values = getattr(sessions, name)
            kept = values[event]
            if name in ("t_us", "x_px", "y_px"):
                kept = kept - follows * (values[last] - values[first])
            columns[name].append(kept.astype(values.dtype))
    return replace(
        sessions,
        **{name: np.concatenate(values) for name, values in columns.items()},
        offsets=np.cumsum([0, *counts]).astype(np.int64),
    )


def interval(falls: np.ndarray, of: Callable[[np.ndarray], float], seed: int = 0) -> str:
    """Return a figure over sessions with its bootstrap interval of 95 %."""
    rng = np.random.default_rng(seed)
    draws = [of(falls[rng.integers(0, len(falls), len(falls))]) for _ in range(1000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{of(falls):.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--sessions", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write every fall here")
    arguments = parser.parse_args()
    model = load_model(arguments.run)
    sessions = leaning(model, load_sessions(arguments.stores), arguments.sessions, arguments.seed)
    base = logits_of(model, sessions)
    print(f"{len(sessions)} sessions of {LENGTH} events, median logit {np.median(base):.2f}\n")

    def fall(place: np.ndarray) -> np.ndarray:
        return base - logits_of(model, cut_out(sessions, place))

    rng = np.random.default_rng(arguments.seed)
    n_places = sessions.n_events - np.maximum((SHARE * sessions.n_events).astype(int), 1) - 1
    at_random = np.stack([fall(rng.integers(0, n_places)) for _ in range(DRAWS)])
    falls = {
        f"occlusion, {n} stretches a window": fall(
            top_stretch(attribute(model, sessions, n), sessions)
        )
        for n in (8, 16, 32)
    }
    falls["gradients"] = fall(top_stretch(by_gradient(model, sessions), sessions))
    print("| stretch cut out | mean fall of the logit | more than a random one's |")
    print("|---|---|---|")
    for name, fallen in falls.items():
        more = (fallen > at_random).mean(axis=0)
        print(f"| {name} | {interval(fallen, np.mean)} | {interval(more, np.mean)} |")
    print(f"| at random | {interval(at_random.mean(axis=0), np.mean)} | |")
    if arguments.json:
        written = {name: values.tolist() for name, values in falls.items()}
        arguments.json.write_text(json.dumps(written | {"random": at_random.tolist()}))


if __name__ == "__main__":
    main()
