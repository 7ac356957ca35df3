"""How the CPU computes a convolution: as XLA's own, or as something that XLA does better.

XLA's own reaches the speed of a product of matrices for images of some size with their channels
last, outside loops. What it does slowly is written differently, in the order of `form_of`:

patches    a window of one place, or much wider than high (7 × 7 × 512): one product of matrices,
           of the kernel with all that it meets laid side by side
spread     the input's gradient of such a one: one product as well, of which each place of the
           window moves its part to where it counts; nothing is laid side by side or turned round
places     the kernel's gradient of such a one, as patches; that of each example by itself, a
           convolution with a group for each, is a product for each place
pieces     the kernel's gradient of large images: examples by groups that stay in the cache
depthwise  sums of elementwise products; XLA goes through them element by element
groups     a few groups: a convolution for each
canonical  batch, space, features: XLA puts them in this order itself, but not inside loops and
           calls, where it computes other orders element by element

They are made when a program is lowered, after every derivative, and each is a program of simpler
operations: a convolution in it is looked at again. Only for float32, which XLA has fast code for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from jaxcore.backend import ShapedArray
from jaxcore.ops.avals import shaped
from jaxcore.ops.conv_products import FEW_PLACES, places_by_group, product_rule, spread
from jaxcore.ops.conv_shape import Conv, axes_back, unfold
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import full, move_dim
from jaxcore.trace import bind

__all__ = ["form_of", "form_of_turned"]

_CACHE = 1 << 20  # bytes of input that stay in the cache beside cotangent and patches
_SPLIT = 8  # groups that become convolutions of their own at most
_SPLIT_BACK = 32  # the same where XLA's own goes through the groups one element at a time

Form = Callable[[Any, Any], Any]


def _full(value: int, *shape: int) -> Any:
    return full(value, shaped(shape, np.dtype(np.float32)))


def form_of(x: ShapedArray, y: ShapedArray, out: ShapedArray, params: dict[str, Any]) -> Any:
    """The function of both operands that computes the convolution; None for XLA's own.

    Args:
      x: type of the input.
      y: type of the kernel.
      out: type of the result.
      params: the parameters of the equation.
    """
    if not _looked_at(x, y, out):
        return None
    conv = Conv(x.shape, y.shape, out.shape, params)
    rule = _rule(conv)
    return None if rule is None else lambda a, b: rule(conv, a, b)


def form_of_turned(x: ShapedArray, y: ShapedArray, out: ShapedArray, params: dict[str, Any]) -> Any:
    """`form_of` for a kernel that is still to be turned round, if some form need not do that."""
    if not _looked_at(x, y, out):
        return None
    conv = Conv(x.shape, y.shape, out.shape, params)
    return (lambda a, b: spread(conv, a, b, True)) if _rule(conv) is spread else None


def _looked_at(*types: ShapedArray) -> bool:
    return all(a.dtype == np.float32 and 0 not in a.shape and a.ndim >= 3 for a in types)


def _rule(conv: Conv) -> Callable[[Conv, Any, Any], Any] | None:
    params, order = conv.params, tuple(range(len(conv.x)))
    window, made = math.prod(conv.window), math.prod(conv.made)
    groups, back = params["feature_group_count"], params["batch_group_count"]
    dilated = any(d > 1 for d in params["lhs_dilation"])
    if groups == back == 1:
        rule = product_rule(conv)
        if rule is not None:
            return rule
        if made < window and not dilated and _examples(conv) < conv.features:
            return _pieces
    if 1 < groups < conv.out_features and not dilated and made < window and made <= FEW_PLACES:
        return places_by_group
    if back > 1 and back == conv.batch and made <= 2 * FEW_PLACES:
        return _depthwise_kernel
    if conv.dims != _channels_last(order):
        return _canonical
    if groups > 1 and groups == conv.features and window <= 2 * FEW_PLACES:
        return _depthwise
    if 1 < groups <= _SPLIT or 1 < back <= _SPLIT_BACK:
        return _by_group
    return None


def _channels_last(order: tuple[int, ...]) -> lax.ConvDimensionNumbers:
    first, *space, last = order
    image = (first, last, *space)
    return lax.ConvDimensionNumbers(image, (last, order[-2], *order[:-2]), image)


def _canonical(conv: Conv, x: Any, y: Any) -> Any:
    dims, target = conv.dims, _channels_last(tuple(range(len(conv.x))))
    there = lambda spec, to: tuple([spec[to.index(i)] for i in range(len(spec))])
    made = conv.again(
        lax.transpose(x, there(dims.lhs_spec, target.lhs_spec)),
        lax.transpose(y, there(dims.rhs_spec, target.rhs_spec)),
        dimension_numbers=target,
    )
    return lax.transpose(made, there(target.out_spec, dims.out_spec))


def _examples(conv: Conv) -> int:
    """How many of a kernel's gradient's examples, which are its features, stay in the cache; a
    divisor of their number.
    """
    each = 4 * math.prod(conv.x) // conv.features
    if each > _CACHE:
        return conv.features
    fit = [k for k in range(1, conv.features + 1) if conv.features % k == 0 and k * each <= _CACHE]
    return conv.features if fit[-1] * each < _CACHE // 8 else fit[-1]


def _pieces(conv: Conv, x: Any, y: Any) -> Any:
    """The sum over groups of examples, in a loop."""
    count = conv.features // _examples(conv)
    parts = [
        move_dim(unfold(v, spec[1], count), spec[1], 0)
        for v, spec in ((x, conv.dims.lhs_spec), (y, conv.dims.rhs_spec))
    ]
    add = lambda total, pair: (total + conv.again(*pair), None)
    return lax.scan(add, _full(0, *conv.out), parts)[0]


def _depthwise(conv: Conv, x: Any, y: Any) -> Any:
    x = _repeated(x, (*conv.x[:-1], conv.out_features))
    kernels = y.reshape(-1, conv.out_features)
    total: Any = None
    for k, part in enumerate(conv.windows(x, conv.window, "window_strides", "rhs_dilation")):
        term = part * lax.broadcast_in_dim(kernels[k], part.shape, (part.ndim - 1,))
        total = term if total is None else total + term
    return total


def _depthwise_kernel(conv: Conv, x: Any, y: Any) -> Any:
    """For each place of the result, the sum over space and examples of elementwise products.

    Examples and the first axis of the result are gone through in loops: what one turn reads stays
    in the cache, and what is compiled is the sums of one turn.
    """
    lhs, rhs, out = conv.dims
    x = conv.padded(lax.transpose(x, (lhs[1], *lhs[2:], lhs[0])), range(1, x.ndim - 1))
    y = lax.transpose(y, (rhs[1], *rhs[2:], rhs[0]))
    steps, starts = conv.params["rhs_dilation"], conv.params["window_strides"]
    reach = [(n - 1) * step + 1 for n, step in zip(conv.window, steps, strict=True)]
    rest = list(itertools.product(*map(range, conv.made[1:])))

    def example(total: Any, pair: Any) -> Any:
        image, ct = pair
        image = _repeated(image, (*image.shape[:-1], conv.out_features))

        def turn(_: None, k: Any) -> Any:
            band = lax.dynamic_slice_in_dim(image, k * np.int32(starts[0]), reach[0])
            sums = []
            for place in rest:
                low = [0, *[p * start for p, start in zip(place, starts[1:], strict=True)], 0]
                high = [a + n for a, n in zip(low, (*reach, band.shape[-1]), strict=True)]
                term = lax.slice(band, low, high, (*steps, 1)) * ct
                sums.append(bind(reduce_sum_p, term, axes=tuple(range(len(steps))))[None])
            return None, lax.concatenate(sums, 0)

        first = lax.broadcasted_iota(np.int32, conv.made[:1], 0)
        return total + lax.scan(turn, None, first)[1], None

    start = _full(0, conv.made[0], len(rest), conv.out_features)
    whole = lax.scan(example, start, (x, y))[0].reshape(1, *conv.made, conv.out_features)
    return lax.transpose(whole, axes_back(out))


def _repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """Each feature of `x`, the last axis, beside itself as often as `shape` has it."""
    if x.shape == shape:
        return x
    x = lax.broadcast_in_dim(x, (*x.shape, shape[-1] // x.shape[-1]), tuple(range(x.ndim)))
    return x.reshape(shape)


def _by_group(conv: Conv, x: Any, y: Any) -> Any:
    """A convolution for each group, the results side by side."""
    back = conv.params["batch_group_count"]
    groups, axis = (back, 0) if back > 1 else (conv.params["feature_group_count"], x.ndim - 1)
    part = lambda v, k, axis: lax.slice_in_dim(
        v, k * v.shape[axis] // groups, (k + 1) * v.shape[axis] // groups, axis=axis
    )
    one = {"feature_group_count": 1, "batch_group_count": 1}
    made = [conv.again(part(x, k, axis), part(y, k, y.ndim - 1), **one) for k in range(groups)]
    return lax.concatenate(made, x.ndim - 1)
