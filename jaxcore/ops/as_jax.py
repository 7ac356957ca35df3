"""Programs run by JAX's own primitives, for those who look into a jaxpr (checkify, jet, sparsify)
and for exports with symbolic shapes.

Most primitives mirror one of JAX's. Those that hold programs are written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.ir import Program, Var
from jaxcore.ops.basic import instantiate
from jaxcore.ops.call import call_p
from jaxcore.ops.checkpoint import checkpoint_p
from jaxcore.ops.cond import cond_p
from jaxcore.ops.custom import JvpRule, custom_jvp_p, none_if_zero
from jaxcore.ops.custom_batch import custom_vmap_p
from jaxcore.ops.custom_vjp import VjpRule, custom_vjp_p
from jaxcore.ops.fold import reduce_p, reduce_window_p
from jaxcore.ops.hi import hi_p
from jaxcore.ops.hints import composite_p
from jaxcore.ops.linear_call import linear_call_p
from jaxcore.ops.linear_solve import as_jax as linear_solve_as_jax
from jaxcore.ops.linear_solve import linear_solve_p
from jaxcore.ops.loop import while_p
from jaxcore.ops.loop_bounds import bounded
from jaxcore.ops.scan import scan_p
from jaxcore.ops.scatter import (
    scatter_add_p,
    scatter_max_p,
    scatter_min_p,
    scatter_mul_p,
    scatter_p,
    scatter_sub_p,
)
from jaxcore.ops.scatter_apply import scatter_apply_p
from jaxcore.ops.shard_map import as_jax as shard_map_as_jax
from jaxcore.ops.shard_map import shard_map_p
from jaxcore.trace import aval_of, bind_with, literal_value, matched

__all__ = ["jit_params", "run_as_jax"]


def jit_params(*, program: Program) -> dict[str, Any]:
    """The parameters of the equation of `jax.jit` that means what `program` means."""
    key = ("jit_params", backend.trace_context())
    found = program.memo.get(key)
    if found is None:

        def run(*args: Any) -> list[Any]:
            return run_as_jax(program, args)

        run.__name__ = program.name
        found = program.memo[key] = backend.jit_equation_params(run, program.in_avals)
    return found


def run_as_jax(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run the equations of `program` under the current trace of JAX, by JAX's primitives alone."""
    trace = backend.current_trace()
    env: dict[Var, Any] = dict(zip(program.inputs, matched(program, args), strict=True))

    def read(x: Any) -> Any:
        return env[x] if type(x) is Var else literal_value(x)

    for eq in program.equations:
        values = [read(x) for x in eq.inputs]
        form = _FORMS.get(eq.primitive)
        if form is not None:
            results = form(values, **eq.params)
        elif eq.primitive.jax is not None:
            results = bind_with(trace, eq.primitive, values, eq.params)
        else:
            raise NotImplementedError(
                f"{eq.primitive.name} has no form in JAX's primitives, which checkify, jet, "
                f"sparsify and exports with symbolic shapes work on (recorded at {eq.source})."
            )
        env.update(zip(eq.outputs, results, strict=True))
    return [read(x) for x in program.outputs]


def _scan(
    args: Sequence[Any],
    *,
    program: Program,
    n_consts: int,
    n_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> list[Any]:
    consts, rest = args[:n_consts], args[n_consts:]

    def body(carry: Sequence[Any], xs: Sequence[Any]) -> Any:
        results = run_as_jax(program, [*consts, *carry, *xs])
        return results[:n_carry], results[n_carry:]

    xs = list(rest[n_carry:])
    steps = None if xs else length  # a length that is symbolic is read off the operands
    carry, ys = jax.lax.scan(body, list(rest[:n_carry]), xs, steps, reverse, unroll)
    return [*carry, *ys]


def _while(
    args: Sequence[Any],
    *,
    cond: Program,
    body: Program,
    n_cond: int,
    n_body: int,
    max_steps: int | None = None,
) -> list[Any]:
    if max_steps is not None:
        program = bounded(cond, body, n_cond, n_body, max_steps)
        return run_as_jax(program, args)
    start = n_cond + n_body
    return jax.lax.while_loop(
        lambda carry: run_as_jax(cond, [*args[:n_cond], *carry])[0],
        lambda carry: run_as_jax(body, [*args[n_cond:start], *carry]),
        list(args[start:]),
    )


def _cond(args: Sequence[Any], *, branches: Sequence[Program], **_: Any) -> list[Any]:
    def branch(program: Program) -> Callable[..., list[Any]]:
        return lambda *values: run_as_jax(program, values)

    return jax.lax.switch(args[0], [branch(p) for p in branches], *args[1:])


def _custom_jvp(
    args: Sequence[Any], *, program: Program, rule: JvpRule, n_consts: int
) -> list[Any]:
    consts = args[:n_consts]

    @jax.custom_jvp
    def function(*primals: Any) -> list[Any]:
        return run_as_jax(program, [*consts, *primals])

    @function.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        outs, moved = rule(primals, none_if_zero(tangents))
        return outs, [instantiate(t, aval_of(x)) for x, t in zip(outs, moved, strict=True)]

    return function(*args[n_consts:])


def _custom_vjp(
    args: Sequence[Any], *, program: Program, rule: VjpRule, n_consts: int
) -> list[Any]:
    consts, active = args[:n_consts], (True,) * (len(args) - n_consts)

    @jax.custom_vjp
    def function(*primals: Any) -> list[Any]:
        return run_as_jax(program, [*consts, *primals])

    backward: list[Any] = []

    def forward(*primals: Any) -> Any:
        residuals, outs, back = rule.forward(primals, active)
        backward[:] = [back]
        return outs, residuals

    function.defvjp(forward, lambda residuals, cts: tuple(backward[0](residuals, cts)))
    return function(*args[n_consts:])


def _scatter(name: str) -> Callable[..., list[Any]]:
    function = getattr(jax.lax, name.replace("-", "_"))
    return lambda args, *, dimension_numbers, **settings: [
        function(*args, dimension_numbers, **settings)
    ]


def _scatter_apply(
    args: Sequence[Any], *, program: Program, dimension_numbers: Any, **settings: Any
) -> list[Any]:
    x, indices, updates = args
    apply = lambda old: run_as_jax(program, [old])[0]
    return [
        jax.lax.scatter_apply(
            x, indices, apply, dimension_numbers, update_shape=updates.shape, **settings
        )
    ]


def _pairs(program: Program, count: int) -> Callable[..., Any]:
    """The function of two tuples (or two values) that `jax.lax.reduce` wants."""
    if count == 1:
        return lambda x, y: run_as_jax(program, [x, y])[0]
    return lambda x, y: tuple(run_as_jax(program, [*x, *y]))


def _reduce(args: Sequence[Any], *, program: Program, axes: Sequence[int]) -> list[Any]:
    half = len(args) // 2
    operands, initial = tuple(args[:half]), tuple(args[half:])
    if half == 1:
        return [jax.lax.reduce(operands[0], initial[0], _pairs(program, 1), axes)]
    return list(jax.lax.reduce(operands, initial, _pairs(program, half), axes))


def _reduce_window(args: Sequence[Any], *, program: Program, **window: Any) -> list[Any]:
    half = len(args) // 2
    operands, initial = tuple(args[:half]), tuple(args[half:])
    if half == 1:
        return [jax.lax.reduce_window(operands[0], initial[0], _pairs(program, 1), **window)]
    return list(jax.lax.reduce_window(operands, initial, _pairs(program, half), **window))


def _shard_map(args: Sequence[Any], **params: Any) -> list[Any]:
    return list(shard_map_as_jax(run_as_jax, **params)(*args))


_FORMS: dict[Any, Callable[..., list[Any]]] = {
    shard_map_p: _shard_map,
    **{
        p: _scatter(p.name)
        for p in (
            scatter_p,
            scatter_add_p,
            scatter_sub_p,
            scatter_mul_p,
            scatter_min_p,
            scatter_max_p,
        )
    },
    scatter_apply_p: _scatter_apply,
    reduce_p: _reduce,
    reduce_window_p: _reduce_window,
    composite_p: lambda args, *, program, **_: run_as_jax(program, args),
    checkpoint_p: lambda args, *, program, **_: run_as_jax(program, args),
    call_p: lambda args, *, program: run_as_jax(program, args),
    scan_p: _scan,
    while_p: _while,
    cond_p: _cond,
    linear_solve_p: lambda args, **params: linear_solve_as_jax(run_as_jax, args, **params),
    custom_vmap_p: lambda args, *, program, **_: run_as_jax(program, args),
    linear_call_p: lambda args, *, program, **_: run_as_jax(program, args),
    hi_p: lambda args, *, program, **_: run_as_jax(program, args),
    custom_jvp_p: _custom_jvp,
    custom_vjp_p: _custom_vjp,
}
