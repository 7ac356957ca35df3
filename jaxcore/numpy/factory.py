"""Makes functions of one and two operands from a primitive; decides the fast cases of promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxcore.numpy.composite import composite
from jaxcore.numpy.promote import array, inexact, pair
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = ["binary", "float_binary", "float_unary", "unary", "with_methods"]

_UFUNC = ("accumulate", "at", "identity", "nargs", "nin", "nout", "outer", "reduce", "reduceat")


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "jaxcore.numpy"
    return with_methods(composite()(function))


def with_methods(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with the methods that it has as a ufunc in JAX, such as ``reduce``; JAX's own,
    on our traces.
    """
    ufunc = getattr(jax.numpy, function.__name__, None)
    if isinstance(ufunc, jax.numpy.ufunc):
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
        x, y, dtype = pair(name, x, y, False)
        if special is not None and kind_of(dtype) in special[0]:
            return special[1](x, y)
        return bind(primitive, x, y)

    return _named(function, name, doc)


def float_binary(name: str, primitive: Primitive, doc: str) -> Callable[[Any, Any], Any]:
    """A function of two operands; bool and integers are computed as floats."""

    def function(x: Any, y: Any, /) -> Any:
        x, y, _ = pair(name, x, y, True)
        return bind(primitive, x, y)

    return _named(function, name, doc)
