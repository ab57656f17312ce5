"""Start-up: how long a person waits for `--help`, and for the first scores of a small file."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.models import untrained_run
from benchmarks.speed.recordings import DAY, make_sessions, write_log
from benchmarks.speed.timing import Result, interleaved

N_SESSIONS = 32


def measure(repeats: int) -> Result:
    """Start whole processes, with and without programs compiled before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = write_log(make_sessions(N_SESSIONS), folder / "log.csv")
        run = untrained_run(folder / "run")
        warm, cold = folder / "warm", folder / "cold"

        def command(*words: object, cache: Path = warm) -> None:
            # This process has set the variable for itself, and children would inherit it.
            env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
            subprocess.run(
                [sys.executable, "-m", "flows", *map(str, words)],
                check=True, capture_output=True, env=env,
            )  # fmt: skip

        def score(cache: Path) -> None:
            command(
                "score", log, "--model", run, "--to", folder / "scores", "--date", DAY, cache=cache
            )

        def score_cold() -> None:
            shutil.rmtree(cold, ignore_errors=True)
            score(cold)

        cases = {
            "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
            "pointerprint --help": lambda: command("--help"),
            "pointerprint score --help": lambda: command("score", "--help"),
            f"score {N_SESSIONS} sessions, nothing compiled yet": score_cold,
            f"score {N_SESSIONS} sessions, compiled before": lambda: score(warm),
        }
        timings = interleaved(cases, repeats)
    # The processor time is that of children, which this process doesn't count.
    rows = [{"started": case, "seconds": timing.wall_s} for case, timing in timings.items()]
    return Result("start", "Start-up, whole processes", rows)
