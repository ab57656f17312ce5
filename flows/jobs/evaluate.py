"""The evaluation job: scores and labels in, figures with intervals out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model.evaluate import Evaluation, evaluate
from pipeline.kinematics import KINEMATIC_FEATURES, session_features
from pipeline.labels import read_labels
from pipeline.places import filling, place
from pipeline.publish import write_json
from pipeline.published import read_scores
from pipeline.sessions import Sessions
from pipeline.store import load_sessions
from pipeline.windows import WindowConfig, cut_windows


def session_feature_frame(sessions: Sessions, window: WindowConfig) -> pd.DataFrame:
    """Return each session's kinematic features, by session id: the baseline beside the model."""
    windows = cut_windows(sessions, window)
    features = session_features(sessions, windows)
    frame = pd.DataFrame(features, index=sessions.session_id, columns=list(KINEMATIC_FEATURES))
    return frame.loc[np.isfinite(features).all(axis=1)]


def evaluate_scores(
    scores: Path, labels: Path, stores: Sequence[Path] = (), to: Path | None = None
) -> Evaluation:
    """Compare scores with labels; with `stores`, the best single feature stands beside each."""
    features = session_feature_frame(load_sessions(stores), WindowConfig()) if stores else None
    evaluation = evaluate(read_scores(scores), read_labels(labels), features)
    if to is not None:
        with filling(place(to)) as folder:
            write_json(evaluation.to_json(), folder / "evaluation.json")
            evaluation.write_plots(folder)
    return evaluation
