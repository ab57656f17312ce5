"""A model that nobody trained: for what it costs, not for what it says."""

from pathlib import Path

from model.calibrate import Calibration
from model.config import RunConfig
from model.network import Network
from model.policy import Policy, Threshold
from model.run import TrainedModel, save_model


def untrained_run(folder: Path, config: RunConfig = RunConfig()) -> Path:
    """Write a RUN with the network as its seed makes it; it flags from a score of 0.9 on."""
    threshold = Threshold(0.01, 0.9, 0.0, None, False, "made up")
    calibration = Calibration(1.0, 0.0, 0.5)
    policy = Policy(0.01, (threshold,), 1, 1)
    save_model(TrainedModel(config, Network(config), calibration, policy), folder)
    return folder
