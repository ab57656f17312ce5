"""The simulation job: a store of people's sessions in, a store of their matched twins out."""

from collections.abc import Sequence

from flows.jobs.inputs import today
from pipeline.errors import DataError
from pipeline.schemas import QUARANTINE
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import lock
from pipeline.storage.store import Part, part_hash, read_sessions, write_part


def simulate(
    store: StoragePath,
    to: StoragePath,
    bots: Sequence[str] = BOT_NAMES,
    per_session: int = 1,
    seed: int = 0,
) -> int:
    """Write twins of every session in `store` that is not fraud to the store `to`; count them."""
    to, n_twins = as_path(to), 0
    with lock(to):
        for number, sessions in enumerate(read_sessions(store)):
            twins = simulate_sessions(sessions.take(sessions.label != 1), bots, per_session, seed)
            name = part_hash([*sessions.source_sha256, f"{number} {seed} {per_session} {bots}"])
            write_part(Part(to, today(), name), [twins], QUARANTINE.empty_table(), {"files": []})
            n_twins += len(twins)
    if not n_twins:
        raise DataError(store, "it holds no legitimate session", "bots are made in their likeness")
    return n_twins
