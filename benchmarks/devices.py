"""How often people are flagged by their device, hand and age, where a recording says it.

    python -m benchmarks.devices --model RUN

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). Of all sets there the origin of
one says what its people moved the pointer with: negation_web (moramaldonado/MouseTracking on
GitHub, `data_R/*/Information.csv`: `Clicker`, `Handeness`, `Age`). An account's number is the
`Subject` there; the width of the window agrees for every person. Sessions that the RUN has used are
left out: a RUN that was trained without this set shows all of its people.
"""

from model.device import prepare_jax

prepare_jax()

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Shaped

from benchmarks.scored import Scores, people_of, percent, session_scores, unused
from benchmarks.sources import recordings_folder
from model.bootstrap import cluster_bootstrap, rate_interval
from model.metrics import weighted_auc
from model.run import load_model

SET: Final = "negation_web"


def accounts(study: str, subjects: Sequence[int]) -> list[str]:
    """Return the names of a study's subjects in the set."""
    return [f"negation-{study}-{subject:02}" for subject in subjects]


TRACKPAD: Final = [
    *accounts("0517", (21, 44, 50)),
    *accounts("0617", (4,)),
    *accounts("0917", (22,)),
]
LEFT_HAND: Final = [
    *accounts("0517", (5, 7, 9, 15, 16, 28, 45)),
    *accounts("0617", (1, 2)),
    *accounts("0917", (5, 10, 17, 51)),
]
FROM_50: Final = [
    *accounts("0517", (1, 10, 18, 22, 23, 39, 45, 48)),
    *accounts("0617", (6,)),
    *accounts("0917", (3, 5, 13, 19, 21, 22)),
]
GROUPS: Final = {
    "trackpad": TRACKPAD,
    "left hand": LEFT_HAND,
    "50 years and older": FROM_50,
}
BESIDE: Final = {"trackpad": "mouse", "left hand": "right hand", "50 years and older": "younger"}


def device_rows(
    score: Scores, person: Shaped[np.ndarray, " sessions"], threshold: float
) -> list[str]:
    """Return a row of Markdown for each group and for those beside it, over scored sessions."""
    is_scored = np.isfinite(score)
    score, person = score[is_scored], person[is_scored]
    rows = []
    for name, members in GROUPS.items():
        is_in = np.isin(person, members)
        for called, chosen in ((name, is_in), (BESIDE[name], ~is_in)):
            rows.append(_row(called, score[chosen], person[chosen], threshold))
        if is_in.any() and not is_in.all():
            rows[-2] += f" {_auc(score, is_in, person)} |"
            rows[-1] += " |"
    return rows


def _row(name: str, score: Scores, person: Shaped[np.ndarray, " sessions"], at: float) -> str:
    if not len(score):
        return f"| {name} | 0 | 0 | - | - |"
    rate = percent(rate_interval(score >= at, person))
    n = len(np.unique(person))
    return f"| {name} | {n} | {len(score)} | {rate} | {np.median(score):.3f} |"


def _auc(
    score: Scores, is_in: Bool[np.ndarray, " sessions"], person: Shaped[np.ndarray, " sessions"]
) -> str:
    """Return how often a session of the group scores above one beside it; over people."""
    found = cluster_bootstrap(weighted_auc, score, is_in.astype(np.int64), person)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="RUN")
    options = parser.parse_args()
    log = f"people/{SET}.parquet"
    data = recordings_folder(log)
    model = load_model(options.model)
    sessions = unused(people_of(data / log, SET), options.model)
    threshold = model.policy.threshold
    print(
        f"{len(sessions)} sessions of {SET} that the model has not used; above {threshold:.4f}.\n"
    )
    print(
        "| people | number | sessions | false-positive rate | median score | scores above the "
        "others |\n|---|---|---|---|---|---|"
    )
    person = sessions.account_id.astype(str)
    print("\n".join(device_rows(session_scores(model, sessions), person, threshold)))


if __name__ == "__main__":
    main()
