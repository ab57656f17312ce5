"""A 3x3 convolution with a quarter of the multiplications: Winograd's algorithm, F(4x4, 3x3).

Lavin and Gray 2016 (arXiv:1509.09308). An image is cut in tiles of 6x6 cells, each 4 further on
than the one before. Sums of a tile's rows and columns carry it to 36 points at which to convolve
is to multiply: 36 products give 4x4 cells of the result, where the plain form takes 144. What is
left are 36 matrix products and a few additions; the latter are why images lie with their cells
first here, so that all they add are whole planes. For scoring alone: a gradient through it takes
as long as one through the plain form.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

TILE = 4
# From polynomials through 0, 1, -1, 1/2, -2 and infinity: errors are a third of those with 2 and
# -2, the points that are commonly taken. Rows are points.
_CELLS_TO_POINTS = np.array(
    [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ]
)
_WEIGHTS_TO_POINTS = np.array(
    [[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]]
) / 15  # fmt: skip
_POINTS_TO_CELLS = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 0.5, -2, 0],
        [0, 1, 1, 0.25, 4, 0],
        [0, 1, -1, 0.125, -8, 1],
    ]
)
N_POINTS = len(_CELLS_TO_POINTS)


def weights_at_points(
    weights: Float[np.ndarray, "3 3 features_in features_out"],
) -> Float32[np.ndarray, "36 features_in features_out"]:
    """Return what `convolve` multiplies by, instead of the weights; found once a network."""
    both = np.kron(_WEIGHTS_TO_POINTS, _WEIGHTS_TO_POINTS)
    at_points = both @ weights.reshape(9, -1).astype(np.float64)
    return at_points.reshape(-1, *weights.shape[2:]).astype(np.float32)


@jax.jit  # traced once for all convolutions of a size
def convolve(
    x: Float[Array, "height width batch features_in"],
    at_points: Float[Array, "36 features_in features_out"],
) -> Float[Array, "height width batch features_out"]:
    """Convolve with zeros around the image, which keeps its size."""
    height, width, batch, _ = x.shape
    rows, columns = -(-height // TILE), -(-width // TILE)  # of tiles
    beyond = (rows * TILE - height + 1, columns * TILE - width + 1)
    x = jnp.pad(x, ((1, beyond[0]), (1, beyond[1]), (0, 0), (0, 0)))
    x = _sums(_CELLS_TO_POINTS, [x[:, i:][:, : columns * TILE : TILE] for i in range(N_POINTS)])
    x = _sums(_CELLS_TO_POINTS, [x[:, i:][:, : rows * TILE : TILE] for i in range(N_POINTS)])
    # Now point row, point column, tile row, tile column, batch, features.
    y = x.reshape(len(at_points), rows * columns * batch, -1) @ at_points
    y = y.reshape(N_POINTS, N_POINTS, rows, columns, batch, -1)
    y = _sums(_POINTS_TO_CELLS, list(y))
    y = _sums(_POINTS_TO_CELLS, [y[:, i] for i in range(N_POINTS)])
    # Column in the tile, row in the tile, then as above.
    y = y.transpose(2, 1, 3, 0, 4, 5).reshape(rows * TILE, columns * TILE, batch, -1)
    return y[:height, :width]


def _sums(
    matrix: Float[np.ndarray, "sums parts"], parts: Sequence[Float[Array, "*part"]]
) -> Float[Array, "sums *part"]:
    """Return a matrix times a column of arrays; XLA makes one pass of it."""
    return jnp.stack(
        [
            reduce(add, [np.float32(a) * part for a, part in zip(row, parts, strict=True) if a])
            for row in matrix
        ]
    )
