"""Forward pass and training step of the network that looks at pictures, against its peers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from benchmarks.speed.peers_network import (
    TorchNetwork,
    onnx_session,
    resnet18,
    to_torch,
    train_step_of,
)
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, Timing, interleaved
from model.cnn import count_macs
from model.config import CNNConfig, HabitsConfig, RunConfig, TraceConfig
from model.folded import SMALLEST_SIDE
from model.network import Network, folded, side_by_side
from model.winograd import N_POINTS, TILE
from pipeline.windows import cut_windows, pad_windows
from rasterize.draw import draw, to_device

PICTURE = RunConfig(trace=TraceConfig(widths=()), habits=HabitsConfig(width=0))
BATCH, N_BATCHES = 64, 16
GEMM = 2048
RESNET_BATCH = 16


def untrained(config: RunConfig, seed: int = 0) -> Network:
    """Return a network whose head isn't all zero, as one that was trained."""
    network = Network(config)
    head = np.random.default_rng(seed).normal(0, 0.05, network.head[...].shape)
    network.head[...] = jnp.asarray(head, jnp.float32)
    return network


def torch_twin(network: Network) -> TorchNetwork:
    """Return the same network in PyTorch, its weights standardised once and for all."""
    cnn, config = network.cnn, PICTURE.cnn
    assert cnn is not None
    channels = cnn.entries[0].kernel[...].shape[2]
    twin = TorchNetwork(channels, config.patch, config.widths, config.blocks)
    ours = [
        conv
        for entry, blocks in zip(cnn.entries, cnn.stages, strict=True)
        for conv in (entry, *(part for block in blocks for part in (block.first, block.second)))
    ]
    theirs = [module for module in twin.body.modules() if isinstance(module, torch.nn.Conv2d)]
    for one, other in zip(ours, theirs, strict=True):
        other.weight.data = torch.from_numpy(np.array(one.weights()).transpose(3, 2, 0, 1).copy())
        assert other.bias is not None
        other.bias.data = torch.from_numpy(np.array(one.bias[...]))
    twin.head.weight.data = torch.from_numpy(np.array(network.head[...]).T.copy())
    twin.head.bias.data = torch.from_numpy(np.array(network.bias[...]))
    return twin


def sample_images() -> jax.Array:
    """Return a batch of pictures as the default canvas draws them."""
    sessions = make_sessions(BATCH)
    windows = cut_windows(sessions, PICTURE.window)
    return draw(to_device(pad_windows(sessions, windows, 200)), PICTURE.canvas)


def measure_forward(repeats: int) -> Result:
    """Run the same weights over the same images by every means."""
    network, images = untrained(PICTURE), sample_images()
    graph, params = nnx.split(folded(network))

    @jax.jit
    def forward(params: nnx.State, images: jax.Array) -> jax.Array:
        ours = nnx.merge(graph, params)
        assert ours.cnn is not None
        return ours.cnn(images) @ ours.head[...] + ours.bias[...][None, :]

    twin, for_torch = torch_twin(network).train(False), to_torch(np.asarray(images))
    run_onnx, for_onnx = onnx_session(twin, for_torch), for_torch.contiguous().numpy()
    theirs, large = resnet18().train(False), torch.rand(RESNET_BATCH, 3, 224, 224)
    large = large.contiguous(memory_format=torch.channels_last)
    square = jnp.asarray(np.random.default_rng(0).random((GEMM, GEMM), np.float32))
    product = jax.jit(lambda a: a @ a)
    with torch.inference_mode():
        _must_agree(np.asarray(forward(params, images)), twin(for_torch).numpy(), "PyTorch")
        _must_agree(np.asarray(forward(params, images)), run_onnx(for_onnx), "ONNX Runtime")
        timings = interleaved(
            {
                "ours": lambda: list(
                    side_by_side(lambda _: np.asarray(forward(params, images)), range(N_BATCHES))
                ),
                "PyTorch, eager": lambda: [twin(for_torch) for _ in range(N_BATCHES)],
                "ONNX Runtime": lambda: [run_onnx(for_onnx) for _ in range(N_BATCHES)],
                "ResNet-18, 224 x 224, PyTorch": lambda: theirs(large),
                "product": lambda: jax.block_until_ready(product(square)),
            },
            repeats,
        )
    macs = count_macs(PICTURE.cnn, PICTURE.canvas.size, len(PICTURE.canvas.channels))
    peak = 2 * GEMM**3 / timings.pop("product").wall_s
    result = _compared("forward", "Forward pass, images to logits", timings)
    speed = 2 * macs * BATCH * N_BATCHES / timings["ours"].wall_s
    done = macs_done(PICTURE.cnn, PICTURE.canvas.size, len(PICTURE.canvas.channels))
    rate, rate_done = speed / 1e9, speed * done / macs / 1e9
    result.notes.append(
        f"{macs / 1e6:.1f} MMAC an image as convolutions are defined, {done / 1e6:.1f} as "
        f"Winograd's algorithm does them (additions not counted). A product of two "
        f"{GEMM} x {GEMM} matrices runs at {peak / 1e9:.0f} GFLOP/s; ours, by the former count, at "
        f"{rate:.0f}: **{speed / peak:.2f} of it**; by the latter, at {rate_done:.0f}: "
        f"**{speed * done / macs / peak:.2f}**."
    )
    return result


def macs_done(config: CNNConfig, size: int, channels: int) -> int:
    """Return the multiply-accumulates that are left of `count_macs`, without additions."""
    saved, side = 0, size
    for i, width in enumerate(config.widths):
        side //= config.patch if i == 0 else 2
        if side >= SMALLEST_SIDE:
            tiles = math.ceil(side / TILE) ** 2
            saved += config.blocks * 2 * (9 * side * side - N_POINTS**2 * tiles) * width * width
    return count_macs(config, size, channels) - saved


def measure_train_step(repeats: int) -> Result:
    """Take steps of AdamW on the same images by every means."""
    network, images = untrained(PICTURE), sample_images()
    labels = np.arange(BATCH) % 2
    graph, params = nnx.split(network)
    optimizer = optax.adamw(1e-3)

    def loss(params: nnx.State) -> jax.Array:
        ours = nnx.merge(graph, params)
        assert ours.cnn is not None
        logits = (ours.cnn(images) @ ours.head[...] + ours.bias[...][None, :])[:, 0]
        return optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(labels, jnp.float32)).mean()

    @jax.jit
    def step(params: nnx.State, state: optax.OptState):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    ours = [params, optimizer.init(params)]

    def our_step() -> None:
        ours[0], ours[1], value = step(*ours)
        jax.block_until_ready(value)

    torch_labels = torch.from_numpy(labels.astype(np.float32))
    large = torch.rand(RESNET_BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    timings = interleaved(
        {
            "ours": our_step,
            "PyTorch, eager": train_step_of(
                torch_twin(network), to_torch(np.asarray(images)), torch_labels
            ),
            "ResNet-18, 224 x 224, PyTorch": train_step_of(
                resnet18(), large, torch_labels[:RESNET_BATCH]
            ),
        },
        repeats,
    )
    return _compared("train", "Training step, images to new weights", timings, n_batches=1)


def _must_agree(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Raise if the two networks are not the same one."""
    apart = float(np.abs(ours - theirs).max())
    if apart > 1e-3 * max(float(np.abs(ours).max()), 1.0):
        raise AssertionError(f"{name} gives other logits than ours: {apart} apart")


def _compared(
    name: str, title: str, timings: dict[str, Timing], n_batches: int = N_BATCHES
) -> Result:
    rows = []
    n_images = {key: RESNET_BATCH if "ResNet" in key else BATCH * n_batches for key in timings}
    ours = n_images["ours"] / timings["ours"].wall_s
    for key, timing in timings.items():
        rate = n_images[key] / timing.wall_s
        rows.append(
            {"by": key, "images/s": rate, "cores busy": timing.cores, "ours / this": ours / rate}
        )
    return Result(name, title, rows)
