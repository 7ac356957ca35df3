"""Operators and methods of our tracers: `x + y` goes to our functions, not through JAX's.

`attach` writes them onto the class of all our tracers. JAX's arrays keep JAX's operators, which
hand our tracers back to us one primitive at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import elementwise as e
from jaxcore.numpy import reductions as r
from jaxcore.numpy import rounding as n
from jaxcore.numpy import running as g
from jaxcore.numpy import sorting as o
from jaxcore.numpy import special as p
from jaxcore.numpy import statistics as t
from jaxcore.numpy import ufuncs as u
from jaxcore.trace import JaxcoreTracer

__all__ = ["attach"]

_operands: set[type] = {int, float, bool, complex}


def _is_operand(x: Any) -> bool:
    """Whether an operator takes `x`; anything else gets the chance of its own operator."""
    kinds = jax.Array | np.ndarray | np.generic | int | float | complex
    found = isinstance(x, kinds) or hasattr(x, "__jax_array__")
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


def _method(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = function.__doc__
    return method


def _astype(self: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    return e.astype(self, dtype, copy=copy, device=device)


_methods: dict[str, Callable[..., Any]] = {
    "all": r.all,
    "any": r.any,
    "argmax": r.argmax,
    "argmin": r.argmin,
    "argsort": o.argsort,
    "astype": _astype,
    "clip": e.clip,
    "conj": p.conj,
    "conjugate": p.conjugate,
    "copy": p.copy,
    "cumprod": g.cumprod,
    "cumsum": g.cumsum,
    "max": r.max,
    "mean": t.mean,
    "min": r.min,
    "prod": r.prod,
    "ptp": t.ptp,
    "round": n.round,
    "sort": o.sort,
    "std": t.std,
    "sum": r.sum,
    "var": t.var,
}

attach({f"__{name}__": _forward(function) for name, function in _both.items()}, {})
attach({f"__r{name}__": _reflected(function) for name, function in _both.items()}, {})
attach({f"__{name}__": _forward(function) for name, function in _comparisons.items()}, {})
attach({f"__{name}__": _method(function, name) for name, function in _unary.items()}, {})
attach({name: _method(function, name) for name, function in _methods.items()}, {})
attach({}, {"real": p.real, "imag": p.imag})
JaxcoreTracer.__hash__ = backend.Tracer.__hash__  # type: ignore[method-assign]
