"""Reductions over axes: sums, products, extrema, logic, and the place of an extremum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import div, max_p, min_p, mul
from jaxcore.ops.avals import shaped
from jaxcore.ops.compare import compare_lower, eq
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import (
    BOOL,
    accept,
    broadcast_in_dim,
    full,
    installed_params,
    kind_of,
    native_params,
    reshape,
    with_defaults,
)
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "argmax_p",
    "argmin_p",
    "reduce_and_p",
    "reduce_max_p",
    "reduce_min_p",
    "reduce_or_p",
    "reduce_prod_p",
    "reduce_sum",
    "reduce_sum_p",
    "reduce_xor_p",
    "spread",
]


def reduce_sum(x: Any, axes: Sequence[int]) -> Any:
    """The sum over `axes`."""
    return bind(reduce_sum_p, x, axes=tuple(axes))


def spread(x: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """A reduced value repeated along the `axes` of `shape` that were reduced."""
    kept = [i for i in range(len(shape)) if i not in axes]
    return broadcast_in_dim(x, shape, kept)


def _kept_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _reduce_type(name: str, kinds: str) -> Callable[..., ShapedArray]:
    def rule(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        accept(name, kinds, None, x.dtype)
        if len(set(axes)) != len(axes):
            raise ValueError(f"duplicate value in 'axes' of reduction: {axes}")
        if not all(0 <= a < len(x.shape) for a in axes):
            raise ValueError(f"reduction axes {axes} contains out-of-bounds indices for {x}.")
        return shaped(_kept_shape(x.shape, axes), x.dtype, x.weak_type)

    return rule


def _reduce_batch(box: list[Primitive]) -> Callable[..., Any]:
    def rule(
        size: int, args: Sequence[Any], dims: Sequence[int], *, axes: tuple[int, ...], **params: Any
    ) -> Any:
        d = dims[0]
        moved = tuple(a + (a >= d) for a in axes)
        out = bind(box[0], args[0], axes=moved, **params)
        return out, d - sum(a < d for a in moved)

    return rule


def _reduce_lower(
    combine: str | Callable[..., Any], identity: Callable[[Any], Any]
) -> Callable[..., list[Any]]:
    def lower(
        b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, axes: tuple[int, ...]
    ) -> list[Any]:
        if not axes:
            return list(operands)
        point = ShapedArray((), avals_in[0].dtype)
        op = b.op(
            "stablehlo.reduce",
            [avals_out[0]],
            [operands[0], b.constant(identity(point.dtype), point)],
            regions=1,
            dimensions=b.ints(axes),
        )
        b.region(
            op,
            [point, point],
            lambda x, y: (
                b.one(combine, point, x, y) if isinstance(combine, str) else combine(b, point, x, y)
            ),
        )
        return list(op.results)

    return lower


def _elements(avals_in: Sequence[ShapedArray], avals_out: Any, **_: Any) -> int:
    return int(np.prod(avals_in[0].shape))


def _reduction(
    name: str,
    kinds: str,
    combine: Any,
    identity: Callable[[Any], Any],
    *,
    jvp: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
) -> Primitive:
    box: list[Primitive] = []
    mirrored = getattr(jax.lax, name + "_p")
    sample: Any = np.zeros((1,), np.bool_ if kinds == "b" else np.int32)
    public = getattr(jax.lax, name)
    primitive = Primitive(
        name,
        _reduce_type(name, kinds),
        jvp=jvp,
        transpose=transpose,
        batch=_reduce_batch(box),
        lower=_reduce_lower(combine, identity),
        cost=_elements,
        jax=mirrored,
        from_jax=native_params,
        to_jax=with_defaults(installed_params(lambda x: public(x, (0,)), sample)),
    )
    box.append(primitive)
    return primitive


# --- sums and products --------------------------------------------------------------------------


def _sum_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
    return reduce_sum(primals[0], axes), reduce_sum(tangents[0], axes)


def _sum_transpose(ct: Any, args: Sequence[Any], *, axes: tuple[int, ...]) -> list[Any]:
    return [spread(ct, args[0].aval.shape, axes)]


reduce_sum_p = _reduction(
    "reduce_sum", "iufc", "stablehlo.add", lambda dtype: 0, jvp=_sum_jvp, transpose=_sum_transpose
)


def _prod_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
    """Each element's coefficient is the product of all the others, exact at zeros too."""
    from jaxcore.ops.cumulative import cumprod_p

    (x,), (t,) = primals, tangents
    out = bind(reduce_prod_p, x, axes=axes)
    shape = aval_of(x).shape
    rest = [i for i in range(len(shape)) if i not in axes]
    order = [*axes, *rest]
    flat_shape = (int(np.prod([shape[a] for a in axes])), *(shape[i] for i in rest))
    from jaxcore.ops.rules import transpose as permute

    flat = reshape(permute(x, order), flat_shape)
    before = _shifted(bind(cumprod_p, flat, axis=0, reverse=False), last=False)
    after = _shifted(bind(cumprod_p, flat, axis=0, reverse=True), last=True)
    others = reshape(mul(before, after), tuple(shape[i] for i in order))
    inverse = [order.index(i) for i in range(len(order))]
    return out, reduce_sum(mul(t, permute(others, inverse)), axes)


def _shifted(x: Any, last: bool) -> Any:
    """`x` moved by one along axis 0, a one in the free place."""
    import jaxcore.numpy as jnp

    ones = full(1, ShapedArray((1, *aval_of(x).shape[1:]), aval_of(x).dtype))
    if aval_of(x).shape[0] == 0:
        return x
    return jnp.concatenate([x[1:], ones] if last else [ones, x[:-1]])


reduce_prod_p = _reduction(
    "reduce_prod", "iufc", "stablehlo.multiply", lambda dtype: 1, jvp=_prod_jvp
)


# --- extrema ------------------------------------------------------------------------------------


def lowest(dtype: Any) -> Any:
    """The identity of max."""
    kind = kind_of(dtype)
    if kind == "b":
        return False
    return -np.inf if kind in "fc" else np.iinfo(dtype).min


def highest(dtype: Any) -> Any:
    """The identity of min."""
    kind = kind_of(dtype)
    if kind == "b":
        return True
    return np.inf if kind in "fc" else np.iinfo(dtype).max


def _extremum(name: str, combine: Primitive, identity: Callable[[Any], Any]) -> Primitive:
    box: list[Primitive] = []

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
        """The tangent's mean over the elements that attain the extremum."""
        (x,), (t,) = primals, tangents
        out = bind(box[0], x, axes=axes)
        shape = aval_of(x).shape
        chosen = convert(eq(x, spread(out, shape, axes)), aval_of(x).dtype)
        return out, div(reduce_sum(mul(t, chosen), axes), reduce_sum(chosen, axes))

    def either(b: Any, point: ShapedArray, x: Any, y: Any) -> list[Any]:
        return combine.lower(b, [x, y], [point, point], [point])  # type: ignore[misc]

    primitive = _reduction(name, "biufc", either, identity, jvp=jvp)
    box.append(primitive)
    return primitive


reduce_max_p = _extremum("reduce_max", max_p, lowest)
reduce_min_p = _extremum("reduce_min", min_p, highest)


# --- logic --------------------------------------------------------------------------------------


def all_ones(dtype: Any) -> Any:
    """The identity of the bitwise and."""
    return True if dtype == BOOL else np.invert(np.zeros((), dtype))


reduce_and_p = _reduction("reduce_and", "biu", "stablehlo.and", all_ones)
reduce_or_p = _reduction("reduce_or", "biu", "stablehlo.or", lambda dtype: 0)
reduce_xor_p = _reduction("reduce_xor", "biu", "stablehlo.xor", lambda dtype: 0)


# --- the place of an extremum -------------------------------------------------------------------


def _arg_type(name: str) -> Callable[..., ShapedArray]:
    def rule(x: ShapedArray, *, axes: tuple[int, ...], index_dtype: Any) -> ShapedArray:
        accept(name, "biuf", None, x.dtype)
        (axis,) = axes
        if not 0 <= axis < len(x.shape):
            raise ValueError(f"Invalid axis {axis} for operand shape {tuple(x.shape)}.")
        if x.shape[axis] < 1:
            raise ValueError(f"{name} requires non-empty reduced dimension: axis {axis} of {x}.")
        if kind_of(index_dtype) not in "iu":
            raise TypeError(f"index_dtype must be an integer type, but got {index_dtype}.")
        return ShapedArray(_kept_shape(x.shape, axes), index_dtype)

    return rule


def _arg_lower(direction: str, identity: Callable[[Any], Any]) -> Callable[..., list[Any]]:
    """Reduce pairs (value, index): NaN wins, then the extremum, then the first index."""

    def lower(
        b: Any,
        operands: Sequence[Any],
        avals_in: Any,
        avals_out: Any,
        *,
        axes: tuple[int, ...],
        index_dtype: Any,
    ) -> list[Any]:
        (axis,), source = axes, avals_in[0]
        value, index = ShapedArray((), source.dtype), ShapedArray((), index_dtype)
        bools = ShapedArray((), BOOL)
        places = b.one(
            "stablehlo.iota", ShapedArray(source.shape, index_dtype), iota_dimension=b.int(axis)
        )[0]
        op = b.op(
            "stablehlo.reduce",
            [ShapedArray(avals_out[0].shape, source.dtype), avals_out[0]],
            [operands[0], places, b.constant(identity(source.dtype), value), b.constant(0, index)],
            regions=1,
            dimensions=b.ints(axes),
        )

        def better(x: Any, i: Any, y: Any, j: Any) -> list[Any]:
            wins = compare_lower(b, direction, x, y, value)
            wins = b.one("stablehlo.or", bools, wins, compare_lower(b, "NE", x, x, value))[0]
            tie = compare_lower(b, "EQ", x, y, value)
            first = compare_lower(b, "LT", i, j, index)
            keeps = b.one("stablehlo.and", bools, tie, first)[0]
            take_i = b.one("stablehlo.or", bools, wins, keeps)[0]
            return [
                b.one("stablehlo.select", value, wins, x, y)[0],
                b.one("stablehlo.select", index, take_i, i, j)[0],
            ]

        b.region(op, [value, index, value, index], better)
        return [op.results[1]]

    return lower


def _arg(name: str, direction: str, identity: Callable[[Any], Any]) -> Primitive:
    box: list[Primitive] = []
    primitive = Primitive(
        name,
        _arg_type(name),
        batch=_reduce_batch(box),
        lower=_arg_lower(direction, identity),
        cost=_elements,
        jax=getattr(jax.lax, name + "_p"),
        from_jax=native_params,
    )
    box.append(primitive)
    return primitive


argmax_p = _arg("argmax", "GT", lowest)
argmin_p = _arg("argmin", "LT", highest)
