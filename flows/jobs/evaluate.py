"""The evaluation job: compare published scores with a file of labels."""

from collections.abc import Sequence

from model.evaluate import Evaluation, evaluate_scores
from pipeline.config import WindowConfig
from pipeline.features.kinematics import session_feature_frame
from pipeline.scores.partitions import read_scores
from pipeline.sessions.labels import read_labels
from pipeline.storage.paths import StoragePath, as_path, local_folder
from pipeline.storage.publish import write_json
from pipeline.storage.store import load_sessions


def evaluate(
    scores: StoragePath,
    labels: StoragePath,
    stores: Sequence[StoragePath] = (),
    to: StoragePath | None = None,
) -> Evaluation:
    """Compare scores with labels; with `stores`, the best single feature stands beside each."""
    features = session_feature_frame(load_sessions(stores), WindowConfig()) if stores else None
    evaluation = evaluate_scores(read_scores(scores), read_labels(labels), features)
    if to is not None:
        from model.plots import plot_evaluation  # matplotlib takes a second to import

        with local_folder(as_path(to)) as folder:
            write_json(evaluation.to_json(), folder / "evaluation.json")
            plot_evaluation(evaluation, folder)
    return evaluation
