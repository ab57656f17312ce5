"""DELBOT: one person and two bots at a task with circles.

    python -m benchmarks.delbot [--seed 0] [--set train.epochs=4 ...]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): DELBOT (chrisgdt, 2022) and
SapiMouse. The model is trained on SapiMouse's people and simulated bots, and has seen nothing of
DELBOT; gradient boosting has seen half of the person's sessions and the other bot's. Resolution
and class hang together in this data set, so each bot is shown against the people's sessions of
the same resolution where there are any, and beside what needs no path.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
import csv
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.sources import read_all, recordings_folder, with_settings
from flows.jobs.progress import finish
from flows.jobs.train import TrainJob, train
from model.bootstrap import cluster_bootstrap, wilson_interval
from model.config import RunConfig
from model.metrics import weighted_auc
from model.run import load_model
from model.score import score_sessions
from pipeline.features.best_feature import feature_aucs, roc_auc
from pipeline.features.kinematics import KINEMATIC_FEATURES, MOTION_FEATURES, session_features
from pipeline.ingest.ingest import ingest_logs
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import WindowConfig, cut_windows

PEOPLE = "circles_human_pc1"
WIDE = 1920  # px: the people's usual screen
HAND = [KINEMATIC_FEATURES.index(name) for name in MOTION_FEATURES]
COLUMNS = (
    *("session_id", "account_id", "t_ms", "event", "x", "y"),
    *("viewport_width", "viewport_height"),
)

Scores = Float64[np.ndarray, " sessions"]


def read_delbot(folder: Path) -> Sessions:
    """Return DELBOT's sessions: label 1 where a bot moved, the folder as account."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "delbot.csv"
        with log.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            for path in sorted(folder.glob("circles_*/*.txt")):
                rows.writerows(rows_of(path))
        sessions = read_all(log)
    is_bot = sessions.account_id.astype(str) != PEOPLE
    return replace(sessions, label=is_bot.astype(np.int8))


def rows_of(path: Path) -> list[tuple]:
    """Return the rows of one recording; places given as shares of the screen become px."""
    first, *lines = path.read_text().split()
    size = [int(number) for number in first.removeprefix("resolution:").split(",")]
    events = [line.split(",") for line in lines]
    places = np.array([event[2:] for event in events], np.float64)
    if (places <= 1).all():
        places = places * size
    name = f"{path.parent.name}/{path.stem}"
    return [
        (name, path.parent.name, ms, kind.lower(), x, y, *size)
        for (ms, kind, *_), (x, y) in zip(events, places.tolist(), strict=True)
    ]


def tests(sessions: Sessions) -> dict[str, Bool[np.ndarray, " sessions"]]:
    """Return which sessions each row of the table is about."""
    account = sessions.account_id.astype(str)
    is_person, is_wide = account == PEOPLE, sessions.viewport_width == WIDE
    natural, pynput = (
        account == f"circles_bot_{name}" for name in ("naturalmousemotion", "pynput")
    )
    return {
        "naturalmousemotion, both on 1920 x 1080": (natural | is_person) & is_wide,
        "naturalmousemotion on 1536 x 864": (natural & ~is_wide) | is_person,
        "pynput (1536 x 864)": pynput | is_person,
        "pynput, both on 1536 x 864": (pynput | is_person) & ~is_wide,
    }


def shortcuts(sessions: Sessions) -> tuple[dict[str, Scores], np.ndarray]:
    """Return numbers that need no path, and the features of the hand."""
    features = session_features(sessions, cut_windows(sessions, WindowConfig()))
    duration_us = sessions.t_us[sessions.offsets[1:] - 1]
    found = {
        "resolution": sessions.viewport_width.astype(np.float64),
        "median interval": features[:, KINEMATIC_FEATURES.index("interval_median_ms")],
        "duration": duration_us.astype(np.float64),
        "number of events": sessions.n_events.astype(np.float64),
    }
    return found, features[:, HAND]


def boosted(sessions: Sessions, hand: np.ndarray, seed: int) -> dict[str, Scores]:
    """Return scores by boosting on hand features, for each bot trained on the other one.

    The person's earlier half of sessions is trained on, and has no score.
    """
    account = sessions.account_id.astype(str)
    person = np.flatnonzero(account == PEOPLE)  # in order of time: names are time stamps
    known = person[: len(person) // 2]
    scores = {}
    for bot in np.unique(account[account != PEOPLE]):
        rows = np.concatenate([known, np.flatnonzero((account != PEOPLE) & (account != bot))])
        fitted = HistGradientBoostingClassifier(
            max_leaf_nodes=15, early_stopping=False, random_state=seed
        ).fit(hand[rows], sessions.label[rows])
        score = fitted.decision_function(hand)
        score[known] = np.nan
        scores[bot] = score
    return scores


def by_model(sessions: Sessions, people: Path, config: RunConfig) -> tuple[Scores, np.ndarray]:
    """Train on people and simulated bots; give the fraud score and what is flagged."""
    with tempfile.TemporaryDirectory() as scratch:
        store, run = Path(scratch) / "people", Path(scratch) / "run"
        ingest_logs([people], store, ingest_date="2026-11-01")
        finish(train(TrainJob((store,), run, config, simulate=True, force=True)))
        model = load_model(run)
    table = score_sessions(model, model.model_id, sessions, "delbot", datetime.now(UTC))
    score = table["fraud_score"].to_numpy(zero_copy_only=False).astype(np.float64)
    return score, table["is_flagged"].to_numpy(zero_copy_only=False)


def auc_cell(score: Scores, label: np.ndarray, either_way: bool = False) -> str:
    """Return an AUC with its interval over sessions: there is one person, and one bot."""
    is_scored = np.isfinite(score)
    score, label = score[is_scored], label[is_scored].astype(np.int64)
    if either_way and roc_auc(score, label) < 0.5:
        score = -score
    of = cluster_bootstrap(weighted_auc, score, label, np.arange(len(label)), 500)
    return f"{of.value:.3f} [{of.low:.3f}, {of.high:.3f}]"


def best_cell(hand: np.ndarray, label: np.ndarray) -> str:
    """Return the best feature's AUC; it is picked on these very sessions, which flatters it."""
    has_one = np.isfinite(hand).all(axis=1)
    auc = feature_aucs(hand[has_one].astype(np.float32), label[has_one])
    best = int(np.maximum(auc, 1 - auc).argmax())
    return f"{max(auc[best], 1 - auc[best]):.3f} `{MOTION_FEATURES[best]}`"


def flagged_cell(flagged: np.ndarray) -> str:
    """Return the share that is flagged."""
    of = wilson_interval(int(flagged.sum()), len(flagged))
    return f"{of.value:.1%} [{of.low:.1%}, {of.high:.1%}]"


def to_text(sessions: Sessions, rows: Mapping[str, list[str]]) -> str:
    """Return a Markdown table, a column a test."""
    lines = ["| scored by | " + " | ".join(tests(sessions)) + " |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args()
    data = recordings_folder("delbot", "sapimouse")
    sessions = read_delbot(data / "delbot")
    config = with_settings(RunConfig(seed=options.seed), options.set)
    numbers, hand = shortcuts(sessions)
    by_other = boosted(sessions, hand, options.seed)
    score, flagged = by_model(sessions, data / "sapimouse", config)
    chosen = list(tests(sessions).values())
    label = sessions.label

    def counts(rows: np.ndarray) -> str:
        return f"{(label[rows] == 0).sum()} + {(label[rows] == 1).sum()}"

    def other_bot(rows: np.ndarray) -> str:
        (bot,) = np.unique(sessions.account_id[rows & (label == 1)].astype(str))
        return auc_cell(by_other[bot][rows], label[rows])

    rows = {"sessions: person + bot": [counts(rows) for rows in chosen]}
    for name, values in numbers.items():
        rows[name] = [auc_cell(values[rows], label[rows], True) for rows in chosen]
    rows["best hand feature"] = [best_cell(hand[rows], label[rows]) for rows in chosen]
    rows["boosting, trained on the other bot"] = [other_bot(rows) for rows in chosen]
    rows["**the network**, trained on SapiMouse"] = [
        auc_cell(score[rows], label[rows]) for rows in chosen
    ]
    for name, of in (("flagged of the bot", 1), ("flagged of the person", 0)):
        rows[name] = [flagged_cell(flagged[rows & (label == of)]) for rows in chosen]
    print(to_text(sessions, rows))


if __name__ == "__main__":
    main()
