"""Features and labels in; out comes a score by the best single one, picked on other groups."""

from collections import Counter

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int8, Shaped

from pipeline.audit.folds import Folds
from pipeline.separability import rank_auc


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
        auc = rank_auc(features[known].astype(np.float32), labels[known])
        best = int(np.argmax(auc if high_is_fraud else np.maximum(auc, 1 - auc)))
        place = _place(features[scored, best], features[known, best], labels[known])
        score[scored] = place if auc[best] >= 0.5 or high_is_fraud else 1 - place
        picked[names[best]] += 1
    said = (f"{name} ({n} of {folds.n} folds)" for name, n in picked.most_common())
    return score, ", ".join(said)


def away_from_account(
    features: Float64[np.ndarray, "judged features"],
    account: Shaped[np.ndarray, " judged"],
    session_id: Shaped[np.ndarray, " judged"],
    reference: pd.DataFrame,
) -> Float64[np.ndarray, "judged features"]:
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
