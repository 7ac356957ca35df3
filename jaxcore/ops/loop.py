"""`while_loop`: a loop that ends when its condition says so.

Operands are the condition's constants, the body's constants and the carry. Forward mode runs the
loop again beside its tangents; reverse mode would need to store an unknown number of steps and is
refused, as in JAX. With `max_steps` the loop ends after so many steps in any case, and its
derivative is that of the scans which `bounded` writes it as.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program, transpose_call
from jaxcore.ops.loop_bounds import bounded, counted
from jaxcore.primitive import Primitive, mirror
from jaxcore.trace import StageTrace, StageTracer, aval_of, bind, trace_program

__all__ = ["while_p"]


def _type(*avals: Any, body: Any, n_body: int, **_: Any) -> list[Any]:
    return list(body.out_avals)


def _linearize(
    avals: Sequence[Any],
    active: tuple[bool, ...],
    *,
    cond: Any,
    body: Any,
    n_cond: int,
    n_body: int,
    max_steps: int | None = None,
) -> Any:
    from jaxcore.passes.effects import without_effects
    from jaxcore.transforms.linearize import Linearized, linearize_program

    if max_steps is not None:
        return linearize_program(bounded(cond, body, n_cond, n_body, max_steps), active)
    start = n_cond + n_body
    on_consts, on_carry = active[n_cond:start], active[start:]
    while True:
        split = linearize_program(body, (*on_consts, *on_carry))
        grown = tuple(a or b for a, b in zip(on_carry, split.active, strict=True))
        if grown == on_carry:
            break
        on_carry = grown
    again, test = without_effects(split.primal), without_effects(cond)
    n_carry = len(on_carry)
    carry_avals = body.in_avals[n_body:]

    def joint(*values: Any) -> list[Any]:
        """One step of carry and tangents together."""
        at = n_body
        consts = values[:n_body]
        t_consts = values[at : at + sum(on_consts)]
        at += sum(on_consts)
        carry, t_carry = values[at : at + n_carry], values[at + n_carry :]
        operands = [*consts, *carry]
        results = run_program(again, [*split.consts, *operands])
        pool = [*operands, *results]
        residuals = [pool[r] for r in split.residuals]
        found = iter(run_program(split.linear, [*residuals, *t_consts, *t_carry]))
        moved = [next(found) if on else None for on in split.active]
        return [
            *results[:n_carry],
            *(
                zeros(a.to_tangent_aval()) if t is None else t
                for t, a, on in zip(moved, carry_avals, on_carry, strict=True)
                if on
            ),
        ]

    tangent = [a.to_tangent_aval() for a in body.in_avals]
    t_const_avals = [a for a, on in zip(tangent, on_consts, strict=False) if on]
    t_carry_avals = [a for a, on in zip(tangent[n_body:], on_carry, strict=True) if on]
    joint_body, captured = trace_program(
        joint, [*body.in_avals[:n_body], *t_const_avals, *carry_avals, *t_carry_avals], "body"
    )
    cond_avals = [*cond.in_avals[:n_cond], *carry_avals, *t_carry_avals]
    joint_cond, cond_captured = trace_program(
        lambda *v: run_program(test, v[: n_cond + n_carry]), cond_avals, "cond"
    )
    assert not cond_captured

    stage = StageTrace("while")
    inputs = [Var(a) for a in avals]
    with backend.set_current_trace(stage):
        given = [StageTracer(stage, v, None) for v in inputs]
        results = bind(while_p, *given, cond=cond, body=body, n_cond=n_cond, n_body=n_body)
        outs = [stage.lift(x) for x in [*results, *captured]]
    primal, primal_consts = stage.finish(inputs, outs)

    stage = StageTrace("linear")
    captured_vars, residual_vars = [Var(aval_of(c)) for c in captured], [Var(a) for a in avals]
    tangent_vars = [Var(a.to_tangent_aval()) for a, on in zip(avals, active, strict=True) if on]
    with backend.set_current_trace(stage):
        given = [StageTracer(stage, v, None) for v in residual_vars]
        t = iter(StageTracer(stage, v, None) for v in tangent_vars)
        for on in active[:n_cond]:  # a tangent of the condition's constants moves nothing
            if on:
                next(t)
        t_consts = [next(t) for on in active[n_cond:start] if on]
        t_carry = []
        for was, on, a in zip(active[start:], on_carry, tangent[n_body:], strict=True):
            if on:
                t_carry.append(next(t) if was else zeros(a))
        results = bind(
            while_p,
            *given[:n_cond],
            *(StageTracer(stage, v, None) for v in captured_vars),
            *given[n_cond:start],
            *t_consts,
            *given[start:],
            *t_carry,
            cond=joint_cond,
            body=joint_body,
            n_cond=n_cond,
            n_body=len(captured) + n_body + len(t_consts),
        )
        outs = [stage.lift(x) for x in results[n_carry:]]
    linear, _ = stage.finish([*captured_vars, *residual_vars, *tangent_vars], outs)
    made = len(avals) + n_carry
    residuals = (*range(made, made + len(captured)), *range(len(avals)))
    return Linearized(intern(primal), tuple(primal_consts), intern(linear), residuals, on_carry)


def _transpose(
    cts: Any,
    args: Any,
    *,
    cond: Any,
    body: Any,
    n_cond: int,
    n_body: int,
    max_steps: int | None = None,
) -> Any:
    if max_steps is not None:
        program = bounded(cond, body, n_cond, n_body, max_steps)
        return transpose_call(cts, args, program=program)
    raise ValueError(
        "Reverse-mode differentiation does not work for lax.while_loop or lax.fori_loop with "
        "dynamic start/stop values: the number of steps to store is not known.\nFix: give "
        "while_loop max_steps, use lax.scan or lax.fori_loop with bounds known while tracing, or "
        "forward mode (jaxcore.jvp)."
    )


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    cond: Any,
    body: Any,
    n_cond: int,
    n_body: int,
    **rest: Any,
) -> Any:
    from jaxcore.ops.custom_vjp import broadcast_batch
    from jaxcore.transforms.vmap import batch_program

    start = n_cond + n_body
    on = [d is not None for d in dims[start:]]
    while True:
        carry_dims = tuple(0 if o else None for o in on)
        test = batch_program(cond, size, (*dims[:n_cond], *carry_dims))
        step = batch_program(body, size, (*dims[n_cond:start], *carry_dims))
        own = test.dims[0] is not None  # each example ends at its own time
        grown = [o or own or d is not None for o, d in zip(on, step.dims, strict=True)]
        if grown == on:
            break
        on = grown

    def ends(*values: Any) -> list[Any]:
        done = run_program(test.program, values)[0]
        return [broadcast_batch(done, test.dims[0], size) if own else done]

    def advance(*values: Any) -> list[Any]:
        results = run_program(step.program, values)
        return [
            broadcast_batch(x, d, size) if o else x
            for x, d, o in zip(results, step.dims, on, strict=True)
        ]

    carry = [
        broadcast_batch(x, d, size) if o else x
        for x, d, o in zip(args[start:], dims[start:], on, strict=True)
    ]
    test_consts = [*test.consts, *args[:n_cond]]
    step_consts = [*step.consts, *args[n_cond:start]]
    carry_avals = [aval_of(x) for x in carry]
    new_cond, c1 = trace_program(ends, [*map(aval_of, test_consts), *carry_avals], "cond")
    new_body, c2 = trace_program(advance, [*map(aval_of, step_consts), *carry_avals], "body")
    test_consts, step_consts = [*c1, *test_consts], [*c2, *step_consts]
    if own:
        new_cond, new_body = _end_apart(new_cond, new_body, len(test_consts), len(step_consts))
        step_consts = [*test_consts, *step_consts]
    results = bind(
        while_p,
        *test_consts,
        *step_consts,
        *carry,
        cond=new_cond,
        body=new_body,
        n_cond=len(test_consts),
        n_body=len(step_consts),
        **rest,
    )
    return results, [0 if o else None for o in on]


def _end_apart(cond: Program, body: Program, n_cond: int, n_body: int) -> tuple[Program, Program]:
    """Condition and body of a loop whose condition answers for each example: it runs until all
    have ended, and those that have keep their values. The body takes the constants of both.
    """
    import jaxcore.numpy as jnp

    def ends(*values: Any) -> list[Any]:
        return [jnp.any(run_program(cond, values)[0])]

    def advance(*values: Any) -> list[Any]:
        carry = values[n_cond + n_body :]
        going = run_program(cond, [*values[:n_cond], *carry])[0]
        shape = aval_of(going).shape
        return [
            jnp.where(jnp.reshape(going, shape + (1,) * (aval_of(new).ndim - len(shape))), new, old)
            for new, old in zip(run_program(body, values[n_cond:]), carry, strict=True)
        ]

    new_cond, _ = trace_program(ends, cond.in_avals, "cond")
    new_body, _ = trace_program(advance, [*cond.in_avals[:n_cond], *body.in_avals], "body")
    return new_cond, new_body


def _lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    cond: Any,
    body: Any,
    n_cond: int,
    n_body: int,
    max_steps: int | None = None,
) -> list[Any]:
    start = n_cond + n_body
    init = list(operands[start:])
    if max_steps is not None:
        params = counted(cond, body, n_cond, n_body, max_steps)
        count = params["body"].in_avals[n_body]
        operands = [*operands[:start], b.constant(0, count), *init]
        return _lower(b, operands, avals_in, [count, *avals_out], **params)[1:]

    def test(*carry: Any) -> list[Any]:
        return b.call(cond, [*operands[:n_cond], *carry])

    def step(*carry: Any) -> list[Any]:
        return b.call(body, [*operands[n_cond:start], *carry])

    if not backend.ordered_effects(cond.effects):
        return b.while_loop(avals_out, init, test, step, body.effects)

    # A condition cannot pass on tokens, so that it is a part of the body which decides for the next
    # turn.
    def both(_: Any, *carry: Any) -> list[Any]:
        new = step(*carry)
        return [*test(*new), *new]

    avals = [*cond.out_avals, *avals_out]
    effects = cond.effects | body.effects
    return b.while_loop(avals, [*test(*init), *init], lambda go, *_: [go], both, effects)[1:]


def _cost(avals_in: Any, avals_out: Any, *, cond: Any, body: Any, **_: Any) -> int:
    """One step: how many there are is not known."""
    from jaxcore.cost import program_flops

    return program_flops(cond) + program_flops(body)


while_p = Primitive(
    "while",
    _type,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["cond"].effects | params["body"].effects,
    multiple_results=True,
)


@mirror(backend.while_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    n_cond, start = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    cond, cond_consts = program_from_jaxpr(params["cond_jaxpr"], "cond")
    body, body_consts = program_from_jaxpr(params["body_jaxpr"], "body")
    test_consts = [*cond_consts, *args[:n_cond]]
    step_consts = [*body_consts, *args[n_cond:start]]
    if cond.out_avals[0].shape:  # JAX's batching leaves a condition for each example
        cond, body = _end_apart(cond, body, len(test_consts), len(step_consts))
        step_consts = [*test_consts, *step_consts]
    counts = {"n_cond": len(test_consts), "n_body": len(step_consts)}
    operands = [*test_consts, *step_consts, *args[start:]]
    return while_p, operands, {"cond": cond, "body": body, **counts}
