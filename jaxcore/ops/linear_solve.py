"""`linear_solve`: the solution of a linear equation, with the derivative that the equation implies.

Operands are the constants of four functions and the right-hand side b; every function takes its
constants and then one vector: `matvec` is the linear map A, `vecmat` its transpose, `solve` gives x
with A x = b, and `transpose_solve` solves with the transpose (None: there is no reverse mode).
Results of `solve` behind x are auxiliary. From A x = b follows dx = A⁻¹ (db - dA x), so neither
derivative looks inside `solve`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.basic import add_cotangents, zeros
from jaxcore.ops.call import run_program
from jaxcore.primitive import Primitive, mirror
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["as_jax", "batched_at_0", "linear_solve_p"]

_FUNCTIONS = ("matvec", "vecmat", "solve", "transpose_solve")


def _split(
    operands: Sequence[Any], counts: Sequence[int]
) -> tuple[dict[str, list[Any]], list[Any]]:
    """The constants of each function, and the right-hand side."""
    consts, at = {}, 0
    for name, n in zip(_FUNCTIONS, counts, strict=True):
        consts[name] = list(operands[at : at + n])
        at += n
    return consts, list(operands[at:])


def _operands(consts: dict[str, list[Any]], b: Sequence[Any]) -> list[Any]:
    return [*(x for name in _FUNCTIONS for x in consts[name]), *b]


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    from jaxcore.ops.arithmetic import neg_p
    from jaxcore.transforms.linearize import pushed_forward

    consts, b = _split(primals, params["counts"])
    moved_consts, moved_b = _split(tangents, params["counts"])
    solution = bind(linear_solve_p, *primals, **params)
    x = solution[: len(b)]
    rhs = moved_b
    if any(t is not None for t in moved_consts["matvec"]):
        directions = [*moved_consts["matvec"], *(None for _ in b)]
        moved = pushed_forward(params["matvec"], [*consts["matvec"], *x], directions)[1]
        change = [t if t is None else bind(neg_p, t) for t in moved]
        rhs = [add_cotangents(t, c) for t, c in zip(moved_b, change, strict=True)]
    if all(t is None for t in rhs):
        return solution, [None] * len(solution)
    given = [zeros(aval_of(p)) if t is None else t for t, p in zip(rhs, b, strict=True)]
    moved_x = bind(linear_solve_p, *_operands(consts, given), **params)
    return solution, [*moved_x[: len(b)], *[None] * (len(solution) - len(b))]


def _transpose(cts: list[Any], args: Sequence[Any], **params: Any) -> list[Any]:
    if params["transpose_solve"] is None:
        raise TypeError(
            "transpose_solve required for backwards mode automatic differentiation of "
            "custom_linear_solve. Fix: give it transpose_solve, or symmetric=True."
        )
    consts, b = _split(args, params["counts"])
    swap = dict(zip(_FUNCTIONS, ("vecmat", "matvec", "transpose_solve", "solve"), strict=True))
    given = [zeros(v.aval) if ct is None else ct for ct, v in zip(cts, b, strict=False)]
    back = bind(
        linear_solve_p,
        *_operands({name: consts[swap[name]] for name in _FUNCTIONS}, given),
        **{name: params[swap[name]] for name in _FUNCTIONS},
        counts=tuple(len(consts[swap[name]]) for name in _FUNCTIONS),
    )
    return [None] * (len(args) - len(b)) + back[: len(b)]


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    """Solution and right-hand side are batched as a whole; the four functions then agree."""
    from jaxcore.ops.custom_vjp import broadcast_batch

    consts, b = _split(args, params["counts"])
    const_dims, b_dims = _split(dims, params["counts"])
    programs: dict[str, Program | None] = {}
    for name in _FUNCTIONS:
        program = params[name]
        programs[name] = None
        if program is not None:
            form = batched_at_0(program, size, (*const_dims[name], *(0 for _ in b)))
            programs[name], captured = form
            consts[name] = [*captured, *consts[name]]
    moved = [broadcast_batch(x, d, size) for x, d in zip(b, b_dims, strict=True)]
    counts = tuple(len(consts[name]) for name in _FUNCTIONS)
    outs = bind(linear_solve_p, *_operands(consts, moved), **programs, counts=counts)
    return outs, [0] * len(outs)


def batched_at_0(
    program: Program, size: int, dims: tuple[int | None, ...]
) -> tuple[Program, list[Any]]:
    """The batched form of a program with all results batched at 0, and what it captured."""
    from jaxcore.ops.custom_vjp import broadcast_batch
    from jaxcore.transforms.vmap import batch_program

    batched = batch_program(program, size, dims)

    def run(*values: Any) -> list[Any]:
        outs = run_program(batched.program, values)
        return [broadcast_batch(x, d, size) for x, d in zip(outs, batched.dims, strict=True)]

    done, captured = trace_program(run, batched.program.in_avals, program.name)
    return done, [*captured, *batched.consts]


def _lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, counts: Any, **params: Any
) -> list[Any]:
    consts, rhs = _split(operands, counts)
    return b.call(params["solve"], [*consts["solve"], *rhs])


def _cost(avals_in: Any, avals_out: Any, *, solve: Program, **_: Any) -> int:
    from jaxcore.cost import program_flops

    return program_flops(solve)


linear_solve_p = Primitive(
    "linear_solve",
    lambda *avals, solve, **_: solve.out_avals,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["solve"].effects,
    multiple_results=True,
)


def as_jax(
    run: Callable[[Program, Sequence[Any]], list[Any]],
    args: Sequence[Any],
    *,
    counts: Sequence[int],
    **programs: Program | None,
) -> list[Any]:
    """The same solve by JAX's function; `run` applies a program to values."""
    consts, b = _split(args, counts)

    def function(name: str) -> Callable[[Sequence[Any]], list[Any]]:
        program = programs[name]
        assert program is not None
        return lambda x: run(program, [*consts[name], *x])

    def solver(name: str) -> Callable[[Any, Sequence[Any]], Any]:
        def solve(_: Any, x: Sequence[Any]) -> Any:
            results = function(name)(x)
            return results[: len(b)], results[len(b) :]

        return solve

    back = None if programs["transpose_solve"] is None else solver("transpose_solve")
    x, aux = jax.lax.custom_linear_solve(function("matvec"), b, solver("solve"), back, has_aux=True)
    return [*x, *aux]


@mirror(backend.linear_solve_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    consts, b = _split(args, params["const_lengths"])
    programs: dict[str, Program | None] = {}
    for name, jaxpr in zip(_FUNCTIONS, params["jaxprs"], strict=True):
        programs[name] = None
        if jaxpr is not None:
            programs[name], captured = program_from_jaxpr(jaxpr, name)
            consts[name] = [*captured, *consts[name]]
    counts = tuple(len(consts[name]) for name in _FUNCTIONS)
    return linear_solve_p, _operands(consts, b), {**programs, "counts": counts}
