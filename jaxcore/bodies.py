"""Bodies of loops and branches: traced into programs, with carries that keep their types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.axes import cast_hint
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program
from jaxcore.ops.call import call_p
from jaxcore.signature import function_name, leaf_path
from jaxcore.trace import JaxcoreTrace, aval_of, trace_program

__all__ = [
    "by_python",
    "check_carry",
    "ours",
    "promoted",
    "require_function",
    "same_type",
    "trace_body",
    "trace_carry",
]


def ours() -> bool:
    """True unless one of JAX's own traces is current."""
    trace = backend.current_trace()
    return isinstance(trace, JaxcoreTrace) or trace is backend.eval_trace


def by_python(*values: Any) -> bool:
    """True where control flow is to be Python's own: under ``jax.disable_jit``, on known values."""
    return backend.flag("jax_disable_jit") and all(backend.is_concrete(x) for x in values)


def require_function(what: str, name: str, value: Any) -> None:
    """Raise TypeError where an argument is no function."""
    if not callable(value):
        raise TypeError(
            f"{what}: {name} must be a function, got {value!r} of type {type(value).__name__}."
        )


def same_type(a: ShapedArray, b: ShapedArray) -> bool:
    """True where types agree up to weakness."""
    return a.update(weak_type=False) == b.update(weak_type=False)


def trace_body(
    fun: Callable[..., Any], tree: Any, avals: Sequence[Any], name: str, shared: bool = True
) -> tuple[Program, list[Any], Any]:
    """The program of ``fun(*args)`` for flat arguments of tree `tree`, what it captured, and the
    tree of its result.
    """
    out: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        def path(i: int) -> str:
            return leaf_path((jax.tree.unflatten(tree, leaves), {}), i, fun)

        names = errors.argument_names(leaves, path, function_name(fun))
        with errors.Boundary(names):
            result, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, leaves)))
        out[:] = [out_tree]
        return result

    program, consts = trace_program(flat, avals, name, shared=shared)
    return program, consts, out[0]


def trace_carry(
    fun: Callable[..., Any], tree: Any, carry: Sequence[Any], rest: Sequence[Any], name: str
) -> tuple[Program, list[Any], Any, list[Any]]:
    """`trace_body` of a loop's body, and the types of the carry that comes first. The program is
    not shared yet, so that each equation has the line of this body.

    A weakly typed carry that the body returns in another dtype, as 0 where floats are added, starts
    as what both promote to.
    """
    avals = [aval_of(x) for x in carry]
    program, consts, out_tree = trace_body(fun, tree, [*avals, *rest], name, shared=False)
    widened = [_widened(a, b) for a, b in zip(avals, program.out_avals, strict=False)]
    if len(widened) == len(avals) and widened != avals:
        avals = widened
        program, consts, out_tree = trace_body(fun, tree, [*avals, *rest], name, shared=False)
    return program, consts, out_tree, avals


_KINDS = {"b": bool, "i": int, "f": float, "c": complex}


def _widened(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    if not a.weak_type or a.dtype == b.dtype or a.shape != b.shape or backend.is_extended(b.dtype):
        return a
    other = _KINDS[b.dtype.kind] if b.weak_type else b.dtype
    dtype = jax.dtypes.result_type(_KINDS[a.dtype.kind], other)
    return a.update(dtype=dtype, weak_type=False)


def promoted(values: Sequence[Any], avals: Sequence[ShapedArray]) -> list[Any]:
    """Values in the dtypes of the carry."""
    import jaxcore.numpy as jnp

    return [
        x if aval_of(x).dtype == a.dtype else jnp.asarray(x, a.dtype)
        for x, a in zip(values, avals, strict=True)
    ]


def check_carry(
    what: str, init: Any, tree: Any, out_tree: Any, avals: Sequence[Any], program: Program
) -> None:
    """Raise TypeError where a loop's body does not return the carry that it gets."""
    if out_tree != tree:
        different = "\n".join(
            f"  carry{jax.tree_util.keystr(path)}: in {one}, out {other}"
            for path, one, other in backend.tree_differences(tree, out_tree)
        )
        raise TypeError(
            f"{what}: the carry that the body returns must have the structure of the one it gets, "
            f"{tree}; got {out_tree}.\n{different}\n"
            "Fix: return the carry in the structure of init, or give init the other structure."
        )
    paths = [p for p, _ in jax.tree_util.tree_flatten_with_path(init)[0]]
    lines = []
    for path, a, x in zip(paths, avals, program.outputs, strict=False):
        if not same_type(a, x.aval):
            leaf = f"carry{jax.tree_util.keystr(path)}"
            lines.append(f"  {leaf}: in {a}, out {x.aval}{_made(program, x)}")
    if lines:
        hint = cast_hint(avals, program.out_avals[: len(avals)])
        fix = hint or "convert the value in the body, or give init the other type"
        raise TypeError(
            f"{what}: the body must return a carry of the types it gets, but these differ:\n"
            + "\n".join(lines)
            + f"\nFix: {fix}."
        )


def _made(program: Program, x: Any) -> str:
    """The primitive and the line that made an output, inside what was called."""
    for eq in program.equations:
        if x in eq.outputs:
            made = f", made by {eq.primitive.name} at {errors.describe_source(eq.source)}"
            if eq.primitive is not call_p:
                return made
            callee = eq.params["program"]
            return _made(callee, callee.outputs[list(eq.outputs).index(x)]) or made
    return ""
