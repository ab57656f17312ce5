"""Ways to draw a print: how fast, and how far from the scatter on the CPU."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from benchmarks.gpu.agreement import DRAWING
from benchmarks.gpu.programs import Compiled, Setting, compiled_draw, on, sample_paths
from benchmarks.gpu.timing import Limit, median_seconds, row_of
from benchmarks.speed.timing import Result
from rasterize.draw import FASTEST, Splat, _cell_shares, _with_margin
from rasterize.motion import Paths

Columns = jax.Array  # images x spots
Way = Callable[..., jax.Array]  # as `rasterize.draw._with_margin`


def ways(setting: Setting) -> dict[str, Way]:
    """Return what is tried, each in the place of `rasterize.draw._with_margin`."""
    return {
        "scatter, two cells an update": partial(_of_product, "scatter"),
        "scatter, one cell an update": _scatter_of_cells,
        "product, float32": partial(_of_product, "product"),
        "product, float32 as the device rounds it": partial(
            _product, dtype="float32", precision=jax.lax.Precision.DEFAULT
        ),
        "product, bfloat16": partial(_product, dtype="bfloat16"),
        "product, bfloat16 in two terms": _product_of_two_terms,
        "product in a Pallas kernel, float32": partial(
            _pallas_product, interpret=not setting.has_gpu
        ),
    }


def drawing(setting: Setting, limit: Limit) -> tuple[Result, bool]:
    """Draw the same batch in every way; say which is fastest among those that are right."""
    n_windows = setting.sizes.draw_batch
    paths = sample_paths(setting.sizes.config, n_windows)
    few = Paths(*(column[:64] for column in paths))
    cpu = compiled_draw(setting, setting.cpu, FASTEST["cpu"], few)
    expected, sent = np.asarray(cpu(on(setting.cpu, few))), on(setting.device, paths)

    def measure(way: Way) -> dict[str, object]:
        draw = _compiled(setting, way, paths)
        apart = float(np.abs(np.asarray(draw(sent))[: len(expected)] - expected).max())
        taken_s = median_seconds(lambda: draw(sent).block_until_ready(), setting.sizes.case_s)
        return {
            "prints/s": n_windows / taken_s,
            "largest difference": apart,
            "right": "yes" if apart <= DRAWING else "no",
        }

    rows = [
        row_of({"drawn by": name}, limit, partial(measure, w)) for name, w in ways(setting).items()
    ]
    panels = setting.sizes.config.panels
    title = (
        f"Drawing, {n_windows} windows, {len(panels.names)} panels of {panels.cells} cells a side"
    )
    return Result("drawing", title, rows, [_advice(rows, setting)]), True


def _advice(rows: list[dict], setting: Setting) -> str:
    right = [row for row in rows if row.get("right") == "yes"]
    if not right:
        return "No way is right within the tolerance."
    best = max(right, key=lambda row: row["prints/s"])["drawn by"]
    platform = setting.device.platform
    return (
        f"Fastest of those within {DRAWING:g}: **{best}**. On {platform!r} pointerprint draws by "
        f"{setting.splat!r}: `FASTEST` in rasterize/draw.py is where that is chosen."
    )


def _compiled(setting: Setting, way: Way, paths: Paths) -> Compiled:
    with patch("rasterize.draw._with_margin", way):
        return compiled_draw(setting, setting.device, "scatter", paths)


def _of_product(splat: Splat, x, y, values, size, how, order) -> jax.Array:
    """Return what the product itself draws in one of its two ways."""
    del how
    return _with_margin(x, y, values, size, splat, order)


def _framed(images: jax.Array, order: jax.Array) -> jax.Array:
    """Return images (rows x cells x cells) in their order, with a margin, as one layer."""
    return jnp.pad(images[jnp.argsort(order)], ((0, 0), (1, 1), (1, 1)))[..., None]


def _scatter_of_cells(x, y, values, size, how, order) -> jax.Array:
    """One update for each of the four cells of a spot."""
    del how
    left, top = jnp.floor(x), jnp.floor(y)
    right, down = x - left, y - top
    side = size + 2
    cell = (order[:, None] * side + 1 + top.astype(jnp.int32)) * side + 1 + left.astype(jnp.int32)
    drawn = jnp.zeros(len(x) * side * side, jnp.float32)
    for beside, in_column in ((0, 1 - right), (1, right)):
        for below, in_row in ((0, 1 - down), (side, down)):
            drawn = drawn.at[cell + beside + below].add(in_column * in_row * values[..., 0])
    return drawn.reshape(len(x), side, side, 1)


def _product(x, y, values, size, how, order, dtype: str, precision: Any = None) -> jax.Array:
    """The product of two matrices of shares, of another type or precision."""
    del how
    rows = (_cell_shares(y, size) * values).astype(dtype)
    columns = _cell_shares(x, size).astype(dtype)
    return _framed(_matrix_product(rows, columns, precision), order)


def _product_of_two_terms(x, y, values, size, how, order) -> jax.Array:
    """Each share as the sum of two bfloat16: three products, sixteen bits."""
    del how
    rows, columns = (_two_terms(a) for a in (_cell_shares(y, size) * values, _cell_shares(x, size)))
    pairs = ((rows[0], columns[0]), (rows[0], columns[1]), (rows[1], columns[0]))
    first, second, third = (_matrix_product(a, b, None) for a, b in pairs)
    return _framed(first + second + third, order)


def _two_terms(shares: jax.Array) -> tuple[jax.Array, jax.Array]:
    high = shares.astype(jnp.bfloat16)
    return high, (shares - high.astype(jnp.float32)).astype(jnp.bfloat16)


def _matrix_product(rows: jax.Array, columns: jax.Array, precision: Any) -> jax.Array:
    return jnp.einsum(
        "bsi,bsj->bij", rows, columns, precision=precision, preferred_element_type=jnp.float32
    )


def _pallas_product(x, y, values, size, how, order, interpret: bool) -> jax.Array:
    """The same product with shares that are made where they are used, and never written.

    A program draws one image. Sides are powers of two, as Triton wants them; spots that fill up
    weigh nothing.
    """
    del how
    n_spots = pl.next_power_of_2(x.shape[1])
    side = max(16, pl.next_power_of_2(size))
    filling = ((0, 0), (0, n_spots - x.shape[1]))
    columns = [jnp.pad(column, filling) for column in (x, y, values[..., 0])]

    def kernel(x_ref, y_ref, weight_ref, image_ref) -> None:
        cell = jax.lax.broadcasted_iota(jnp.float32, (n_spots, side), 1)
        rows, across = (
            jnp.maximum(1 - jnp.abs(ref[0][:, None] - cell), 0) for ref in (y_ref, x_ref)
        )
        rows = rows * weight_ref[0][:, None]
        image_ref[0] = jnp.dot(rows.T, across, precision=jax.lax.Precision.HIGHEST)

    one_row = pl.BlockSpec((1, n_spots), lambda image: (image, 0))
    images = pl.pallas_call(
        kernel,
        grid=(len(x),),
        in_specs=[one_row] * 3,
        out_specs=pl.BlockSpec((1, side, side), lambda image: (image, 0, 0)),
        out_shape=jax.ShapeDtypeStruct((len(x), side, side), jnp.float32),
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpret,
    )(*columns)
    return _framed(images[:, :size, :size], order)
