"""Features and labels in; out comes a score by the best single one, picked on other groups."""

from collections import Counter

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64, Int8, Shaped
from scipy.stats import rankdata

from pipeline.errors import DataError
from pipeline.features.kinematics import KINEMATIC_FEATURES
from pipeline.splits.folds import Folds


def rank_auc(
    features: Float32[np.ndarray, "rows features"], labels: Int8[np.ndarray, " rows"]
) -> Float64[np.ndarray, " features"]:
    """Return how often a row of label 1 is higher than one of label 0; ties count half.

    That is the area under the ROC curve (Hanley and McNeil 1982, Radiology 143(1)). Rows
    of other labels are left out.
    """
    is_fraud, is_legitimate = labels == 1, labels == 0
    n_fraud, n_legitimate = int(is_fraud.sum()), int(is_legitimate.sum())
    if not n_fraud or not n_legitimate:
        raise DataError(
            "features",
            f"{n_fraud} rows of label 1 and {n_legitimate} of label 0",
            "an AUC needs both",
        )
    is_labelled = is_fraud | is_legitimate
    # In float64: newer SciPy ranks float32 in float32, which counts exactly to 16 million only.
    ranks = rankdata(features[is_labelled].astype(np.float64), axis=0)
    rank_sum = ranks[is_fraud[is_labelled]].sum(axis=0)
    return (rank_sum - n_fraud * (n_fraud + 1) / 2) / (n_fraud * n_legitimate)


def best_single_feature(
    features: Float32[np.ndarray, "rows features"],
    labels: Int8[np.ndarray, " rows"],
    among: tuple[str, ...] = KINEMATIC_FEATURES,
) -> tuple[str, float]:
    """Return which feature tells the labels apart best by itself, and its AUC.

    `features` has a column for each of `KINEMATIC_FEATURES`; only those named in `among`
    are looked at. High or low may mean fraud, so the AUC is at least 0.5. A model has to
    beat this to be worth its trouble.
    """
    columns = [KINEMATIC_FEATURES.index(name) for name in among]
    auc = rank_auc(features[:, columns], labels)
    either_way = np.maximum(auc, 1 - auc)
    best = int(np.argmax(either_way))
    return among[best], float(either_way[best])


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
