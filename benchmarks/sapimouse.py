"""SapiMouse: people whom the population has not seen, known from three minutes, tried on one more.

    python -m benchmarks.sapimouse [--folds 5] [--only 0] [--seed 0] [--set owner.shrinkage=0.3 ...]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). How people differ is learnt from
the people of the other folds. Of a fold's people the 3-minute sessions make profiles and the
1-minute ones are tried, whole (60 s) and in sub-sessions of 15 s, against all profiles of the fold:
impostors are people whom the population has not seen either. Printed as Markdown, beside what needs
no path, the best single feature, and features against profiles.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from benchmarks import owners
from benchmarks.sources import read_all, recordings_folder, with_settings
from model.config import RunConfig
from model.owner.train import PopulationData
from pipeline.sessions.sessions import Sessions, concatenate_sessions


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


def is_long(sessions: Sessions) -> Bool[np.ndarray, " sessions"]:
    """Mark the 3-minute sessions."""
    return np.array(["3min" in name for name in sessions.session_id], bool)


def score_fold(
    sessions: Sessions, data: PopulationData, held: np.ndarray, config: RunConfig
) -> dict[int, tuple[Sessions, np.ndarray, dict[str, np.ndarray]]]:
    """Return claims, which are device matched, and scores, for each length of evidence."""
    of_fold = np.isin(sessions.account_id.astype(str), held)
    enrolled = sessions.take(of_fold & is_long(sessions))
    tried = sessions.take(of_fold & ~is_long(sessions))
    by_features = owners.FeatureVerifier(sessions.take(~of_fold), enrolled, config)
    by_print = owners.Verifier.of(
        data.population(~of_fold), owners.print_means(enrolled, config), enrolled.account_id
    )
    found = {}
    for seconds in owners.EVIDENCE_SECONDS:
        part = owners.time_stretches(tried, seconds)[0] if seconds < 60 else tried
        claims, prints = claims_of(part, held), owners.print_means(part, config)
        scores = owners.shortcuts(enrolled, claims, config.seed)
        scores[owners.FEATURES] = by_features.scores(claims)
        scores[owners.PRINT] = np.concatenate(
            [by_print.scores(prints, np.full(len(part), account)) for account in held]
        )
        found[seconds] = (claims, owners.matched(enrolled, claims), scores)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="*", help="these folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args()
    sessions = read_all(recordings_folder("sapimouse") / "sapimouse")
    config = with_settings(RunConfig(task="owner", seed=options.seed), options.set)
    names = np.unique(sessions.account_id.astype(str))
    names = np.random.default_rng(options.seed).permutation(names)
    chosen = range(options.folds) if options.only is None else options.only
    data = PopulationData(config, sessions)
    folds = [score_fold(sessions, data, names[fold :: options.folds], config) for fold in chosen]
    for seconds in owners.EVIDENCE_SECONDS:
        parts = [fold[seconds] for fold in folds]
        claims = concatenate_sessions([part[0] for part in parts])
        is_matched = np.concatenate([part[1] for part in parts])
        scores = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
        print(f"### {seconds} s\n\n{owners.table(claims, is_matched, scores)}\n")


if __name__ == "__main__":
    main()
