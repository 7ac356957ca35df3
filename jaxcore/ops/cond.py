"""`cond` and `switch`: one of several programs, chosen by an index when the program runs.

Operands are the index (int32, clamped to the branches) and the arguments of every branch. Where the
parameter `platforms` is given, branch i is for those named in its entry i (None: any other), the
index says on which the program runs, and branches for other platforms are not lowered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program
from jaxcore.primitive import Linear, Primitive, mirror
from jaxcore.trace import StageTrace, StageTracer, aval_of, bind, trace_program

__all__ = ["blank", "close_over_all", "cond_p", "strip"]


def strip(aval: ShapedArray) -> ShapedArray:
    """The type without weakness."""
    return backend.reshaped(aval, aval.shape, False)


def _type(index: Any, *avals: Any, branches: Sequence[Program], **_: Any) -> list[Any]:
    return [
        a if all(p.outputs[i].aval == a for p in branches) else strip(a)
        for i, a in enumerate(branches[0].out_avals)
    ]


def close_over_all(
    functions: Sequence[Any], avals: Sequence[Any], name: str
) -> tuple[Any, list[Any]]:
    """Programs of `functions` that all take first what any of them captured."""
    traced = [trace_program(f, avals, name) for f in functions]
    captured = {id(c): c for _, found in traced for c in found}
    programs = []
    for program, found in traced:
        own = dict(zip(map(id, found), program.inputs, strict=False))
        shared = [own[k] if k in own else Var(aval_of(c)) for k, c in captured.items()]
        inputs = [*shared, *program.inputs[len(found) :]]
        programs.append(intern(Program(inputs, program.equations, program.outputs, program.name)))
    return tuple(programs), list(captured.values())


def _linearize(
    avals: Sequence[Any], active: tuple[bool, ...], *, branches: Any, **rest: Any
) -> Any:
    from jaxcore.transforms.linearize import Linearized, linearize_program

    splits = [linearize_program(p, active[1:]) for p in branches]
    n_in, n_out = len(avals) - 1, len(branches[0].outputs)
    active_out = tuple(any(s.active[i] for s in splits) for i in range(n_out))

    # A residual is an argument, or takes a slot that every branch fills (with zeros if it must);
    # branches share slots of one type.
    slots: list[ShapedArray] = []
    places: list[list[tuple[str, int]]] = []
    for p, split in zip(branches, splits, strict=True):
        free = list(range(len(slots)))
        mine: list[tuple[str, int]] = []
        for r, aval in zip(split.residuals, split.linear.in_avals, strict=False):
            if r < len(p.inputs):
                mine.append(("input", r))
                continue
            slot = next((s for s in free if slots[s] == strip(aval)), None)
            if slot is None:
                slot = len(slots)
                slots.append(strip(aval))
            else:
                free.remove(slot)
            mine.append(("slot", slot))
        places.append(mine)

    def forward(k: int) -> Any:
        split, mine = splits[k], places[k]

        def run(*values: Any) -> list[Any]:
            results = run_program(split.primal, [*split.consts, *values])
            pool = [*values, *results]
            filled: list[Any] = [None] * len(slots)
            for r, (kind, s) in zip(split.residuals, mine, strict=True):
                if kind == "slot":
                    filled[s] = pool[r]
            return [
                *results[:n_out],
                *(blank(a) if x is None else x for x, a in zip(filled, slots, strict=True)),
            ]

        return run

    forwards, consts = close_over_all(
        [forward(k) for k in range(len(branches))], avals[1:], "branch"
    )
    stage = StageTrace("cond")
    inputs = [Var(a) for a in avals]
    with backend.set_current_trace(stage):
        given = [StageTracer(stage, v, None) for v in inputs]
        results = bind(cond_p, given[0], *consts, *given[1:], branches=forwards, **rest)
        outs = [stage.lift(x) for x in results]
    primal, primal_consts = stage.finish(inputs, outs)

    tangent_avals = [a.to_tangent_aval() for a, on in zip(avals, active, strict=True) if on]

    def moved(k: int) -> Any:
        split, mine = splits[k], places[k]

        def run(*values: Any) -> list[Any]:
            arguments, filled = values[:n_in], values[n_in : n_in + len(slots)]
            residuals = [arguments[s] if kind == "input" else filled[s] for kind, s in mine]
            found = iter(run_program(split.linear, [*residuals, *values[n_in + len(slots) :]]))
            outs = [next(found) if on else None for on in split.active]
            return [
                zeros(a.to_tangent_aval()) if t is None else t
                for t, a, on in zip(outs, branches[0].out_avals, active_out, strict=True)
                if on
            ]

        return run

    linear_avals = [*avals[1:], *slots, *tangent_avals]
    linears, consts = close_over_all(
        [moved(k) for k in range(len(branches))], linear_avals, "linear"
    )
    assert not any(isinstance(c, backend.Tracer) for c in consts)
    stage = StageTrace("linear")
    residual_vars = [Var(avals[0]), *(Var(a) for a in [*avals[1:], *slots])]
    tangent_vars = [Var(a) for a in tangent_avals]
    with backend.set_current_trace(stage):
        given = [StageTracer(stage, v, None) for v in [*residual_vars, *tangent_vars]]
        results = bind(cond_p, given[0], *consts, *given[1:], branches=linears, **rest)
        outs = [stage.lift(x) for x in results]
    linear, captured = stage.finish([*residual_vars, *tangent_vars], outs)
    n_captured = len(captured)
    if n_captured:
        raise NotImplementedError("cond: the linear part of a branch captured a value.")
    indices = [0, *range(1, n_in + 1)] + [len(avals) + n_out + s for s in range(len(slots))]
    return Linearized(
        intern(primal), tuple(primal_consts), intern(linear), tuple(indices), active_out
    )


def blank(aval: ShapedArray) -> Any:
    """A value of type `aval` that nobody looks at."""
    if backend.is_extended(aval.dtype):
        from jaxcore.ops.random import random_wrap_p

        return bind(random_wrap_p, zeros(backend.physical_aval(aval)), impl=aval.dtype._impl)
    return zeros(aval)


def _transpose(cts: Sequence[Any], args: Sequence[Any], *, branches: Any, **rest: Any) -> list[Any]:
    from jaxcore.transforms.transpose import transpose_program

    linear = tuple(type(a) is Linear for a in args[1:])
    out_avals = branches[0].out_avals
    present = tuple(ct is not None for ct in cts)
    given = [ct for ct in cts if ct is not None]
    backs = [transpose_program(p, linear, present) for p in branches]
    needed = [i for i in range(len(linear)) if linear[i]]
    receives = [any(b.present[j] for b in backs) for j in range(len(needed))]
    known = [a for a in args[1:] if type(a) is not Linear]

    def back(k: int) -> Any:
        def run(*values: Any) -> list[Any]:
            found = iter(run_program(backs[k].program, [*backs[k].consts, *values]))
            out = []
            for j, i in enumerate(needed):
                ct = next(found) if backs[k].present[j] else None
                if receives[j]:
                    aval = branches[0].in_avals[i].to_tangent_aval()
                    out.append(zeros(aval) if ct is None else ct)
            return out

        return run

    avals = [aval_of(a) for a in known] + [
        a.to_tangent_aval() for a, on in zip(out_avals, present, strict=True) if on
    ]
    programs, consts = close_over_all([back(k) for k in range(len(branches))], avals, "branch")
    results = iter(bind(cond_p, args[0], *consts, *known, *given, branches=programs, **rest))
    out: list[Any] = [None] * len(args)
    for j, i in enumerate(needed):
        if receives[j]:
            out[i + 1] = next(results)
    return out


def _batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], *, branches: Any, **rest: Any
) -> Any:
    from jaxcore.ops.custom_vjp import broadcast_batch
    from jaxcore.transforms.vmap import batch_program

    if dims[0] is not None:
        results = _choose_by_example(size, args, dims, branches)
        return results, [0] * len(results)
    forms = [batch_program(p, size, tuple(dims[1:])) for p in branches]
    on = [any(b.dims[i] is not None for b in forms) for i in range(len(branches[0].outputs))]

    def run_batched(k: int) -> Any:
        def run(*values: Any) -> list[Any]:
            outs = run_program(forms[k].program, [*forms[k].consts, *values])
            return [
                broadcast_batch(x, d, size) if b else x
                for x, d, b in zip(outs, forms[k].dims, on, strict=True)
            ]

        return run

    avals = [aval_of(a) for a in args[1:]]
    programs, consts = close_over_all(
        [run_batched(k) for k in range(len(branches))], avals, "branch"
    )
    results = bind(cond_p, args[0], *consts, *args[1:], branches=programs, **rest)
    return results, [0 if b else None for b in on]


def _choose_by_example(
    size: int, args: Sequence[Any], dims: Sequence[int | None], branches: Sequence[Program]
) -> list[Any]:
    """Each example has its own branch: run all, and choose.

    Branches with loops are passed over where no example wants one, as after the end of a loop.
    """
    import jaxcore.numpy as jnp
    from jaxcore.ops.custom_vjp import broadcast_batch
    from jaxcore.transforms.vmap import batch_program

    def of(which: Sequence[int]) -> Any:
        def run(index: Any, *values: Any) -> list[Any]:
            results: list[Any] | None = None
            for k in which:
                batched = batch_program(branches[k], size, tuple(dims[1:]))
                outs = run_program(batched.program, [*batched.consts, *values])
                outs = [
                    broadcast_batch(x, d, size) for x, d in zip(outs, batched.dims, strict=True)
                ]
                if results is None:
                    results = outs
                    continue
                chosen = index == k
                results = [
                    jnp.where(chosen.reshape((size,) + (1,) * (x.ndim - 1)), x, r)
                    for x, r in zip(outs, results, strict=True)
                ]
            return results or []

        return run

    index = jnp.clip(broadcast_batch(args[0], dims[0], size), 0, len(branches) - 1)
    loops = [k for k, p in enumerate(branches) if _holds_loop(p)]
    rest = [k for k in range(len(branches)) if k not in loops]
    if not loops or not rest:
        return of(range(len(branches)))(index, *args[1:])
    wanted = jnp.any(jnp.stack([index == k for k in loops]))
    operands = [index, *args[1:]]
    programs, consts = close_over_all(
        [of(rest), of(range(len(branches)))], [aval_of(x) for x in operands], "branch"
    )
    return bind(cond_p, jnp.asarray(wanted, "int32"), *consts, *operands, branches=programs)


def _holds_loop(program: Program) -> bool:
    found = program.memo.get("holds_loop")
    if found is None:
        found = program.memo["holds_loop"] = any(
            eq.primitive.name in ("scan", "while") or any(_holds_loop(p) for p in eq.programs)
            for eq in program.equations
        )
    return found


def _lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    branches: Any,
    platforms: Any = None,
) -> list[Any]:
    if platforms is not None:
        kept = {_branch_on(platforms, name) for name in backend.platforms_of(b.ctx)}
        one = branches[min(kept)]
        if len(kept) == 1:
            return b.call(one, operands[1:])
        branches = [p if k in kept else one for k, p in enumerate(branches)]
    runs = [partial(b.call, program, operands[1:]) for program in branches]
    effects = [e for program in branches for e in program.effects]
    return b.case(operands[0], avals_out, runs, effects)


def _branch_on(platforms: Sequence[Any], name: str) -> int:
    """The branch for a platform; that there is one was found when the index was lowered."""
    return next(k for k, names in enumerate(platforms) if names is None or name in names)


def _cost(avals_in: Any, avals_out: Any, *, branches: Any, **_: Any) -> int:
    """The dearest branch."""
    from jaxcore.cost import program_flops

    return max(program_flops(p) for p in branches)


cond_p = Primitive(
    "cond",
    _type,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: frozenset().union(*(p.effects for p in params["branches"])),
    multiple_results=True,
)


@mirror(backend.cond_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    converted = [program_from_jaxpr(j, "branch") for j in params["branches"]]
    platforms = params.get("branches_platforms")
    rest = {} if platforms is None else {"platforms": platforms}
    if any(consts for _, consts in converted):
        operands = [aval_of(a) for a in args[1:]]

        def bound(k: int) -> Any:
            program, consts = converted[k]
            return lambda *values: run_program(program, [*consts, *values])

        programs, consts = close_over_all(
            [bound(k) for k in range(len(converted))], operands, "branch"
        )
        return cond_p, [args[0], *consts, *args[1:]], {"branches": programs, **rest}
    return cond_p, args, {"branches": tuple(p for p, _ in converted), **rest}
