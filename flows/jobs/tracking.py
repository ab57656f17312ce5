"""Track a trained model in MLflow: optional, where `mlflow_uri` is set."""

import json
import os
from typing import Any

from flows.jobs.retrain import Retrained
from pipeline.errors import ConfigError, WorkerError
from pipeline.storage.paths import StoragePath


def track(uri: str, found: Retrained) -> str:
    """Write settings, figures and card of a training to MLflow, and return the run's id.

    MLflow has a copy to look at; what scores is decided by the folder of models alone.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow  # pyright: ignore[reportMissingImports]
        from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "mlflow_uri", "MLflow is not installed", "pip install 'pointerprint[mlflow]'"
        ) from error
    try:
        return _write(mlflow.MlflowClient(tracking_uri=uri), found)
    except (MlflowException, ImportError, OSError) as error:
        raise WorkerError(
            uri, f"MLflow doesn't take it: {error}", "is mlflow_uri right?"
        ) from error


def _write(client: Any, found: Retrained) -> str:
    experiment = client.get_experiment_by_name("pointerprint")
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment("pointerprint")
    )
    run_id = client.create_run(experiment_id, run_name=found.model_id).info.run_id
    for name, value in _leaves(json.loads((found.run / "config.json").read_text())):
        client.log_param(run_id, name, str(value)[:500])
    for name, value in _figures(found.run).items():
        client.log_metric(run_id, name, value)
    tags = {"model_id": found.model_id, "is_champion": str(found.is_champion), "why": found.why}
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
    client.set_tag(run_id, "mlflow.note.content", (found.run / "MODEL_CARD.md").read_text()[:5000])
    client.set_terminated(run_id)
    return run_id


def _leaves(content: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for name, value in content.items():
        if isinstance(value, dict):
            leaves += _leaves(value, f"{prefix}{name}.")
        else:
            leaves.append((f"{prefix}{name}", value))
    return leaves


def _figures(run: StoragePath) -> dict[str, float]:
    """Return the numbers of a RUN that are worth a curve over trainings."""
    metrics = json.loads((run / "metrics.json").read_text())
    overall = metrics.get("overall") or {}
    named = {name: overall.get(name) for name in ("roc_auc", "pr_auc", "eer")}
    figures = {name: found["value"] for name, found in named.items() if found}
    if metrics.get("ece") is not None:
        figures["ece"] = metrics["ece"]
    path = run / "comparison.json"
    if path.is_file():
        figures["gain_over_champion"] = json.loads(path.read_text())["gain"]
    return {name: value for name, value in figures.items() if value == value}
