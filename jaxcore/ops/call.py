"""Calls: a nested `jit` or a module's call is one equation that points at a shared `Program`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.ir import Program, Var, intern, is_by_place
from jaxcore.primitive import Linear, Primitive, mirror
from jaxcore.source import fresh_path
from jaxcore.trace import StageTrace, aval_of, bind, eval_program, trace_program

__all__ = ["block", "call", "call_p", "run_program", "transpose_call", "with_unused"]


def call(program: Program, args: Sequence[Any]) -> list[Any]:
    """Call `program` on `args` under the current trace."""
    return bind(call_p, *args, program=program)


def run_program(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run `program` where it stands: its equations are inlined when recording, one executable runs
    when eager.
    """
    trace = backend.trace_ctx.trace
    if type(trace) is StageTrace:
        return trace.inline_values(program, args)
    if trace is backend.eval_trace:
        from jaxcore import eager

        return eager.execute(program, args)
    return eval_program(program, args)


def with_unused(program: Program, at: int, avals: Sequence[Any]) -> Program:
    """`program` with further inputs, that it does not look at, behind its first `at`."""
    more = [Var(a) for a in avals]
    inputs = [*program.inputs[:at], *more, *program.inputs[at:]]
    return intern(Program(inputs, program.equations, program.outputs, program.name))


def block(fun: Callable[..., Any], *args: Any, name: str) -> Any:
    """``fun(*args)``, recorded as one call of a shared function while operations are being
    recorded.

    Equal functions become one program: it is differentiated, batched, lowered and compiled once.
      `fun` runs at every
    call; arrays and tracers that it closes over become operands. Outside recording this is a plain
    call.

    Args:
      fun: function of pytrees to a pytree. Leaves that are no arrays pass through unchanged.
      args: its arguments.
      name: shown where the function is called.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> def layer(w, x):
      ...     return jnp.tanh(x @ w)
      >>> def model(ws, x):
      ...     for w in ws:
      ...         x = jaxcore.block(layer, w, x, name="layer")
      ...     return x
      >>> program = jaxcore.make_jaxpr(model)([jnp.eye(2)] * 3, jnp.ones(2))
      >>> [eq.params["program"].name for eq in program.equations]
      ['layer', 'layer', 'layer']
      >>> len({eq.params["program"] for eq in program.equations})
      1
    """
    from jaxcore.trace import is_staging

    if not is_staging():
        return fun(*args)
    leaves, tree = jax.tree.flatten(args)
    traced = [i for i, x in enumerate(leaves) if is_array(x)]
    operands = [leaves[i] for i in traced]
    result: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        full = list(leaves)
        for i, value in zip(traced, values, strict=True):
            full[i] = value
        with fresh_path(), errors.Boundary(errors.stand_ins(values, operands)):
            out_leaves, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, full)))
        out_traced = [i for i, x in enumerate(out_leaves) if is_array(x)]
        result.append((out_leaves, out_tree, out_traced))
        return [out_leaves[i] for i in out_traced]

    program, consts = trace_program(flat, [aval_of(x) for x in operands], name)
    out_leaves, out_tree, out_traced = result[0]
    values = call(program, [*consts, *operands])
    out_leaves = list(out_leaves)
    for i, value in zip(out_traced, values, strict=True):
        out_leaves[i] = value
    return jax.tree.unflatten(out_tree, out_leaves)


def is_array(x: Any) -> bool:
    """True for arrays and tracers: what becomes an operand of a block; scalars stay Python."""
    return isinstance(x, jax.Array | backend.Tracer) or (
        type(x).__module__ == "numpy" and hasattr(x, "dtype")
    )


def transpose_call(cts: list[Any], args: Sequence[Any], *, program: Program) -> list[Any]:
    """The transpose of a call in its linear operands: a call of the transposed program."""
    from jaxcore.transforms.transpose import transpose_program

    linear = tuple(type(a) is Linear for a in args)
    present = tuple(ct is not None for ct in cts)
    back = transpose_program(program, linear, present)
    operands = [a for a in args if type(a) is not Linear] + [ct for ct in cts if ct is not None]
    results = iter(call(back.program, [*back.consts, *operands]))
    filled = iter(back.present)
    return [next(results) if is_linear and next(filled) else None for is_linear in linear]


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], *, program: Program) -> Any:
    from jaxcore.transforms.vmap import batch_program

    batched = batch_program(program, size, tuple(dims))
    return call(batched.program, [*batched.consts, *args]), batched.dims


def _lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, program: Program
) -> Any:
    return b.call(program, operands)


def _cost(avals_in: Any, avals_out: Any, *, program: Program) -> int:
    from jaxcore.cost import program_flops

    return program_flops(program)


call_p = Primitive(
    "call",
    lambda *avals, program: program.out_avals,
    transpose=transpose_call,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)


@mirror(backend.jit_p)
def _from_jit(args: Sequence[Any], params: dict[str, Any]) -> Any:
    """A nested `jax.jit` becomes a call, its shardings constraints; one that speaks of a mesh with
    explicit axes stays JAX's.
    """
    shardings = (*params["in_shardings"], *params["out_shardings"])
    if not all(s is backend.UNSPECIFIED or backend.is_automatic(s) for s in shardings):
        return None
    program, consts = program_from_jaxpr(params["jaxpr"], params["name"], shardings)
    return call_p, [*consts, *args], {"program": program}


@mirror(backend.eval_jaxpr_p)
def _from_eval(args: Sequence[Any], params: dict[str, Any]) -> Any:
    """JAX's plain call of a jaxpr."""
    program, consts = program_from_jaxpr(backend.close_jaxpr(params["call_jaxpr"]), "call")
    return call_p, [*consts, *args], {"program": program}


def program_from_jaxpr(
    jaxpr: Any, name: str, shardings: Sequence[Any] = ()
) -> tuple[Program, list[Any]]:
    """A program with the meaning of a closed jaxpr, and the constants that come first among its
    inputs; arguments and results, in this order, lie as `shardings` say.
    """
    if all(s is backend.UNSPECIFIED for s in shardings):
        shardings = ()
    found = _converted.get((id(jaxpr), tuple(shardings)))
    if found is not None and found[0] is jaxpr and not is_by_place():
        return found[1]
    avals = list(jaxpr.in_avals)

    def run(*args: Any) -> Sequence[Any]:
        if not shardings:
            return backend.eval_jaxpr(getattr(jaxpr, "jaxpr", jaxpr), jaxpr.consts, *args)
        args = tuple(map(_constrain, args, shardings))
        results = backend.eval_jaxpr(getattr(jaxpr, "jaxpr", jaxpr), jaxpr.consts, *args)
        return list(map(_constrain, results, shardings[len(args) :]))

    with fresh_path():
        result = trace_program(run, avals, name)
    if len(_converted) > 4096:
        _converted.clear()
    # A constant may be a tracer of a trace that is still open, so only closed conversions are kept.
    if not is_by_place() and not any(isinstance(c, backend.Tracer) for c in result[1]):
        _converted[id(jaxpr), tuple(shardings)] = (jaxpr, result)
    return result


def _constrain(x: Any, sharding: Any) -> Any:
    if sharding is backend.UNSPECIFIED:
        return x
    return jax.lax.with_sharding_constraint(x, sharding)


_converted: dict[Any, tuple[Any, tuple[Program, list[Any]]]] = {}
__all__ += ["intern"]
