"""The next day: what the owner task flags after enrolment, by the command line alone.

    python -m benchmarks.next_day [--trials site:cogminu strangers:sapimouse ...] [--seeds 3]
        [--others 5] [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). In a `site` trial the sessions
of up to 40 accounts are cut in two days: the first is trained on and enrolled, the second scored.
In a `strangers` trial half of the people are trained on; of the other half earlier sessions are
enrolled and later ones scored. Later sessions are scored under their own account and under `others`
more. Everything goes through `ingest`, `train`, `enroll` and `score`. Printed as Markdown: FPR with
its interval over accounts, what the card promised, recall and AUC, all seeds together; then the
same by sessions enrolled and by windows scored.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64

from benchmarks.balabit import read_balabit
from benchmarks.owners import time_stretches
from benchmarks.sapimouse import is_long
from benchmarks.sources import of_accounts, read_all, recordings_folder
from flows.cli import main as pointerprint
from model.bootstrap import rate_interval
from model.metrics import roc_curve
from pipeline.schemas import Button, Kind
from pipeline.sessions.sessions import Sessions, concatenate_sessions

DAY_ONE, DAY_TWO = (np.datetime64(f"2026-03-0{day}T09:00", "us") for day in (2, 3))
MOST_ACCOUNTS = 40  # of a site
BUDGETS = (0.01, 0.05)
MOST = 9_999  # as an upper end: any number


@dataclass(frozen=True)
class Recordings:
    """Sessions of accounts, and which of them are those of a later day."""

    sessions: Sessions  # each account's in their order
    is_later: Bool[np.ndarray, " sessions"]
    claims: Sessions | None = None  # labelled sessions of impostors, where there are recorded ones


@dataclass(frozen=True)
class Trial:
    """Who is trained on, what is enrolled, and what is scored."""

    trained: Sessions
    enrolled: Sessions | None  # None: what was trained on
    later: Sessions
    claims: Sessions | None = None


def order_in_account(sessions: Sessions) -> Int64[np.ndarray, " sessions"]:
    """Return the place of each session among its account's."""
    account = pd.Series(sessions.account_id)
    return account.groupby(account).cumcount().to_numpy(np.int64)


def by_order(n_first: int, sessions: Sessions) -> Recordings:
    """Return recordings whose first sessions of each account are of the first day."""
    sessions = sessions.take(np.lexsort((sessions.session_id.astype(str), sessions.account_id)))
    is_later = order_in_account(sessions) >= n_first
    has_both = np.isin(sessions.account_id, np.unique(sessions.account_id[is_later]))
    return Recordings(sessions.take(has_both), is_later[has_both])


def read_people(name: str, n_first: int) -> Recordings:
    """Return the recordings of a further recorder."""
    return by_order(n_first, read_all(recordings_folder("people") / f"people/{name}.parquet"))


def read_sapimouse() -> Recordings:
    """Return the 3-minute sessions, and later the 1-minute ones."""
    sessions = read_all(recordings_folder("sapimouse") / "sapimouse")
    return Recordings(sessions, ~is_long(sessions))


def cut_sapimouse() -> Recordings:
    """Return minutes of the 3-minute sessions, and later halves of the 1-minute ones."""
    found = read_sapimouse()
    first, _ = time_stretches(found.sessions.take(~found.is_later), 60)
    later, _ = time_stretches(found.sessions.take(found.is_later), 30)
    is_later = np.repeat([False, True], [len(first), len(later)])
    return Recordings(concatenate_sessions([first, later]), is_later)


def read_iitkgp() -> Recordings:
    """Return the sessions of four people's days; the later half of each one's days comes later."""
    sessions = read_all(recordings_folder("people") / "people/iitkgp_desktop.parquet")
    day = np.array([float(name.split("/")[1].split(".")[0]) for name in sessions.session_id])
    middle = pd.Series(day).groupby(sessions.account_id.astype(str)).transform("median")
    return Recordings(sessions, day > middle.to_numpy())


def read_balabit_days() -> Recordings:
    """Return Balabit's training sessions, and later its genuine test sessions; and impostors'."""
    enrolled, tested = read_balabit(recordings_folder("balabit") / "balabit")
    own = tested.take(tested.label == 0)
    is_later = np.repeat([False, True], [len(enrolled), len(own)])
    sessions = concatenate_sessions([enrolled, own])
    return Recordings(sessions, is_later, tested.take(tested.label == 1))


READERS: dict[str, Callable[[], Recordings]] = {
    "site:sapimouse": cut_sapimouse,
    "site:cogminu": partial(read_people, "cogminu_opensesame", 3),
    "site:negation": partial(read_people, "negation_web", 3),
    "site:mauth": partial(read_people, "mauth_pynput", 4),
    "site:iitkgp": read_iitkgp,
    "site:balabit": read_balabit_days,
    "strangers:sapimouse": read_sapimouse,
    "strangers:freihaut": partial(read_people, "freihaut_lab", 1),
    "strangers:cogminu": partial(read_people, "cogminu_opensesame", 3),
    "strangers:negation": partial(read_people, "negation_web", 3),
}


def dated(found: Recordings) -> Sessions:
    """Return the sessions on two days, an account's ten minutes apart."""
    place = order_in_account(found.sessions)
    begin = np.where(found.is_later, DAY_TWO, DAY_ONE)
    started_at = begin + 10 * place * np.timedelta64(60_000_000, "us")
    return replace(found.sessions, started_at=started_at)


def make_trial(kind: str, found: Recordings, seed: int) -> Trial:
    """Return a trial with accounts drawn by `seed`."""
    sessions, is_later = dated(found), found.is_later
    names = np.random.default_rng(seed).permutation(np.unique(sessions.account_id.astype(str)))
    account = sessions.account_id.astype(str)
    if kind == "site":
        own = np.isin(account, names[:MOST_ACCOUNTS])
        trained, later = sessions.take(own & ~is_later), sessions.take(own & is_later)
        claims = None if found.claims is None else of_accounts(found.claims, names)
        return Trial(trained, None, later, claims)
    known = np.isin(account, names[::2])
    return Trial(
        sessions.take(known), sessions.take(~known & ~is_later), sessions.take(~known & is_later)
    )


def as_others(later: Sessions, n_others: int, seed: int) -> Sessions:
    """Return later sessions under the names of other accounts, with label 1."""
    rng = np.random.default_rng(seed)
    accounts = np.unique(later.account_id.astype(str))
    rows, claimed = [], []
    for i, own in enumerate(later.account_id):
        others = accounts[accounts != own]
        for name in rng.choice(others, min(n_others, len(others)), replace=False):
            rows.append(i)
            claimed.append(name)
    chosen = later.take(np.array(rows, np.int64))
    ids = [f"{i} as {name}" for i, name in zip(chosen.session_id, claimed, strict=True)]
    return replace(
        chosen,
        session_id=np.array(ids, object),
        account_id=np.array(claimed, object),
        label=np.ones(len(chosen), np.int8),
    )


def write_log(sessions: Sessions, path: Path) -> Path:
    """Write sessions as a log, a row an event."""
    owner = sessions.session_of_event
    since_1970 = sessions.started_at.astype("datetime64[us]").astype(np.int64)
    events = {
        "session_id": sessions.session_id[owner],
        "account_id": sessions.account_id[owner],
        "t_ms": (since_1970[owner] + sessions.t_us) / 1e3,
        "x": sessions.x_px,
        "y": sessions.y_px,
        "event": np.array([kind.name.lower() for kind in Kind], object)[sessions.kind],
        "button": np.array([button.name.lower() for button in Button], object)[sessions.button],
    }
    pq.write_table(pa.table(events), path)
    return path


def run(*words: object) -> None:
    """Run a command of pointerprint; one that fails ends the benchmark."""
    with redirect_stdout(StringIO()):
        try:
            pointerprint([*map(str, words), "--quiet"])
        except SystemExit as stopped:
            if stopped.code:
                raise


def scored(trial: Trial, n_others: int, seed: int, folder: Path) -> tuple[pd.DataFrame, dict]:
    """Return the scores of later sessions with their labels, and the RUN's own promise."""
    claims = as_others(trial.later, n_others, seed) if trial.claims is None else trial.claims
    later = replace(trial.later, label=np.zeros(len(trial.later), np.int8))
    claims = replace(claims, started_at=np.full(len(claims), DAY_TWO))
    stores = {}
    for name, sessions in (("trained", trial.trained), ("enrolled", trial.enrolled)):
        if sessions is not None:
            stores[name] = folder / name
            run("ingest", write_log(sessions, folder / f"{name}.parquet"), "--to", stores[name])
    fitted = folder / "run"
    run("train", stores["trained"], "--task", "owner", "--to", fitted, "--seed", seed)
    run("enroll", stores.get("enrolled", stores["trained"]), "--model", fitted)
    everything = concatenate_sessions([later, claims])
    log = write_log(everything, folder / "later.parquet")
    run("score", log, "--model", fitted, "--to", folder / "scores", "--date", "2026-03-03",
        "--no-replays")  # fmt: skip
    table = pd.read_parquet(folder / "scores")
    label = pd.Series(everything.label, everything.session_id)
    enrolled = trial.trained if trial.enrolled is None else trial.enrolled
    n_enrolled = pd.Series(enrolled.account_id).value_counts()
    table["label"] = label.reindex(table["session_id"]).to_numpy()
    table["n_enrolled"] = n_enrolled.reindex(table["account_id"]).to_numpy()
    policy = json.loads((fitted / "policy.json").read_text())
    for row in policy["thresholds"]:
        table[f"at {row['budget']}"] = table["fraud_score"] >= np.float32(row["threshold"])
    return table, _promise(fitted, policy)


def _promise(fitted: Path, policy: dict) -> dict[float, float]:
    """Return by target FPR what the card says of the next day, or of people left out."""
    found = {row["budget"]: row["unseen_rate"] for row in policy["thresholds"]}
    days = json.loads((fitted / "metrics.json").read_text()).get("next_day", [])
    whole = [row for row in days if row["enrolled"] == "any number"]
    return found | {row["budget"]: row["fpr"] for row in whole}


def line(name: str, scores: pd.DataFrame, promise: dict[float, float] | None = None) -> str:
    """Return a row of a table: the figures of these scores."""
    score, label, account = (
        np.array(scores[column]) for column in ("fraud_score", "label", "account_id")
    )
    known = np.isfinite(score.astype(np.float64))
    own, other = known & (label == 0), known & (label == 1)
    cells = [name, f"{own.sum():,} + {other.sum():,}"]
    for budget in BUDGETS:
        flagged = np.array(scores[f"at {budget}"], bool)
        fpr = rate_interval(flagged[own], account[own])
        of = f"{flagged[own].sum()} of {own.sum()}"
        cells.append(f"{of}: {fpr.value:.1%} ({fpr.low:.1%} to {fpr.high:.1%})")
        if promise is not None:
            cells.append(f"{promise[budget]:.1%}")
        cells.append(f"{flagged[other].mean():.1%}")
    auc = roc_curve(score[known].astype(np.float64), label[known].astype(np.int64)).auc()
    return "| " + " | ".join([*cells, f"{auc:.4f}"]) + " |"


def tables(found: dict[str, list[tuple[pd.DataFrame, dict]]]) -> str:
    """Return the Markdown of all trials."""
    lines = ["| trial | owners + impostors |" + "".join(
        f" FPR at {b:.0%} | card | recall |" for b in BUDGETS) + " AUC |",
        "|---" * (3 + 3 * len(BUDGETS)) + "|"]  # fmt: skip
    for name, runs in found.items():
        promise = {b: float(np.mean([p[b] for _, p in runs])) for b in BUDGETS}
        lines.append(line(name, pd.concat([scores for scores, _ in runs]), promise))
    everything = pd.DataFrame(pd.concat([scores for of in found.values() for scores, _ in of]))
    lines += ["", "| all trials | owners + impostors |" + "".join(
        f" FPR at {b:.0%} | recall |" for b in BUDGETS) + " AUC |",
        "|---" * (3 + 2 * len(BUDGETS)) + "|"]  # fmt: skip
    for column, words, spans in (
        ("n_enrolled", "sessions enrolled", ((1, 1), (2, 3), (4, MOST))),
        ("n_windows", "windows scored", ((1, 4), (5, 15), (16, MOST))),
    ):
        for low, high in spans:
            is_chosen = np.array(everything[column].between(low, high), bool)
            chosen = pd.DataFrame(everything[is_chosen])
            if set(chosen["label"]) == {0, 1}:
                lines.append(line(f"{low} to {high} {words}", chosen))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", nargs="*", default=list(READERS), choices=list(READERS))
    parser.add_argument("--seeds", type=int, default=1, help="accounts are drawn so many times")
    parser.add_argument("--others", type=int, default=5, help="accounts claimed beside its own")
    parser.add_argument("--json", type=Path, help="write the scores there")
    options = parser.parse_args(arguments)
    found: dict[str, list[tuple[pd.DataFrame, dict]]] = {}
    for name in options.trials:
        recordings = READERS[name]()
        for seed in range(options.seeds):
            trial = make_trial(name.split(":")[0], recordings, seed)
            with tempfile.TemporaryDirectory() as folder:
                scores = scored(trial, options.others, seed, Path(folder))
            found.setdefault(name, []).append(scores)
            print(line(f"{name}, seed {seed}", *scores), flush=True)
    print("\n" + tables(found))
    if options.json:
        parts = [
            scores.assign(trial=name, seed=seed)
            for name, runs in found.items()
            for seed, (scores, _) in enumerate(runs)
        ]
        kept = ["trial", "seed", "session_id", "account_id", "label", "fraud_score", "n_windows"]
        flags = [f"at {budget}" for budget in BUDGETS]
        pd.concat(parts)[[*kept, "n_enrolled", *flags]].to_json(options.json, orient="records")


if __name__ == "__main__":
    main()
