"""The forms of a convolution that are a product of matrices, or a few (see `conv_forms`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from jaxcore.ops.conv_shape import Conv, axes_back, unfold
from jaxcore.ops.pieces import pad_p
from jaxcore.trace import bind

__all__ = ["FEW_PLACES", "WIDE", "places_by_group", "product_rule", "spread"]

WIDE = 256  # features on one side, with twice as many on the other, from which XLA's own is slow
FEW_PLACES = 25  # of a window or result, that are gone through one by one
_ROWS = 2048  # rows of a product up to which XLA's own is slower
_PATCHES = 1 << 25  # bytes of what lies beside each other for one product, at most


def product_rule(conv: Conv) -> Callable[[Conv, Any, Any], Any] | None:
    """The form that is one product of matrices, where one is worth it.

    That is where nothing has to be laid side by side, and where XLA's own is slow and the product's
    larger operand or result not too large.
    """
    window, made = math.prod(conv.window), math.prod(conv.made)
    rows, places = conv.batch * made, math.prod(conv.x) // conv.features  # of result and input
    dilated = any(d > 1 for d in conv.params["lhs_dilation"])
    strided = any(s > 1 for s in conv.params["window_strides"])
    o, i, *_ = conv.dims.rhs_spec
    few = _wide(conv.features, conv) and window <= FEW_PLACES and rows <= _ROWS
    few_moved = few and _fits(places, window * conv.out_features)
    natural = dilated or (window > 1 and o < i)  # else the kernel would have to be transposed
    if natural and not strided and (window == 1 or few_moved):
        return spread
    if not dilated and (window == 1 or (few and _fits(rows, window * conv.features))):
        return _patches
    few = _wide(conv.batch, conv) and made < window and made <= FEW_PLACES
    if not dilated and (made == 1 or (few and _fits(conv.features * window, made * conv.batch))):
        return _places
    return None


def _wide(features: int, conv: Conv) -> bool:
    low, high = sorted((features, conv.out_features))
    return low >= WIDE and high >= 2 * WIDE


def _fits(rows: int, columns: int) -> bool:
    return 4 * rows * columns <= _PATCHES


def _patches(conv: Conv, x: Any, y: Any) -> Any:
    """[batch · space, window · in] · [window · in, out]."""
    (n, c, *space), (o, i, *window), out = conv.dims
    rows = conv.patches(
        lax.transpose(x, (n, *space, c)), conv.window, "window_strides", "rhs_dilation"
    )
    if o < i and math.prod(conv.window) == 1:
        kernel = lax.transpose(y, (*window, o, i)).reshape(conv.out_features, conv.features)
        made = conv.product(rows, kernel, (1, 1))
    else:
        kernel = lax.transpose(y, (*window, i, o)).reshape(-1, conv.out_features)
        made = conv.product(rows, kernel, (1, 0))
    made = made.reshape(conv.batch, *conv.made, conv.out_features)
    return lax.transpose(made, axes_back(out))


def spread(conv: Conv, x: Any, y: Any, turned: bool = False) -> Any:
    """[batch · space, in] · [in, window · out], then what each place of the window gives is moved
    to where it counts; the kernel read backwards if it is to be `turned`.
    """
    (n, c, *space), (o, i, *window), out = conv.dims
    params = conv.params
    x = lax.transpose(x, (n, *space, c))
    sizes = x.shape[1:-1]
    kernel = lax.transpose(y, (*window, o, i)).reshape(-1, conv.features)
    given = conv.product(x.reshape(-1, conv.features), kernel, (1, 1))
    given = given.reshape(conv.batch, *sizes, -1, conv.out_features)
    places = list(itertools.product(*map(range, conv.window)))
    total: Any = None
    for k, place in enumerate(reversed(places) if turned else places):
        part = lax.index_in_dim(given, k, len(sizes) + 1, keepdims=False)
        config = [(0, 0, 0)]
        for p, size, made, d, step, (low, _) in zip(
            place,
            sizes,
            conv.made,
            params["rhs_dilation"],
            params["lhs_dilation"],
            params["padding"],
            strict=True,
        ):
            before = low - p * d
            config.append((before, made - before - (size - 1) * step - 1, step - 1))
        moved = bind(pad_p, part, np.float32(0), padding_config=(*config, (0, 0, 0)))
        total = moved if total is None else total + moved
    return lax.transpose(total, axes_back(out))


def _places(conv: Conv, x: Any, y: Any) -> Any:
    """[examples · window, places · in]ᵀ · [examples · window, out] for a kernel's gradient, whose
    window is the image and whose few places are the kernel's.
    """
    (n, c, *space), (o, i, *window), out = conv.dims
    rows = conv.patches(
        lax.transpose(x, (c, *space, n)), conv.made, "rhs_dilation", "window_strides"
    )
    y = lax.transpose(y, (i, *window, o)).reshape(-1, conv.out_features)
    made = conv.product(rows, y, (0, 0))
    made = made.reshape(*conv.made, conv.batch, conv.out_features)
    rank = len(conv.made)
    return lax.transpose(made, axes_back(out, (rank, rank + 1, *range(rank))))


def places_by_group(conv: Conv, x: Any, y: Any) -> Any:
    """For each place of the result and each group, [batch, space · in] · [space · in, out]."""
    lhs, rhs, out = conv.dims
    groups, rank = conv.params["feature_group_count"], len(conv.made)
    y = lax.transpose(y, (rhs[0], *rhs[2:], rhs[1])).reshape(
        groups, conv.out_features // groups, -1
    )
    made = []
    for part in conv.windows(x, conv.made, "rhs_dilation", "window_strides"):
        part = unfold(lax.transpose(part, (lhs[1], lhs[0], *lhs[2:])), 0, groups)
        part = lax.transpose(part, (0, 2, *range(3, part.ndim), 1)).reshape(groups, conv.batch, -1)
        made.append(lax.dot_general(part, y, (((2,), (2,)), ((0,), (0,)))))
    whole = lax.concatenate([m[None] for m in made], 0)
    whole = lax.transpose(whole, (0, 2, 1, 3)).reshape(*conv.made, conv.batch, conv.out_features)
    return lax.transpose(whole, axes_back(out, (rank, rank + 1, *range(rank))))
