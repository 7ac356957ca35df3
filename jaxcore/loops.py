"""Loops without stacked inputs: while_loop and fori_loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.bodies import check_carry, ours, promoted, require_function, trace_body, trace_carry
from jaxcore.control import scan
from jaxcore.ir import intern
from jaxcore.ops.loop import while_p
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind

__all__ = ["fori_loop", "while_loop"]


@errors.explained
def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    max_steps: int | None = None,
) -> Any:
    """Run ``val = body_fun(val)`` while ``cond_fun(val)``, at most `max_steps` times.

    Forward mode works through it. Reverse mode needs `max_steps`: it keeps the value at the
    beginning of about ``sqrt(max_steps)`` stretches of the loop (fewer for more than 4096 steps)
    and runs each stretch again on the way back, so that memory grows with the square root of the
    steps and the time by one more forward pass. Steps after the end cost nothing, neither forward
    nor backward.

    Args:
      cond_fun: function of the value to a boolean scalar.
      body_fun: function of the value to the next one, of the same structure, shapes and dtypes.
      init_val: the first value, a pytree of arrays.
      max_steps: end after so many steps in any case. The result is then the value after them,
        as ``cond_fun(result)`` tells by being true still; under ``jax_debug_nans`` the floats of
        such a result are NaN, so that this mode reports it.

    Returns:
      The last value.

    Raises:
      TypeError: `cond_fun` returns no boolean scalar, or the body changes the structure or types.
      ValueError: `max_steps` is negative; or reverse mode without `max_steps`, as in JAX.

    Example:
      >>> int(while_loop(lambda n: n < 10, lambda n: n * 2, 1))
      16
      >>> import jaxcore
      >>> square = lambda x: while_loop(lambda y: y < 100.0, lambda y: y * y, x, max_steps=10)
      >>> jaxcore.grad(square)(2.0)  # ((2²)²)² = 256, and its derivative is 8 · 2⁷
      Array(1024., dtype=float32, weak_type=True)

    Griewank and Walther 2000, https://doi.org/10.1145/347837.347846
    """
    require_function("while_loop", "cond_fun", cond_fun)
    require_function("while_loop", "body_fun", body_fun)
    if max_steps is None and (not ours() or backend.flag("jax_disable_jit")):
        return jax.lax.while_loop(cond_fun, body_fun, init_val)
    name = function_name(body_fun)
    if max_steps is not None and int(max_steps) < 0:
        raise ValueError(f"while_loop of {name}: max_steps must not be negative, got {max_steps}.")
    tree: Any
    carry, tree = jax.tree.flatten(init_val)
    in_tree = jax.tree_util.treedef_tuple([tree])
    body, consts, out_tree, avals = trace_carry(body_fun, in_tree, carry, [], "body")
    check_carry(f"while_loop of {name}", init_val, tree, out_tree, avals, body)
    body = intern(body)
    test, test_consts, test_tree = trace_body(cond_fun, in_tree, avals, "cond")
    got = test.out_avals
    leaf = jax.tree_util.treedef_is_leaf(test_tree)
    if not leaf or got[0].shape != () or got[0].dtype != np.bool_:
        raise TypeError(
            f"while_loop: {function_name(cond_fun)} must return a boolean scalar, got "
            f"{got[0] if leaf else test_tree}."
        )
    params = {} if max_steps is None else {"max_steps": int(max_steps)}
    out = bind(
        while_p,
        *test_consts,
        *consts,
        *promoted(carry, avals),
        cond=test,
        body=body,
        n_cond=len(test_consts),
        n_body=len(consts),
        **params,
    )
    result = jax.tree.unflatten(tree, out)
    if max_steps is not None and backend.flag("jax_debug_nans"):
        return _nan_where(cond_fun(result), result)
    return result


def _nan_where(unfinished: Any, tree: Any) -> Any:
    """The floats of `tree` as NaN where the loop had not come to its end.

    The NaN is 0 / 0 and appears nowhere else, so that a mode which looks for NaN finds it here.
    """
    import jaxcore.numpy as jnp

    def checked(x: Any) -> Any:
        dtype = aval_of(x).dtype
        if not jax.numpy.issubdtype(dtype, jax.numpy.inexact):
            return x
        one = jnp.where(unfinished, 0.0, 1.0).astype(dtype)
        return x * (one / one)

    return jax.tree.map(checked, tree)


@errors.explained
def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """``for i in range(lower, upper): val = body_fun(i, val)``.

    With bounds whose values are known while tracing this is a scan, which reverse mode goes
    through; otherwise a while_loop.

    Args:
      lower, upper: integer scalars of one type; one of them may be a Python number.
      body_fun: function of the index and the value to the next value.
      init_val: the first value, a pytree of arrays.
      unroll: how many steps one turn of the compiled loop does; True for all. Needs known bounds.

    Raises:
      TypeError: the bounds differ in type, or the body changes the structure or types.
      ValueError: `unroll` without known bounds.

    Example:
      >>> float(fori_loop(0, 4, lambda i, x: x * 2, 1.0))
      16.0
    """
    require_function("fori_loop", "body_fun", body_fun)
    dtype = _bound_dtype(function_name(body_fun), aval_of(lower), aval_of(upper))
    if backend.is_concrete(lower) and backend.is_concrete(upper):
        first, length = int(lower), max(0, int(upper) - int(lower))
        if length == 0 and backend.flag("jax_disable_jit"):
            return init_val

        def step(state: Any, _: Any) -> Any:
            i, val = state
            return (i + 1, body_fun(i, val)), None

        return scan(
            step, (first, init_val), None, length, unroll=False if unroll is None else unroll
        )[0][1]
    if unroll not in (None, 1, False):
        raise ValueError(
            "fori_loop: unroll needs bounds whose values are known while tracing, got "
            f"lower={lower}, upper={upper}."
        )

    def advance(state: Any) -> Any:
        i, end, val = state
        return i + 1, end, body_fun(i, val)

    start, end = promoted([lower, upper], [aval_of(x).update(dtype=dtype) for x in (lower, upper)])
    return while_loop(lambda state: state[0] < state[1], advance, (start, end, init_val))[2]


def _bound_dtype(name: str, lower: Any, upper: Any) -> Any:
    """The dtype of the index: that of the bounds; a weak integer takes that of the other bound."""
    if lower.dtype == upper.dtype:
        return lower.dtype
    if lower.dtype.kind == upper.dtype.kind == "i" and lower.weak_type != upper.weak_type:
        return upper.dtype if lower.weak_type else lower.dtype
    raise TypeError(
        f"fori_loop of {name}: lower and upper must have equal types, got {lower} and {upper}. "
        "Fix: convert one of them."
    )
