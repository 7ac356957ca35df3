"""Types of values, and Python's and NumPy's scalars as literals."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import Literal
from jaxcore.ops.avals import shaped

__all__ = ["SCALARS", "SCALAR_KINDS", "aval_of", "numpy_literal", "scalar_aval", "scalar_literal"]

SCALARS = (bool, int, float, complex)
SCALAR_KINDS = (*SCALARS, np.generic, np.ndarray)
_scalar_avals: dict[Any, ShapedArray] = {}


def scalar_literal(x: bool | int | float | complex) -> Literal:
    """A Python scalar as a literal."""
    aval = scalar_aval(x)
    return Literal(np.asarray(x, aval.dtype)[()], aval)


def scalar_aval(x: bool | int | float | complex) -> ShapedArray:
    """The type of a Python scalar: weak, except for bool."""
    kind = type(x)
    x64 = bool(backend.flag("jax_enable_x64"))
    if kind is int and not -2147483648 <= x <= 2147483647 and not x64:  # type: ignore[operator]
        raise OverflowError(
            f"The Python integer {x} does not fit int32. Fix: use a float, or enable x64."
        )
    aval = _scalar_avals.get((kind, x64))
    if aval is None:
        aval = _scalar_avals[kind, x64] = jax.typeof(x)
    return aval


def numpy_literal(x: Any) -> Literal:
    """A scalar with a dtype as a literal: NumPy's, or those in which JAX's functions keep the
    numbers they are given.
    """
    aval = getattr(x, "aval", None)
    if aval is None:
        aval = shaped((), backend.canonicalize_dtype(x.dtype))
    return Literal(np.asarray(x, aval.dtype)[()], aval)


def aval_of(x: Any) -> ShapedArray:
    """The type of a value: tracer, array, NumPy array or Python scalar."""
    aval = getattr(x, "aval", None)
    if aval is not None:
        return aval
    if type(x) in SCALARS:
        return scalar_aval(x)
    if isinstance(x, np.ndarray | np.generic) and x.dtype != backend.float0:
        return shaped(x.shape, backend.canonicalize_dtype(x.dtype))
    return jax.typeof(x)
