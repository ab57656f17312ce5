"""Do past days again: as runs of Prefect's server if there is one, else in this process."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from flows.jobs.days import (
    each_day,
    is_published,
    is_scored,
    model_that_scores,
    monitor_day,
    score_day,
)
from flows.prefect.environment import set_prefect_defaults
from flows.settings import Settings
from model.registry import resolve_run
from pipeline.errors import NotFoundError, WorkerError
from pipeline.storage.paths import StoragePath

if TYPE_CHECKING:  # it takes seconds, and reads the environment
    from prefect.client.orchestration import SyncPrefectClient

What = Literal["score", "monitor"]
_ATTEMPTS = 100


@dataclass(frozen=True)
class Submitted:
    """A day's run on the server."""

    day: str
    run_id: str
    state: str
    is_new: bool  # False: it was submitted before, and is not run again


def missing_days(
    settings: Settings, start: str, end: str, only_missing: bool, what: What
) -> list[str]:
    """Return the days to do: all of them, or those without a published partition.

    A day that was published as empty is missing if sessions of it came in later.
    """
    days = list(each_day(start, end))
    if not only_missing:
        return days
    if what == "score":
        return [day for day in days if not is_scored(settings, day)]
    return [day for day in days if not is_published(settings.drift, day)]


def backfill_here(
    settings: Settings, days: Iterable[str], what: What, show: Callable[[str], None]
) -> list[StoragePath]:
    """Do the days in this process, in their order, and return the partitions of those done.

    A day that was never ingested, or not scored yet, is shown with the reason and passed over.
    """
    job = {"score": score_day, "monitor": monitor_day}[what]
    partitions = []
    for day in days:
        try:
            partitions.append(job(settings, day))
        except NotFoundError as error:
            show(f"{day}: not done: {error}")
        else:
            show(f"{day}: done")
    return partitions


def backfill_there(
    settings: Settings,
    days: Sequence[str],
    what: What,
    url: str,
    wait_s: float,
    show: Callable[[str], None],
) -> list[Submitted]:
    """Ask the server for a run of each day, once a day and model, and wait up to `wait_s`.

    The key of a run is its day and model: asked for again it is the same run, however often, and
    a new champion makes it another. One that failed gets another try, under another key. What the
    runs wait for is shown when it changes.
    """
    os.environ["PREFECT_API_URL"] = url
    set_prefect_defaults()
    from prefect import get_client

    model_id = resolve_run(model_that_scores(settings)).name
    submitted = [_submit(day, what, model_id) for day in days]
    for found in submitted:
        show(f"{found.day}: {'asked for' if found.is_new else 'known'}, {found.state.lower()}")
    end = time.monotonic() + wait_s
    waiting = {found.run_id: found for found in submitted if found.state != "Completed"}
    done, shown = {}, None
    with get_client(sync_client=True) as client:
        while waiting:
            why = why_waiting(client, settings.server.pool, what)
            if why != shown:
                show(why)
                shown = why
            if time.monotonic() >= end:
                break
            for run_id, found in list(waiting.items()):
                state = client.read_flow_run(UUID(run_id)).state
                if state is not None and state.is_final():
                    name = state.name or state.type.value
                    show(f"{found.day}: {name.lower()}")
                    done[run_id] = Submitted(found.day, run_id, name, found.is_new)
                    del waiting[run_id]
            time.sleep(2)
    return [done.get(found.run_id, found) for found in submitted]


def why_waiting(client: "SyncPrefectClient", pool: str, what: What) -> str:
    """Return what the runs of a job wait for: the run that has the slot, or a worker."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.objects import WorkerStatus

    from flows.prefect.recover import live_runs

    flow = FlowFilter(name=FlowFilterName(any_=[what]))
    holders = [
        f"{run.name} ({(run.state.name or run.state.type.value).lower()} since "
        f"{run.state.timestamp:%Y-%m-%d %H:%M:%S} UTC, "
        f"{str(client.api_url).partition('/api')[0]}/runs/flow-run/{run.id})"
        for run in live_runs(client, pool, flow)
        if run.state is not None
    ]
    if holders:
        return f"one run works at a time, the others wait for {', '.join(holders)}"
    workers = client.read_workers_for_work_pool(pool)
    if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
        return f"waiting: no worker takes runs of the pool {pool}; `pointerprint serve` starts one"
    return "waiting: a worker takes the next run within some seconds"


def _submit(day: str, what: What, model_id: str) -> Submitted:
    """Return the day's run: the one that was asked for before unless it failed, or a new one."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
    from prefect.deployments import run_deployment

    for attempt in range(1, _ATTEMPTS):
        key = f"backfill-{what}-{day}-{model_id}" + (f"-{attempt}" if attempt > 1 else "")
        with get_client(sync_client=True) as client:
            same_key = FlowRunFilterIdempotencyKey(any_=[key])
            before = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=same_key))
        state = before[0].state if before else None
        if state is not None and (state.is_failed() or state.is_crashed() or state.is_cancelled()):
            continue
        run: Any = run_deployment(
            f"{what}/{what}-daily", parameters={"date": day}, timeout=0, idempotency_key=key,
            flow_run_name=f"{what}-{day}", as_subflow=False,
        )  # fmt: skip
        return Submitted(day, str(run.id), run.state.name if run.state else "", not before)
    raise WorkerError("backfill", f"{day} failed {_ATTEMPTS - 1} times", "Prefect's page says why")
