"""Convolution over any number of spatial dimensions, with strides, dilation and groups.

Leaving space aside, a convolution contracts features as a product of matrices does:
[batch, in] · [in, out] -> [batch, out]. So does each of its transposes, with the roles of the
dimensions exchanged; groups of features become groups of the batch in the kernel's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import add
from jaxcore.ops.conv_forms import form_of, form_of_turned
from jaxcore.ops.conv_shape import unfold
from jaxcore.ops.convert import convert
from jaxcore.ops.dot import precision_text
from jaxcore.ops.forms import lower_by_form
from jaxcore.ops.indexing import jax_type
from jaxcore.ops.rules import full, kind_of, move_dim
from jaxcore.ops.shape import dropping, reshape_p, rev_p
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["ConvDims", "conv_general_dilated_p"]

ConvDims = jax.lax.ConvDimensionNumbers
Params = dict[str, Any]


def _conv(x: Any, y: Any, params: Params, **changed: Any) -> Any:
    return bind(conv_general_dilated_p, x, y, **{**params, **changed})


def _dilated(size: int, dilation: int) -> int:
    return 0 if size == 0 else (size - 1) * dilation + 1


def _spatial(shape: Sequence[int], spec: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Sizes of the spatial dimensions after dilation."""
    return [_dilated(shape[i], d) for i, d in zip(spec[2:], dilation, strict=True)]


def fold(x: Any, source: int, target: int) -> Any:
    """Axis `source` becomes the slow part of axis `target` (counted without `source`)."""
    shape = list(aval_of(x).shape)
    size = shape.pop(source)
    x = move_dim(x, source, target)
    shape[target] *= size
    return bind(reshape_p, x, new_sizes=tuple(shape))


# --- derivatives --------------------------------------------------------------------------------


def _conv_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, y = primals
    terms = [
        _conv(*pair, params)
        for pair, t in (((tangents[0], y), tangents[0]), ((x, tangents[1]), tangents[1]))
        if t is not None
    ]
    return _conv(x, y, params), terms[0] if len(terms) == 1 else add(*terms)


def _conv_transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
    x, y = args
    if type(x) is Linear:
        return [_transpose_lhs(ct, x.aval, y, params), None]
    return [None, _transpose_rhs(ct, x, y.aval, params)]


def _transpose_lhs(ct: Any, x: ShapedArray, y: Any, params: Params) -> Any:
    """A convolution of the cotangent with the kernel turned round."""
    lhs, rhs, out = params["dimension_numbers"]
    features, batches = params["feature_group_count"], params["batch_group_count"]
    strides = params["window_strides"]
    big = _spatial(x.shape, lhs, params["lhs_dilation"])
    window = _spatial(aval_of(y).shape, rhs, params["rhs_dilation"])
    made = _spatial(aval_of(ct).shape, out, strides)
    groups = max(features, batches)
    if groups > 1:
        y = fold(unfold(y, rhs[0], groups), rhs[0], rhs[1])
    padding = []
    for size, k, n, (low, _high) in zip(big, window, made, params["padding"], strict=True):
        before = k - low - 1
        padding.append((before, size + k - 1 - n - before))
    y = bind(rev_p, y, dimensions=tuple(rhs[2:]))
    back = _conv(
        ct,
        convert(y, aval_of(ct).dtype),
        params,
        window_strides=params["lhs_dilation"],
        padding=tuple(padding),
        lhs_dilation=strides,
        feature_group_count=groups,
        batch_group_count=1,
        dimension_numbers=ConvDims(out, (rhs[1], rhs[0], *rhs[2:]), lhs),
    )
    back = convert(back, x.dtype)
    if batches > 1:
        back = fold(unfold(back, lhs[1], batches), lhs[1], lhs[0])
    return back


def _transpose_rhs(ct: Any, x: Any, y: ShapedArray, params: Params) -> Any:
    """A convolution of the input with the cotangent, batch and features exchanged."""
    lhs, rhs, out = params["dimension_numbers"]
    if 0 in aval_of(ct).shape:
        return full(0, ShapedArray(y.shape, y.dtype))
    strides = params["window_strides"]
    big = _spatial(aval_of(x).shape, lhs, params["lhs_dilation"])
    window = _spatial(y.shape, rhs, params["rhs_dilation"])
    made = _spatial(aval_of(ct).shape, out, strides)
    padding = tuple(
        [
            (low, n - size + k - low - 1)
            for size, k, n, (low, _high) in zip(big, window, made, params["padding"], strict=True)
        ]
    )
    swapped = [(s[1], s[0], *s[2:]) for s in (lhs, out, rhs)]
    back = _conv(
        convert(x, aval_of(ct).dtype),
        ct,
        params,
        window_strides=params["rhs_dilation"],
        padding=padding,
        rhs_dilation=strides,
        dimension_numbers=ConvDims(*swapped),
        feature_group_count=params["batch_group_count"],
        batch_group_count=params["feature_group_count"],
    )
    return convert(back, y.dtype)


# --- batching -----------------------------------------------------------------------------------


def _conv_batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    (x, y), (dx, dy) = args, dims
    lhs, rhs, out = params["dimension_numbers"]
    features, batches = params["feature_group_count"], params["batch_group_count"]
    if size == 0:
        types = [
            aval_of(v)
            if d is None
            else ShapedArray(np.delete(aval_of(v).shape, d).tolist(), aval_of(v).dtype)
            for v, d in zip(args, dims, strict=True)
        ]
        one = conv_general_dilated_p.type(*types, **params)
        return full(0, ShapedArray((0, *one.shape), one.dtype)), 0
    groups = max(features, batches)
    if dx is not None and dy is not None:  # every example is a group of features of its own
        if batches > 1:
            x, batches = fold(x, dx, lhs[0]), batches * size
        else:
            x, features = fold(x, dx, lhs[1]), features * size
        y = fold(y, dy, rhs[0])
        made = _conv(x, y, params, feature_group_count=features, batch_group_count=batches)
        return unfold(made, out[1], size), out[1]
    if dx is not None:
        x = _fold_in_group(x, dx, lhs[0], batches)
        return unfold(_conv(x, y, params), out[0], size), out[0]
    assert dy is not None
    y = _fold_in_group(y, dy, rhs[0], groups)
    made = _conv(x, y, params)
    if groups == 1:
        return unfold(made, out[1], size), out[1]
    made = unfold(unfold(made, out[1], groups), out[1] + 1, size)
    return fold(made, out[1], out[1] + 1), out[1]


def _fold_in_group(x: Any, dim: int, target: int, groups: int) -> Any:
    """Examples become part of axis `target`, inside each of its `groups`, which stay outermost."""
    if groups == 1:
        return fold(x, dim, target)
    x = unfold(x, target + (dim <= target), groups)
    x = fold(x, dim + (target < dim), target + 1)
    return fold(x, target, target)


# --- lowering -----------------------------------------------------------------------------------


def _side(spec: Sequence[int], letters: str) -> str:
    names = [""] * len(spec)
    names[spec[0]], names[spec[1]] = letters[0], letters[1]
    for i, axis in enumerate(spec[2:]):
        names[axis] = str(i)
    return "[" + ", ".join(names) + "]"


def _conv_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **params: Any
) -> list[Any]:
    if kind_of(avals_in[0].dtype) == "c":  # three real convolutions on some platforms
        return b.jax(conv_general_dilated_p, operands, avals_in, avals_out, params)
    lhs, rhs, out = params["dimension_numbers"]
    x, y = operands
    # The input's gradient turns the kernel round; a form may do without that copy.
    before = b.operand_of(y, "stablehlo.reverse", dimensions=b.ints(rhs[2:]))
    for form, kernel in ((form_of_turned, before), (form_of, y)):
        if kernel is not None:
            made = lower_by_form(b, form, (x, kernel), avals_in, avals_out[0], params)
            if made is not None:
                return made
    rank = len(lhs) - 2
    pads = ", ".join(f"[{low}, {high}]" for low, high in params["padding"])
    padding = f"dense<[{pads}]> : tensor<{rank}x2xi64>" if rank else "dense<> : tensor<0x2xi64>"
    return b.one(
        "stablehlo.convolution",
        avals_out[0],
        *operands,
        window_strides=b.ints(params["window_strides"]),
        padding=b.parse(padding),
        lhs_dilation=b.ints(params["lhs_dilation"]),
        rhs_dilation=b.ints(params["rhs_dilation"]),
        dimension_numbers=b.parse(
            f"#stablehlo.conv<{_side(lhs, 'bf')}x{_side(rhs, 'oi')}->{_side(out, 'bf')}>"
        ),
        feature_group_count=b.int(params["feature_group_count"]),
        batch_group_count=b.int(params["batch_group_count"]),
        precision_config=b.parse(precision_text(params["precision"])),
    )


def _conv_cost(avals_in: Any, avals_out: Any, *, dimension_numbers: ConvDims, **_: Any) -> int:
    """A multiplication and an addition for each output, input feature and place in the window."""
    kernel = avals_in[1].shape
    per_output = math.prod(kernel[i] for i in dimension_numbers.rhs_spec[1:])
    return 2 * per_output * math.prod(avals_out[0].shape)


conv_general_dilated_p = Primitive(
    "conv_general_dilated",
    jax_type(jax.lax.conv_general_dilated_p, out_sharding=None),
    jvp=_conv_jvp,
    transpose=_conv_transpose,
    batch=_conv_batch,
    lower=_conv_lower,
    cost=_conv_cost,
    jax=jax.lax.conv_general_dilated_p,
    from_jax=dropping({"out_sharding": None}),
    to_jax=lambda params: {**params, "out_sharding": None},
)
