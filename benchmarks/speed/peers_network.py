"""The same network in PyTorch and ONNX Runtime; and ResNet-18. Nothing of ours is imported."""

import io
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
BRANCH_SCALE = 0.2


class TorchBlock(nn.Module):
    """Our residual block."""

    def __init__(self, features: int):
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return an image of the same shape."""
        y = self.first(torch.relu(x) * RELU_GAIN)
        return x + BRANCH_SCALE * self.second(torch.relu(y) * RELU_GAIN)


class TorchNetwork(nn.Module):
    """Our network that looks at pictures alone: images (batch, channels, size, size) to logits."""

    def __init__(self, channels: int, patch: int, widths: Sequence[int], blocks: int):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise((channels, *widths))):
            side = patch if i == 0 else 2
            layers.append(nn.Conv2d(n_in, n_out, side, side))
            layers += [TorchBlock(n_out) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = torch.relu(self.body(images)) * RELU_GAIN
        return self.head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))


def to_torch(images: np.ndarray) -> Tensor:
    """Return images as PyTorch's convolutions like them best on a CPU."""
    tensor = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)


def onnx_session(network: nn.Module, images: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Return `network` as ONNX Runtime runs it: images (batch, channels, size, size) to logits."""
    import onnxruntime

    file = io.BytesIO()
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
        loss = nn.functional.binary_cross_entropy_with_logits(network(images)[:, 0], labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
