"""Pooling over windows of the spatial axes of ``(..., *spatial, channels)``.

As in Flax, windows move by one unless `strides` says otherwise, and nothing is padded; PyTorch and
Keras move by the window's size. In `Sequential` use ``functools.partial(nn.max_pool,
window_shape=(2, 2), strides=(2, 2))``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from .dtypes import as_array
from .errors import InputError

Padding = str | Sequence[tuple[int, int]]


def pool(
    x: Array,
    init: Any,
    reduce_fn: Callable[[Any, Any], Any],
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """Reduces each window with ``reduce_fn`` from `init`; the function below all pools.

    Axes before the spatial ones are batch axes: any number of them, none included.
    """
    window = tuple(window_shape)
    strides = (1,) * len(window) if strides is None else tuple(strides)
    if len(strides) != len(window):
        raise InputError(
            f"pool: strides={strides} and window_shape={window} differ in length. Expected one "
            "stride for each spatial axis."
        )
    x = as_array(x)
    if x.ndim < len(window) + 1:
        raise InputError(
            f"pool: the input has shape {x.shape} and window_shape={window}. Expected (..., "
            f"*spatial, channels) with {len(window)} spatial axes; add the missing axis with "
            "x[..., None]."
        )
    batch = x.ndim - len(window) - 1
    pads: Any = padding
    if not isinstance(padding, str):
        pads = [(0, 0)] * batch + [tuple(p) for p in padding] + [(0, 0)]
        if len(pads) != x.ndim:
            raise InputError(
                f"pool: padding={padding} for window_shape={window}. Expected 'SAME', 'VALID' or "
                "one (low, high) pair for each spatial axis."
            )
    lead = (1,) * batch
    return lax.reduce_window(x, init, reduce_fn, (*lead, *window, 1), (*lead, *strides, 1), pads)


def max_pool(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """The maximum of each window.

    >>> import jaxcore.numpy as jnp
    >>> max_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), strides=(2,)).ravel().tolist()
    [1.0, 3.0]
    """
    x = as_array(x)
    low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
    return pool(x, low, lax.max, window_shape, strides, padding)


def min_pool(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """The minimum of each window.

    >>> import jaxcore.numpy as jnp
    >>> min_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), strides=(2,)).ravel().tolist()
    [0.0, 2.0]
    """
    x = as_array(x)
    high = jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).max
    return pool(x, high, lax.min, window_shape, strides, padding)


def avg_pool(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window; with ``count_include_pad=False`` over the values inside only.

    Keras counts what is inside only, PyTorch has the same option and default.

    >>> import jaxcore.numpy as jnp
    >>> avg_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), strides=(2,)).ravel().tolist()
    [0.5, 2.5]
    """
    x = as_array(x)
    total = pool(x, 0.0, lax.add, window_shape, strides, padding)
    if count_include_pad:
        return total / math.prod(window_shape)
    ones = jnp.ones(
        (1,) * (x.ndim - len(window_shape) - 1) + x.shape[-len(window_shape) - 1 : -1] + (1,),
        x.dtype,
    )
    return total / pool(ones, 0.0, lax.add, window_shape, strides, padding)


def sum_pool(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """The sum of each window.

    >>> import jaxcore.numpy as jnp
    >>> sum_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), strides=(2,)).ravel().tolist()
    [1.0, 5.0]
    """
    x = as_array(x)
    return pool(x, np.zeros((), x.dtype)[()], lax.add, window_shape, strides, padding)


def lp_pool(
    x: Array,
    window_shape: Sequence[int],
    norm: float = 2.0,
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """``(Σ |x|^norm)^(1 / norm)`` of each window; its derivative at a window of zeros is 0.

    PyTorch's ``LPPool2d`` leaves out the absolute value, which matters for odd norms only.

    Gulcehre et al. 2014, https://arxiv.org/abs/1311.1780

    >>> import jaxcore.numpy as jnp
    >>> lp_pool(jnp.array([[[3.0], [4.0]]]), (2,)).ravel().tolist()
    [5.0]
    """
    total = sum_pool(jnp.abs(x) ** norm, window_shape, strides, padding)
    some = total > 0
    return jnp.where(some, jnp.where(some, total, 1) ** (1 / norm), 0)
