"""What samplers do with their arguments: dtypes, shapes and parameters, with JAX's checks."""

from __future__ import annotations

from inspect import signature
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, lax
from jaxcore.random.keys import shape_of
from jaxcore.trace import aval_of

__all__ = [
    "Shape",
    "at_rank",
    "cast",
    "check_cast",
    "check_shape",
    "float_dtype",
    "full_shape",
    "left_to_jax",
    "spread",
]

Shape = tuple[int, ...]


def check_shape(name: str, shape: Shape, *parameters: Any) -> None:
    """Raise unless the parameters' shapes broadcast to exactly `shape`."""
    found = np.broadcast_shapes(shape, *[aval_of(p).shape for p in parameters])
    if found != shape:
        raise ValueError(
            f"{name} parameter shapes must be broadcast-compatible with shape argument, and the "
            f"result of broadcasting the shapes must equal the shape argument, but got result "
            f"{found} for shape argument {shape}."
        )


def full_shape(name: str, shape: Any, *parameters: Any) -> Shape:
    """The shape of a sample: `shape`, or what the parameters broadcast to where it is None."""
    if shape is None:
        return np.broadcast_shapes(*[aval_of(p).shape for p in parameters])
    sizes = shape_of(shape)
    check_shape(name, sizes, *parameters)
    return sizes


def float_dtype(name: str, dtype: Any, kind: Any = np.floating, noun: str = "float") -> Any:
    """The dtype argument of a sampler of floats; the default float for None."""
    own = backend.user_dtype(float if dtype is None else dtype)
    if not jax.dtypes.issubdtype(own, kind):
        raise ValueError(f"dtype argument to `{name}` must be a {noun} dtype, got {own}")
    return own


def check_cast(name: str, dtype: Any, *parameters: Any) -> None:
    """Raise where a parameter would lose precision as `dtype`."""
    for x in parameters:
        if not backend.safe_to_cast(x, dtype):
            raise jax.dtypes.TypePromotionError(
                f"In arguments to {name}, cannot safely cast argument of type {aval_of(x).dtype} "
                f"to {dtype}. Fix: convert it, or ask for a wider dtype."
            )


def left_to_jax(name: str, method: str, out_sharding: Any) -> dict[str, Any] | None:
    """None where a sampler with a `method` is ours, else what JAX's is to be told.

    Raises:
      ValueError: an unknown method.
      NotImplementedError: the installed JAX has no approximate sampler.
    """
    if method not in ("exact", "approximate"):
        raise ValueError(
            f"method argument to `{name}` must be one of {{'exact', 'approximate'}}, got {method!r}"
        )
    options: dict[str, Any] = {} if out_sharding is None else {"out_sharding": out_sharding}
    if method == "approximate":
        if "method" not in signature(getattr(jax.random, name)).parameters:
            raise NotImplementedError(
                f"{name} with method='approximate' needs jax 0.12, and {jax.__version__} is "
                "installed. Fix: upgrade jax, or leave the method at 'exact'."
            )
        options["method"] = method
    return options or None


def cast(x: Any, dtype: Any) -> Any:
    """`x` in `dtype`; a number stays one, so that it becomes a literal."""
    if isinstance(x, int | float | np.generic):
        return np.asarray(x, dtype)[()]
    return lax.convert_element_type(x, dtype)


def at_rank(x: Any, rank: int) -> Any:
    """`x` with leading axes of size 1 up to `rank`; scalars stay."""
    shape = aval_of(x).shape
    missing = rank - len(shape)
    return jnp.reshape(x, (1,) * missing + shape) if shape and missing > 0 else x


def spread(x: Any, dtype: Any, shape: Shape) -> Any:
    """`x` in `dtype`, broadcast to `shape`."""
    return jnp.broadcast_to(lax.convert_element_type(x, dtype), shape)
