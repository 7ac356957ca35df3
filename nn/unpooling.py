"""Maxima with their places, and back: what SegNet-like decoders need."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from .dtypes import as_array
from .errors import InputError


def max_pool_with_indices(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> tuple[Array, Array]:
    """The maximum of each window, and where it stood: ``(values, int32 indices)``.

    An index counts the places of the input's spatial axes in row-major order, as PyTorch's
    ``max_pool2d(..., return_indices=True)`` does; of equal maxima it is the first. Arguments are
    those of `max_pool`.

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.array([3.0, 1.0, 2.0, 5.0]).reshape(1, 4, 1)
    >>> values, indices = max_pool_with_indices(x, (2,), strides=(2,))
    >>> values.ravel().tolist(), indices.ravel().tolist()
    ([3.0, 5.0], [0, 3])
    """
    x, window = as_array(x), tuple(window_shape)
    n = len(window)
    steps = (1,) * n if strides is None else tuple(strides)
    if x.ndim < n + 1 or len(steps) != n:
        raise InputError(
            f"max_pool_with_indices: the input has shape {x.shape}, window_shape={window} and "
            f"strides={strides}. Expected (..., *spatial, channels) and one entry for each of "
            f"{n} spatial axes."
        )
    sizes = x.shape[-n - 1 : -1]
    if isinstance(padding, str):
        pads = list(lax.padtype_to_pads(sizes, window, steps, padding))
    else:
        pads = [tuple(p) for p in padding]
    floats = jnp.issubdtype(x.dtype, jnp.inexact)
    low = -jnp.inf if floats else jnp.iinfo(x.dtype).min
    batch = [(0, 0)] * (x.ndim - n - 1)
    padded = jnp.pad(x, [*batch, *pads, (0, 0)], constant_values=low)
    one = (1,) * len(batch)
    place = jnp.arange(math.prod(sizes), dtype=jnp.int32).reshape(*one, *sizes, 1)
    place = jnp.pad(place, [*batch, *pads, (0, 0)], constant_values=-1)

    def taken(array: Array, offset: tuple[int, ...]) -> Array:
        """The entry at `offset` of every window."""
        for axis, (at, size, step) in enumerate(zip(offset, window, steps, strict=True)):
            axis = array.ndim - n - 1 + axis
            last = array.shape[axis] - size + at + 1
            array = lax.slice_in_dim(array, at, last, step, axis)
        return array

    offsets = list(itertools.product(*map(range, window)))
    best = taken(padded, offsets[0])
    where = jnp.broadcast_to(taken(place, offsets[0]), best.shape)
    for offset in offsets[1:]:
        value, at = taken(padded, offset), taken(place, offset)
        better = (value > best) | ((where < 0) & (at >= 0))
        if floats:  # NaN is the largest, and stays
            better = better | (jnp.isnan(value) & ~jnp.isnan(best))
        best, where = jnp.where(better, value, best), jnp.where(better, at, where)
    return best, where


def max_unpool(x: Array, indices: Array, spatial_shape: Sequence[int]) -> Array:
    """Values back at the places that `max_pool_with_indices` told, zeros elsewhere.

    ``(..., *pooled, channels) -> (..., *spatial_shape, channels)``. PyTorch's ``max_unpool2d``,
    where the shape is ``output_size``. Of several values for one place, one stays.

    Zeiler et al. 2011, https://doi.org/10.1109/ICCV.2011.6126474

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.array([3.0, 1.0, 2.0, 5.0]).reshape(1, 4, 1)
    >>> max_unpool(*max_pool_with_indices(x, (2,), strides=(2,)), (4,)).ravel().tolist()
    [3.0, 0.0, 0.0, 5.0]
    """
    x, indices = as_array(x), as_array(indices)
    shape, n = tuple(spatial_shape), len(spatial_shape)
    if x.shape != indices.shape or x.ndim < n + 1:
        raise InputError(
            f"max_unpool: the values have shape {x.shape} and the indices {indices.shape}, for "
            f"{n} spatial axes. Expected equal shapes (..., *spatial, channels), as "
            "max_pool_with_indices returns them."
        )
    batch, channels = x.shape[: x.ndim - n - 1], x.shape[-1]
    columns = lambda v: jnp.moveaxis(v.reshape(math.prod(batch), -1, channels), 2, 1)
    rows = math.prod(batch) * channels
    values, places = (columns(v).reshape(rows, -1) for v in (x, indices))
    out = jnp.zeros((rows, math.prod(shape)), x.dtype)
    out = out.at[jnp.arange(rows)[:, None], places].set(values)
    out = jnp.moveaxis(out.reshape(math.prod(batch), channels, -1), 1, 2)
    return out.reshape(*batch, *shape, channels)
