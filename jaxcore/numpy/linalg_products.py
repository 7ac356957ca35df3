"""Products of arrays: matmul, dot, inner, outer, tensordot, einsum, kron."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.lax_dot import resolve_precision
from jaxcore.numpy.operand import axis_index, typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.numpy.shapes import expand_dims, ravel, reshape
from jaxcore.ops.convert import conj, convert
from jaxcore.ops.dot import Dims, dot_general_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import squeeze_p, transpose_p
from jaxcore.trace import aval_of, bind

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]

Array = jax.Array


def _promoted_pair(name: str, a: Any, b: Any, preferred: Any) -> tuple[Any, Any, Any, bool]:
    """Both operands in their common dtype, the result's dtype, and whether it is weak."""
    a, ta = typed(name, a)
    b, tb = typed(name, b, 1)
    if ta.dtype == tb.dtype and not (ta.weak_type or tb.weak_type):
        dtype, weak = ta.dtype, False
    else:
        dtype, weak = promoted(a, b)
        a, b = to_dtype(a, dtype), to_dtype(b, dtype)
    if preferred is not None:
        return a, b, user_dtype(preferred), False
    return a, b, dtype, weak


# --- matmul -------------------------------------------------------------------------------------


@lru_cache(8192)
def _matmul_plan(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[Any, ...]:
    """Axes to squeeze of each operand, dimension numbers, and the permutation of the result.

    Matching batch axes are batch dimensions; an axis that one operand lacks, or has with size 1, is
    a dimension of the other alone, so nothing is repeated in memory.
    """
    if not x or not y:
        raise ValueError(
            f"matmul input operand {0 if not x else 1} must have ndim at least 1, but it has ndim "
            "0. Fix: use multiplication for scalars."
        )
    k, other = x[-1], y[0] if len(y) == 1 else y[-2]
    if k != other:
        raise TypeError(
            f"matmul: contracting dimensions must match: the operands have shapes {tuple(x)} and "
            f"{tuple(y)}, and {k} differs from {other}. Fix: the last axis of the first must equal "
            "the second to last axis of the second."
        )
    x_batch, y_batch = x[:-2], y[:-2]
    rank = max(len(x_batch), len(y_batch))
    x_squeeze: list[int] = []
    y_squeeze: list[int] = []
    x_names: list[str] = []
    y_names: list[str] = []
    out: list[str] = []
    for i in range(rank):
        ix, iy = i - rank + len(x_batch), i - rank + len(y_batch)
        nx = x_batch[ix] if ix >= 0 else None
        ny = y_batch[iy] if iy >= 0 else None
        if nx is not None and ny is not None and nx != ny and 1 not in (nx, ny):
            raise TypeError(
                f"matmul: batch dimensions of shapes {tuple(x)} and {tuple(y)} do not broadcast: "
                f"{nx} and {ny}."
            )
        drop_x = nx == 1 and ny is not None and ny != 1
        drop_y = ny == 1 and nx is not None and nx != 1
        if drop_x:
            x_squeeze.append(ix)
        elif nx is not None:
            x_names.append(f"b{i}")
        if drop_y:
            y_squeeze.append(iy)
        elif ny is not None:
            y_names.append(f"b{i}")
        out.append(f"b{i}")
    x_names += ["n", "k"] if len(x) > 1 else ["k"]
    y_names += ["k", "m"] if len(y) > 1 else ["k"]
    out += [name for name in ("n", "m") if name in x_names or name in y_names]
    dims, permutation = contraction(x_names, y_names, out)
    return tuple(x_squeeze), tuple(y_squeeze), dims, permutation


def contraction(x: Sequence[str], y: Sequence[str], out: Sequence[str]) -> tuple[Dims, Any]:
    """Dimension numbers for named axes, and the permutation to `out` (None: in order)."""
    batch = [n for n in x if n in y and n in out]
    contract = [n for n in x if n in y and n not in out]
    made = batch + [n for n in x if n not in y] + [n for n in y if n not in x]
    dims = (
        (tuple([x.index(n) for n in contract]), tuple([y.index(n) for n in contract])),
        (tuple([x.index(n) for n in batch]), tuple([y.index(n) for n in batch])),
    )
    permutation = tuple([made.index(n) for n in out])
    return dims, None if permutation == tuple(range(len(made))) else permutation


@composite("precision", "preferred_element_type", "out_sharding")
def matmul(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The matrix product over the last two axes; leading axes are broadcast.

    Args:
      a: (..., n, k) or (k,).
      b: (..., k, m) or (k,).
      precision: see `jaxcore.lax.dot_general`.
      preferred_element_type: dtype to accumulate in and return.

    Returns:
      (..., n, m), without the axis that a vector lacks.

    Raises:
      ValueError: a scalar operand.
      TypeError: axes that do not match.
    """
    if out_sharding is not None:
        return _jnp.matmul(
            a,
            b,
            precision=precision,
            out_sharding=out_sharding,
            preferred_element_type=preferred_element_type,
        )
    a, b, dtype, weak = _promoted_pair("matmul", a, b, preferred_element_type)
    return _contract(a, b, _matmul_plan(aval_of(a).shape, aval_of(b).shape), precision, dtype, weak)


def _contract(
    a: Any, b: Any, plan: tuple[Any, ...], precision: Any, dtype: Any, weak: bool
) -> Array:
    a_squeeze, b_squeeze, dims, permutation = plan
    if a_squeeze:
        a = bind(squeeze_p, a, dimensions=a_squeeze)
    if b_squeeze:
        b = bind(squeeze_p, b, dimensions=b_squeeze)
    out = bind(
        dot_general_p,
        a,
        b,
        dimension_numbers=dims,
        precision=resolve_precision(precision),
        preferred_element_type=dtype,
    )
    if permutation is not None:
        out = bind(transpose_p, out, permutation=permutation)
    return convert(out, dtype, True) if weak else out


# --- the other products -------------------------------------------------------------------------


@composite("precision", "preferred_element_type", "out_sharding")
def dot(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The product over the last axis of `a` and the second to last (or only) axis of `b`."""
    if out_sharding is not None:
        return _jnp.dot(
            a,
            b,
            precision=precision,
            out_sharding=out_sharding,
            preferred_element_type=preferred_element_type,
        )
    a, b, dtype, weak = _promoted_pair("dot", a, b, preferred_element_type)
    na, nb = len(aval_of(a).shape), len(aval_of(b).shape)
    contract = ((), ()) if na == 0 or nb == 0 else ((na - 1,), (nb - 2 if nb > 1 else 0,))
    return _contract(a, b, ((), (), (contract, ((), ())), None), precision, dtype, weak)


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The sum of products over pairs of axes.

    Args:
      a: array.
      b: array.
      axes: how many last axes of `a` meet the first ones of `b`, or the axes of each.
      precision: see `jaxcore.lax.dot_general`.
      preferred_element_type: dtype to accumulate in and return.
    """
    if out_sharding is not None:
        return _jnp.tensordot(
            a,
            b,
            axes,
            precision=precision,
            out_sharding=out_sharding,
            preferred_element_type=preferred_element_type,
        )
    a, b, dtype, weak = _promoted_pair("tensordot", a, b, preferred_element_type)
    na, nb = len(aval_of(a).shape), len(aval_of(b).shape)
    if isinstance(axes, int | np.integer):
        n = int(axes)
        if n > min(na, nb):
            raise TypeError(
                f"Number of tensordot axes (axes {n}) exceeds input ranks ({na} and {nb})."
            )
        first, second = tuple(range(na - n, na)), tuple(range(n))
    elif isinstance(axes, tuple | list) and len(axes) == 2:
        pair = [tuple(x) if isinstance(x, tuple | list) else (index(x),) for x in axes]
        if len(pair[0]) != len(pair[1]):
            raise TypeError(
                f"tensordot requires axes lists to have equal length, got {axes[0]} and {axes[1]}."
            )
        first = tuple([axis_index(i, na) for i in pair[0]])
        second = tuple([axis_index(i, nb) for i in pair[1]])
    else:
        raise TypeError(
            "tensordot axes argument must be an int, a pair of ints, or a pair of lists "
            f"of ints; got {axes!r}."
        )
    plan = ((), (), ((first, second), ((), ())), None)
    return _contract(a, b, plan, precision, dtype, weak)


@composite("precision", "preferred_element_type")
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products over the last axes."""
    a, ta = typed("inner", a)
    b, tb = typed("inner", b, 1)
    if not ta.shape or not tb.shape:
        a, b, dtype, weak = _promoted_pair("inner", a, b, preferred_element_type)
        return _contract(a, b, ((), (), (((), ()), ((), ())), None), precision, dtype, weak)
    return tensordot(
        a, b, (-1, -1), precision=precision, preferred_element_type=preferred_element_type
    )


@composite("precision", "preferred_element_type")
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products of all elements, the first operand conjugated."""
    a, aval = typed("vdot", a)
    if kind_of(aval.dtype) == "c":
        a = conj(a)
    return dot(
        ravel(a), ravel(b), precision=precision, preferred_element_type=preferred_element_type
    )


@composite()
def outer(a: Any, b: Any, out: None = None) -> Array:
    """All products of an element of `a` with one of `b`."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.outer is not supported.")
    from jaxcore.numpy import multiply

    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


@composite("axis", "precision", "preferred_element_type")
def vecdot(
    x1: Any,
    x2: Any,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The sum of products along `axis`, the first operand conjugated; other axes are broadcast."""
    from jaxcore.numpy.shapes import moveaxis

    x, y = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if kind_of(aval_of(x).dtype) == "c":
        x = conj(x)
    if aval_of(x).shape[-1] != aval_of(y).shape[-1]:
        raise ValueError(
            f"vecdot requires axes of equal size, got shapes {tuple(aval_of(x).shape)} "
            f"and {tuple(aval_of(y).shape)} with axis={axis}."
        )
    out = matmul(
        expand_dims(x, -2),
        expand_dims(y, -1),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return reshape(out, aval_of(out).shape[:-2])


@composite()
def matvec(x1: Any, x2: Any, /) -> Array:
    """Matrices (..., n, k) times vectors (..., k)."""
    out = matmul(x1, expand_dims(x2, -1))
    return reshape(out, aval_of(out).shape[:-1])


@composite()
def vecmat(x1: Any, x2: Any, /) -> Array:
    """Vectors (..., k), conjugated, times matrices (..., k, m)."""
    x, aval = typed("vecmat", x1)
    if kind_of(aval.dtype) == "c":
        x = conj(x)
    out = matmul(expand_dims(x, -2), x2)
    shape = aval_of(out).shape
    return reshape(out, (*shape[:-2], shape[-1]))


@composite("axisa", "axisb", "axisc", "axis")
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The cross product of vectors of three elements; other axes are broadcast.

    Args:
      a, b: arrays of vectors.
      axisa, axisb: the axis along which the vectors of each lie.
      axisc: that of the result.
      axis: for all three.

    Raises:
      ValueError: vectors of another size.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.cross(jnp.array([1, 0, 0]), jnp.array([0, 1, 0]))
      Array([0, 0, 1], dtype=int32)
    """
    from jaxcore.numpy import multiply, roll, subtract
    from jaxcore.numpy.shapes import moveaxis

    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = (moveaxis(v, at, -1) for v, at in ((a, axisa), (b, axisb)))
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ValueError(
            "Dimension must be 3 for cross product: got vectors of sizes "
            f"{x.shape[-1]} and {y.shape[-1]}."
        )
    # zᵢ = xᵢ₊₁ yᵢ₊₂ - xᵢ₊₂ yᵢ₊₁, places counted round the three
    first, second = (roll(v, -1, -1) for v in (x, y))
    third, fourth = (roll(v, -2, -1) for v in (x, y))
    return moveaxis(subtract(multiply(first, fourth), multiply(third, second)), -1, axisc)


@composite()
def kron(a: Any, b: Any) -> Array:
    """The Kronecker product: blocks of `b` scaled by the elements of `a`."""
    from jaxcore.numpy import multiply

    a, ta = typed("kron", a)
    b, tb = typed("kron", b, 1)
    ndim = max(len(ta.shape), len(tb.shape))
    sa, sb = ((1,) * (ndim - len(t.shape)) + tuple(t.shape) for t in (ta, tb))
    wide_a = tuple([n for s in sa for n in (s, 1)])
    wide_b = tuple([n for s in sb for n in (1, s)])
    out = multiply(reshape(a, wide_a), reshape(b, wide_b))
    return reshape(out, tuple([m * n for m, n in zip(sa, sb, strict=True)]))
