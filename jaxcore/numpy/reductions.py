"""Reductions: axis, keepdims, dtype, initial and where as in NumPy.

Half precision is summed in float32; small integers in the default integer type.
"""

from __future__ import annotations

import builtins
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import where as choose
from jaxcore.numpy.promote import array
from jaxcore.ops import convert as v
from jaxcore.ops import reduce as r
from jaxcore.ops.arithmetic import add, mul
from jaxcore.ops.rules import kind_of, reshape
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "canonical_axes",
    "canonical_axis",
    "computation_dtype",
    "count_nonzero",
    "has_names",
    "integer_default",
    "max",
    "min",
    "prod",
    "sum",
    "user_dtype",
]

Axis = int | Sequence[int] | None
_HALF = (np.dtype(np.float16), np.dtype(jax.numpy.bfloat16))
_FLOAT32 = np.dtype(np.float32)


def user_dtype(dtype: Any, name: str) -> Any:
    """A dtype argument as a dtype that exists: without x64, 64 bits become 32, with a warning."""
    if backend.is_extended(dtype) if hasattr(dtype, "type") else False:
        return dtype
    if dtype is _FLOAT32:
        return dtype
    asked = np.dtype(dtype)
    given = backend.canonicalize_dtype(asked)
    if given != asked and dtype not in (bool, int, float, complex):
        warnings.warn(
            f"Explicitly requested dtype {asked} requested in {name} is not available, and will be "
            f"truncated to dtype {given}. To enable more dtypes, set the jax_enable_x64 "
            "configuration option.",
            stacklevel=3,
        )
    return given


def canonical_axes(axis: Axis, rank: int, name: str) -> tuple[int, ...]:
    """The axes as sorted-as-given non-negative numbers; None is all of them."""
    if axis is None:
        return tuple(range(rank))
    if type(axis) is int:
        return (canonical_axis(axis, rank),)
    given = tuple(axis) if isinstance(axis, tuple | list | np.ndarray) else (axis,)
    axes = tuple(canonical_axis(i, rank) for i in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return axes


def canonical_axis(axis: Any, rank: int) -> int:
    """`axis` as a number in [0, rank)."""
    i = operator.index(axis)
    if not -rank <= i < rank:
        raise errors.AxisError(
            f"axis {i} is out of bounds for array of dimension {rank}. Fix: use an axis in "
            f"[{-rank}, {rank})."
        )
    return i % rank


def integer_default(dtype: Any) -> Any:
    """The type that integers of `dtype` are added in."""
    kind = kind_of(dtype)
    if kind not in "biu":
        return dtype
    default = backend.canonicalize_dtype(np.dtype(np.uint64 if kind == "u" else np.int64))
    return default if kind == "b" or dtype.itemsize < default.itemsize else dtype


def computation_dtype(dtype: Any) -> Any:
    """The dtype to add numbers of `dtype` in."""
    return _FLOAT32 if dtype in _HALF else dtype


def has_names(axis: Any) -> bool:
    """Whether `axis` names an axis of vmap's: JAX's function handles those."""
    if axis is None or type(axis) is int:
        return False
    given = axis if isinstance(axis, tuple | list) else (axis,)
    return builtins.any(isinstance(i, str) for i in given)


def _reduce(
    name: str,
    x: Any,
    primitive: Primitive,
    combine: Callable[[Any, Any], Any],
    identity: Callable[[Any], Any],
    axis: Axis,
    out: None,
    keepdims: bool,
    initial: Any,
    where: Any,
    *,
    dtype: Any = None,
    through_half: bool = True,
    result_dtype: Any = None,
    has_identity: bool = True,
) -> Any:
    """`x` in its computation dtype, masked, reduced, combined with `initial`, and cast."""
    if out is not None:
        raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported.")
    aval = aval_of(x)
    if where is not None:
        where = array(name, where)
        if kind_of(aval_of(where).dtype) != "b":
            raise ValueError(
                f"jnp.{name}: where must be None or a boolean array; got "
                f"where.dtype={aval_of(where).dtype}."
            )
    axes = canonical_axes(axis, len(aval.shape), name)
    if initial is None and not has_identity:
        if where is not None:
            raise ValueError(
                f"reduction operation {name} does not have an identity, so to use a where mask one "
                "has to specify 'initial'"
            )
        if builtins.any(aval.shape[i] == 0 for i in axes):
            raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
    result = aval.dtype if result_dtype is None else result_dtype
    if dtype is not None:
        result = user_dtype(dtype, name)
    compute = computation_dtype(result) if through_half else result
    x = v.convert(x, compute)
    if where is not None:
        x = choose(where, x, np.asarray(identity(compute)).astype(compute)[()])
        aval = aval_of(x)
    value = bind(primitive, x, axes=axes)
    if initial is not None:
        initial = v.convert(array(name, initial), compute)
        if aval_of(initial).shape != ():
            raise ValueError(
                "initial value must be a scalar. Got array of shape "
                f"{tuple(aval_of(initial).shape)}"
            )
        value = combine(initial, value)
    if keepdims:
        value = reshape(value, tuple([1 if i in axes else n for i, n in enumerate(aval.shape)]))
    return v.convert(value, result)


# --- sums and products --------------------------------------------------------------------------


@composite("axis", "dtype", "keepdims", "promote_integers")
def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The sum over `axis` (None: all axes).

    Args:
      a: array.
      axis: axis, or several.
      dtype: of the result; by default that of `a`, with small integers in the default type.
      keepdims: leave reduced axes with size 1.
      initial: scalar that is added.
      where: bool array that broadcasts with `a`: the elements that count.
      promote_integers: add small integers in the default integer type.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.sum(jnp.ones((2, 3)), axis=0)
      Array([2., 2., 2.], dtype=float32)
    """
    return _total("sum", a, axis, dtype, out, keepdims, initial, where, promote_integers)


@composite("axis", "dtype", "keepdims", "promote_integers")
def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The product over `axis` (None: all axes); arguments as of `sum`."""
    return _total("prod", a, axis, dtype, out, keepdims, initial, where, promote_integers)


def _total(
    name: str,
    x: Any,
    axis: Axis,
    dtype: Any,
    out: None,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
) -> Any:
    if has_names(axis):
        return getattr(jax.numpy, name)(x, axis, dtype, out, keepdims, initial, where)
    x = array(name, x)
    own = aval_of(x).dtype
    if kind_of(own) == "b":  # bools are counted
        own = backend.canonicalize_dtype(np.dtype(np.int64))
        x = v.convert(x, own)
    combine: Callable[[Any, Any], Any]
    if name == "sum":
        primitive, combine, unit = r.reduce_sum_p, add, 0
    else:
        primitive, combine, unit = r.reduce_prod_p, mul, 1
    if dtype is not None and kind_of(user_dtype(dtype, name)) == "b":
        primitive = r.reduce_or_p if name == "sum" else r.reduce_and_p
        combine = u.bitwise_or if name == "sum" else u.bitwise_and
    return _reduce(
        name,
        x,
        primitive,
        combine,
        lambda _: unit,
        axis,
        out,
        keepdims,
        initial,
        where,
        dtype=dtype,
        through_half=dtype is None,
        result_dtype=integer_default(own) if promote_integers else own,
    )


# --- extrema ------------------------------------------------------------------------------------


def _extremum(name: str, doc: str) -> Callable[..., Any]:
    primitive = r.reduce_max_p if name == "max" else r.reduce_min_p
    combine = u.maximum if name == "max" else u.minimum
    identity = r.lowest if name == "max" else r.highest

    def function(
        a: Any,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        if has_names(axis):
            return getattr(jax.numpy, name)(a, axis, out, keepdims, initial, where)
        return _reduce(
            name,
            array(name, a),
            primitive,
            combine,
            identity,
            axis,
            out,
            keepdims,
            initial,
            where,
            through_half=False,
            has_identity=False,
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite("axis", "keepdims")(function)


max = amax = _extremum("max", "The largest element over `axis`; arguments as of `sum`.")
min = amin = _extremum("min", "The smallest element over `axis`; arguments as of `sum`.")


def _arg(name: str, doc: str) -> Callable[..., Any]:
    primitive = r.argmax_p if name == "argmax" else r.argmin_p

    def function(
        a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
    ) -> Any:
        a = array(name, a)
        aval = aval_of(a)
        if out is not None:
            raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported.")
        rank = len(aval.shape)
        flat = a if axis is not None else reshape(a, (math.prod(aval.shape),))
        place = 0 if axis is None else canonical_axis(axis, rank)
        if aval_of(flat).shape[place] == 0:
            raise ValueError(f"attempt to get {name} of an empty sequence")
        index_dtype = backend.canonicalize_dtype(np.dtype(np.int64))
        value = bind(primitive, flat, axes=(place,), index_dtype=index_dtype)
        if keepdims:
            kept = [1 if axis is None or i == place else n for i, n in enumerate(aval.shape)]
            value = reshape(value, kept)
        return value

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite("axis", "keepdims")(function)


argmax = _arg("argmax", "The index of the first largest element along `axis` (None: of all).")
argmin = _arg("argmin", "The index of the first smallest element along `axis` (None: of all).")


# --- logic --------------------------------------------------------------------------------------


@composite("axis", "keepdims")
def all(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether every element over `axis` is true (not zero)."""
    return _logic("all", r.reduce_and_p, True, a, axis, out, keepdims, where)


@composite("axis", "keepdims")
def any(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether some element over `axis` is true (not zero)."""
    return _logic("any", r.reduce_or_p, False, a, axis, out, keepdims, where)


def _logic(
    name: str,
    primitive: Primitive,
    unit: bool,
    x: Any,
    axis: Axis,
    out: None,
    keepdims: bool,
    where: Any,
) -> Any:
    x = array(name, x)
    if kind_of(aval_of(x).dtype) != "b":
        x = v.convert(x, np.dtype(np.bool_))
    return _reduce(
        name, x, primitive, u.bitwise_and, lambda _: unit, axis, out, keepdims, None, where
    )


@composite("axis", "keepdims")
def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The number of elements over `axis` that are not zero."""
    a = array("count_nonzero", a)
    nonzero = u.not_equal(a, np.zeros((), aval_of(a).dtype)[()])
    dtype = backend.canonicalize_dtype(np.dtype(np.int64))
    return sum(nonzero, axis=axis, dtype=dtype, keepdims=keepdims)
