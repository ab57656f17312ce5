"""What can go wrong around the program, and what then holds; docs/reliability.md shows it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """A fault, and what the test of it asserts."""

    what: str
    seen: str  # by the user
    left: str  # on the disk
    again: str  # what a rerun does
    test: str  # file::function in tests/


FAULTS: Final = (
    Fault(
        "disk full while a log is ingested",
        "`error: ...: it can't be written: ... No space left on device`",
        "the store as it was",
        "completes, once there is room",
        "test_faults.py::test_disk_full",
    ),
    Fault(
        "store on a read-only disk",
        "`error: ...: it can't be locked: ... Read-only file system`",
        "nothing",
        "completes, once it can be written to",
        "test_faults.py::test_read_only",
    ),
    Fault(
        "a log that may not be read, in a folder",
        "the file under `not a log: ... Permission denied`; by name an error",
        "the sessions of the other logs",
        "adds it, once it may be read",
        "test_faults.py::test_permission_denied",
    ),
    Fault(
        "a log is written to while it is read",
        "`not a log: it changed while it was read`",
        "the sessions of the other logs",
        "adds it whole",
        "test_hostile.py::test_a_file_written_to_while_it_is_read_waits_for_the_next_ingest",
    ),
    Fault(
        "a log vanishes while it is read",
        "`not a log: it is gone`",
        "the sessions of the other logs",
        "reads what is there",
        "test_hostile.py::test_a_file_that_vanishes_costs_no_other_file",
    ),
    Fault(
        "gzip cut short",
        "`quarantined: unreadable_file 1`",
        "a row of the quarantine with what was wrong",
        "takes the whole file, whose hash is another",
        "test_faults.py::test_cut_short[gzip]",
    ),
    Fault(
        "Parquet cut short",
        "`quarantined: unreadable_file 1`",
        "a row of the quarantine with what was wrong",
        "takes the whole file, whose hash is another",
        "test_faults.py::test_cut_short[parquet]",
    ),
    Fault(
        "a clock jumps back, or years ahead",
        "counted: `clock_reset`, or rows rejected as `absurd_time`",
        "sessions whose time never goes back",
        "changes nothing",
        "test_faults.py::test_a_clock_that_jumps",
    ),
    Fault(
        "SIGTERM while a folder is ingested",
        "`stopped by SIGTERM: the same command again completes it`, exit status 143",
        "whole parts, nothing half written",
        "adds what is missing: the store is as if nothing had happened",
        "test_faults.py::test_sigterm",
    ),
    Fault(
        "SIGTERM while logs are scored",
        "`stopped by SIGTERM: the same command again completes it`, exit status 143",
        "the scores of before; the shards that are done",
        "goes on with the missing ones",
        "test_faults.py::test_sigterm_while_scoring[1]",
    ),
    Fault(
        "the same with worker processes",
        "the same",
        "the same; no worker is left",
        "goes on with the missing ones",
        "test_faults.py::test_sigterm_while_scoring[2]",
    ),
    Fault(
        "SIGTERM while a model is trained",
        "`stopped by SIGTERM: with --resume it goes on ...`, exit status 143",
        "no RUN; the state of the last epoch beside it",
        "with `--resume` trains the epochs that are missing",
        "test_faults.py::test_sigterm_while_training",
    ),
    Fault(
        "SIGKILL at random moments of ingest and score",
        "exit status 137, or -9",
        "whole tables",
        "completes without what is done",
        "test_kills.py::test_killed_runs_leave_whole_tables_and_are_gone_on_with",
    ),
    Fault(
        "a worker process is killed",
        "`error: ...`, which says so",
        "the shards that are done",
        "goes on with the missing ones",
        "test_score_shards.py::test_a_worker_that_dies_is_an_error_and_a_rerun_goes_on",
    ),
    Fault(
        "Prefect's server is gone in the middle of a flow",
        "`Prefect's server doesn't take the progress, the work goes on`; if it stays away, the run "
        "ends with Prefect's own error",
        "the day's table, whole: it doesn't wait for the server",
        "gives the same table",
        "test_faults.py::test_prefects_server_gone_in_the_middle",
    ),
    Fault(
        "a power cut, or SIGKILL of a flow run with its worker and server",
        "the run is `Crashed` on Prefect's page (alerts see it), then runs again",
        "the tables of before; the shards that are done",
        "is not needed: `serve`, once started, has the day done again",
        "test_flows.py::test_a_run_whose_process_is_gone_crashes_and_is_run_again",
    ),
    Fault(
        "a model folder is damaged, or half copied",
        "`error: ...: its manifest does not fit: ... is not what it was`",
        "the scores of before",
        "completes with a whole model",
        "test_manifest.py::test_a_changed_missing_or_added_file_is_refused",
    ),
    Fault(
        "S3 fails every third request",
        "nothing: Arrow asks again",
        "the tables, whole",
        "is not needed",
        "test_faults.py::test_s3_that_fails_every_third_request",
    ),
    Fault(
        "S3 is gone in the middle",
        "`error: ...: the object store says: ...`",
        "what was published before",
        "completes, once it is back",
        "test_faults.py::test_s3_that_is_gone",
    ),
)
