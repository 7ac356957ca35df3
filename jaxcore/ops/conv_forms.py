"""How the CPU computes a convolution: as XLA's own, or as something that XLA does better.

XLA's own reaches the speed of a product of matrices for images of some size with their channels
last, outside loops. What it does slowly is written differently, in the order of `form_of`:

product    a window, or a result, of one place is one product of matrices
taps       much wider than high (7 × 7 × 512): for each place of the window, a product; their sum
places     the kernel's gradient of such a one: for each place of the result, a product; that of
           each example by itself, a convolution with a group for each: as many products
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jaxcore.backend import ShapedArray
from jaxcore.ops.avals import shaped
from jaxcore.ops.pieces import pad_p
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import full, move_dim
from jaxcore.ops.shape import reshape_p
from jaxcore.trace import aval_of, bind

__all__ = ["form_of", "unfold"]

_WIDE = 256  # features on one side, with twice as many on the other, from which XLA's own is slow
_FEW_PLACES = 25  # products that one convolution becomes at most
_ROWS = 2048  # rows of a product up to which XLA's own is slower
_CACHE = 1 << 20  # bytes of input that stay in the cache beside cotangent and patches
_SPLIT = 8  # groups that become convolutions of their own at most
_SPLIT_BACK = 32  # the same where XLA's own goes through the groups one element at a time

Form = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution from the shapes `x` and `y` to `out`, and its sizes by their roles."""

    x: tuple[int, ...]
    y: tuple[int, ...]
    out: tuple[int, ...]
    params: dict[str, Any]

    @property
    def dims(self) -> lax.ConvDimensionNumbers:
        return self.params["dimension_numbers"]

    @property
    def batch(self) -> int:
        return self.x[self.dims.lhs_spec[0]]

    @property
    def features(self) -> int:
        return self.x[self.dims.lhs_spec[1]]

    @property
    def out_features(self) -> int:
        return self.y[self.dims.rhs_spec[0]]

    @property
    def window(self) -> tuple[int, ...]:
        """Sizes of the kernel in space."""
        return tuple([self.y[i] for i in self.dims.rhs_spec[2:]])

    @property
    def made(self) -> tuple[int, ...]:
        """Sizes of the result in space."""
        return tuple([self.out[i] for i in self.dims.out_spec[2:]])

    def again(self, x: Any, y: Any, **changed: Any) -> Any:
        """The same convolution of other operands, with some parameters changed."""
        params = {**self.params, **changed}
        strides, padding = params.pop("window_strides"), params.pop("padding")
        return lax.conv_general_dilated(x, y, strides, padding, **params)

    def windows(self, x: Any, sizes: Sequence[int], steps: str, starts: str) -> Iterator[Any]:
        """For each place among `sizes`, the part of the padded `x` that it meets.

        Places are `starts` apart, what they meet lies `steps` apart: one of them the strides, the
        other the dilation of the kernel.
        """
        space = self.dims.lhs_spec[2:]
        counts = self.made if steps == "window_strides" else self.window
        config = [(0, 0, 0)] * len(self.x)
        for axis, ends, dilation in zip(
            space, self.params["padding"], self.params["lhs_dilation"], strict=True
        ):
            config[axis] = (*ends, dilation - 1)
        x = bind(pad_p, x, np.float32(0), padding_config=tuple(config))
        for place in itertools.product(*map(range, sizes)):
            low, high, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
            for i, axis in enumerate(space):
                low[axis] = place[i] * self.params[starts][i]
                step[axis] = self.params[steps][i]
                high[axis] = low[axis] + (counts[i] - 1) * step[axis] + 1
            yield lax.slice(x, low, high, step)

    def product(self, a: Any, b: Any, axes: tuple[int, int]) -> Any:
        return lax.dot_general(
            a, b, (((axes[0],), (axes[1],)), ((), ())), precision=self.params["precision"]
        )


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
    if any(a.dtype != np.float32 or 0 in a.shape or a.ndim < 3 for a in (x, y, out)):
        return None
    conv = _Conv(x.shape, y.shape, out.shape, params)
    rule = _rule(conv)
    return None if rule is None else lambda a, b: rule(conv, a, b)


def _rule(conv: _Conv) -> Callable[[_Conv, Any, Any], Any] | None:
    params, order = conv.params, tuple(range(len(conv.x)))
    window, made = math.prod(conv.window), math.prod(conv.made)
    groups, back = params["feature_group_count"], params["batch_group_count"]
    spread = any(d > 1 for d in params["lhs_dilation"])
    if groups == back == 1 and not spread:
        wide = lambda n: (
            min(n, conv.out_features) >= _WIDE and max(n, conv.out_features) >= 2 * _WIDE
        )
        high = conv.batch * made > _ROWS
        if window == 1 or (wide(conv.features) and window <= _FEW_PLACES and not high):
            return _taps
        if made == 1 or (wide(conv.batch) and made < window and made <= _FEW_PLACES):
            return _places
        if made < window and _examples(conv) < conv.features:
            return _pieces
    if 1 < groups < conv.out_features and not spread and made < window and made <= _FEW_PLACES:
        return _places_by_group
    if back > 1 and back == conv.batch and made <= 2 * _FEW_PLACES:
        return _depthwise_kernel
    if conv.dims != _channels_last(order):
        return _canonical
    if groups > 1 and groups == conv.features and window <= 2 * _FEW_PLACES:
        return _depthwise
    if 1 < groups <= _SPLIT or 1 < back <= _SPLIT_BACK:
        return _by_group
    return None


def _channels_last(order: tuple[int, ...]) -> lax.ConvDimensionNumbers:
    first, *space, last = order
    image = (first, last, *space)
    return lax.ConvDimensionNumbers(image, (last, order[-2], *order[:-2]), image)


def unfold(x: Any, axis: int, size: int) -> Any:
    """Axis `axis` as two, the first of `size`."""
    shape = list(aval_of(x).shape)
    shape[axis : axis + 1] = [size, shape[axis] // size]
    return bind(reshape_p, x, new_sizes=tuple(shape))


def _canonical(conv: _Conv, x: Any, y: Any) -> Any:
    dims, target = conv.dims, _channels_last(tuple(range(len(conv.x))))
    there = lambda spec, to: tuple([spec[to.index(i)] for i in range(len(spec))])
    made = conv.again(
        lax.transpose(x, there(dims.lhs_spec, target.lhs_spec)),
        lax.transpose(y, there(dims.rhs_spec, target.rhs_spec)),
        dimension_numbers=target,
    )
    return lax.transpose(made, there(target.out_spec, dims.out_spec))


def _taps(conv: _Conv, x: Any, y: Any) -> Any:
    """The sum over the window of [batch · space, in] · [in, out]."""
    (n, c, *space), (o, i, *window), out = conv.dims
    kernels = lax.transpose(y, (*window, *sorted((o, i)))).reshape(
        -1, *(y.shape[k] for k in sorted((o, i)))
    )
    total: Any = None
    for k, part in enumerate(conv.windows(x, conv.window, "window_strides", "rhs_dilation")):
        rows = lax.transpose(part, (n, *space, c)).reshape(-1, conv.features)
        term = conv.product(rows, kernels[k], (1, int(i > o)))
        total = term if total is None else total + term
    made = total.reshape(conv.batch, *conv.made, conv.out_features)
    return lax.transpose(made, _axes_back(out))


def _places(conv: _Conv, x: Any, y: Any) -> Any:
    """For each place of the result, [space · in, batch]ᵀ · [space · in, out]."""
    lhs, rhs, out = conv.dims
    pairs = sorted(zip(lhs[1:], rhs[1:], strict=True))  # in the order of the input's memory
    y = lax.transpose(y, (*(b for _, b in pairs), rhs[0])).reshape(-1, conv.out_features)
    made = [
        conv.product(
            lax.transpose(part, (*(a for a, _ in pairs), lhs[0])).reshape(-1, conv.batch), y, (0, 0)
        )
        for part in conv.windows(x, conv.made, "rhs_dilation", "window_strides")
    ]
    whole = lax.concatenate([m[None] for m in made], 0)
    whole = whole.reshape(*conv.made, conv.batch, conv.out_features)
    rank = len(conv.made)
    return lax.transpose(whole, _axes_back(out, (rank, rank + 1, *range(rank))))


def _places_by_group(conv: _Conv, x: Any, y: Any) -> Any:
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
    return lax.transpose(whole, _axes_back(out, (rank, rank + 1, *range(rank))))


def _axes_back(spec: Sequence[int], at: Sequence[int] | None = None) -> tuple[int, ...]:
    """The permutation to the layout `spec` of a value whose batch, features and space are axes
    `at`: by default the first, the last and those between.
    """
    at = at or (0, len(spec) - 1, *range(1, len(spec) - 1))
    return tuple([at[spec.index(i)] for i in range(len(spec))])


def _examples(conv: _Conv) -> int:
    """How many of a kernel's gradient's examples, which are its features, stay in the cache; a
    divisor of their number.
    """
    each = 4 * math.prod(conv.x) // conv.features
    if each > _CACHE:
        return conv.features
    fit = [k for k in range(1, conv.features + 1) if conv.features % k == 0 and k * each <= _CACHE]
    return conv.features if fit[-1] * each < _CACHE // 8 else fit[-1]


def _pieces(conv: _Conv, x: Any, y: Any) -> Any:
    """The sum over groups of examples, in a loop."""
    count = conv.features // _examples(conv)
    parts = [
        move_dim(unfold(v, spec[1], count), spec[1], 0)
        for v, spec in ((x, conv.dims.lhs_spec), (y, conv.dims.rhs_spec))
    ]
    add = lambda total, pair: (total + conv.again(*pair), None)
    return lax.scan(add, _full(0, *conv.out), parts)[0]


def _depthwise(conv: _Conv, x: Any, y: Any) -> Any:
    x = _repeated(x, (*conv.x[:-1], conv.out_features))
    kernels = y.reshape(-1, conv.out_features)
    total: Any = None
    for k, part in enumerate(conv.windows(x, conv.window, "window_strides", "rhs_dilation")):
        term = part * lax.broadcast_in_dim(kernels[k], part.shape, (part.ndim - 1,))
        total = term if total is None else total + term
    return total


def _depthwise_kernel(conv: _Conv, x: Any, y: Any) -> Any:
    """For each place of the result, the sum over space and examples of elementwise products."""
    lhs, rhs, out = conv.dims
    pairs = sorted(zip(lhs[1:], rhs[1:], strict=True))  # in the order of the input's memory
    y = lax.transpose(y, (*(b for _, b in pairs), rhs[0]))
    made = []
    for part in conv.windows(x, conv.made, "rhs_dilation", "window_strides"):
        part = lax.transpose(part, (*(a for a, _ in pairs), lhs[0]))
        made.append(bind(reduce_sum_p, _repeated(part, y.shape) * y, axes=tuple(range(len(pairs)))))
    whole = lax.concatenate([m[None] for m in made], 0)
    whole = whole.reshape(1, *conv.made, conv.out_features)
    return lax.transpose(whole, _axes_back(out))


def _repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """Each feature of `x`, the last axis, beside itself as often as `shape` has it."""
    if x.shape == shape:
        return x
    x = lax.broadcast_in_dim(x, (*x.shape, shape[-1] // x.shape[-1]), tuple(range(x.ndim)))
    return x.reshape(shape)


def _by_group(conv: _Conv, x: Any, y: Any) -> Any:
    """A convolution for each group, the results side by side."""
    back = conv.params["batch_group_count"]
    groups, axis = (back, 0) if back > 1 else (conv.params["feature_group_count"], x.ndim - 1)
    part = lambda v, k, axis: lax.slice_in_dim(
        v, k * v.shape[axis] // groups, (k + 1) * v.shape[axis] // groups, axis=axis
    )
    one = {"feature_group_count": 1, "batch_group_count": 1}
    made = [conv.again(part(x, k, axis), part(y, k, y.ndim - 1), **one) for k in range(groups)]
    return lax.concatenate(made, x.ndim - 1)
