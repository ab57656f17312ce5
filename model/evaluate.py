"""Compare scores with labels: how well a model ranks, for whom, and how sure that is.

Overall, for each fraud family against all legitimate sessions, for each person the false positive
rate, and for each recorder that and the recall. docs/evaluation.md says what each number means;
`model.text` shows an evaluation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Real, Shaped
from pydantic_core import to_jsonable_python

from model.bootstrap import (
    Interval,
    bootstrap_draws,
    percentile_interval,
    rate_interval,
    wilson_interval,
)
from model.metrics import (
    NotEnoughNegatives,
    RocCurve,
    brier,
    check_negatives,
    reliability_curve,
    roc_curve,
)
from pipeline.config import Task
from pipeline.errors import DataError, SchemaError
from pipeline.schemas import LABELS, SCORES
from pipeline.scores.recorders import unknown_recorders_text
from pipeline.sessions.recorder import NOT_KNOWN
from pipeline.splits.groups import first_known, group_sessions, parse_synthetic

TARGET_FPRS = (0.01, 0.001)
"""False positive rates at which the recall is measured."""

UNNAMED = "(no name)"
"""The family of frauds whose label names no generator."""

_SCORE_COLUMNS = (
    "session_id", "account_id", "fraud_score", "is_flagged", "threshold", "abstain_reason",
    "model_id", "scored_at",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredSessions:
    """Scored sessions with a label, and whom they come from."""

    session_id: Shaped[np.ndarray, " sessions"]
    score: Float64[np.ndarray, " sessions"]
    label: Int64[np.ndarray, " sessions"]
    is_flagged: Bool[np.ndarray, " sessions"]
    threshold: float
    person: Shaped[np.ndarray, " sessions"]
    family: Shaped[np.ndarray, " sessions"]  # None: legitimate
    generator: Shaped[np.ndarray, " sessions"]  # None: legitimate, or not simulated
    recorder: Shaped[np.ndarray, " sessions"]  # NOT_KNOWN: nothing tells
    recorder_known: Shaped[np.ndarray, " sessions"]  # as in SCORES; None: nothing tells

    def clusters(self) -> Shaped[np.ndarray, " sessions"]:
        """Return the groups to resample for a number over all frauds: families, and people.

        A family named like a person is that person impersonated: one group, both classes.
        """
        return np.where(self.label == 1, self.family, self.person)


@dataclass(frozen=True)
class FeatureAuc:
    """One number a session that ranks it too: the baseline of the network."""

    name: str
    roc_auc: float  # the better of "high is fraud" and "low is fraud"


@dataclass(frozen=True)
class Ranking:
    """How well scores separate some frauds from all legitimate sessions."""

    name: str
    n_fraud: int
    n_legitimate: int
    base_rate: float  # the average precision of a guess
    roc_auc: Interval
    pr_auc: Interval
    eer: Interval
    tpr_at_fpr: dict[str, Interval | str]  # by target FPR; why it is refused, where it is
    tpr: Interval  # flagged, at the model's own threshold
    best_feature: FeatureAuc | None


@dataclass(frozen=True)
class PersonFpr:
    """How often one person's legitimate sessions are flagged."""

    person: str
    n_sessions: int
    n_flagged: int
    fpr: Interval  # of this person's sessions, taken as independent


@dataclass(frozen=True)
class RecorderRates:
    """How often the sessions of one recorder are flagged, at the model's own threshold."""

    recorder: str
    is_known: bool | None  # whether the level was set for it; None: nothing tells
    n_legitimate: int
    n_fraud: int
    fpr: Interval | None  # over people
    tpr: Interval | None  # over families


@dataclass(frozen=True)
class GroupRates:
    """How often the sessions of one group are flagged, such as those of one device."""

    group: str
    n_legitimate: int
    n_fraud: int
    fpr: Interval | None  # over people
    tpr: Interval | None  # over families


@dataclass(frozen=True)
class Evaluation:
    """All figures. One that needs a class that isn't there is None."""

    overall: Ranking | None
    families: tuple[Ranking, ...]  # worst first
    people: tuple[PersonFpr, ...]  # highest rate first
    recorders: tuple[RecorderRates, ...]  # most sessions first
    fpr: Interval | None  # at the model's own threshold, over people
    brier: float | None
    ece: float | None
    n_bins: int  # that `ece` was counted in
    n_sessions: dict[str, int]  # scored, by class
    abstained: dict[str, dict[str, int]]  # class -> reason -> sessions
    n_unlabelled: int  # scored or abstained, and ignored
    labels_without_session: tuple[str, ...]
    model_ids: tuple[str, ...]
    notes: tuple[str, ...]
    scored: ScoredSessions = field(repr=False)
    task: Task = "fraud"  # owner: a fraud is a session compared with another account than its own
    n_simulated: int = 0  # of the scored frauds, how many a generator made
    families_by: str = ""  # what a family is named by: generator, account, or both
    groups: tuple[GroupRates, ...] = ()  # by a column of the labels, if one was named

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a plain dict, without the sessions."""
        figures = {name: value for name, value in vars(self).items() if name != "scored"}
        return to_jsonable_python(figures)


def evaluate_scores(
    scores: pa.Table | pd.DataFrame,
    labels: pa.Table | pd.DataFrame,
    features: pd.DataFrame | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    task: Task = "fraud",
) -> Evaluation:
    """Compare a `SCORES` table with `LABELS`.

    The trials that the owner task is trained on are compared as sessions; `task` says so. Of a
    session scored several times the last counts. `features` are numbers a session,
    indexed by `session_id`: the one that ranks best stands beside each row of the model's.
    """
    all_scores, known = last_scores(scores), _last_labels(labels)
    table = all_scores.merge(known, on="session_id", suffixes=("", "_of_label"))
    with_score = table.dropna(subset="fraud_score")
    if with_score.empty:
        raise DataError(
            "evaluate",
            f"no scored session has a label: {len(all_scores)} sessions, {len(known)} labels",
            "labels go by session_id; `--labels` takes session_id,label",
        )
    scored = _labelled(with_score)
    is_fraud = scored.label == 1
    has_both = bool(is_fraud.any() and not is_fraud.all())
    columns = _columns(features, pd.Index(with_score["session_id"]))
    rank = partial(_rank, scored, columns, n_resamples=n_resamples, seed=seed)
    rows = [
        rank(str(name), scored.family == name, scored.person)
        for name in pd.unique(scored.family[is_fraud & has_both])
    ]
    curve = reliability_curve(scored.score, scored.label)
    labelled, found = known["session_id"], all_scores["session_id"]
    return Evaluation(
        overall=rank("all", is_fraud, scored.clusters()) if has_both else None,
        families=tuple(sorted(rows, key=lambda row: (row.roc_auc.value, row.name))),
        people=_people(scored),
        recorders=_recorders(scored, n_resamples, seed),
        fpr=None
        if is_fraud.all()
        else rate_interval(
            scored.is_flagged[~is_fraud], scored.person[~is_fraud], n_resamples, seed
        ),
        brier=brier(scored.score, scored.label) if has_both else None,
        ece=curve.ece() if has_both else None,
        n_bins=len(curve),
        n_sessions={"legitimate": int((~is_fraud).sum()), "fraud": int(is_fraud.sum())},
        abstained=_abstained(table),
        n_unlabelled=len(set(found) - set(labelled)),
        labels_without_session=tuple(labelled[~labelled.isin(found)]),
        model_ids=tuple(sorted(set(with_score["model_id"]))),
        notes=_notes(with_score, features, scored, task),
        scored=scored,
        task=task,
        n_simulated=int(pd.notna(scored.generator).sum()),
        families_by=_families_by(scored),
    )


def _families_by(scored: ScoredSessions) -> str:
    """Return whether families are named by generators, by accounts, or some by either."""
    is_fraud, is_made = scored.label == 1, pd.notna(scored.generator)
    found = {"generator": is_made.any(), "account": (is_fraud & ~is_made).any()}
    return " or ".join(name for name, is_there in found.items() if is_there)


def last_scores(scores: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each session, by day of the run, then by time."""
    frame = _frame(scores, SCORES, _SCORE_COLUMNS).reset_index(drop=True)
    order = frame[["scored_at"]].assign(
        run_date=frame["run_date"].astype(str) if "run_date" in frame.columns else ""
    )
    order = order.sort_values(["run_date", "scored_at"], kind="stable").index
    return frame.loc[order].drop_duplicates("session_id", keep="last")


def _last_labels(labels: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Return the last label of each session."""
    frame = _frame(labels, LABELS, ["session_id", "label"])
    wrong = frame["label"][~frame["label"].isin([0, 1])].tolist()
    if wrong:
        raise DataError(
            "labels", f"{len(wrong)} are not 0 or 1, such as {wrong[0]!r}", "1 fraud, 0 legitimate"
        )
    return frame.drop_duplicates("session_id", keep="last")


def _frame(
    table: pa.Table | pd.DataFrame, schema: pa.Schema, needed: Sequence[str]
) -> pd.DataFrame:
    """Return a table as a frame that has the `needed` columns of `schema`."""
    frame = table.to_pandas() if isinstance(table, pa.Table) else table
    if missing := [name for name in needed if name not in frame.columns]:
        raise SchemaError(
            "evaluate",
            f"the {schema.metadata[b'schema'].decode()} table lacks {', '.join(missing)}",
            f"it has {', '.join(schema.names)}",
        )
    return frame


def _labelled(rows: pd.DataFrame) -> ScoredSessions:
    """Return the arrays of rows that have both a score and a label."""
    label = rows["label"].to_numpy(np.int64)
    session_id, account = (rows[name].to_numpy(object) for name in ("session_id", "account_id"))
    named = "account_id_of_label" if "account_id_of_label" in rows.columns else "account_id"
    by_label = rows[named].to_numpy(object)  # of a fraud: its generator
    groups = group_sessions(session_id, first_known(account, by_label), label == 1)
    _, generator = parse_synthetic(session_id)
    unnamed = np.full(len(rows), UNNAMED, object)
    family = first_known(generator, by_label, account, unnamed)
    family[label != 1] = None
    return ScoredSessions(
        session_id=session_id,
        score=rows["fraud_score"].to_numpy(np.float64),
        label=label,
        is_flagged=rows["is_flagged"].to_numpy(bool),
        threshold=float(rows["threshold"].iloc[-1]),
        person=first_known(groups.person, session_id),
        family=family,
        generator=np.where(label == 1, generator, np.array(None, object)),
        recorder=first_known(_column(rows, "recorder"), np.full(len(rows), NOT_KNOWN, object)),
        recorder_known=_column(rows, "recorder_known"),
    )


def _column(rows: pd.DataFrame, name: str) -> Shaped[np.ndarray, " sessions"]:
    """Return a column that older tables have not; None where nothing is known."""
    if name not in rows.columns:
        return np.full(len(rows), None, object)
    return rows[name].astype(object).where(rows[name].notna(), None).to_numpy(object)


def _rank(
    scored: ScoredSessions,
    features: Mapping[str, Float64[np.ndarray, " sessions"]],
    name: str,
    is_fraud: Bool[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    n_resamples: int,
    seed: int,
) -> Ranking:
    """Return how well the frauds in `is_fraud` are separated from all legitimate sessions."""
    chosen = is_fraud | (scored.label == 0)
    score, label, groups = scored.score[chosen], scored.label[chosen], groups[chosen]

    def numbers(
        scores: Float64[np.ndarray, " chosen"],
        labels: Int64[np.ndarray, " chosen"],
        weights: Real[np.ndarray, " chosen"],
    ) -> Float64[np.ndarray, " numbers"]:
        return _numbers(roc_curve(scores, labels, weights))

    draws = bootstrap_draws(numbers, score, label, groups, n_resamples, seed)
    auc, precision, eer, *recalls = (
        percentile_interval(float(value), draws[:, i], label, groups)
        for i, value in enumerate(_numbers(roc_curve(score, label)))
    )
    at = {
        f"{100 * target:g} %": _refusal(label, target) or recall
        for target, recall in zip(TARGET_FPRS, recalls, strict=True)
    }
    tpr = rate_interval(scored.is_flagged[is_fraud], groups[label == 1], n_resamples, seed)
    feature = _best_feature({name: values[chosen] for name, values in features.items()}, label)
    return Ranking(
        name, int(label.sum()), int((label == 0).sum()), float(label.mean()),
        auc, precision, eer, at, tpr, feature,
    )  # fmt: skip


def _numbers(curve: RocCurve) -> Float64[np.ndarray, " numbers"]:
    recalls = [curve.tpr_at_fpr(target) for target in TARGET_FPRS]
    return np.array([curve.auc(), curve.average_precision(), curve.eer(), *recalls])


def _refusal(labels: Int64[np.ndarray, " sessions"], target_fpr: float) -> str:
    """Return why the recall at `target_fpr` can't be measured, nothing if it can."""
    try:
        check_negatives(labels, target_fpr)
    except NotEnoughNegatives as error:
        return error.what
    return ""


def _columns(
    features: pd.DataFrame | None, session_id: pd.Index
) -> dict[str, Float64[np.ndarray, " sessions"]]:
    """Return each feature in the order of `session_id`, NaN where it isn't known."""
    if features is None:
        return {}
    once_each = features[~features.index.duplicated(keep="last")]
    aligned = once_each.select_dtypes("number").reindex(session_id)
    return {str(name): aligned[name].to_numpy(np.float64) for name in aligned}


def _best_feature(
    features: Mapping[str, Float64[np.ndarray, " sessions"]], label: Int64[np.ndarray, " sessions"]
) -> FeatureAuc | None:
    """Return the feature that ranks `label` best, either way round.

    Sessions that lack it stand in the middle, so that a feature isn't better for being rare.
    """
    found = []
    for name, values in features.items():
        known = np.isfinite(values)
        if known.any():
            # Rounded, so that of two that are alike in all but the last digit the first counts.
            filled = np.where(known, values, np.median(values[known]))
            auc = round(roc_curve(filled, label).auc(), 12)
            found.append(FeatureAuc(name, max(auc, 1 - auc)))
    return max(found, key=lambda feature: feature.roc_auc, default=None)


def _people(scored: ScoredSessions) -> tuple[PersonFpr, ...]:
    legitimate = scored.label == 0
    by_person = pd.Series(scored.is_flagged[legitimate]).groupby(scored.person[legitimate])
    rows = [
        PersonFpr(str(person), int(n), int(flagged), wilson_interval(int(flagged), int(n)))
        for person, flagged, n in by_person.agg(["sum", "count"]).itertuples()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.fpr.value, -row.n_sessions, row.person)))


def _recorders(scored: ScoredSessions, n_resamples: int, seed: int) -> tuple[RecorderRates, ...]:
    """Return the rates of each recorder; none if no session's is known."""
    if set(scored.recorder) <= {NOT_KNOWN}:
        return ()
    return tuple(
        RecorderRates(
            row.group,
            scored.recorder_known[scored.recorder == row.group].tolist()[-1],
            *(row.n_legitimate, row.n_fraud, row.fpr, row.tpr),
        )
        for row in rates_by(scored, scored.recorder, n_resamples, seed)
    )


def rates_by(
    scored: ScoredSessions,
    group: Shaped[np.ndarray, " sessions"],
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[GroupRates, ...]:
    """Return how often the sessions of each group are flagged, most sessions first."""
    clusters = scored.clusters()

    def rate(chosen: Bool[np.ndarray, " sessions"]) -> Interval | None:
        if not chosen.any():
            return None
        return rate_interval(scored.is_flagged[chosen], clusters[chosen], n_resamples, seed)

    rows = []
    for name, _ in Counter(group.tolist()).most_common():
        legitimate, fraud = ((group == name) & (scored.label == label) for label in (0, 1))
        counts = (int(legitimate.sum()), int(fraud.sum()))
        rows.append(GroupRates(name, *counts, rate(legitimate), rate(fraud)))
    return tuple(rows)


def _abstained(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    without = table[table["fraud_score"].isna()]
    return {
        name: without.loc[without["label"] == label, "abstain_reason"].value_counts().to_dict()
        for label, name in ((0, "legitimate"), (1, "fraud"))
    }


def _notes(
    with_score: pd.DataFrame,
    features: pd.DataFrame | None,
    scored: ScoredSessions,
    task: Task,
) -> tuple[str, ...]:
    notes = []
    unknown = Counter(scored.recorder[np.equal(scored.recorder_known, False)])
    if words := unknown_recorders_text(unknown, len(scored.recorder)):
        notes.append(words)
    n_models = len(set(with_score["model_id"]))
    if n_models > 1:
        notes.append(f"scores of {n_models} models are mixed: rankings across models mean little")
    thresholds = sorted(set(with_score["threshold"]))
    if len(thresholds) > 1 and task == "owner":
        notes.append(
            "each fold was flagged by the threshold that the other folds set, "
            f"{thresholds[0]:.4g} to {thresholds[-1]:.4g}; the model has one"
        )
    elif len(thresholds) > 1:
        notes.append(
            f"the sessions were scored with {len(thresholds)} thresholds, {thresholds[0]:.4g} to "
            f"{thresholds[-1]:.4g}: each was flagged by its own"
        )
    if features is not None:
        notes.append(
            "the best feature is picked on these very sessions, for each row anew: that flatters "
            "it, not the model"
        )
    return tuple(notes)
