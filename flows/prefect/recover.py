"""Find flow runs whose process is gone, end them, and have what was killed done again.

Prefect's server learns of a run's end from the run or from its worker. Where both were killed, it
takes the run for one that works, and keeps its slot, for ever. So each run holds a file lock while
its process lives: the system takes the lock away with the process, however that ended. `serve`
looks now and then for runs that no process holds.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from filelock import FileLock, Timeout
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import AwaitingRetry, Cancelled, Crashed

from flows.settings import ServerConfig
from pipeline.storage.publish import lock

log = logging.getLogger(__name__)

_LIVE: Final = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
GRACE_S: Final = 60.0  # from a worker's claim to the run's own code: Prefect and ours are imported
TIMES_AGAIN: Final = 2  # a run that its day's data kill is not run for ever
_AGAIN_WITHIN: Final = timedelta(days=1)  # of its end: older ones are history


@contextmanager
def noted_as_alive(home: Path) -> Iterator[None]:
    """Hold the lock of the flow run of this process, if it is one of a deployment."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        yield
        return
    with lock(_held(home, context.flow_run)):
        yield


def try_to_recover(server: ServerConfig) -> None:
    """Do `recover`; if the server doesn't answer, say so: the next time it may."""
    try:
        recover(server.pool, server.home)
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("runs that were killed can't be looked for now: %s", error)


def recover(pool: str, home: Path) -> None:
    """End the runs of a work pool whose process is gone, and schedule the crashed ones again.

    A run that was being cancelled is Cancelled; any other is Crashed, which alerts can see, and
    gives its slot back. A crashed run, whoever found it, is run again for the same day, up to
    `TIMES_AGAIN` times.
    """
    with get_client(sync_client=True) as client:
        for run in live_runs(client, pool):
            if why := _why_gone(run, home):
                _end(client, run, why)
        for run in _runs(
            client, pool, (StateType.CRASHED,), since=datetime.now(UTC) - _AGAIN_WITHIN
        ):
            _lock_file(home, run).unlink(missing_ok=True)  # its next process makes its own
            _run_again(client, run)


def live_runs(
    client: SyncPrefectClient, pool: str, flow: FlowFilter | None = None
) -> list[FlowRun]:
    """Return a pool's flow runs that the server takes for working, or about to, or being ended."""
    return _runs(client, pool, _LIVE, flow)


def _runs(
    client: SyncPrefectClient,
    pool: str,
    states: Iterable[StateType],
    flow: FlowFilter | None = None,
    since: datetime | None = None,
) -> list[FlowRun]:
    """Return a pool's flow runs in one of the states, those that ended before `since` left out."""
    return client.read_flow_runs(
        flow_filter=flow,
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))),
            end_time=FlowRunFilterEndTime.model_validate({"after_": since}) if since else None,
        ),
    )


def _held(home: Path, run: FlowRun) -> Path:
    """Return what the process of a run locks."""
    return home / "running" / str(run.id)


def _lock_file(home: Path, run: FlowRun) -> Path:
    held = _held(home, run)
    return held.with_name(f"{held.name}.lock")


def _why_gone(run: FlowRun, home: Path) -> str | None:
    """Return how we know that a live run has no process; None: it has, or may have."""
    path = _lock_file(home, run)
    if path.exists():
        try:
            with FileLock(path, timeout=0, fallback_to_soft=False):
                path.unlink()
        except Timeout:
            return None
        return "its process is gone: it was killed, or the machine stopped"
    if run.state is None or datetime.now(UTC) - run.state.timestamp < timedelta(seconds=GRACE_S):
        return None
    return f"its process did not start within {GRACE_S:.0f} s of {run.state.name}, or is gone"


def _end(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    is_cancelled = run.state is not None and run.state.is_cancelling()
    state = (Cancelled if is_cancelled else Crashed)(message=why)
    client.set_flow_run_state(run.id, state, force=True)  # rules would ask the process
    log.warning("%(run)s is %(state)s: %(why)s", {"run": run.name, "state": state.name, "why": why})


def _run_again(client: SyncPrefectClient, run: FlowRun) -> None:
    """Schedule a crashed run again, unless it crashed too often."""
    n_crashes = sum(state.is_crashed() for state in client.read_flow_run_states(run.id))
    if n_crashes > TIMES_AGAIN:
        return
    state = AwaitingRetry(scheduled_time=datetime.now(UTC), message="it crashed: once more")
    client.set_flow_run_state(run.id, state)
    log.warning(
        "%(run)s crashed, it is run again (%(n)d of %(most)d)",
        {"run": run.name, "n": n_crashes, "most": TIMES_AGAIN},
    )
