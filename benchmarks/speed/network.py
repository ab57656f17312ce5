"""Forward pass and training step of the network, prints to logits, against its peers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from benchmarks.macs import count_macs
from benchmarks.speed.peers_network import TorchNetwork, onnx_session, to_torch, train_step_of
from benchmarks.speed.recordings import make_sessions
from benchmarks.speed.timing import Result, Timing, interleaved
from model.config import RunConfig
from model.drawing import draw_print
from model.network import Network, new_network
from pipeline.sessions.windows import cut_windows, pad_windows
from pipeline.storage.overlap import overlapped, usable_cores
from rasterize.motion import to_device

CONFIG = RunConfig()
BATCH, N_BATCHES = 64, 16
GEMM = 2048


def sizes_of(config: RunConfig) -> dict[str, object]:
    """Return the sizes of a run's network, as `TorchNetwork` takes them."""
    panels, network = config.panels, config.network
    return {
        "panels": len(panels.names),
        "cells": panels.cells,
        "widths": network.widths,
        "hidden": network.hidden,
        "dropout": network.dropout,
    }


def torch_twin(network: Network, config: RunConfig) -> TorchNetwork:
    """Return the same network in PyTorch."""
    twin = TorchNetwork(**sizes_of(config))

    def copied(values: jax.Array, *order: int) -> torch.Tensor:
        values = np.array(values)
        return torch.from_numpy(values.transpose(order).copy() if order else values)

    for one, other in zip(network.convs, twin.convs, strict=True):
        other.conv.weight.data = copied(one.kernel[...], 3, 2, 0, 1)
        other.norm.weight.data, other.norm.bias.data = copied(one.gain[...]), copied(one.bias[...])
        other.norm.running_mean.copy_(copied(one.mean[...]))
        other.norm.running_var.copy_(copied(one.variance[...]))
    twin.hidden.weight.data = copied(network.hidden[...], 1, 0)
    twin.hidden.bias.data = copied(network.hidden_bias[...])
    twin.head.weight.data = copied(network.head[...])[None]
    twin.head.bias.data = copied(network.bias[...])[None]
    twin.pixels.weight.data = copied(network.pixels[...]).reshape(1, -1)
    return twin.train(False)


def sample_prints(config: RunConfig = CONFIG) -> jax.Array:
    """Return a batch of prints."""
    sessions = make_sessions(BATCH)
    windows = cut_windows(sessions, config.window)
    points = pad_windows(sessions, windows, config.window.max_events)
    return draw_print(to_device(points), config.panels)


def measure_forward(repeats: int) -> Result:
    """Run the same weights over the same prints by every means."""
    network, images = new_network(CONFIG), sample_prints()
    graph, params = nnx.split(network)
    forward = jax.jit(lambda params, images: nnx.merge(graph, params)(images))

    def ours() -> list[np.ndarray]:
        batches = overlapped(
            lambda _: np.asarray(forward(params, images)), range(N_BATCHES), usable_cores()
        )
        return list(batches)

    twin, for_torch = torch_twin(network, CONFIG), to_torch(np.asarray(images))
    run_onnx, for_onnx = onnx_session(twin, for_torch), for_torch.contiguous().numpy()
    square = jnp.asarray(np.random.default_rng(0).random((GEMM, GEMM), np.float32))
    product = jax.jit(lambda a: a @ a)
    with torch.inference_mode():
        must_agree(np.asarray(forward(params, images)), twin(for_torch).numpy()[:, 0], "PyTorch")
        must_agree(np.asarray(forward(params, images)), run_onnx(for_onnx)[:, 0], "ONNX Runtime")
        timings = interleaved(
            {
                "ours": ours,
                "PyTorch, eager": lambda: [twin(for_torch) for _ in range(N_BATCHES)],
                "ONNX Runtime": lambda: [run_onnx(for_onnx) for _ in range(N_BATCHES)],
                "product": lambda: jax.block_until_ready(product(square)),
            },
            repeats,
        )
    macs = count_macs(CONFIG.panels, CONFIG.network, CONFIG.window.max_events).network
    peak = 2 * GEMM**3 / timings.pop("product").wall_s
    speed = 2 * macs * BATCH * N_BATCHES / timings["ours"].wall_s
    result = _compared("forward", "Forward pass, prints to logits", timings, N_BATCHES)
    result.notes.append(
        f"{macs / 1e6:.2f} MMAC a print. A product of two {GEMM} x {GEMM} matrices runs at "
        f"{peak / 1e9:.0f} GFLOP/s; ours at {speed / 1e9:.0f}: **{speed / peak:.2f} of it**."
    )
    return result


def measure_train_step(repeats: int) -> Result:
    """Take steps of AdamW on the same prints by every means, with dropout."""
    network, images = new_network(CONFIG), sample_prints()
    labels = (np.arange(BATCH) % 2).astype(np.float32)
    graph, params, statistics = nnx.split(network, nnx.Param, nnx.BatchStat)
    optimizer = optax.adamw(1e-3)

    @jax.jit
    def step(params: nnx.State, statistics: nnx.State, state: optax.OptState, key: jax.Array):
        key, dropout_key = jax.random.split(key)

        def loss(params: nnx.State) -> tuple[jax.Array, nnx.State]:
            # Rebuilt here, as `model.train` does: nnx changes no variables of a function outside.
            own = jax.tree.map(lambda kept: kept, statistics)
            merged = nnx.merge(graph, params, own)
            logits = merged(images, dropout_key)
            value = optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(labels)).mean()
            return value, nnx.state(merged, nnx.BatchStat)

        (value, kept), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), kept, state, key, value

    state = [params, statistics, optimizer.init(params), jax.random.key(0)]

    def our_step() -> None:
        *state[:], value = step(*state)
        jax.block_until_ready(value)

    their_step = train_step_of(
        torch_twin(network, CONFIG), to_torch(np.asarray(images)), torch.from_numpy(labels)
    )
    timings = interleaved({"ours": our_step, "PyTorch, eager": their_step}, repeats)
    return _compared("train", "Training step, prints to new weights", timings)


def must_agree(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Raise if the two networks are not the same one."""
    apart = float(np.abs(ours - theirs).max())
    if apart > 1e-3 * max(float(np.abs(ours).max()), 1.0):
        raise AssertionError(f"{name} gives other logits than ours: {apart} apart")


def _compared(name: str, title: str, timings: dict[str, Timing], n_batches: int = 1) -> Result:
    ours = timings["ours"].wall_s
    rows = [
        {
            "by": key,
            "prints/s": BATCH * n_batches / timing.wall_s,
            "cores busy": timing.cores,
            "ours / this": timing.wall_s / ours,
        }
        for key, timing in timings.items()
    ]
    return Result(name, title, rows)
