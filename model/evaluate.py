"""Scores and labels in, an `Evaluation` out: what a model is worth, for whom, and how sure.

Overall, for each fraud family against all legitimate sessions, and for each person the rate
of false alarms. docs/evaluation.md says what each number means.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Real, Shaped

from model.bootstrap import percentile_interval, rate_interval, resample, wilson_interval
from model.evaluation import Alarms, Evaluation, Feature, Ranking
from model.metrics import (
    NotEnoughNegatives,
    RocCurve,
    base_rate,
    brier,
    check_negatives,
    reliability_curve,
    roc_auc,
    roc_curve,
)
from model.scored import ScoredSessions, label_scores, read_labels, read_scores
from pipeline.errors import DataError

BUDGETS = (0.01, 0.001)
"""False-alarm rates at which the share of frauds caught is told."""


def evaluate(
    scores: pa.Table | pd.DataFrame,
    labels: pa.Table | pd.DataFrame,
    features: pd.DataFrame | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare a `SCORES` table with `LABELS`.

    Of a session scored several times the last counts. `features` are numbers a session,
    indexed by `session_id`: the one that ranks best stands beside each row of the model's.
    """
    all_scores, known = read_scores(scores), read_labels(labels)
    table = all_scores.merge(known, on="session_id", suffixes=("", "_of_label"))
    scored = table.dropna(subset="fraud_score")
    if scored.empty:
        raise DataError(
            "evaluate",
            f"no scored session has a label: {len(all_scores)} sessions, {len(known)} labels",
            "labels go by session_id; `--labels` takes session_id,label",
        )
    judged = label_scores(scored)
    is_fraud = judged.label == 1
    has_both = bool(is_fraud.any() and not is_fraud.all())
    rank = partial(
        _rank,
        judged,
        _columns(features, pd.Index(scored["session_id"])),
        n_resamples=n_resamples,
        seed=seed,
    )
    rows = [
        rank(str(name), judged.family == name, judged.person)
        for name in pd.unique(judged.family[is_fraud & has_both])
    ]
    curve = reliability_curve(judged.score, judged.label)
    labelled, found = known["session_id"], all_scores["session_id"]
    return Evaluation(
        overall=rank("all", is_fraud, judged.clusters()) if has_both else None,
        families=tuple(sorted(rows, key=lambda row: (row.roc_auc.value, row.name))),
        people=_alarms(judged),
        fpr=None
        if is_fraud.all()
        else rate_interval(
            judged.is_flagged[~is_fraud], judged.person[~is_fraud], n_resamples, seed
        ),
        brier=brier(judged.score, judged.label) if has_both else None,
        ece=curve.ece() if has_both else None,
        n_bins=len(curve),
        n_sessions={"legitimate": int((~is_fraud).sum()), "fraud": int(is_fraud.sum())},
        abstained=_abstained(table),
        n_unlabelled=len(set(found) - set(labelled)),
        labels_without_session=tuple(labelled[~labelled.isin(found)]),
        model_ids=tuple(sorted(set(scored["model_id"]))),
        notes=_notes(scored, features),
        judged=judged,
    )


def _rank(
    judged: ScoredSessions,
    features: Mapping[str, Float64[np.ndarray, " sessions"]],
    name: str,
    is_fraud: Bool[np.ndarray, " sessions"],
    groups: Shaped[np.ndarray, " sessions"],
    n_resamples: int,
    seed: int,
) -> Ranking:
    """Return how well the frauds in `is_fraud` are told from all legitimate sessions."""
    chosen = is_fraud | (judged.label == 0)
    score, label, groups = judged.score[chosen], judged.label[chosen], groups[chosen]
    refused = {budget: word for budget in BUDGETS if (word := _refusal(label, budget))}

    def numbers(
        scores: Float64[np.ndarray, " chosen"],
        labels: Int64[np.ndarray, " chosen"],
        weights: Real[np.ndarray, " chosen"],
    ) -> Float64[np.ndarray, " numbers"]:
        return _numbers(roc_curve(scores, labels, weights))

    draws = resample(numbers, score, label, groups, n_resamples, seed)
    values = _numbers(roc_curve(score, label))
    auc, precision, eer, *caught = (
        percentile_interval(float(value), draws[:, i], label, groups)
        for i, value in enumerate(values)
    )
    at = {_percent(b): refused.get(b, found) for b, found in zip(BUDGETS, caught, strict=True)}
    tpr = rate_interval(judged.is_flagged[is_fraud], groups[label == 1], n_resamples, seed)
    in_reach = {name: values[chosen] for name, values in features.items()}
    feature = _best_feature(in_reach, label)
    return Ranking(
        name, int(label.sum()), int((label == 0).sum()), base_rate(label),
        auc, precision, eer, at, tpr, feature,
    )  # fmt: skip


def _numbers(curve: RocCurve) -> Float64[np.ndarray, " numbers"]:
    at_budgets = [curve.tpr_at_fpr(budget) for budget in BUDGETS]
    return np.array([curve.auc(), curve.average_precision(), curve.eer(), *at_budgets])


def _refusal(labels: Int64[np.ndarray, " sessions"], budget: float) -> str:
    """Return why the rate at `budget` can't be told, nothing if it can."""
    try:
        check_negatives(labels, budget)
    except NotEnoughNegatives as error:
        return error.what
    return ""


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


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
) -> Feature | None:
    """Return the feature that ranks `label` best, either way round.

    Sessions that lack it stand in the middle, so that a feature isn't better for being rare.
    """
    found = []
    for name, values in features.items():
        known = np.isfinite(values)
        if known.any():
            auc = roc_auc(np.where(known, values, np.median(values[known])), label)
            found.append(Feature(name, max(auc, 1 - auc)))
    return max(found, key=lambda feature: feature.roc_auc, default=None)


def _alarms(judged: ScoredSessions) -> tuple[Alarms, ...]:
    legitimate = judged.label == 0
    by_person = pd.Series(judged.is_flagged[legitimate]).groupby(judged.person[legitimate])
    rows = [
        Alarms(str(person), int(n), int(flagged), wilson_interval(int(flagged), int(n)))
        for person, flagged, n in by_person.agg(["sum", "count"]).itertuples()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.fpr.value, -row.n_sessions, row.person)))


def _abstained(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    silent = table[table["fraud_score"].isna()]
    return {
        name: silent.loc[silent["label"] == label, "abstain_reason"].value_counts().to_dict()
        for label, name in ((0, "legitimate"), (1, "fraud"))
    }


def _notes(scored: pd.DataFrame, features: pd.DataFrame | None) -> tuple[str, ...]:
    notes = []
    n_models = len(set(scored["model_id"]))
    if n_models > 1:
        notes.append(f"scores of {n_models} models are mixed: rankings across models mean little")
    if len(set(scored["threshold"])) > 1:
        notes.append("the threshold changed between runs: flags are as they were set")
    if features is not None:
        notes.append(
            "the best feature is picked on these very sessions, for each row anew: that flatters "
            "it, not the model"
        )
    return tuple(notes)
