"""Features and labels in, one number out: how well the best of them does by itself."""

import numpy as np
from jaxtyping import Float32, Float64, Int8
from scipy.stats import rankdata

from pipeline.errors import DataError
from pipeline.kinematics import KINEMATIC_FEATURES


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
