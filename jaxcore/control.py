"""Loops: scan, while_loop, fori_loop, map, with JAX's signatures.

Bodies are traced into programs of the IR and shared like any call. Under one of JAX's own traces
JAX's functions do the work, so that its transformations see primitives that they know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.axes import cast_hint
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.loop import while_p
from jaxcore.ops.scan import scan_p, unstacked
from jaxcore.signature import function_name, leaf_path
from jaxcore.trace import JaxcoreTrace, StageTrace, aval_of, bind, trace_program

__all__ = ["by_python", "fori_loop", "map", "ours", "scan", "strong", "types_text", "while_loop"]


def ours() -> bool:
    """True unless one of JAX's own traces is current."""
    trace = backend.current_trace()
    return isinstance(trace, JaxcoreTrace) or trace is backend.eval_trace


def by_python(*values: Any) -> bool:
    """True where control flow is to be Python's own: under ``jax.disable_jit``, on known values."""
    return backend.flag("jax_disable_jit") and all(backend.is_concrete(x) for x in values)


def strong(aval: ShapedArray) -> ShapedArray:
    """The type without weakness."""
    return backend.reshaped(aval, aval.shape, False)


def types_text(name: str, tree: Any, want: Sequence[Any], got: Sequence[Any]) -> str:
    """Lines that name the leaves whose types differ."""
    paths = [p for p, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    lines = [
        f"  {name}{jax.tree_util.keystr(p)}: in {w}, out {g}"
        for p, w, g in zip(paths, want, got, strict=True)
        if strong(w) != strong(g)
    ]
    return "\n".join(lines)


def _trace_tree(
    fun: Callable[..., Any], tree: Any, avals: Sequence[Any], name: str
) -> tuple[Program, list[Any], Any]:
    out: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        def path(i: int) -> str:
            return leaf_path((jax.tree.unflatten(tree, leaves), {}), i, fun)

        names = errors.argument_names(leaves, path, function_name(fun))
        with errors.Boundary(names):
            result, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, leaves)))
        out[:] = [out_tree]
        return result

    program, consts = trace_program(flat, avals, name)
    return program, consts, out[0]


def _carry_avals(
    fun: Callable[..., Any], tree: Any, carry: Sequence[Any], rest: Sequence[Any], name: str
) -> tuple[Program, list[Any], Any, list[Any]]:
    """Trace a loop's body; a weakly typed carry that the body makes strong starts strong."""
    avals = [aval_of(x) for x in carry]
    program, consts, out_tree = _trace_tree(fun, tree, [*avals, *rest], name)
    outs = program.out_avals[: len(avals)]
    widened = [
        b if a.weak_type and not b.weak_type and a.shape == b.shape else a
        for a, b in zip(avals, outs, strict=False)
    ]
    if widened != avals:
        avals = widened
        program, consts, out_tree = _trace_tree(fun, tree, [*avals, *rest], name)
    return program, consts, out_tree, avals


def _cast(values: Sequence[Any], avals: Sequence[Any]) -> list[Any]:
    """Values with the carry's types (weak scalars become arrays of the carry's dtype)."""
    import jaxcore.numpy as jnp

    out = []
    for x, a in zip(values, avals, strict=True):
        same = aval_of(x).dtype == a.dtype and aval_of(x).weak_type == a.weak_type
        out.append(x if same else jnp.asarray(x, a.dtype))
    return out


def _fix_outputs(program: Program, avals: Sequence[Any], name: str) -> Program:
    """`program` with its first outputs converted to the carry's weak types."""
    outs = program.out_avals[: len(avals)]
    if all(a == b for a, b in zip(avals, outs, strict=True)):
        return program
    from jaxcore.ops.convert import convert_element_type_p

    trace = StageTrace(program.name)
    inputs = [Var(a) for a in program.in_avals]
    with backend.set_current_trace(trace):
        atoms = trace.inline(program, inputs)
        for i, (atom, a) in enumerate(zip(atoms, avals, strict=False)):
            if atom.aval != a:
                value = bind(
                    convert_element_type_p,
                    trace.value(atom),
                    new_dtype=a.dtype,
                    weak_type=a.weak_type,
                )
                atoms[i] = trace.lift(value)
    done, consts = trace.finish(inputs, atoms)
    assert not consts
    return intern(done)


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
      unroll: how many steps one turn of the compiled loop does; True for all.

    Returns:
      ``(carry, ys)``: the last carry, and the outputs stacked along a leading axis.

    Raises:
      ValueError: leading sizes differ, or there is no length.
      TypeError: the body returns no pair, or changes the carry's structure or types.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> scan(lambda total, x: (total + x, total), 0.0, jnp.arange(3.0))[1]
      Array([0., 0., 1.], dtype=float32)
    """
    name = function_name(f)
    if not ours():
        return jax.lax.scan(f, init, xs, length, reverse, unroll)
    carry, carry_tree = jax.tree.flatten(init)
    x_leaves, x_tree = jax.tree.flatten(xs)
    for x in x_leaves:
        if aval_of(x).shape == ():
            raise ValueError(
                f"scan of {name}: xs must have a leading axis, got a scalar of type {aval_of(x)}."
            )
    sizes = {aval_of(x).shape[0] for x in x_leaves}
    if length is not None:
        sizes.add(int(length))
    if len(sizes) != 1:
        what = "xs has different leading sizes" if sizes else "neither xs nor length is given"
        shapes = [str(aval_of(x)) for x in x_leaves]
        raise ValueError(f"scan of {name}: {what}: length={length}, xs of types {shapes}.")
    (n,) = sizes
    tree = jax.tree.structure((jax.tree.unflatten(carry_tree, carry), xs))
    rest = [unstacked(aval_of(x)) for x in x_leaves]
    program, consts, out_tree, avals = _carry_avals(f, tree, carry, rest, "body")
    children = jax.tree_util.treedef_children(out_tree)
    if len(children) != 2 or jax.tree_util.treedef_tuple(children) != out_tree:
        raise TypeError(f"scan of {name}: the body must return a pair (carry, y), got {out_tree}.")
    _check_carry(f"scan of {name}", init, carry_tree, children[0], avals, program.out_avals)
    program = _fix_outputs(program, avals, name)
    steps = n if unroll is True else 1 if unroll is False else int(unroll)
    out = bind(
        scan_p,
        *consts,
        *_cast(carry, avals),
        *x_leaves,
        program=program,
        n_consts=len(consts),
        n_carry=len(carry),
        length=n,
        reverse=bool(reverse),
        unroll=max(1, steps),
    )
    return (
        jax.tree.unflatten(carry_tree, out[: len(carry)]),
        jax.tree.unflatten(children[1], out[len(carry) :]),
    )


def _check_carry(
    what: str, init: Any, tree: Any, out_tree: Any, avals: Sequence[Any], outs: Sequence[Any]
) -> None:
    if out_tree != tree:
        raise TypeError(
            f"{what}: the carry that the body returns must have the structure of the "
            f"one it gets, {tree}; got {out_tree}."
        )
    outs = outs[: len(avals)]
    if [strong(a) for a in avals] != [strong(b) for b in outs]:
        fix = cast_hint(avals, outs) or "convert the value in the body, or give init the other type"
        raise TypeError(
            f"{what}: the body must return a carry of the types it gets, but these differ:\n"
            f"{types_text('carry', init, avals, outs)}\nFix: {fix}."
        )


@errors.explained
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Run ``val = body_fun(val)`` while ``cond_fun(val)``.

    Forward mode works through it; reverse mode raises ValueError, as in JAX.

    Example:
      >>> int(while_loop(lambda n: n < 10, lambda n: n * 2, 1))
      16
    """
    if not ours():
        return jax.lax.while_loop(cond_fun, body_fun, init_val)
    name = function_name(body_fun)
    carry, tree = jax.tree.flatten(init_val)
    in_tree = jax.tree_util.treedef_tuple([tree])
    body, consts, out_tree, avals = _carry_avals(body_fun, in_tree, carry, [], "body")
    _check_carry(f"while_loop of {name}", init_val, tree, out_tree, avals, body.out_avals)
    body = _fix_outputs(body, avals, name)
    cond_program, cond_consts, cond_tree = _trace_tree(cond_fun, in_tree, avals, "cond")
    got = cond_program.out_avals
    if len(got) != 1 or got[0].shape != () or got[0].dtype != np.bool_:
        raise TypeError(
            f"while_loop: {function_name(cond_fun)} must return a boolean scalar, got "
            f"{', '.join([str(a) for a in got]) or cond_tree}."
        )
    out = bind(
        while_p,
        *cond_consts,
        *consts,
        *_cast(carry, avals),
        cond=cond_program,
        body=body,
        n_cond=len(cond_consts),
        n_body=len(consts),
    )
    return jax.tree.unflatten(tree, out)


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

    With Python integers as bounds this is a scan, which reverse mode goes through; otherwise a
    while_loop.

    Example:
      >>> float(fori_loop(0, 4, lambda i, x: x * 2, 1.0))
      16.0
    """
    import jaxcore.numpy as jnp

    if isinstance(lower, int) and isinstance(upper, int):
        length = max(0, upper - lower)
        index = jnp.arange(lower, lower + length)

        def body(val: Any, i: Any) -> Any:
            return body_fun(i, val), None

        return scan(body, init_val, index, unroll=1 if unroll is None else unroll)[0]
    if unroll not in (None, 1, False):
        raise ValueError("fori_loop: unroll needs bounds that are Python integers.")

    def step(state: Any) -> Any:
        i, end, val = state
        return i + 1, end, body_fun(i, val)

    dtype = jax.numpy.result_type(lower, upper)
    start, end = jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
    return while_loop(lambda s: s[0] < s[1], step, (start, end, init_val))[2]


@errors.explained
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """``stack([f(x) for x in xs])`` as a scan, or in batches of `batch_size` by vmap.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> map(lambda x: x * 2, jnp.arange(3))
      Array([0, 2, 4], dtype=int32)
    """
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    import jaxcore.numpy as jnp
    from jaxcore.transforms.vmap import vmap

    n = aval_of(jax.tree.leaves(xs)[0]).shape[0]
    full = n // batch_size
    head = jax.tree.map(
        lambda x: x[: full * batch_size].reshape(full, batch_size, *x.shape[1:]), xs
    )
    parts = []
    if full:
        out = scan(lambda _, x: ((), vmap(f)(x)), (), head)[1]
        parts.append(jax.tree.map(lambda y: y.reshape(full * batch_size, *y.shape[2:]), out))
    if n % batch_size or not full:
        parts.append(vmap(f)(jax.tree.map(lambda x: x[full * batch_size :], xs)))
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *ys: jnp.concatenate(ys), *parts)
