"""`scan` and `map`, with JAX's signatures.

Bodies are traced into programs of the IR and shared like any call. Under one of JAX's own traces
JAX's functions do the work, so that its transformations see primitives that they know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.bodies import check_carry, ours, promoted, require_function, trace_carry
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.scan import scan_p, unstacked
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind

__all__ = ["map", "scan"]


@errors.explained
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` over the leading axis of `xs`.

    Args:
      f: the body; `carry` keeps its structure, shapes and dtypes.
      init: the first carry, a pytree of arrays.
      xs: pytree of arrays with one leading axis, or None together with `length`.
      length: number of steps; must agree with `xs`.
      reverse: run from the last element to the first; `ys` keep the order of `xs`.
      unroll: how many steps one turn of the compiled loop does; True or 0 for all.
      _split_transpose: accepted as in JAX; the transpose is one scan either way.

    Returns:
      ``(carry, ys)``: the last carry, and the outputs stacked along a leading axis.

    Raises:
      ValueError: leading sizes differ, there is no length, or `unroll` is negative.
      TypeError: the body returns no pair, or changes the carry's structure or types.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> scan(lambda total, x: (total + x, total), 0.0, jnp.arange(3.0))[0]
      Array(3., dtype=float32)
    """
    require_function("scan", "f", f)
    name = function_name(f)
    if not ours() or backend.flag("jax_disable_jit"):
        return jax.lax.scan(f, init, xs, length, reverse, unroll)
    carry, carry_tree = jax.tree.flatten(init)
    x_leaves = jax.tree.leaves(xs)
    n = _length(name, x_leaves, length)
    steps = int(unroll)
    if steps < 0:
        raise ValueError(
            f"scan of {name}: unroll must be a bool or a non-negative int, got {unroll!r}."
        )

    @wraps(f)
    def body(carry: Any, x: Any) -> Any:
        result = f(carry, x)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"scan of {name}: the body must return a pair (carry, y), got {result!r}."
            )
        return tuple(result)

    tree = jax.tree.structure((init, xs))
    rest = [unstacked(aval_of(x)) for x in x_leaves]
    program, consts, out_tree, avals = trace_carry(body, tree, carry, rest, "body")
    next_tree, y_tree = jax.tree_util.treedef_children(out_tree)
    check_carry(f"scan of {name}", init, carry_tree, next_tree, avals, program)
    operands = [*consts, *promoted(carry, avals), *x_leaves]
    settings = {
        "length": n,
        "reverse": bool(reverse),
        "unroll": max(1, n if unroll is True or steps == 0 else steps),
    }
    out = _bind(program, operands, len(consts), len(carry), settings)
    return (
        jax.tree.unflatten(carry_tree, out[: len(carry)]),
        jax.tree.unflatten(y_tree, out[len(carry) :]),
    )


def _length(name: str, xs: Sequence[Any], length: Any) -> int:
    """The number of steps."""
    for x in xs:
        if aval_of(x).shape == ():
            raise ValueError(
                f"scan of {name}: xs must have a leading axis, got a scalar of type {aval_of(x)}."
            )
    sizes = {aval_of(x).shape[0] for x in xs}
    if length is not None:
        sizes.add(int(length))
    if len(sizes) != 1:
        what = "xs has different leading sizes" if sizes else "neither xs nor length is given"
        shapes = [str(aval_of(x)) for x in xs]
        raise ValueError(f"scan of {name}: {what}: length={length}, xs of types {shapes}.")
    return sizes.pop()


def _bind(
    program: Program, operands: Sequence[Any], n_consts: int, n_carry: int, settings: dict[str, Any]
) -> list[Any]:
    """Results of a scan. A carry that the body passes on is a constant, and a stacked output that
    is a stacked input is that input.
    """
    end = n_consts + n_carry
    carry = program.inputs[n_consts:end]
    passed = [v is x for v, x in zip(carry, program.outputs, strict=False)]
    place = dict(zip(program.inputs[end:], operands[end:], strict=True))
    given: list[Any] = [
        x if on else None for x, on in zip(operands[n_consts:end], passed, strict=True)
    ] + [place.get(x) if type(x) is Var else None for x in program.outputs[n_carry:]]

    def first_fixed(values: Sequence[Any]) -> list[Any]:
        fixed = [x for x, on in zip(values[n_consts:end], passed, strict=True) if on]
        moving = [x for x, on in zip(values[n_consts:end], passed, strict=True) if not on]
        return [*values[:n_consts], *fixed, *moving, *values[end:]]

    outputs = [x for x, value in zip(program.outputs, given, strict=True) if value is None]
    reduced = intern(Program(first_fixed(program.inputs), program.equations, outputs, program.name))
    counts = {"n_consts": n_consts + sum(passed), "n_carry": n_carry - sum(passed)}
    results = iter(
        bind(scan_p, *first_fixed(operands), program=reduced, **counts, **settings)
        if outputs or reduced.effects
        else ()
    )
    return [next(results) if value is None else _array(value) for value in given]


def _array(x: Any) -> Any:
    import jaxcore.numpy as jnp

    return x if isinstance(x, jax.Array) else jnp.asarray(x)


@errors.explained
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """``stack([f(x) for x in xs])`` as a scan, or in batches of `batch_size` by vmap.

    Args:
      f: function of one element of `xs`.
      xs: pytree of arrays with one leading axis.
      batch_size: how many elements at a time; what is left over at the end is one smaller batch.

    Returns:
      The results, stacked along a leading axis.

    Raises:
      ValueError: `xs` has no arrays, or their leading sizes differ.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> map(lambda x: x * 2, jnp.arange(3))
      Array([0, 2, 4], dtype=int32)
    """
    require_function("map", "f", f)
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    import jaxcore.numpy as jnp
    from jaxcore.transforms.vmap import vmap

    n = _length(function_name(f), jax.tree.leaves(xs), None)
    size = min(max(int(batch_size), 0), n) or n
    full = n // size if size else 0
    head = jax.tree.map(lambda x: x[: full * size].reshape(full, size, *x.shape[1:]), xs)
    parts = []
    if full > 1:
        out = scan(lambda _, x: ((), vmap(f)(x)), (), head)[1]
        parts.append(jax.tree.map(lambda y: y.reshape(full * size, *y.shape[2:]), out))
    else:  # one batch, or none
        parts.append(vmap(f)(jax.tree.map(lambda x: x[: full * size], xs)))
    if full * size < n:
        parts.append(vmap(f)(jax.tree.map(lambda x: x[full * size :], xs)))
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *ys: jnp.concatenate(ys), *parts)
