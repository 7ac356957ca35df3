"""`lax.reduce` and `lax.reduce_window`: reductions by any function, and by the usual ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import lax_functions as f
from jaxcore.numpy.lax_conv import explicit_padding
from jaxcore.numpy.operand import axis_index, typed
from jaxcore.ops import reduce as r
from jaxcore.ops import window as w
from jaxcore.ops.convert import convert
from jaxcore.ops.fold import combiner, reduce_p, reduce_window_p
from jaxcore.ops.rules import kind_of
from jaxcore.trace import aval_of, bind

__all__ = ["reduce", "reduce_window"]

# Functions of lax with the reduction that they make, and its neutral element.
_REDUCTIONS: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "add": (r.reduce_sum_p, lambda dtype: 0, "biufc"),
    "mul": (r.reduce_prod_p, lambda dtype: 1, "biufc"),
    "max": (r.reduce_max_p, r.lowest, "biufc"),
    "min": (r.reduce_min_p, r.highest, "biufc"),
    "bitwise_and": (r.reduce_and_p, r.all_ones, "biu"),
    "bitwise_or": (r.reduce_or_p, lambda dtype: 0, "biu"),
    "bitwise_xor": (r.reduce_xor_p, lambda dtype: 0, "biu"),
}
_WINDOWS: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "add": (w.reduce_window_sum_p, lambda dtype: 0, "iufc"),
    "max": (w.reduce_window_max_p, r.lowest, "biuf"),
    "min": (w.reduce_window_min_p, r.highest, "biuf"),
}


def _usual(table: dict[str, Any], computation: Any, operands: list[Any], starts: list[Any]) -> Any:
    """The primitive in `table` of a function of lax that begins at its neutral element, or None."""
    known = len(starts) == 1 and not isinstance(starts[0], backend.Tracer)
    if not known or np.ndim(starts[0]):
        return None
    for name, (primitive, neutral, kinds) in table.items():
        if computation in (getattr(f, name), getattr(jax.lax, name)):
            dtype = aval_of(operands[0]).dtype
            fits = kind_of(dtype) in kinds
            with np.errstate(over="ignore"):
                return primitive if fits and starts[0] == np.asarray(neutral(dtype)) else None
    return None


def _leaves(name: str, operands: Any, starts: Any) -> tuple[list[Any], list[Any], Any]:
    tree: Any = jax.tree.structure(operands)
    other: Any = jax.tree.structure(starts)
    if tree != other:
        raise ValueError(
            f"{name}: operands must have the same tree structure as the initial values, got {tree} "
            f"and {other}."
        )
    values, initial = jax.tree.leaves(operands), jax.tree.leaves(starts)
    if not values:
        raise ValueError(f"{name} must have at least one operand.")
    return (
        [typed(name, x, i)[0] for i, x in enumerate(values)],
        [typed(name, x, i)[0] for i, x in enumerate(initial)],
        tree,
    )


def _program(name: str, computation: Callable[..., Any], tree: Any, starts: list[Any]) -> Any:
    def flat(*values: Any) -> list[Any]:
        n = len(values) // 2
        out = computation(tree.unflatten(values[:n]), tree.unflatten(values[n:]))
        leaves, found = jax.tree.flatten(out)
        if found != tree:
            raise ValueError(
                f"{name}: the computation must return the tree structure of its operands, {tree}, "
                f"got {found}."
            )
        return leaves

    return combiner(flat, [aval_of(x) for x in starts], name)


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:
    """The elements over the axes `dimensions`, combined by `computation`.

    Args:
      operands: array, or a pytree of arrays of one shape.
      init_values: for each array a scalar of its dtype that is neutral to the computation.
      computation: associative function of two scalars (or pytrees of them) to one; it captures no
        arrays. `lax.add`, `mul`, `max`, `min` and the bitwise ones become their reductions.
      dimensions: the axes.

    Raises:
      ValueError: the trees differ.
      TypeError: the dtypes do not fit, or the computation returns something else.
      NotImplementedError: the computation captures arrays; or, for another than the ones named
        above, the initial values are batched or differentiated.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> largest = lambda x, y: jnp.where(abs(x) > abs(y), x, y)
      >>> print(lax.reduce(jnp.array([[1.0, -3.0], [2.0, 1.0]]), 0.0, largest, (1,)))
      [-3.  2.]
    """
    xs, starts, tree = _leaves("reduce", operands, init_values)
    rank = len(aval_of(xs[0]).shape)
    axes = tuple([axis_index(d, rank) for d in dimensions])
    if out_sharding is not None:
        return jax.lax.reduce(operands, init_values, computation, dimensions, out_sharding)
    primitive = _usual(_REDUCTIONS, computation, xs, starts)
    if primitive is not None:
        weak = aval_of(xs[0]).weak_type and aval_of(starts[0]).weak_type
        out = bind(primitive, xs[0], axes=axes)
        return convert(out, aval_of(out).dtype, weak)
    program = _program("reduce", computation, tree, starts)
    return tree.unflatten(bind(reduce_p, *xs, *starts, program=program, axes=axes))


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """`computation` over the elements of each window that slides over `operand`.

    Args:
      operand: array, or a pytree of arrays of one shape.
      init_value: where each window begins, and the value of padding.
      computation: see `reduce`; `lax.add`, `lax.max` and `lax.min` with their neutral `init_value`
        have derivatives of both modes, others of forward mode.
      window_dimensions: size of the window along each axis.
      window_strides: step of the window along each axis.
      padding: "SAME", "VALID", or (before, after) for each axis.
      base_dilation: distance between neighbours of the operand.
      window_dilation: distance between neighbours inside the window.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> lax.reduce_window(jnp.arange(6.0), 0.0, lax.add, (2,), (2,), "VALID")
      Array([1., 5., 9.], dtype=float32)
    """
    xs, starts, tree = _leaves("reduce_window", operand, init_value)
    shape = aval_of(xs[0]).shape
    ones = (1,) * len(shape)
    ints = lambda values: ones if values is None else tuple([index(v) for v in values])
    window, strides = ints(window_dimensions), ints(window_strides)
    inner = ints(window_dilation)
    dilated = [max((n - 1) * d + 1, 0) for n, d in zip(window, inner, strict=True)]
    settings: dict[str, Any] = {
        "window_dimensions": window,
        "window_strides": strides,
        "padding": explicit_padding(shape, dilated, strides, padding),
        "base_dilation": ints(base_dilation),
        "window_dilation": inner,
    }
    primitive = _usual(_WINDOWS, computation, xs, starts)
    if primitive is not None:
        return tree.unflatten([bind(primitive, xs[0], **settings)])
    program = _program("reduce_window", computation, tree, starts)
    return tree.unflatten(bind(reduce_window_p, *xs, *starts, program=program, **settings))
