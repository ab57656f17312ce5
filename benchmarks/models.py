"""A model that nobody trained: for what it costs, not for what it says."""

from dataclasses import replace
from pathlib import Path

from model.calibrate import Calibration
from model.config import RunConfig
from model.fraud import FraudScorer
from model.network import new_network
from model.policy import Policy, Threshold
from model.run import TrainedModel, save_model
from pipeline.reasons.reference import fit_reference_ranges
from pipeline.replay.null_model import fit_null_model
from pipeline.sessions.sessions import Sessions


def untrained_run(
    folder: Path, config: RunConfig = RunConfig(), people: Sessions | None = None
) -> Path:
    """Write a RUN with the network as its seed makes it; it flags from a score of 0.9 on.

    With the sessions of `people` it knows their reference distribution, and what chance repeats.
    """
    threshold = Threshold(0.01, 0.9, 0.0, None, False, "made up")
    calibration = Calibration(1.0, 0.0, 0.5)
    policy = Policy(0.01, (threshold,), 1, 1)
    model = TrainedModel(config, FraudScorer(config, new_network(config)), calibration, policy)
    if people is not None:
        chance, usual = fit_null_model(people), fit_reference_ranges(people, people.session_id)
        model = replace(model, null_model=chance, reference_ranges=usual)
    save_model(model, folder)
    return folder
