"""The pipeline that a user would write first: a log of events to a Parquet of scores.

pandas groups the events, Pillow draws each session line by line, a PyTorch DataLoader makes
batches, the network runs eagerly, pandas writes the table. It runs in a process of its own that
JAX is not in: a DataLoader's workers are forks, which JAX's threads don't survive.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed import peers_draw
from benchmarks.speed.peers_network import TorchNetwork, resnet18

BATCH = 64


class Pictures(Dataset):
    """One picture a session."""

    def __init__(self, paths: list[tuple[np.ndarray, ...]], size: int):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Draw session `i`: channels, height, width."""
        image = peers_draw.pillow_as_a_user_writes_it(*self.paths[i], size=self.size)
        return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


def score_naively(log: Path, network: nn.Module, to: Path, size: int, n_workers: int) -> int:
    """Score every session of `log`; give how many there are."""
    read = pd.read_csv if log.suffix == ".csv" else pd.read_parquet
    events = read(log)
    ids, paths = [], []
    for session_id, of_session in events.groupby("session_id"):
        ids.append(session_id)
        paths.append(tuple(of_session[name].to_numpy() for name in ("t_ms", "x", "y")))
    loader = DataLoader(Pictures(paths, size), BATCH, num_workers=n_workers)
    scores = []
    with torch.inference_mode():
        for images in loader:
            images = images.contiguous(memory_format=torch.channels_last)
            scores.append(torch.sigmoid(network(images)[:, 0]).numpy())
    table = pd.DataFrame({"session_id": ids, "fraud_score": np.concatenate(scores)})
    table.to_parquet(to)
    return len(table)


class NaiveProcess:
    """The naive pipeline, started and warm; call it as often as wanted."""

    def __init__(self, network: dict[str, Any] | None):
        """Take the sizes of `TorchNetwork`; None is ResNet-18."""
        command = [sys.executable, "-m", "benchmarks.speed.peers_job", json.dumps(network)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, log: Path, to: Path, size: int, n_workers: int) -> int:
        """Score `log` and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(log), str(to), size, n_workers]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the naive pipeline ended: its error stands above")
        return int(answer)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def main() -> None:
    """Answer each line of input, a call of `score_naively`, with the number of sessions."""
    sizes = json.loads(sys.argv[1])
    network = resnet18() if sizes is None else TorchNetwork(**sizes)
    network.train(False)
    for line in sys.stdin:
        log, to, size, n_workers = json.loads(line)
        print(score_naively(Path(log), network, Path(to), size, n_workers), flush=True)


if __name__ == "__main__":
    main()
