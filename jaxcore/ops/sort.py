"""Sorting: several operands moved by the order of the first of them, and the largest elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.compare import compare_lower
from jaxcore.ops.rules import BOOL, accept, installed_params, kind_of, move_dim, with_defaults
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["approx_top_k_p", "sort_p", "top_k_p"]


def _take(x: Any, indices: Any, axis: int) -> Any:
    import jaxcore.numpy as jnp

    return jnp.take_along_axis(x, indices, axis)


# --- sort ---------------------------------------------------------------------------------------


def _sort_type(
    *avals: ShapedArray, dimension: int, is_stable: bool, num_keys: int
) -> list[ShapedArray]:
    first = avals[0]
    if any(a.shape != first.shape for a in avals):
        shapes = " ".join(str(tuple(a.shape)) for a in avals)
        raise TypeError(f"Arguments to sort must have equal shapes, got: {shapes}")
    if not 0 <= dimension < len(first.shape):
        raise ValueError(f"dimension {dimension} out of range for {first}")
    return list(avals)


def _sort_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    dimension: int,
    is_stable: bool,
    num_keys: int,
) -> Any:
    """Tangents are moved as their values were: the places are sorted along."""
    shape = aval_of(primals[0]).shape
    places = jax.lax.broadcasted_iota(np.dtype(np.int32), shape, dimension)
    *outs, order = bind(
        sort_p, *primals, places, dimension=dimension, is_stable=is_stable, num_keys=num_keys
    )
    return outs, [None if t is None else _take(t, order, dimension) for t in tangents]


def _sort_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension: int,
    is_stable: bool,
    num_keys: int,
) -> Any:
    target = next(d for d in dims if d is not None)
    shapes = [aval_of(x).shape for x in args]
    from jaxcore.ops.rules import broadcast_in_dim

    moved = []
    for x, d, s in zip(args, dims, shapes, strict=True):
        if d is None:
            spread = [i for i in range(len(s) + 1) if i != target]
            x = broadcast_in_dim(x, (*s[:target], size, *s[target:]), spread)
        else:
            x = move_dim(x, d, target)
        moved.append(x)
    outs = bind(
        sort_p,
        *moved,
        dimension=dimension + (target <= dimension),
        is_stable=is_stable,
        num_keys=num_keys,
    )
    return outs, [target] * len(outs)


def _sort_keys(b: Any, x: Any, aval: ShapedArray) -> list[tuple[Any, ShapedArray]]:
    """What values are compared by: parts of complex numbers; one zero, and one NaN, the largest."""
    kind = kind_of(aval.dtype)
    if kind == "c":
        part = ShapedArray((), np.zeros((), aval.dtype).real.dtype)
        parts = [b.one(f"stablehlo.{name}", part, x)[0] for name in ("real", "imag")]
        return [key for p in parts for key in _sort_keys(b, p, part)]
    if kind != "f":
        return [(x, aval)]
    zero, nan = b.constant(0, aval), b.constant(np.nan, aval)
    x = b.one("stablehlo.select", aval, compare_lower(b, "EQ", x, zero, aval), zero, x)[0]
    x = b.one("stablehlo.select", aval, compare_lower(b, "NE", x, x, aval), nan, x)[0]
    return [(x, aval)]


def _sort_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    dimension: int,
    is_stable: bool,
    num_keys: int,
) -> list[Any]:
    points = [ShapedArray((), a.dtype) for a in avals_in]
    bools = ShapedArray((), BOOL)
    op = b.op(
        "stablehlo.sort",
        list(avals_out),
        list(operands),
        regions=1,
        dimension=b.int(dimension),
        is_stable=b.parse("true" if is_stable else "false"),
    )

    def before(*values: Any) -> list[Any]:
        """Lexicographic order of the keys."""
        pairs = []
        for i in range(num_keys):
            left = _sort_keys(b, values[2 * i], points[i])
            right = _sort_keys(b, values[2 * i + 1], points[i])
            pairs += [(x, y, aval) for (x, aval), (y, _) in zip(left, right, strict=True)]
        result = None
        for x, y, aval in reversed(pairs):
            total = "TOTALORDER" if kind_of(aval.dtype) == "f" else None
            less = compare_lower(b, "LT", x, y, aval, total)
            if result is not None:
                tie = compare_lower(b, "EQ", x, y, aval, total)
                rest = b.one("stablehlo.and", bools, tie, result)[0]
                less = b.one("stablehlo.or", bools, less, rest)[0]
            result = less
        return [result]

    b.region(op, [p for p in points for _ in range(2)], before)
    return list(op.results)


sort_p = Primitive(
    "sort",
    _sort_type,
    jvp=_sort_jvp,
    batch=_sort_batch,
    lower=_sort_lower,
    jax=jax.lax.sort_p,
    multiple_results=True,
)


# --- top_k --------------------------------------------------------------------------------------


def _top_k_type(x: ShapedArray, *, k: int, axis: int) -> list[ShapedArray]:
    accept("top_k", "biuf", None, x.dtype)
    if k < 0:
        raise ValueError(f"k argument to top_k must be nonnegative, got {k}")
    if not x.shape or not 0 <= axis < len(x.shape):
        raise TypeError(f"top_k operand must have an axis {axis}, got {x}.")
    if x.shape[axis] < k:
        raise ValueError(
            f"k argument to top_k must be no larger than size along axis; got k={k} with "
            f"shape={tuple(x.shape)} and axis={axis}"
        )
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    values = ShapedArray(shape, x.dtype, weak_type=x.weak_type)
    return [values, ShapedArray(shape, np.dtype(np.int32))]


def _top_k_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, k: int, axis: int) -> Any:
    values, indices = bind(top_k_p, primals[0], k=k, axis=axis)
    return [values, indices], [_take(tangents[0], indices, axis), None]


def _top_k_batch(size: int, args: Sequence[Any], dims: Sequence[int], *, k: int, axis: int) -> Any:
    d = dims[0]
    return bind(top_k_p, args[0], k=k, axis=axis + (d <= axis)), [d, d]


def _top_k_from_jax(params: dict[str, Any]) -> dict[str, Any] | None:
    if params.get("is_stable", True) is not True:
        return None
    return {"k": params["k"], "axis": params["axis"]}


top_k_p = Primitive(
    "top_k",
    _top_k_type,
    jvp=_top_k_jvp,
    batch=_top_k_batch,
    jax=jax.lax.top_k_p,
    from_jax=_top_k_from_jax,
    to_jax=with_defaults(
        installed_params(lambda x: jax.lax.top_k(x, 1), np.zeros((1,), np.float32))
    ),
    multiple_results=True,
)


# --- approx_top_k -------------------------------------------------------------------------------


def _approx_type(x: ShapedArray, **params: Any) -> list[ShapedArray]:
    return backend.abstract_eval(jax.lax.approx_top_k_p, [x], params)[0]


def _approx_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, reduction_dimension: int, **params: Any
) -> Any:
    axis = reduction_dimension
    values, indices = bind(approx_top_k_p, *primals, reduction_dimension=axis, **params)
    return [values, indices], [_take(tangents[0], indices, axis), None]


def _approx_batch(
    size: int, args: Sequence[Any], dims: Sequence[int], *, reduction_dimension: int, **params: Any
) -> Any:
    d = dims[0]
    axis = reduction_dimension % (len(aval_of(args[0]).shape) - 1)
    return bind(approx_top_k_p, *args, reduction_dimension=axis + (d <= axis), **params), [d, d]


# How it is computed depends on the platform: exactly on CPU and GPU, in one pass on TPU.
approx_top_k_p = Primitive(
    "approx_top_k",
    _approx_type,
    jvp=_approx_jvp,
    batch=_approx_batch,
    jax=jax.lax.approx_top_k_p,
    multiple_results=True,
)
