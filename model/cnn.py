"""Images in, features out: the convolutional network.

Its arithmetic is nine tenths of a scoring job, so it is built of what a CPU multiplies
fastest: a stem of patches that don't overlap, then 3x3 convolutions of 64 channels
and more. Weights are standardised instead of activations (Qiao et al. 2019,
arXiv:1903.10520; scaled as in Brock et al. 2021, arXiv:2101.08692, section 4): no session's
score can depend on its neighbours in the batch, and scoring pays nothing for it.
"""

import math
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from model.config import CNNConfig

RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))  # keeps the variance of a rectified unit normal at 1
BRANCH_SCALE = 0.2  # how much of a new branch a block adds (NFNets, section 3)


Kernel = TypeVar("Kernel", Array, np.ndarray)


def standardised(kernel: Kernel, gain: Kernel) -> Kernel:
    """Return weights of mean 0 and variance gain^2/fan-in for each output, in NumPy or JAX.

    Means are products with a row of equal shares: in a compiled training step XLA takes several
    times as long for sums over the leading axes.
    """
    rows = kernel.reshape(-1, kernel.shape[-1])
    fan_in = len(rows)
    shares = np.full((1, fan_in), 1 / fan_in, np.float32)
    rows = rows - shares @ rows
    scale = gain[None, :] * (shares @ rows**2 * fan_in + 1e-6) ** -0.5
    return (rows * scale).reshape(kernel.shape)


class Conv(nnx.Module):
    """A convolution whose weights have mean 0 and variance 1/fan-in for each output."""

    def __init__(
        self,
        kernel: tuple[int, int],
        features_in: int,
        features_out: int,
        *,
        stride: tuple[int, int] = (1, 1),
        rng: np.random.Generator,
    ):
        self.stride = stride
        shape = (*kernel, features_in, features_out)
        # Made in NumPy: nnx's own initialisers are compiled one by one, 12 s for a network.
        self.kernel = nnx.Param(rng.standard_normal(shape, np.float32))
        self.gain = nnx.Param(np.ones(features_out, np.float32))
        self.bias = nnx.Param(np.zeros(features_out, np.float32))

    def weights(self) -> Float[Array, "kernel_height kernel_width features_in features_out"]:
        """Return the standardised weights."""
        return standardised(jnp.asarray(self.kernel[...]), jnp.asarray(self.gain[...]))

    def __call__(
        self, x: Float[Array, "batch height width features_in"]
    ) -> Float[Array, "batch height_out width_out features_out"]:
        """Convolve; a square kernel as large as its stride is one matrix product over patches.

        A strided convolution is faster forwards (model/folded.py), but in a training step its
        gradient leaves a core idle more often.
        """
        weights = self.weights().astype(x.dtype)
        bias = self.bias[...].astype(x.dtype)[None, None, None, :]
        if weights.shape[:2] == self.stride and self.stride[0] == self.stride[1]:
            return _patches(x, self.stride[0]) @ weights.reshape(-1, weights.shape[-1]) + bias
        y = jax.lax.conv_general_dilated(
            x, weights, self.stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + bias


def _patches(
    x: Float[Array, "batch side_in side_in features_in"], side: int
) -> Float[Array, "batch side_out side_out patch_values"]:
    """Cut an image in squares of `side` cells, each one row of values."""
    if side == 1:
        return x
    batch, height, width, features = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, features)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


def features_of(
    x: Float[Array, "batch side side channels"],
    entries: nnx.List,
    stages: nnx.List,
    cells: tuple[int, int],
) -> Float[Array, "batch features"]:
    """Return what the last stage sees of images, on average and at most over them.

    `cells` are the axes along which an image lies once the first entry has seen it.
    """
    for entry, blocks in zip(entries, stages, strict=True):
        x = entry(x)
        for block in blocks:
            x = block(x)
    x = scaled_relu(x).astype(jnp.float32)
    return jnp.concatenate([x.mean(axis=cells), x.max(axis=cells)], axis=-1)


def scaled_relu(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Rectify, and keep a unit normal's variance at 1."""
    return jax.nn.relu(x) * RELU_GAIN


class Block(nnx.Module):
    """A residual block: two 3x3 convolutions added to what came in."""

    def __init__(self, features: int, *, rng: np.random.Generator):
        self.first = Conv((3, 3), features, features, rng=rng)
        self.second = Conv((3, 3), features, features, rng=rng)

    def __call__(
        self, x: Float[Array, "batch side side features"]
    ) -> Float[Array, "batch side side features"]:
        """Return an image of the same shape."""
        return x + BRANCH_SCALE * self.second(scaled_relu(self.first(scaled_relu(x))))


class CNN(nnx.Module):
    """Images to features: a stem over patches, then stages of blocks, then mean and maximum."""

    def __init__(self, config: CNNConfig, channels: int, *, rng: np.random.Generator):
        features_in = (channels, *config.widths[:-1])
        sides = (config.patch, *[2] * (len(config.widths) - 1))
        self.entries = nnx.List(
            [
                Conv((side, side), n_in, n_out, stride=(side, side), rng=rng)
                for side, n_in, n_out in zip(sides, features_in, config.widths, strict=True)
            ]
        )
        self.stages = nnx.List(
            [
                nnx.List([Block(width, rng=rng) for _ in range(config.blocks)])
                for width in config.widths
            ]
        )

    def __call__(
        self, images: Float[Array, "batch side side channels"]
    ) -> Float[Array, "batch features"]:
        """Return what the last stage saw, on average and at most over the image."""
        return features_of(images, self.entries, self.stages, cells=(1, 2))


def count_macs(config: CNNConfig, size: int, channels: int) -> int:
    """Return the multiply-accumulates of one image on its way through the network."""
    side, features, macs = size, channels, 0
    for i, width in enumerate(config.widths):
        kernel = config.patch if i == 0 else 2
        side //= kernel
        macs += side * side * kernel * kernel * features * width
        macs += config.blocks * 2 * side * side * 9 * width * width
        features = width
    return macs
