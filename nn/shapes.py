"""Layers and functions that move numbers about: `Flatten`, `Reshape`, `Pad`, `unfold`, `fold`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, lax

from .dtypes import as_array
from .errors import InputError, where
from .module import Module

Ints = int | Sequence[int]


class Flatten(Module):
    """Makes axes `start_axis` to `end_axis` one: ``(batch, *rest) -> (batch, prod(rest))``.

    From PyTorch: a dense layer behind ``Flatten`` there sees channels first. Its weights fit here
    after ``w.reshape(out, c, h, w).transpose(2, 3, 1, 0).reshape(-1, out)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.Flatten().apply({}, jnp.ones((2, 3, 4))).shape
    (2, 12)
    """

    start_axis: int = 1
    end_axis: int = -1

    def __call__(self, x: Array) -> Array:
        x = as_array(x)
        start, end = (a + x.ndim if a < 0 else a for a in (self.start_axis, self.end_axis))
        if not 0 <= start <= end < x.ndim:
            raise InputError(
                f"{where(self.path, 'Flatten')}: the input has shape {x.shape}, and axes "
                f"{self.start_axis} to {self.end_axis} are to become one. Expected axes that "
                "exist, the first before the last; add a missing batch axis with x[None]."
            )
        middle = math.prod(x.shape[start : end + 1])
        return x.reshape(*x.shape[:start], middle, *x.shape[end + 1 :])


class Reshape(Module):
    """Gives each example the shape `shape`, in which one size may be -1: ``(batch, ...)``.

    From Keras: ``Reshape``; from PyTorch: ``Unflatten(1, shape)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.Reshape((2, -1)).apply({}, jnp.ones((5, 6))).shape
    (5, 2, 3)
    """

    shape: Sequence[int]

    def __call__(self, x: Array) -> Array:
        x = as_array(x)
        known = math.prod(n for n in self.shape if n != -1)
        free, size = list(self.shape).count(-1), math.prod(x.shape[1:])
        wrong = size % known if free and known else size != known
        if not x.ndim or free > 1 or wrong:
            raise InputError(
                f"{where(self.path, 'Reshape')}: an input of shape {x.shape} has {size} values for "
                f"each example, and shape={tuple(self.shape)}. Expected as many, with at most one "
                "-1 for what is left over; the batch axis is not part of `shape`."
            )
        shape = tuple(size // known if n == -1 else n for n in self.shape)
        return x.reshape(x.shape[0], *shape)


class Pad(Module):
    """Pads the spatial axes of ``(..., *spatial, channels)``; negative widths cut off.

    Args:
      widths: (low, high) for each spatial axis, or an integer for both ends of every axis between
        the first and the last.
      mode: ``"constant"``, ``"reflect"``, ``"edge"`` (PyTorch's replicate), ``"wrap"`` (circular),
        or another mode of `jnp.pad`.
      value: what a constant padding holds.

    From PyTorch: ``ZeroPad2d((left, right, top, bottom))`` is ``Pad([(top, bottom), (left,
    right)])``. From Keras: ``ZeroPadding2D``, ``Cropping2D``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.Pad([(0, 1), (2, 2)]).apply({}, jnp.ones((1, 4, 4, 3))).shape
    (1, 5, 8, 3)
    >>> nn.Pad(-1).apply({}, jnp.ones((1, 4, 4, 3))).shape
    (1, 2, 2, 3)
    """

    widths: int | Sequence[tuple[int, int]]
    mode: str = "constant"
    value: Any = 0

    def __call__(self, x: Array) -> Array:
        x = as_array(x)
        widths = self.widths
        pairs = [(widths, widths)] * (x.ndim - 2) if isinstance(widths, int) else list(widths)
        if not 1 <= len(pairs) < x.ndim:
            raise InputError(
                f"{where(self.path, 'Pad')}: widths={widths} for an input of shape {x.shape}. "
                "Expected (..., *spatial, channels) and a pair (low, high) for each spatial axis."
            )
        around = [(0, 0)] * (x.ndim - 1 - len(pairs)) + [tuple(p) for p in pairs] + [(0, 0)]
        if self.mode == "constant":
            edges = [(low, high, 0) for low, high in around]
            return lax.pad(x, jnp.asarray(self.value, x.dtype), edges)
        if any(n < 0 for pair in around for n in pair):
            raise InputError(
                f"{where(self.path, 'Pad')}: widths={widths} with mode='{self.mode}'. Expected "
                "widths of 0 or more; only mode='constant' cuts off."
            )
        return jnp.pad(x, around, mode=self.mode)


def unfold(x: Array, window: Sequence[int], strides: Ints = 1, dilation: Ints = 1) -> Array:
    """Every window as a vector: ``(..., *spatial, c) -> (..., *spatial', prod(window) · c)``.

    A vector lists the window's places in order, each with its channels, as Keras's
    ``extract_patches``; PyTorch's ``Unfold`` lists channels outermost and flattens the places.
    With ``strides=window`` these are the patches of a vision transformer.

    Raises:
      InputError: too few axes, or a window that does not fit in.

    >>> import jaxcore.numpy as jnp
    >>> unfold(jnp.arange(5.0).reshape(5, 1), (2,), 2).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    x = as_array(x)
    rank = len(window)
    if not 1 <= rank < x.ndim:
        raise InputError(
            f"unfold: the input has shape {x.shape} and window={tuple(window)}. Expected (..., "
            "*spatial, channels) with one spatial axis for each entry of the window."
        )
    first = x.ndim - 1 - rank
    each = [(n,) * rank if isinstance(n, int) else tuple(n) for n in (strides, dilation)]
    for i, (size, stride, step) in enumerate(zip(window, *each, strict=True)):
        axis = first + i
        places = (x.shape[axis] - (size - 1) * step - 1) // stride + 1
        if places < 1:
            raise InputError(
                f"unfold: a window of {size} places with dilation {step} does not fit into axis "
                f"{axis} of shape {x.shape}. Pad the input first, nn.Pad or jnp.pad."
            )
        index = np.arange(places)[:, None] * stride + np.arange(size) * step
        # The window's axes gather behind the spatial ones, in order.
        x = jnp.moveaxis(jnp.take(x, index, axis), axis + 1, first + rank + i)
    return x.reshape(*x.shape[: first + rank], -1 if x.size else math.prod(x.shape[first + rank :]))


def fold(
    patches: Array,
    size: Sequence[int],
    window: Sequence[int],
    strides: Ints = 1,
    dilation: Ints = 1,
) -> Array:
    """Adds up windows where they were: the transpose of `unfold`.

    ``(..., *spatial', prod(window) · c) -> (..., *size, c)``. Windows that do not overlap come
    together as they were.

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.arange(4.0).reshape(4, 1)
    >>> fold(unfold(x, (2,), 2), (4,), (2,), 2).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    patches = as_array(patches)
    lead = patches.shape[: patches.ndim - 1 - len(window)]
    shape = (*lead, *size, patches.shape[-1] // math.prod(window))
    like = jaxcore.ShapeDtypeStruct(shape, patches.dtype)
    apart = lambda x: unfold(x, window, strides, dilation)
    expected = jaxcore.eval_shape(apart, like).shape
    if expected != patches.shape:
        raise InputError(
            f"fold: the patches have shape {patches.shape}. Expected {expected} for size="
            f"{tuple(size)}, window={tuple(window)}, strides={strides}, dilation={dilation}."
        )
    (x,) = jaxcore.linear_transpose(apart, like)(patches)
    return x
