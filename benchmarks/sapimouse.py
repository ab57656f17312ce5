"""SapiMouse: people never trained on, known from three minutes, tried on another session.

    python -m benchmarks.sapimouse [--folds 3] [--only 0] [--seed 0] [--set owner.epochs=20 ...]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). People are dealt into folds.
Of a fold's people the 3-minute sessions make profiles and the 1-minute ones are tried, whole
(60 s) and in stretches of 15 s, against all profiles of the fold: impostors are people whom the
network has never seen either. Trained on the people of the other folds. Printed as Markdown,
beside what looks at no path, the best single feature, and features in the network's place.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
from dataclasses import replace

import numpy as np

from benchmarks import owners
from benchmarks.sources import read_all, recordings_folder, with_settings
from model.config import RunConfig
from pipeline.sessions import Sessions, concatenate_sessions

NETWORK = "**the network**"


def claims_of(tried: Sessions, accounts: np.ndarray) -> Sessions:
    """Return each session once for each account: label 1 where it isn't the account's own."""
    parts = []
    for account in accounts:
        is_own = tried.account_id.astype(str) == account
        ids = np.array([f"{i} as {account}" for i in tried.session_id], object)
        parts.append(
            replace(
                tried,
                session_id=ids,
                account_id=np.full(len(tried), account, object),
                label=(~is_own).astype(np.int8),
            )
        )
    return concatenate_sessions(parts)


def judge_fold(
    sessions: Sessions, held: np.ndarray, config: RunConfig
) -> dict[int, tuple[Sessions, np.ndarray, dict[str, np.ndarray]]]:
    """Return claims, which are device matched, and scores, for each length of evidence."""
    of_fold = np.isin(sessions.account_id.astype(str), held)
    trained = sessions.take(~of_fold)
    is_long = np.array(["3min" in name for name in sessions.session_id])
    enrolled, tried = sessions.take(of_fold & is_long), sessions.take(of_fold & ~is_long)
    embedders = {
        "features against profiles": owners.scaled_features(trained, config),
        NETWORK: owners.network(trained, config),
    }
    judges = {
        name: owners.Judge.of(embedder, trained, enrolled, config)
        for name, embedder in embedders.items()
    }
    found = {}
    for seconds in owners.EVIDENCE_SECONDS:
        part = owners.time_stretches(tried, seconds)[0] if seconds < 60 else tried
        claims = claims_of(part, held)
        scores = owners.shortcuts(enrolled, claims, config.seed)
        for name in judges:
            scores[name] = judges[name].scores(claims)
        found[seconds] = (claims, owners.matched(enrolled, claims), scores)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="these folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args()
    sessions = read_all(recordings_folder("sapimouse") / "sapimouse")
    config = with_settings(RunConfig(task="owner", seed=options.seed), options.set)
    dealt = np.random.default_rng(options.seed).permutation(
        np.unique(sessions.account_id.astype(str))
    )
    chosen = range(options.folds) if options.only is None else options.only
    folds = [judge_fold(sessions, dealt[fold :: options.folds], config) for fold in chosen]
    for seconds in owners.EVIDENCE_SECONDS:
        parts = [fold[seconds] for fold in folds]
        claims = concatenate_sessions([part[0] for part in parts])
        is_matched = np.concatenate([part[1] for part in parts])
        scores = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
        print(f"### {seconds} s\n\n{owners.table(claims, is_matched, scores)}\n")


if __name__ == "__main__":
    main()
