"""Kill ingesting and scoring at random points, and look what is left: `python -m benchmarks.kills`.

Each round a process is killed by SIGKILL: at a random moment, or at a random one of its file
operations, which finds the moments between two renames that a clock hardly hits. Then the
published tables must be whole; then it is run again, killed again or not; at the end the table must
be the one that an undisturbed run makes, and no shard or file that was finished may have been done
again.

Most rounds fork this process, which has loaded all that is needed, and score by a rule instead of a
network, since JAX can't be forked; some start the whole `pointerprint score`.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.jobs.partition import publish_scores, staged_scores
from pipeline.ingest.ingest import ingest_logs
from pipeline.schemas import SESSIONS
from pipeline.scores.table import ScorePolicy, scores_table
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import WindowConfig, cut_windows
from pipeline.storage.publish import MANIFEST, REPLACED, SUCCESS, write_parquet
from pipeline.storage.shards import (
    Shard,
    alone_with,
    drop_staged,
    inputs_digest,
    open_staged,
    plan_shards,
    read_shard,
)
from pipeline.storage.store import known_sessions, part_paths, quarantine_folder

DAY = "2026-11-01"
_SHARD = 256  # sessions of a shard, where whole processes are killed
OF_THE_RUN = ("run_id", "scored_at")  # all else is the same in every run


@dataclass
class Tally:
    """What came of the rounds of one kind."""

    kills: int = 0
    survived: int = 0  # finished before they were killed
    completed: int = 0  # reruns that were let through
    redone: int = 0  # finished shards or files that were done again: none may be
    broken: list[str] = field(default_factory=list)  # what was not whole: nothing may be
    left: Counter = field(default_factory=Counter)  # what a kill left


class Broken(AssertionError):
    """Something published was not whole."""


def main() -> None:
    """Run as many rounds as asked for, and say what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="of forked processes")
    parser.add_argument("--whole", type=int, default=0, help="of whole processes that score")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointerprint-kills-") as folder:
        tallies = run_rounds(Path(folder), arguments.kills, arguments.whole, arguments.seed)
    if arguments.json:
        print(json.dumps({name: tally.__dict__ for name, tally in tallies.items()}, indent=2))
    else:
        print(to_text(tallies))
    sys.exit(any(tally.broken or tally.redone for tally in tallies.values()))


def run_rounds(folder: Path, n_kills: int, n_whole: int, seed: int) -> dict[str, Tally]:
    """Kill `n_kills` forked runs, half of them ingesting, and `n_whole` whole processes."""
    rng = random.Random(seed)
    tallies = {
        "ingest": kill_ingest(folder / "ingest", n_kills // 2, rng),
        "score, by a rule": kill_score(folder / "score", n_kills - n_kills // 2, rng),
    }
    if n_whole:
        tallies["pointerprint score"] = kill_whole(folder / "whole", n_whole, rng)
    return tallies


def to_text(tallies: dict[str, Tally]) -> str:
    """Return the tallies as a table."""
    lines = ["| what | killed | then whole | reruns completed, same table | finished work redone |"]
    lines.append("|---|---|---|---|---|")
    for name, tally in tallies.items():
        n_whole = tally.kills - len(tally.broken)
        lines.append(f"| {name} | {tally.kills} | {n_whole} | {tally.completed} | {tally.redone} |")
    lines += [
        f"{name}: a kill left " + ", ".join(f"{what} {n}" for what, n in sorted(tally.left.items()))
        for name, tally in tallies.items()
    ]
    return "\n".join(lines + [f"BROKEN: {what}" for t in tallies.values() for what in t.broken])


def kill_ingest(folder: Path, n_kills: int, rng: random.Random) -> Tally:
    """Kill ingests of some dozen files, again and again until one store has them all."""
    logs = make_logs(folder / "logs", rng)
    tally = Tally()
    ingest(logs, folder / "undisturbed")
    expected = store_rows(folder / "undisturbed")
    seconds, n_operations = measured(partial(ingest, logs, folder / "measured"))
    number = 0
    while tally.kills < n_kills:
        store = folder / f"store{number}"
        number += 1
        for _ in range(rng.randint(1, 4)):
            before = {path: path.stat().st_mtime_ns for path in part_paths(store)}
            if not killed(partial(ingest, logs, store), seconds, n_operations, rng):
                tally.survived += 1
                break
            tally.kills += 1
            checked(tally, partial(whole_store, store))
            tally.redone += redone(before)
            tally.left[f"{len(part_paths(store))} parts"] += 1
        before = {path: path.stat().st_mtime_ns for path in part_paths(store)}
        forked(partial(ingest, logs, store))
        tally.redone += redone(before)
        checked(tally, partial(same, store_rows(store), expected))
        checked(tally, partial(whole_store, store))
        tally.completed += 1
    return tally


def kill_score(folder: Path, n_kills: int, rng: random.Random) -> Tally:
    """Kill scorings that are to replace an older version of the day."""
    store = folder / "store"
    ingest(make_logs(folder / "logs", rng), store)
    tally = Tally()
    expected = [
        rows(score_by_rule(store, folder / name / f"run_date={DAY}", name))
        for name in ("old", "new")
    ]
    seconds, n_operations = measured(
        lambda: score_by_rule(store, folder / "measured" / f"run_date={DAY}", "new")
    )
    number = 0
    while tally.kills < n_kills:
        target = folder / f"scores{number}" / f"run_date={DAY}"
        number += 1
        if rng.random() < 0.7:  # else there is none before
            score_by_rule(store, target, "old")
        has_old = target.exists()
        for _ in range(rng.randint(1, 4)):
            finished = set(notes(target))
            if not killed(partial(score_by_rule, store, target, "new"), seconds, n_operations, rng):
                tally.survived += 1
                break
            tally.kills += 1
            checked(tally, partial(whole_scores, target, expected, has_old))
            tally.redone += scored_again(target, finished)
            tally.left[f"{len(notes(target))} shards"] += 1
        finished = set(notes(target))
        forked(partial(score_by_rule, store, target, "new"))
        tally.redone += scored_again(target, finished)
        checked(tally, partial(same, rows(target), expected[1]))
        checked(tally, partial(nothing_left, target))
        tally.completed += 1
        shutil.rmtree(target.parent)
    return tally


def kill_whole(folder: Path, n_kills: int, rng: random.Random) -> Tally:
    """Kill whole scoring processes, JAX and all, at random moments after they began to score."""
    from benchmarks.models import untrained_run  # it loads JAX: no fork after this

    store, tally = folder / "store", Tally()
    ingest(make_logs(folder / "logs", rng, n_files=32, n_sessions=_SHARD // 4), store)
    run = untrained_run(folder / "run")
    target = folder / "scores" / f"run_date={DAY}"
    small_shards = f"from pipeline.storage import shards; shards.SHARD_SESSIONS = {_SHARD}"
    command = [
        *(sys.executable, "-c", f"{small_shards}; from flows.cli import main; main()"),
        *("score", str(store), "--model", str(run), "--date", DAY, "--to"),
    ]
    subprocess.run([*command, str(folder / "expected")], check=True, capture_output=True)
    expected = rows(folder / "expected" / f"run_date={DAY}")
    while tally.kills < n_kills:
        goal = len(notes(target)) + rng.randint(0, 2)
        process = subprocess.Popen(
            [*command, str(target.parent)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (len(notes(target)) < goal or not notes(target)):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        if process.wait() != -signal.SIGKILL:
            tally.survived += 1
        else:
            tally.kills += 1
            tally.left[f"{len(notes(target))} shards"] += 1
        checked(tally, partial(whole_scores, target, [expected], False))
    finished = len(notes(target))
    done = subprocess.run(
        [*command, str(target.parent)], check=True, capture_output=True, text=True
    )
    first_shown = re.search(r"scoring: ([0-9,]+) of", done.stderr)
    if finished and first_shown and int(first_shown[1].replace(",", "")) <= finished * _SHARD:
        tally.redone += finished
    checked(tally, partial(same, rows(target), expected))
    checked(tally, partial(nothing_left, target))
    tally.completed += 1
    return tally


def make_logs(folder: Path, rng: random.Random, n_files: int = 24, n_sessions: int = 8) -> Path:
    """Write logs of random walks, with a bad row in each."""
    folder.mkdir(parents=True)
    for number in range(n_files):
        lines = ["session_id,t_ms,x,y", f"bad{number},never,1,1"]
        for session in range(n_sessions):
            x, y = rng.randrange(1000), rng.randrange(800)
            for t_ms in range(0, 640, 16):
                x, y = x + rng.randint(-9, 9), y + rng.randint(-9, 9)
                lines.append(f"s{number}_{session},{t_ms},{x},{y}")
        (folder / f"log{number:03}.csv").write_text("\n".join(lines) + "\n")
    return folder


def ingest(logs: Path, store: Path) -> None:
    """Ingest with parts of four files, so that there are several."""
    from pipeline.ingest import ingest as module

    module.PART_FILES = 4
    ingest_logs([logs], store, ingest_date=DAY)


def score_by_rule(store: Path, target: Path, model_id: str) -> Path:
    """Score a store as `pointerprint score` does, with a rule in the place of the network."""
    shards = [shard for whole in plan_shards([store]) for shard in split(whole)]

    digest = inputs_digest(shards, {"model_id": model_id})
    new = {"run_id": uuid.uuid4().hex, "scored_at": datetime.now(UTC).isoformat()}
    with alone_with(target):
        staged, begun = open_staged(target, digest, new)
        run_id, scored_at = begun["run_id"], datetime.fromisoformat(begun["scored_at"])
        verdict = ScorePolicy(0.9, 0.5, 8, model_id, run_id, scored_at)
        for shard in shards:
            if staged.is_whole(shard.number):
                continue
            tables = [label_scores(sessions, verdict) for sessions in read_shard(shard)]
            write_parquet(pa.concat_tables(tables), staged.part(shard.number), flush=False)
            with (target.parent.parent / f"{target.parent.name}.scored").open("a") as file:
                file.write(f"{shard.number}\n")
            staged.finish(shard.number, {"n_sessions": sum(map(len, tables))})
        publish_scores(staged, shards, staged_scores(staged, shards), target, begun)
        drop_staged(staged)
    return target


def split(shard: Shard) -> list[Shard]:
    """Return a shard for each piece: small stores would be a single one."""
    return [Shard(number, shard.source, (piece,), 0) for number, piece in enumerate(shard.pieces)]


def label_scores(sessions: Sessions, verdict: ScorePolicy) -> pa.Table:
    """Return scores that depend on the paths, and on the model by its name."""
    windows = cut_windows(sessions, WindowConfig(max_events=32))
    logits = np.array([float(sessions.x_px[i] % 7) - 3 for i in windows.start], np.float32)
    total = np.bincount(windows.session, logits, len(sessions))
    if verdict.model_id == "old":
        total = -total
    return scores_table(sessions, windows, logits, 1 / (1 + np.exp(-total)), verdict)


def forked(work: Callable[[], object], watch: Callable[[int], None] = lambda pid: None) -> int:
    """Do `work` in a forked process, and return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    watch(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(
    work: Callable[[], object], seconds: float, n_operations: int, rng: random.Random
) -> bool:
    """Do `work` in a forked process that is killed at a random point; say whether it was."""
    if rng.random() < 0.5:
        moment = rng.uniform(0, seconds)

        def kill_at_moment(pid: int) -> None:
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)

        code = forked(work, kill_at_moment)
    else:
        operation = rng.randint(1, n_operations)
        code = forked(lambda: (count_operations(operation), work()))
    if code not in (0, -signal.SIGKILL):
        raise Broken(f"a run ended with {code}")
    return code != 0


_FILE_OPERATIONS = ("open", "os.", "shutil.", "fcntl.", "ctypes.call")


def count_operations(kill_at: int | None = None) -> Callable[[], int]:
    """Count this process's file operations from now on, and kill it at one of them."""
    n = 0

    def hook(event: str, _: tuple) -> None:
        nonlocal n
        if event.startswith(_FILE_OPERATIONS):
            n += 1  # before: to kill is an event too
            if n == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: n


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Return how long `work` takes in a forked process, and its file operations."""
    reading, writing = os.pipe()

    def tell() -> None:
        count = count_operations()
        began = time.monotonic()
        work()
        os.write(writing, json.dumps([time.monotonic() - began, count()]).encode())

    if forked(tell) != 0:
        raise Broken("an undisturbed run failed")
    seconds, n_operations = json.loads(os.read(reading, 1000))
    return seconds, n_operations


def checked(tally: Tally, check: Callable[[], None]) -> None:
    """Do a check, and keep what it finds."""
    try:
        check()
    except (Broken, pa.ArrowException, OSError, ValueError) as error:
        tally.broken.append(f"{type(error).__name__}: {error}")


def whole_store(store: Path) -> None:
    """Raise unless each part is whole, and no session is there twice."""
    names: list[str] = []
    for path in part_paths(store):
        table = pq.ParquetFile(path).read()
        manifest = quarantine_folder(store) / path.parent.name / f"_manifest-{path.stem[5:]}.json"
        promised = json.loads(manifest.read_text())
        rejected = pq.ParquetFile(manifest.with_name(path.name)).read()
        if table.num_rows != promised["n_sessions"] or rejected.num_rows != len(promised["files"]):
            raise Broken(f"{path} has {table.num_rows} of {promised['n_sessions']} sessions")
        names += table["session_id"].to_pylist()
    if len(set(names)) != len(names) or set(names) != known_sessions(store):
        raise Broken(f"{store} has sessions twice")


def store_rows(store: Path) -> pa.Table:
    """Return all rows of a store, by session."""
    tables = [pq.ParquetFile(path).read() for path in part_paths(store)] or [SESSIONS.empty_table()]
    return pa.concat_tables(tables).sort_by("session_id").drop_columns(["source"])


def rows(target: Path) -> pa.Table:
    """Return a partition as it lies there, without what differs between any two runs."""
    (path,) = target.glob("*.parquet")
    return pq.ParquetFile(path).read().drop_columns(list(OF_THE_RUN))


def whole_scores(target: Path, expected: Sequence[pa.Table], has_old: bool) -> None:
    """Raise unless a partition is one version of it, and sealed; nothing else is in SCORES."""
    if not target.exists():
        if has_old:
            raise Broken(f"{target} is gone")
        return
    manifest = json.loads((target / MANIFEST).read_text())
    table = rows(target)
    if not (target / SUCCESS).exists() or manifest["n_sessions"] != table.num_rows:
        raise Broken(f"{target} is not complete")
    if not any(same_table(table, version) for version in expected):
        raise Broken(f"{target} is of no version")
    if [path.name for path in target.parent.iterdir()] != [target.name]:
        raise Broken(f"something else lies in {target.parent}")


def same(table: pa.Table, expected: pa.Table) -> None:
    """Raise unless two tables are the same, their order too."""
    if not same_table(table, expected):
        raise Broken(f"another table: {table.num_rows} rows, {expected.num_rows} expected")


def same_table(one: pa.Table, other: pa.Table) -> bool:
    """Return whether two tables hold the same, however their strings are packed."""
    return one.to_pylist() == other.to_pylist()


def nothing_left(target: Path) -> None:
    """Raise if a run that completed left something in staging, but for what it has replaced."""
    staging = target.parent.with_name(f"{target.parent.name}.staging")
    left = [path for path in staging.glob("*") if not path.name.startswith(REPLACED)]
    if left:
        raise Broken(f"{staging} is not empty")


def notes(target: Path) -> dict[int, Path]:
    """Return the shards of a partition that are finished."""
    staging = target.parent.with_name(f"{target.parent.name}.staging")
    found = staging.glob(f"{target.name}-*/shard-*.json")
    return {int(path.stem[6:]): path for path in found}


def scored_again(target: Path, finished: set[int]) -> int:
    """Return how many of the finished shards were scored in the last run, and forget it."""
    path = target.parent.parent / f"{target.parent.name}.scored"
    scored = set(map(int, path.read_text().split())) if path.exists() else set()
    path.unlink(missing_ok=True)
    return len(scored & finished)


def redone(before: dict[Path, int]) -> int:
    """Return how many parts were written anew."""
    return sum(not path.exists() or path.stat().st_mtime_ns != t for path, t in before.items())


if __name__ == "__main__":
    main()
