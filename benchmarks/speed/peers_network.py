"""The same network in PyTorch and ONNX Runtime; and ResNet-18. Nothing of ours is imported."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class SameConv(nn.Module):
    """Our convolution: it halves the side, normalised over the batch and rectified."""

    def __init__(self, kernel: int, n_in: int, n_out: int, side: int):
        super().__init__()
        before, after = _same_padding(kernel, side)
        self.pad = nn.ZeroPad2d((before, after, before, after))
        self.conv = nn.Conv2d(n_in, n_out, kernel, 2, bias=False)
        self.norm = nn.BatchNorm2d(n_out, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        """Return the image at half the side."""
        return torch.relu(self.norm(self.conv(self.pad(x))))


def _same_padding(kernel: int, side: int) -> tuple[int, int]:
    """Return the padding that XLA calls "SAME", for a stride of 2."""
    total = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
    return total // 2, total - total // 2


class TorchNetwork(nn.Module):
    """Our network: prints (batch, panels, cells, cells) to logits (batch, 1)."""

    def __init__(self, panels: int, cells: int, widths: Sequence[int], hidden: int, dropout: float):
        super().__init__()
        layers, side, n_in = [], cells, panels
        for i, n_out in enumerate(widths):
            layers.append(SameConv(5 if i == 0 else 3, n_in, n_out, side))
            side, n_in = -(-side // 2), n_out
        self.convs = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(side * side * n_in, hidden)
        self.head = nn.Linear(hidden, 1)
        self.pixels = nn.Linear(cells * cells * panels, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = self.dropout(self.convs(images).permute(0, 2, 3, 1).flatten(1))
        x = self.dropout(torch.relu(self.hidden(x)))
        return self.head(x) + self.pixels(images.permute(0, 2, 3, 1).flatten(1))


def to_torch(images: np.ndarray) -> Tensor:
    """Return images as PyTorch's convolutions like them best on a CPU."""
    tensor = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)


def onnx_session(network: nn.Module, images: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Return `network` as ONNX Runtime runs it: prints (batch, panels, cells, cells) to logits."""
    import onnxruntime

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants that ONNX Runtime folds itself
        torch.onnx.export(
            network.train(False), (images.contiguous(),), file, input_names=["images"], dynamo=False
        )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"images": batch})[0]


class _Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out),
        )  # fmt: skip
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.skip = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet18() -> nn.Module:
    """Return ResNet-18 (He et al. 2016, table 1) with one logit, for images of 224 x 224 x 3."""
    stages: list[nn.Module] = []
    for n_in, n_out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        stages += [_Residual(n_in, n_out, stride), _Residual(n_out, n_out, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1),
    )  # fmt: skip


def train_step_of(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], Any]:
    """Return a function that takes one step of AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    network.train()

    def step() -> float:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(network(images)[:, 0], labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
