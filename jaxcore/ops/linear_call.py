"""`linear_call`: a linear function with the transpose that the user gives for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.bodies import ours, require_function
from jaxcore.ir import Program
from jaxcore.ops.basic import add_cotangents, instantiate, zeros
from jaxcore.ops.call import with_unused
from jaxcore.ops.custom import program_primitive
from jaxcore.ops.custom_vjp import broadcast_batch
from jaxcore.ops.linear_solve import batched_at_0
from jaxcore.primitive import mirror
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["linear_call", "linear_call_p"]


@errors.explained
def linear_call(
    fun: Callable[[Any, Any], Any],
    fun_transpose: Callable[[Any, Any], Any],
    residual_args: Any,
    linear_args: Any,
) -> Any:
    """``fun(residual_args, linear_args)``, whose transpose is `fun_transpose`.

    Args:
      fun: linear in its second argument.
      fun_transpose: ``fun_transpose(residual_args, ct)`` returns the cotangent of `linear_args` and
        is linear in `ct`. That it is the transpose is not checked.
      residual_args, linear_args: pytrees of arrays.

    Raises:
      TypeError: `fun_transpose` returns another structure than that of `linear_args`.

    Example:
      >>> import jaxcore
      >>> halve = lambda n, x: linear_call(lambda n, x: x / n, lambda n, ct: ct / n, n, x)
      >>> float(jaxcore.grad(halve, 1)(2.0, 10.0))
      0.5
    """
    require_function("linear_call", "fun", fun)
    require_function("linear_call", "fun_transpose", fun_transpose)
    if not ours():
        return jax.custom_derivatives.linear_call(fun, fun_transpose, residual_args, linear_args)
    residuals, residual_tree = jax.tree.flatten(residual_args)
    linear, linear_tree = jax.tree.flatten(linear_args)
    n = len(residuals)
    trees: list[Any] = []

    def flat(function: Callable[[Any, Any], Any], tree: Any) -> Callable[..., list[Any]]:
        def run(*values: Any) -> list[Any]:
            known = jax.tree.unflatten(residual_tree, values[:n])
            results, out_tree = jax.tree.flatten(
                function(known, jax.tree.unflatten(tree, values[n:]))
            )
            trees.append(out_tree)
            return results

        return run

    avals = [aval_of(x) for x in residuals]
    program, consts = trace_program(
        flat(fun, linear_tree), [*avals, *(aval_of(x) for x in linear)], function_name(fun)
    )
    out_tree = trees[0]
    back, back_consts = trace_program(
        flat(fun_transpose, out_tree),
        [*avals, *(a.to_tangent_aval() for a in program.out_avals)],
        function_name(fun_transpose),
    )
    if trees[1] != linear_tree:
        raise TypeError(
            f"linear_call: {function_name(fun_transpose)} must return the structure of the linear "
            f"arguments, {linear_tree}; got {trees[1]}."
        )
    results = _bind((program, consts), (back, back_consts), residuals, linear)
    return jax.tree.unflatten(out_tree, results)


Captured = tuple[Program, Sequence[Any]]  # a program, and values that it takes first


def _bind(
    forward: Captured, back: Captured, residuals: Sequence[Any], linear: Sequence[Any]
) -> list[Any]:
    """Both functions get the values that either of them captured."""
    consts, back_consts = list(forward[1]), list(back[1])
    known = [*consts, *back_consts, *residuals]
    return bind(
        linear_call_p,
        *known,
        *linear,
        program=with_unused(forward[0], len(consts), [aval_of(c) for c in back_consts]),
        back=with_unused(back[0], 0, [aval_of(c) for c in consts]),
        n_residuals=len(known),
    )


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    back: Program,
    n_residuals: int,
) -> Any:
    from jaxcore.transforms.linearize import pushed_forward

    params = {"program": program, "back": back, "n_residuals": n_residuals}
    known, moving = primals[:n_residuals], tangents[n_residuals:]
    outs = bind(linear_call_p, *primals, **params)
    moved: list[Any] = [None] * len(outs)
    if any(t is not None for t in moving):
        given = [
            instantiate(t, aval_of(p)) for t, p in zip(moving, primals[n_residuals:], strict=True)
        ]
        moved = bind(linear_call_p, *known, *given, **params)
    if any(t is not None for t in tangents[:n_residuals]):
        directions = [*tangents[:n_residuals], *[None] * len(moving)]
        change = pushed_forward(program, primals, directions)[1]
        moved = [add_cotangents(t, c) for t, c in zip(moved, change, strict=True)]
    return outs, moved


def _transpose(
    cts: list[Any], args: Sequence[Any], *, program: Program, back: Program, n_residuals: int
) -> list[Any]:
    avals = back.in_avals[n_residuals:]
    given = [zeros(a) if ct is None else ct for ct, a in zip(cts, avals, strict=True)]
    params = {"program": back, "back": program, "n_residuals": n_residuals}
    return [None] * n_residuals + bind(linear_call_p, *args[:n_residuals], *given, **params)


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    back: Program,
    n_residuals: int,
) -> Any:
    known_dims = tuple(dims[:n_residuals])
    n_linear, n_out = len(args) - n_residuals, len(program.outputs)
    moved = [
        broadcast_batch(x, d, size)
        for x, d in zip(args[n_residuals:], dims[n_residuals:], strict=True)
    ]
    forward = batched_at_0(program, size, (*known_dims, *(0,) * n_linear))
    backward = batched_at_0(back, size, (*known_dims, *(0,) * n_out))
    return _bind(forward, backward, args[:n_residuals], moved), [0] * n_out


linear_call_p = program_primitive("linear_call", jvp=_jvp, transpose=_transpose, batch=_batch)


@mirror(backend.linear_call_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    """JAX's own; its transpose is traced at once."""
    from jaxcore.ops.call import program_from_jaxpr

    n_consts = params["num_callee_consts"]
    program, consts = program_from_jaxpr(backend.close_jaxpr(params["callee"]), "linear_call")
    jaxpr, back_consts = params["transpose_thunk"]()
    back, more = program_from_jaxpr(backend.close_jaxpr(jaxpr), "linear_call_transpose")
    first = [*consts, *args[:n_consts]]
    back_consts = [*more, *back_consts]
    known = [*first, *back_consts, *args[n_consts : n_consts + params["num_res"]]]
    ours_params = {
        "program": with_unused(program, len(first), [aval_of(c) for c in back_consts]),
        "back": with_unused(back, 0, [aval_of(c) for c in first]),
        "n_residuals": len(known),
    }
    return linear_call_p, [*known, *args[n_consts + params["num_res"] :]], ours_params
