"""Which day a flow run is about."""

from datetime import UTC, datetime

from prefect.runtime import flow_run


def run_day(date: str | None) -> str:
    """Return `date`, or the day the run was scheduled for: one that starts late keeps its day."""
    if date is not None:
        return date
    scheduled = flow_run.scheduled_start_time or datetime.now(UTC)
    return scheduled.astimezone(UTC).date().isoformat()


def flow_run_name() -> str:
    """Name a run after its flow and day; a template would show the day as `None`."""
    return f"{flow_run.flow_name}-{run_day(flow_run.parameters.get('date'))}"
