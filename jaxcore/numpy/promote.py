"""NumPy's promotion: operands of one dtype, by JAX's lattice, and shapes that broadcast.

The common cases (equal types; an array and a Python scalar) are decided in a few tests. A scalar
becomes a NumPy scalar of the result's dtype, hence a literal of the program, never an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.backend import ShapedArray
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import broadcast_in_dim, kind_of
from jaxcore.source import current_source
from jaxcore.values import aval_of, scalar_aval

__all__ = [
    "array",
    "broadcast",
    "float_dtype",
    "inexact",
    "is_complex",
    "operands",
    "pair",
    "promoted",
    "to_dtype",
]

_PYTHON = (bool, int, float, complex)


def array(name: str, x: Any, position: int = 0) -> Any:
    """`x` itself if it is an array, tracer or scalar; the value of its ``__jax_array__``."""
    if hasattr(x, "aval") or type(x) in _PYTHON or isinstance(x, np.generic):
        return x
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "OSUM":
            raise TypeError(
                f"{name}: the NumPy array at position {position} has dtype {x.dtype}, which is not "
                "a JAX dtype. Fix: convert it to numbers."
            )
        return x
    if hasattr(x, "__jax_array__"):
        return x.__jax_array__()
    if isinstance(x, _PYTHON):
        value: Any = x
        return next(kind(value) for kind in _PYTHON if isinstance(x, kind))
    raise TypeError(
        f"{name} requires ndarray or scalar arguments, got {type(x)} at position {position}. Fix: "
        "convert it, for example with jaxcore.numpy.asarray."
    )


_result_types: dict[Any, tuple[Any, bool]] = {}


def promoted(*args: Any) -> tuple[Any, bool]:
    """The dtype that `args` promote to and whether the result is weakly typed."""
    key: list[Any] = [backend.trace_context()]
    for a in args:
        if type(a) in _PYTHON:
            key.append(type(a))
        else:
            aval = aval_of(a)
            key.append((aval.dtype, aval.weak_type))
    found = _result_types.get(tuple(key))
    if found is None:
        shown = [a if type(a) in _PYTHON else _Typed(aval_of(a)) for a in args]
        try:
            dtype, weak = backend.promoted_type(*shown)
        except ValueError as error:  # JAX's operations refuse keys by a TypeError
            if not any(backend.is_extended(aval_of(a).dtype) for a in args):
                raise
            types = ", ".join(str(aval_of(a)) for a in args)
            raise TypeError(f"random keys have no arithmetic, got {types}: {error}") from None
        found = _result_types[tuple(key)] = (np.dtype(dtype) if not _is_key(dtype) else dtype, weak)
    return found


class _Typed:
    """Stands for an array of a type where only the type is asked for."""

    def __init__(self, aval: ShapedArray) -> None:
        self.aval, self.dtype, self.shape, self.ndim = aval, aval.dtype, aval.shape, len(aval.shape)
        self.weak_type = aval.weak_type


def _is_key(dtype: Any) -> bool:
    return backend.is_extended(dtype)


def to_dtype(x: Any, dtype: Any, weak: bool = False) -> Any:
    """`x` as an array or literal of `dtype`."""
    kind = type(x)
    if kind in _PYTHON:
        if kind is complex and kind_of(dtype) in "iuf":
            raise TypeError(
                f"The complex number {x} is no {np.dtype(dtype).name}. Fix: take its real part."
            )
        if weak:
            value = _python_kinds[kind_of(dtype)](x)
            if scalar_aval(value).dtype == dtype:
                return value
            return convert(value, dtype, weak)
        return np.asarray(x).astype(dtype)[()]
    if isinstance(x, np.generic) and not weak:
        return x if x.dtype == dtype else x.astype(dtype)
    return convert(x, dtype, weak)


_python_kinds = {"b": bool, "i": int, "u": int, "f": float, "c": complex}

_float_dtypes: dict[Any, Any] = {}


def float_dtype(dtype: Any) -> Any:
    """The inexact dtype that functions such as sin compute `dtype` in."""
    if kind_of(dtype) in "fc":
        return dtype
    key = (dtype, bool(backend.flag("jax_enable_x64")))
    found = _float_dtypes.get(key)
    if found is None:
        found = _float_dtypes[key] = jax.eval_shape(
            jax.numpy.sin, jax.ShapeDtypeStruct((), dtype)
        ).dtype
    return found


def is_complex(x: Any) -> bool:
    """Whether `x` holds complex numbers."""
    return kind_of(aval_of(x).dtype) == "c"


def inexact(name: str, x: Any) -> Any:
    """`x` with bool and integers turned into floats."""
    aval = getattr(x, "aval", None)
    if aval is None:
        x = array(name, x)
        aval = aval_of(x)
    dtype = aval.dtype
    if kind_of(dtype) in "fc":
        return x
    return to_dtype(x, float_dtype(dtype), aval.weak_type)


def operands(name: str, *args: Any, to_float: bool = False) -> list[Any]:
    """`args` converted to their common dtype and broadcast to their common shape; scalars stay."""
    checked = [array(name, a, i) for i, a in enumerate(args)]
    dtype, weak = promoted(*checked)
    if to_float:
        dtype = float_dtype(dtype)
    values = []
    for a in checked:
        if type(a) in _PYTHON or aval_of(a).dtype != dtype:
            a = to_dtype(a, dtype, weak)
        values.append(a)
    return broadcast(name, *values)


def broadcast(name: str, *args: Any, scalars: bool = False) -> list[Any]:
    """`args` with shapes that an elementwise primitive takes: of one rank, or ().

    With `scalars` all of them get the common shape.
    """
    shapes = tuple([aval_of(a).shape for a in args])
    shape = shapes[0]
    if all(s == shape or (s == () and not scalars) for s in shapes):
        return list(args)
    shape = common_shape(name, args, shapes)
    rank = len(shape)
    return [
        a
        if s == shape or (not scalars and len(s) in (0, rank))
        else broadcast_in_dim(a, shape, range(rank - len(s), rank))
        for a, s in zip(args, shapes, strict=True)
    ]


_common_shapes: dict[tuple[tuple[int, ...], ...], tuple[int, ...]] = {}


def common_shape(
    name: str, args: Sequence[Any], shapes: tuple[tuple[int, ...], ...]
) -> tuple[int, ...]:
    """The shape that `shapes` broadcast to."""
    if backend.flag("jax_numpy_rank_promotion") != "allow":
        _check_ranks(name, shapes)
    found = _common_shapes.get(shapes)
    if found is not None:
        return found
    out: list[int] = [1] * max(map(len, shapes))
    for s in shapes:
        offset = len(out) - len(s)
        for i, n in enumerate(s):
            m = out[offset + i]
            if m == 1:
                out[offset + i] = n
            elif n not in (1, m):
                listed = ", ".join(str(tuple(s)) for s in shapes)
                error = errors.BroadcastError(
                    f"{name} got incompatible shapes for broadcasting: {listed}. Fix: shapes are "
                    "aligned from the right and must be equal or 1 along each axis; reshape, or "
                    "add an axis with x[:, None]."
                )
                raise errors.with_source(
                    error, _Named(name), [aval_of(a) for a in args], current_source()
                )
    if len(_common_shapes) > 4096:
        _common_shapes.clear()
    found = _common_shapes[shapes] = tuple(out)
    return found


def _check_ranks(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """JAX's option against broadcasting that adds axes."""
    if len({len(s) for s in shapes if s != ()}) <= 1:
        return
    if backend.flag("jax_numpy_rank_promotion") == "warn":
        jax.numpy.broadcast_shapes(*shapes)
        return
    raise ValueError(
        f"Operands could not be broadcast together for {name} on shapes "
        f"{' '.join(str(tuple(s)) for s in shapes)} and with the config option "
        "jax_numpy_rank_promotion='raise'. Fix: add the axes explicitly, x[None, :]."
    )


class _Named:
    """What an error message asks of a primitive."""

    def __init__(self, name: str) -> None:
        self.name = name


def pair(name: str, x: Any, y: Any, to_float: bool) -> tuple[Any, Any, Any]:
    """Two operands of one dtype whose shapes agree, and the dtype; the fast cases come first."""
    ax, ay = getattr(x, "aval", None), getattr(y, "aval", None)
    if ax is not None and ay is not None:
        dtype, sx, sy = ax.dtype, ax.shape, ay.shape
        if dtype == ay.dtype and (not to_float or kind_of(dtype) in "fc"):
            if sx != sy and sx != () and sy != ():
                x, y = broadcast(name, x, y)
            return x, y, dtype
    elif ax is not None:
        scalar = _literal(y, ax, to_float)
        if scalar is not None:
            return x, scalar, ax.dtype
    elif ay is not None:
        scalar = _literal(x, ay, to_float)
        if scalar is not None:
            return scalar, y, ay.dtype
    x, y = operands(name, x, y, to_float=to_float)
    return x, y, aval_of(x).dtype


def _literal(x: Any, aval: Any, to_float: bool) -> Any:
    """The Python scalar `x` as an operand beside an array of type `aval`; None: not a fast case."""
    kind = type(x)
    if kind is float:
        if kind_of(aval.dtype) not in "fc":
            return None
    elif kind is int:
        if kind_of(aval.dtype) not in ("f" if to_float else "iuf"):
            return None
    else:
        return None
    if aval.weak_type:
        return x if scalar_aval(x).dtype == aval.dtype else None
    try:
        return aval.dtype.type(x)
    except (OverflowError, TypeError):
        scalar_aval(x)  # an integer may be too large for any dtype
        return None
