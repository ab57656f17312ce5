"""Take the recordings in sample_data/ the whole way: store, pictures, model, scores, report."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from flows.jobs.draw import DrawJob, draw_paths, draw_prints
from flows.jobs.inputs import IngestJob, ingest, label_by_session, today
from flows.jobs.progress import finish
from flows.jobs.report import ReportJob, report
from flows.jobs.score import ScoreJob, score
from flows.jobs.train import TrainJob, train
from model.config import AugmentConfig, RunConfig, SimulateConfig, TrainConfig
from model.text import evaluation_text
from model.train import Epoch
from pipeline.errors import NotFoundError
from pipeline.storage.paths import require_local
from rasterize.canvas import Canvas

# The recordings are short hops on one person's screen: a finer canvas, and few steps.
DEMO_CONFIG = RunConfig(
    canvas=Canvas(cell_px=8.0),
    simulate=SimulateConfig(per_session=6),
    train=TrainConfig(epochs=10, steps_per_epoch=50),
    augment=AugmentConfig(throttled_share=0.25),
)

N_CASES = 200  # of the report: a few seconds


def demo(sample_data: Path, to: Path, progress: Callable[[Epoch], None]) -> str:
    """Ingest, draw, train, score and report on what lies in `sample_data`; return it as text."""
    require_local(to, "demo")
    if not (sample_data / "labels.csv").is_file():
        raise NotFoundError(sample_data, "no sample data here", "run the demo in a checkout")
    store, run, scores = to / "store", to / "run", to / "scores"
    labels = sample_data / "labels.csv"
    finish(ingest(IngestJob((sample_data / "logs",), store, today(), labels=labels)))
    canvas = replace(DEMO_CONFIG.canvas, placement="box")
    picture = draw_paths(DrawJob(store, to / "sessions.png", canvas=canvas))
    job = TrainJob((store,), run, DEMO_CONFIG, simulate=True, force=True)
    evaluation = finish(train(job), progress)
    partition = require_local(finish(score(ScoreJob([store], run, scores, today()))), "scores")
    compared = person_and_bot(partition, label_by_session(labels))
    prints = draw_prints(DrawJob(store, to / "prints.png", compared, model=run))
    (page,) = finish(report(ReportJob(scores, to / "report.html", limit=N_CASES)))
    return "\n".join(
        [
            "On recordings held out, and synthetic sessions by generators held out:",
            evaluation_text(evaluation),
            f"\nHighest scores:\n{_highest_scores(partition)}",
            f"\npaths     {picture}\nprints    {prints}\nmodel     {run}/MODEL_CARD.md",
            f"scores    {partition}",
            f"report    {page}",
        ]
    )


def person_and_bot(partition: Path, labels: Mapping[str, int]) -> tuple[str, str]:
    """Return the legitimate session with the lowest score, and the fraud with the highest."""
    import pandas as pd

    rows = pd.read_parquet(partition, columns=["session_id", "fraud_score"]).dropna()
    name, score = rows["session_id"].to_numpy(str), rows["fraud_score"].to_numpy(np.float64)
    label = np.array([labels[one] for one in name])
    lowest = np.where(label == 0, score, np.inf).argmin()
    highest = np.where(label == 1, score, -np.inf).argmax()
    return str(name[lowest]), str(name[highest])


def _highest_scores(partition: Path, n: int = 8) -> str:
    """Return the highest scores of a partition as a table for a terminal."""
    import pandas as pd

    columns = ["session_id", "fraud_score", "band", "is_flagged", "n_events", "reasons"]
    rows = pd.read_parquet(partition, columns=columns).sort_values("fraud_score", ascending=False)
    rows["reasons"] = [", ".join(codes) or "-" for codes in rows["reasons"]]
    return rows.head(n).to_string(index=False, float_format="%.4f")
