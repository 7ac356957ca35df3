"""Values in a few words: the type, and what is worth knowing of the numbers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore.errors import describe_type

__all__ = ["as_numpy", "is_float", "summary"]


def is_float(x: Any) -> bool:
    """True for floating-point and complex arrays and scalars, which can hold a NaN."""
    return isinstance(x, float | complex) or jax.dtypes.issubdtype(
        getattr(x, "dtype", np.int32), np.inexact
    )


def as_numpy(x: Any) -> np.ndarray:
    """The numbers of an array; what NumPy has no dtype for (bfloat16) as float32."""
    array = np.asarray(x)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def summary(x: Any) -> str:
    """``float32[2,8] from -1.5 to 3, 2 nan``; the elements themselves where there are few."""
    kind = describe_type(x)
    if jax.dtypes.issubdtype(getattr(x, "dtype", np.int32), jax.dtypes.extended):
        return kind
    array = as_numpy(x)
    if array.size <= 4:
        return f"{kind} {' '.join(_number(v) for v in array.ravel().tolist())}".rstrip()
    if array.dtype.kind == "b":
        return f"{kind} {int(array.sum())} of {array.size} true"
    if array.dtype.kind not in "iuf":
        return kind
    if array.dtype.kind in "iu":
        return f"{kind} from {array.min()} to {array.max()}"
    low, high = array.min(), array.max()
    if np.isfinite(low) and np.isfinite(high):
        return f"{kind} from {_number(low)} to {_number(high)}"
    finite = array[np.isfinite(array)]
    span = f" from {_number(finite.min())} to {_number(finite.max())}" if finite.size else ""
    odd = {"nan": np.isnan(array).sum(), "inf": np.isposinf(array).sum()}
    odd["-inf"] = array.size - finite.size - odd["nan"] - odd["inf"]
    return f"{kind}{span}, {', '.join(f'{n} {name}' for name, n in odd.items() if n)}"


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, float | np.floating) else str(x)
