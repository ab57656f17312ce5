"""Which failures of a task are worth another try."""

from typing import Any, Final

from pipeline.errors import PointerprintError, PublishError, WorkerError

RETRIES: Final = 2
RETRY_DELAY_S: Final = 30


def may_pass(task: Any, run: Any, state: Any) -> bool:
    """Say whether a failure may be gone the next time: not if the input or a setting is wrong."""
    try:
        state.result()
    except (PublishError, WorkerError):
        return True
    except PointerprintError:
        return False
    except Exception:
        return True
    return False
