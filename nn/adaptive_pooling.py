"""Pooling to a size given beforehand: global, and adaptive as PyTorch's ``AdaptiveAvgPool``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array

from .dtypes import as_array
from .errors import InputError


def global_avg_pool(x: Array, keepdims: bool = False) -> Array:
    """The mean over all spatial axes: ``(batch, *spatial, channels) -> (batch, channels)``.

    Lin et al. 2014, https://arxiv.org/abs/1312.4400

    >>> import jaxcore.numpy as jnp
    >>> global_avg_pool(jnp.arange(6.0).reshape(1, 3, 2)).tolist()
    [[2.0, 3.0]]
    """
    x = as_array(x)
    return jnp.mean(x, _spatial(x, "global_avg_pool"), keepdims=keepdims)


def global_max_pool(x: Array, keepdims: bool = False) -> Array:
    """The maximum over all spatial axes: ``(batch, *spatial, channels) -> (batch, channels)``.

    >>> import jaxcore.numpy as jnp
    >>> global_max_pool(jnp.arange(6.0).reshape(1, 3, 2)).tolist()
    [[4.0, 5.0]]
    """
    x = as_array(x)
    return jnp.max(x, _spatial(x, "global_max_pool"), keepdims=keepdims)


def _spatial(x: Array, name: str) -> tuple[int, ...]:
    if x.ndim < 3:
        raise InputError(
            f"{name}: the input has shape {x.shape}. Expected (batch, *spatial, channels); add "
            "the missing batch axis with x[None]."
        )
    return tuple(range(1, x.ndim - 1))


def adaptive_pool(
    x: Array, output_size: int | Sequence[int | None], reduce: Callable[..., Array]
) -> Array:
    """Splits each spatial axis into as many windows as the output has, and reduces each.

    Window i of n over an axis of size s spans ``floor(i · s / n)`` up to ``ceil((i + 1) · s / n)``:
    PyTorch's, which overlap where n does not divide s. ``(..., *spatial, channels) -> (...,
    *output_size, channels)``.

    Args:
      output_size: a size for each spatial axis, None to leave an axis as it is; an integer for
        all axes between the first and the last.
      reduce: ``reduce(x, axis)``, such as `jnp.mean`.

    Raises:
      InputError: more sizes than spatial axes, a size below 1.

    >>> import jaxcore.numpy as jnp
    >>> adaptive_pool(jnp.arange(5.0).reshape(5, 1), (2,), jnp.max).ravel().tolist()
    [2.0, 4.0]
    """
    x, sizes = _sizes("adaptive_pool", x, output_size)
    for axis, n in enumerate(sizes, x.ndim - 1 - len(sizes)):
        if n is None:
            continue
        pieces = [
            reduce(jnp.take(x, np.arange(low, high), axis), axis)
            for low, high in _windows(x.shape[axis], n)
        ]
        x = jnp.stack(pieces, axis)
    return x


def adaptive_avg_pool(x: Array, output_size: int | Sequence[int | None]) -> Array:
    """The mean of each window, see `adaptive_pool`.

    >>> import jaxcore.numpy as jnp
    >>> adaptive_avg_pool(jnp.arange(5.0).reshape(5, 1), (2,)).ravel().tolist()
    [1.0, 3.0]
    """
    x, sizes = _sizes("adaptive_avg_pool", x, output_size)
    for axis, n in enumerate(sizes, x.ndim - 1 - len(sizes)):
        if n is None or n == x.shape[axis]:
            continue
        weights = np.zeros((x.shape[axis], n))
        for i, (low, high) in enumerate(_windows(x.shape[axis], n)):
            weights[low:high, i] = 1 / (high - low)
        y = jnp.tensordot(x, jnp.asarray(weights, x.dtype), ((axis,), (0,)))
        x = jnp.moveaxis(y, -1, axis)
    return x


def adaptive_max_pool(x: Array, output_size: int | Sequence[int | None]) -> Array:
    """The maximum of each window, see `adaptive_pool`.

    >>> import jaxcore.numpy as jnp
    >>> adaptive_max_pool(jnp.arange(12.0).reshape(1, 3, 4, 1), 2)[0, ..., 0].tolist()
    [[5.0, 7.0], [9.0, 11.0]]
    """
    return adaptive_pool(x, output_size, jnp.max)


def _windows(size: int, n: int) -> list[tuple[int, int]]:
    return [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]


def _sizes(name: str, x: Any, output_size: Any) -> tuple[Array, tuple[int | None, ...]]:
    x = as_array(x)
    many = max(x.ndim - 2, 0)
    sizes = (output_size,) * many if isinstance(output_size, int) else tuple(output_size)
    if not 1 <= len(sizes) < x.ndim or any(n is not None and n < 1 for n in sizes):
        raise InputError(
            f"{name}: output_size={output_size} for an input of shape {x.shape}. Expected (..., "
            "*spatial, channels) and a positive size, or None, for each spatial axis."
        )
    return x, sizes
