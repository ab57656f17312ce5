"""The pipeline that a user would write first: a log of events to a Parquet of scores.

pandas groups the events, NumPy's histograms draw each session's print (for ResNet-18 Pillow draws a
picture of its path), a PyTorch DataLoader makes batches, the network runs eagerly, pandas writes
the table. It does less than ours: events are taken as they come, and neither reasons nor replays
are looked for. It runs in a process of its own that JAX is not in: a DataLoader's workers are
forks, which JAX's threads don't survive.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed import peers_draw
from benchmarks.speed.peers_network import TorchNetwork, resnet18
from benchmarks.speed.peers_print import naive_print
from rasterize.panels import find_panels

BATCH = 64
RESNET_SIDE = 224

Draw = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Images(Dataset):
    """One image a session."""

    def __init__(self, paths: list[tuple[np.ndarray, np.ndarray, np.ndarray]], draw: Draw):
        self.paths, self.draw = paths, draw

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Draw session `i`: channels, height, width."""
        return torch.from_numpy(self.draw(*self.paths[i])).permute(2, 0, 1)


def draw_picture(t_ms: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a picture of the path, 0 to 1."""
    picture = peers_draw.pillow_as_a_user_writes_it(t_ms, x, y, RESNET_SIDE)
    return picture.astype(np.float32) / 255


def score_naively(log: Path, network: nn.Module, draw: Draw, to: Path, n_workers: int) -> int:
    """Score every session of `log`; give how many there are."""
    read = pd.read_csv if log.suffix == ".csv" else pd.read_parquet
    events = read(log)
    ids, paths = [], []
    for session_id, of_session in events.groupby("session_id"):
        ids.append(session_id)
        columns = (of_session[name].to_numpy(np.float32) for name in ("t_ms", "x", "y"))
        paths.append(tuple(columns))
    loader = DataLoader(Images(paths, draw), BATCH, num_workers=n_workers)
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

    def __init__(self, panels: tuple[str, ...], sizes: dict[str, Any]):
        """Take the panels of the print and the sizes of `TorchNetwork`; no panels is ResNet-18."""
        command = [sys.executable, "-m", "benchmarks.speed.peers_job", json.dumps([panels, sizes])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, log: Path, to: Path, n_workers: int = 0) -> int:
        """Score `log` and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(log), str(to), n_workers]), file=self.process.stdin, flush=True)
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
    names, sizes = json.loads(sys.argv[1])
    if names:
        panels, cells = find_panels(tuple(names)), sizes["cells"]
        network, draw = TorchNetwork(**sizes), lambda *path: naive_print(*path, panels, cells)
    else:
        network, draw = resnet18(), draw_picture
    network.train(False)
    for line in sys.stdin:
        log, to, n_workers = json.loads(line)
        print(score_naively(Path(log), network, draw, Path(to), n_workers), flush=True)


if __name__ == "__main__":
    main()
