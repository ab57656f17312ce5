"""Rank sessions by single features: their AUC, and a score by the best of them."""

from collections import Counter

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int, Int8, Real, Shaped

from pipeline.errors import DataError
from pipeline.splits.assign import Folds


def roc_auc(scores: Real[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"]) -> float:
    """Return how often a row of label 1 has a higher score than one of label 0; ties count half.

    That is the area under the ROC curve (Hanley and McNeil 1982, Radiology 143(1)).
    """
    from sklearn.metrics import roc_auc_score  # a second that scoring need not wait for

    check_ranking(scores, labels)
    return float(roc_auc_score(labels, scores))


def check_ranking(scores: Real[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"]) -> None:
    """Raise `DataError` unless scores are finite and there are labels of both kinds."""
    if n_broken := int((~np.isfinite(scores)).sum()):
        raise DataError("metrics", f"{n_broken} of {len(scores)} scores are not finite")
    n_fraud = int(np.count_nonzero(labels))
    if n_fraud in (0, len(labels)):
        raise DataError(
            "metrics",
            f"all {len(labels)} sessions are {'fraud' if n_fraud else 'legitimate'}",
            "a ranking is measured on sessions of both kinds",
        )


def feature_aucs(
    features: Float[np.ndarray, "rows features"], labels: Int8[np.ndarray, " rows"]
) -> Float64[np.ndarray, " features"]:
    """Return the AUC of each feature. Rows of other labels than 0 and 1 are left out."""
    is_labelled = (labels == 0) | (labels == 1)
    labels = labels[is_labelled]
    return np.array([roc_auc(column[is_labelled], labels) for column in features.T], np.float64)


def best_feature(
    features: Float64[np.ndarray, "sessions features"],
    names: tuple[str, ...],
    labels: Int8[np.ndarray, " sessions"],
    folds: Folds,
    high_is_fraud: bool = False,
) -> tuple[Float64[np.ndarray, " sessions"], str]:
    """Return a score a session, and which features it is made of.

    In every fold the feature that ranks the other groups best is taken, and the session's
    score is its place among them (0 to 1): so folds with different features compare. With
    `high_is_fraud` only features that are higher for frauds count. A session that lacks a
    feature stands in the middle.
    """
    middle = np.nanmedian(features, axis=0)
    features = np.where(np.isfinite(features), features, middle)
    score, picked = np.full(len(features), np.nan), Counter()
    for fold in range(folds.n):
        scored, known = folds.scored(fold), folds.learnt_from(fold)
        auc = feature_aucs(features[known], labels[known])
        best = int(np.argmax(auc if high_is_fraud else np.maximum(auc, 1 - auc)))
        place = _place(features[scored, best], features[known, best], labels[known])
        score[scored] = place if auc[best] >= 0.5 or high_is_fraud else 1 - place
        picked[names[best]] += 1
    counted = (f"{name} ({n} of {folds.n} folds)" for name, n in picked.most_common())
    return score, ", ".join(counted)


def away_from_account(
    features: Float64[np.ndarray, "sessions features"],
    account: Shaped[np.ndarray, " sessions"],
    session_id: Shaped[np.ndarray, " sessions"],
    reference: pd.DataFrame,
) -> Float64[np.ndarray, "sessions features"]:
    """Return how far each feature is from the mean of the account's references.

    `reference` has the references' features by `account_id` and `session_id`; a session is
    no reference of itself.
    """
    by_account = reference.groupby(level="account_id")
    total = by_account.sum().reindex(account).to_numpy(np.float64)
    count = by_account.count().reindex(account).to_numpy(np.float64)
    itself = reference.reindex(pd.MultiIndex.from_arrays([account, session_id])).to_numpy()
    is_one = np.isfinite(itself)
    total, count = total - np.where(is_one, itself, 0), count - is_one
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return np.abs(features - mean)


def _place(
    values: Float64[np.ndarray, " values"],
    known: Float64[np.ndarray, " known"],
    labels: Int8[np.ndarray, " known"],
) -> Float64[np.ndarray, " values"]:
    """Return the share of the known that is lower, ties half; both classes weigh alike."""
    shares = []
    for label in (0, 1):
        of_class = np.sort(known[labels == label])
        lower = np.searchsorted(of_class, values) + np.searchsorted(of_class, values, "right")
        shares.append(lower / (2 * len(of_class)))
    return (shares[0] + shares[1]) / 2
