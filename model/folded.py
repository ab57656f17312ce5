"""The convolutions of a trained network as a CPU scores with them.

What is the same for all windows is done once: weights are standardised, the block's factors
multiplied into them, and those of 3x3 convolutions brought to the form in which Winograd's
algorithm multiplies them. Logits stay the same, up to the rounding of 32-bit sums.
"""

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from model import winograd
from model.cnn import BRANCH_SCALE, CNN, RELU_GAIN, Block, Conv, features_of, standardised

SMALLEST_SIDE = 3  # of an image for Winograd: a smaller one fills too little of a tile


class FixedConv(nnx.Module):
    """A convolution whose weights are standardised already.

    In `layouts`, of what comes in and what comes out, N is the batch, HW the cells, C the features.
    """

    def __init__(
        self,
        conv: Conv,
        before: float = 1.0,
        after: float = 1.0,
        layouts: tuple[str, str] = ("NHWC", "NHWC"),
    ):
        """Multiply what comes in by `before`, and what comes out by `after`."""
        self.stride = conv.stride
        self.layouts = layouts
        weights = standardised(np.asarray(conv.kernel[...]), np.asarray(conv.gain[...]))
        self.weights = nnx.Param(jax.device_put(weights * np.float32(before * after)))
        self.bias = nnx.Param(jax.device_put(np.asarray(conv.bias[...]) * np.float32(after)))

    def __call__(self, x: Float[Array, "_ _ _ _"]) -> Float[Array, "_ _ _ _"]:
        """Convolve, with zeros around the image."""
        before, after = self.layouts
        y = jax.lax.conv_general_dilated(
            x, self.weights[...], self.stride, "SAME", dimension_numbers=(before, "HWIO", after)
        )
        return y + self.bias[...][None, None, None, :]


class TiledConv(nnx.Module):
    """A 3x3 convolution by Winograd's algorithm, over images whose cells come first."""

    def __init__(self, conv: FixedConv):
        at_points = winograd.weights_at_points(np.asarray(conv.weights[...]))
        self.at_points = nnx.Param(jax.device_put(at_points))
        self.bias = conv.bias

    def __call__(
        self, x: Float[Array, "height width batch features_in"]
    ) -> Float[Array, "height width batch features_out"]:
        """Convolve, with zeros around the image."""
        y = winograd.convolve(x, self.at_points[...])
        return y + self.bias[...][None, None, None, :]


class FoldedBlock(nnx.Module):
    """A residual block over images whose cells come first."""

    def __init__(self, block: Block, side: int):
        layouts = ("HWNC", "HWNC")
        first = FixedConv(block.first, RELU_GAIN, layouts=layouts)
        second = FixedConv(block.second, RELU_GAIN, BRANCH_SCALE, layouts)
        is_tiled = side >= SMALLEST_SIDE
        self.first = TiledConv(first) if is_tiled else first
        self.second = TiledConv(second) if is_tiled else second

    def __call__(
        self, x: Float[Array, "side side batch features"]
    ) -> Float[Array, "side side batch features"]:
        """Return an image of the same shape."""
        return x + self.second(jax.nn.relu(self.first(jax.nn.relu(x))))


class FoldedCNN(nnx.Module):
    """Images to features, as `CNN`: its first layer turns them, so that cells come first."""

    def __init__(self, cnn: CNN, size: int):
        entries, stages, side = [], [], size
        for entry, blocks in zip(cnn.entries, cnn.stages, strict=True):
            layout = "HWNC" if entries else "NHWC"
            entries.append(FixedConv(entry, layouts=(layout, "HWNC")))
            side //= entry.stride[0]
            stages.append(nnx.List([FoldedBlock(block, side) for block in blocks]))
        self.entries, self.stages = nnx.List(entries), nnx.List(stages)

    def __call__(
        self, images: Float[Array, "batch side side channels"]
    ) -> Float[Array, "batch features"]:
        """Return what the last stage saw, on average and at most over the image."""
        return features_of(images, self.entries, self.stages, cells=(0, 1))
