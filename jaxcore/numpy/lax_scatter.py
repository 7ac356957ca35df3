"""The functions of `jaxcore.lax` that write at positions known when the program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import jax

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.operand import typed
from jaxcore.ops import scatter as s
from jaxcore.ops.indexing import Mode
from jaxcore.ops.rules import full, kind_of
from jaxcore.ops.scatter_apply import scatter_apply_p
from jaxcore.primitive import Primitive
from jaxcore.trace import bind, trace_program

__all__ = [
    "scatter",
    "scatter_add",
    "scatter_apply",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]

Array = jax.Array


def _dims(numbers: Any) -> s.ScatterDims:
    """Dimension numbers as tuples, which can be hashed."""
    return s.ScatterDims(*[tuple([index(d) for d in dims]) for dims in numbers])


def _function(name: str, primitive: Primitive, doc: str) -> Callable[..., Array]:
    def function(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Array:
        x, aval = typed(name, operand)
        settings: dict[str, Any] = {
            "indices_are_sorted": bool(indices_are_sorted),
            "unique_indices": bool(unique_indices),
        }
        ordered = primitive in (s.scatter_min_p, s.scatter_max_p)
        if backend.is_extended(aval.dtype) or (ordered and kind_of(aval.dtype) == "c"):
            theirs = getattr(jax.lax, name)
            return theirs(x, scatter_indices, updates, dimension_numbers, mode=mode, **settings)
        return bind(
            primitive,
            x,
            typed(name, scatter_indices, 1)[0],
            typed(name, updates, 2)[0],
            dimension_numbers=_dims(dimension_numbers),
            mode=Mode.from_any(mode),
            **settings,
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{doc}

    Args:
      operand: array.
      scatter_indices: integers (..., n): the n entries say where along the axes
        ``dimension_numbers.scatter_dims_to_operand_dims`` each window of `updates` goes.
      updates: array of the dtype of `operand`.
      dimension_numbers: a `jax.lax.ScatterDimensionNumbers`.
      indices_are_sorted: a promise.
      unique_indices: a promise, without which the gradient of a product is refused.
      mode: what happens to windows that do not lie inside: "drop" (the default), "clip", or
        "promise_in_bounds".

    Raises:
      TypeError: the dtypes differ, or the dimension numbers do not fit.
    """
    return function


scatter = _function("scatter", s.scatter_p, "`operand` with windows replaced by `updates`.")
scatter_add = _function(
    "scatter_add", s.scatter_add_p, "`operand` with `updates` added to windows."
)
scatter_sub = _function(
    "scatter_sub", s.scatter_sub_p, "`operand` with `updates` subtracted from windows."
)
scatter_mul = _function(
    "scatter_mul", s.scatter_mul_p, "`operand` with windows multiplied by `updates`."
)
scatter_min = _function(
    "scatter_min", s.scatter_min_p, "The smaller of the windows of `operand` and `updates`."
)
scatter_max = _function(
    "scatter_max", s.scatter_max_p, "The larger of the windows of `operand` and `updates`."
)


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: Any,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Array:
    """`operand` with the elements of windows replaced by ``func(element)``.

    Args:
      operand: array.
      scatter_indices: see `scatter`.
      func: function of a scalar to a scalar; it captures no arrays.
      dimension_numbers: see `scatter`.
      update_shape: the shape that the updates of `scatter` would have.
      indices_are_sorted: a promise.
      unique_indices: a promise.
      mode: see `scatter`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
      >>> print(lax.scatter_apply(jnp.ones(3), jnp.array([1]), jnp.negative, numbers))
      [ 1. -1.  1.]
    """
    x, aval = typed("scatter_apply", operand)
    point = ShapedArray((), aval.dtype)
    program, captured = trace_program(lambda old: [func(old)], [point], "apply")
    if captured:
        raise NotImplementedError(
            f"scatter_apply: the function captures {len(captured)} arrays. Fix: capture Python or "
            "NumPy scalars only."
        )
    return bind(
        scatter_apply_p,
        x,
        typed("scatter_apply", scatter_indices, 1)[0],
        full(0, ShapedArray(tuple([index(n) for n in update_shape]), aval.dtype)),
        program=program,
        dimension_numbers=_dims(dimension_numbers),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=Mode.from_any(mode),
    )
