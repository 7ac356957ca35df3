"""NumPy's interface: JAX's names, arguments, defaults and dtypes.

The functions imported here record our primitives directly; every other name is JAX's function,
which runs on our tracers.

promote, factory      dtypes and shapes that operands take; functions made from a primitive
ufuncs, elementwise   elementwise functions: one primitive each, and made of several
operators             operators and methods of our tracers
"""

# ruff: noqa: F401, I001 (names that are exported, in the order of their families)

from __future__ import annotations

from typing import Any

import jax.numpy as _jnp

# fmt: off
from jaxcore.numpy.ufuncs import (
    acos, add, arccos, arcsin, arcsinh, arctan, arctan2, arctanh, asin, asinh, atan, atan2, atanh,
    bitwise_and, bitwise_invert, bitwise_not, bitwise_or, bitwise_xor, cbrt, cos, cosh, divide,
    equal, exp, exp2, expm1, float_power, invert, log, log1p, maximum, minimum, multiply, negative,
    nextafter, not_equal, sign, sin, sinh, sqrt, subtract, tan, tanh, true_divide,
)
from jaxcore.numpy.elementwise import (
    abs, absolute, clip, divmod, fabs, floor_divide, greater, greater_equal, left_shift, less,
    less_equal, mod, positive, pow, power, reciprocal, remainder, right_shift, square, where,
)
from jaxcore.numpy import operators as _operators

# --- shapes and indexing: names of the files on shapes, products and indexing ---

# --- end of shapes and indexing ---
# fmt: on


def __getattr__(name: str) -> Any:
    return getattr(_jnp, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_jnp)})
