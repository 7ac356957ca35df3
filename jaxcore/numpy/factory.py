"""Makes functions of one and two operands from a primitive; decides the fast cases of promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxcore.numpy.promote import array, inexact, operands
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, scalar_aval

__all__ = ["binary", "float_binary", "float_unary", "unary"]

_UFUNC = ("accumulate", "at", "identity", "nargs", "nin", "nout", "outer", "reduce", "reduceat")


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "jaxcore.numpy"
    ufunc = getattr(jax.numpy, name, None)
    if type(ufunc).__name__ == "ufunc":
        for method in _UFUNC:
            setattr(function, method, getattr(ufunc, method))
    return function


def float_unary(name: str, primitive: Primitive, doc: str) -> Callable[[Any], Any]:
    """A function of one number; bool and integers are computed as floats."""

    def function(x: Any, /) -> Any:
        aval = getattr(x, "aval", None)
        if aval is None or kind_of(aval.dtype) not in "fc":
            x = inexact(name, x)
        return bind(primitive, x)

    return _named(function, name, doc)


def unary(name: str, primitive: Primitive, doc: str) -> Callable[[Any], Any]:
    """A function of one number in its own dtype."""

    def function(x: Any, /) -> Any:
        return bind(primitive, x if hasattr(x, "aval") else array(name, x))

    return _named(function, name, doc)


def binary(
    name: str,
    primitive: Primitive,
    doc: str,
    special: tuple[str, Callable[[Any, Any], Any]] | None = None,
) -> Callable[[Any, Any], Any]:
    """A function of two operands, promoted and broadcast; `special`: (kinds, what it is there)."""

    def function(x: Any, y: Any, /) -> Any:
        x, y, dtype = _pair(name, x, y, False)
        if special is not None and kind_of(dtype) in special[0]:
            return special[1](x, y)
        return bind(primitive, x, y)

    return _named(function, name, doc)


def float_binary(name: str, primitive: Primitive, doc: str) -> Callable[[Any, Any], Any]:
    """A function of two operands; bool and integers are computed as floats."""

    def function(x: Any, y: Any, /) -> Any:
        x, y, _ = _pair(name, x, y, True)
        return bind(primitive, x, y)

    return _named(function, name, doc)


def _pair(name: str, x: Any, y: Any, to_float: bool) -> tuple[Any, Any, Any]:
    """Two operands of one dtype whose shapes agree, and the dtype; the fast cases come first."""
    ax, ay = getattr(x, "aval", None), getattr(y, "aval", None)
    if ax is not None and ay is not None:
        dtype, sx, sy = ax.dtype, ax.shape, ay.shape
        same = dtype == ay.dtype and (sx == sy or sx == () or sy == ())
        if same and (not to_float or kind_of(dtype) in "fc"):
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
        return None
