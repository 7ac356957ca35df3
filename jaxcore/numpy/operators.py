"""Operators and methods of our tracers: `x + y` goes to our functions, not through JAX's.

`attach` writes them onto the class of all our tracers. JAX's arrays keep JAX's operators, which
hand our tracers back to us one primitive at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import elementwise as e
from jaxcore.numpy import ufuncs as u
from jaxcore.trace import JaxcoreTracer

__all__ = ["attach"]

_operands: set[type] = {int, float, bool, complex}


def _is_operand(x: Any) -> bool:
    """Whether an operator takes `x`; anything else gets the chance of its own operator."""
    found = isinstance(x, jax.Array | np.ndarray | np.generic) or hasattr(x, "__jax_array__")
    if found:
        _operands.add(type(x))
    return found


def _forward(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if type(other) in _operands or _is_operand(other):
            return function(self, other)
        return NotImplemented

    return operate


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if type(other) in _operands or _is_operand(other):
            return function(other, self)
        return NotImplemented

    return operate


_both = {
    "add": u.add,
    "sub": u.subtract,
    "mul": u.multiply,
    "truediv": u.true_divide,
    "floordiv": e.floor_divide,
    "mod": e.remainder,
    "divmod": e.divmod,
    "pow": e.power,
    "and": u.bitwise_and,
    "or": u.bitwise_or,
    "xor": u.bitwise_xor,
    "lshift": e.left_shift,
    "rshift": e.right_shift,
}
_comparisons = {
    "eq": u.equal,
    "ne": u.not_equal,
    "lt": e.less,
    "le": e.less_equal,
    "gt": e.greater,
    "ge": e.greater_equal,
}
_unary = {"neg": u.negative, "pos": e.positive, "abs": e.absolute, "invert": u.invert}


def attach(
    methods: dict[str, Callable[..., Any]], properties: dict[str, Callable[[Any], Any]]
) -> None:
    """Give every tracer of ours `methods` and read-only `properties` by name."""
    for name, method in methods.items():
        setattr(JaxcoreTracer, name, method)
    for name, getter in properties.items():
        setattr(JaxcoreTracer, name, property(getter))


attach({f"__{name}__": _forward(function) for name, function in _both.items()}, {})
attach({f"__r{name}__": _reflected(function) for name, function in _both.items()}, {})
attach({f"__{name}__": _forward(function) for name, function in _comparisons.items()}, {})
attach(
    {
        f"__{name}__": lambda self, function=function: function(self)
        for name, function in _unary.items()
    },
    {},
)
JaxcoreTracer.__hash__ = jax.core.Tracer.__hash__  # type: ignore[method-assign]
