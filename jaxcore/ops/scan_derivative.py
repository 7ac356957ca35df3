"""The derivative of a scan: a scan that stacks residuals, and linear scans through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Atom, Var, intern
from jaxcore.ops.basic import zeros
from jaxcore.primitive import Linear
from jaxcore.trace import StageTrace, StageTracer, aval_of, bind, trace_program

__all__ = ["linearize_scan", "transpose_scan"]


def linearize_scan(avals: Sequence[Any], active: tuple[bool, ...], **params: Any) -> Any:
    """Split a scan: the forward loop with residuals, and the loop of its tangents."""
    from jaxcore.ops.scan import scan_p, stacked
    from jaxcore.transforms.linearize import Linearized, linearize_program

    program, n_consts, n_carry = params["program"], params["n_consts"], params["n_carry"]
    on_consts, on_xs = active[:n_consts], active[n_consts + n_carry :]
    on_carry = active[n_consts : n_consts + n_carry]
    while True:  # a carry that receives a tangent in the body has one from the start
        split = linearize_program(program, (*on_consts, *on_carry, *on_xs))
        grown = tuple(a or b for a, b in zip(on_carry, split.active[:n_carry], strict=True))
        if grown == on_carry:
            break
        on_carry = grown
    n_in, n_out = len(program.inputs), len(program.outputs)
    n_new = len(split.consts)

    # Residuals: a constant is passed on, a stacked input or output is used as it is, the rest is
    # stacked as a further output of the forward loop.
    extra: list[int] = []  # positions in [inputs, outputs of the body] that are stacked
    sources: list[tuple[str, int]] = []
    for r in split.residuals:
        if r < n_consts:
            sources.append(("const", r))
        elif n_consts + n_carry <= r < n_in:
            sources.append(("input", r))
        elif n_in + n_carry <= r < n_in + n_out:
            sources.append(("output", r - n_in))
        else:
            sources.append(("stack", n_out + len(extra)))
            extra.append(r)

    def forward_body(*values: Any) -> list[Any]:
        from jaxcore.ops.call import run_program

        results = run_program(split.primal, values)
        pool = [*values[n_new:], *results]
        return [*results[:n_out], *(pool[r] for r in extra)]

    body_avals = [*(aval_of(c) for c in split.consts), *program.in_avals]
    forward, captured = trace_program(forward_body, body_avals, program.name)
    settings = {k: params[k] for k in ("n_carry", "length", "reverse", "unroll")}
    consts = [*captured, *split.consts]

    stage = StageTrace(program.name)
    inputs = [Var(a) for a in avals]
    with backend.set_current_trace(stage):
        operands = [*consts, *(StageTracer(stage, v, None) for v in inputs)]
        results = bind(
            scan_p, *operands, program=forward, n_consts=n_consts + len(consts), **settings
        )
        outs = [stage.lift(x) for x in results]
    primal, primal_consts = stage.finish(inputs, outs)

    # The linear loop: constants are tangents of constants and unchanging residuals; the rest of
    # the residuals are stacked inputs.
    fixed = [i for i, (kind, _) in enumerate(sources) if kind == "const"]
    moving = [i for i, (kind, _) in enumerate(sources) if kind != "const"]
    counts = [sum(on_consts), sum(on_carry), sum(on_xs)]
    n_fixed = len(fixed)
    linear_avals = split.linear.in_avals
    residual_avals = linear_avals[: len(sources)]
    tangent_avals = linear_avals[len(sources) :]

    def linear_body(*values: Any) -> list[Any]:
        from jaxcore.ops.call import run_program

        start = n_fixed
        t_consts = values[start : start + counts[0]]
        t_carry = values[start + counts[0] : start + counts[0] + counts[1]]
        rest = values[start + counts[0] + counts[1] :]
        residuals: list[Any] = [None] * len(sources)
        for i, v in zip(fixed, values[:n_fixed], strict=True):
            residuals[i] = v
        for i, v in zip(moving, rest[: len(moving)], strict=True):
            residuals[i] = v
        found = iter(
            run_program(split.linear, [*residuals, *t_consts, *t_carry, *rest[len(moving) :]])
        )
        moved = [next(found) if on else None for on in split.active]
        carry_out = [
            zeros(a.to_tangent_aval()) if t is None else t
            for t, a, on in zip(
                moved[:n_carry], program.in_avals[n_consts:], on_carry, strict=False
            )
            if on
        ]
        return [*carry_out, *(t for t in moved[n_carry:] if t is not None)]

    body_avals = [
        *(residual_avals[i] for i in fixed),
        *tangent_avals[: counts[0] + counts[1]],
        *(residual_avals[i] for i in moving),
        *tangent_avals[counts[0] + counts[1] :],
    ]
    linear, captured = trace_program(linear_body, body_avals, "linear")
    length = params["length"]
    stage = StageTrace("linear")
    residual_vars = [
        Var(a if i in fixed else stacked(a, length)) for i, a in enumerate(residual_avals)
    ]
    tangent_vars = [
        Var(a if i < counts[0] + counts[1] else stacked(a, length))
        for i, a in enumerate(tangent_avals)
    ]
    with backend.set_current_trace(stage):
        value: dict[Var, Any] = {v: StageTracer(stage, v, None) for v in residual_vars}
        given = (*on_consts, *active[n_consts : n_consts + n_carry], *on_xs)
        is_active = [g for g, on in zip(given, (*on_consts, *on_carry, *on_xs), strict=True) if on]
        for v, is_given in zip(tangent_vars, is_active, strict=True):
            value[v] = StageTracer(stage, v, None) if is_given else zeros(v.aval)
        tangent_inputs = [
            v for v, is_given in zip(tangent_vars, is_active, strict=True) if is_given
        ]
        operands = [
            *captured,
            *(value[residual_vars[i]] for i in fixed),
            *(value[v] for v in tangent_vars[: counts[0] + counts[1]]),
            *(value[residual_vars[i]] for i in moving),
            *(value[v] for v in tangent_vars[counts[0] + counts[1] :]),
        ]
        results = bind(
            scan_p,
            *operands,
            program=linear,
            n_consts=len(captured) + n_fixed + counts[0],
            **{**settings, "n_carry": counts[1]},
        )
        linear_outs: list[Atom] = [stage.lift(x) for x in results]
    linear_program, linear_consts = stage.finish([*residual_vars, *tangent_inputs], linear_outs)
    indices = []
    for kind, i in sources:
        indices.append(i if kind in ("const", "input") else n_in + i)
    if linear_consts:
        raise NotImplementedError("scan: the linear part of the body captured a value.")
    active_out = (*on_carry, *split.active[n_carry:])
    return Linearized(
        intern(primal), tuple(primal_consts), intern(linear_program), tuple(indices), active_out
    )


def transpose_scan(cts: Sequence[Any], args: Sequence[Any], **params: Any) -> list[Any]:
    """Run a linear scan backwards; cotangents of constants are summed in the carry."""
    from jaxcore.ops.scan import scan_p, stacked
    from jaxcore.transforms.transpose import transpose_program

    program, n_consts, n_carry = params["program"], params["n_consts"], params["n_carry"]
    length = params["length"]
    linear = tuple(type(a) is Linear for a in args)
    # A carry is linear as a whole, so a zero that was instantiated counts as linear too.
    carry = slice(n_consts, n_consts + n_carry)
    linear = (*linear[:n_consts], *(True,) * n_carry, *linear[n_consts + n_carry :])
    cts = [
        zeros(a.to_tangent_aval() if i < n_carry else stacked(a, length).to_tangent_aval())
        if ct is None
        else ct
        for i, (ct, a) in enumerate(zip(cts, program.out_avals, strict=True))
    ]
    back = transpose_program(program, linear, (True,) * len(cts))
    in_avals = program.in_avals
    fixed = [i for i in range(n_consts) if not linear[i]]
    moving = [i for i in range(n_consts + n_carry, len(args)) if not linear[i]]
    sums = [i for i in range(n_consts) if linear[i]]
    stacks = [i for i in range(n_consts + n_carry, len(args)) if linear[i]]
    order = [i for i in range(len(args)) if not linear[i]]

    def body(*values: Any) -> list[Any]:
        from jaxcore.ops.basic import add_cotangents
        from jaxcore.ops.call import run_program

        at = len(fixed)
        known = dict(zip(fixed, values[:at], strict=True))
        totals = values[at : at + len(sums)]
        at += len(sums)
        ct_carry = values[at : at + n_carry]
        at += n_carry
        known.update(zip(moving, values[at : at + len(moving)], strict=True))
        ct_ys = values[at + len(moving) :]
        found = iter(
            run_program(back.program, [*back.consts, *(known[i] for i in order), *ct_carry, *ct_ys])
        )
        there = iter(back.present)
        ct = {i: next(found) if next(there) else None for i in range(len(args)) if linear[i]}
        new_totals = [add_cotangents(t, ct[i]) for t, i in zip(totals, sums, strict=True)]

        def filled(i: int) -> Any:
            return zeros(in_avals[i].to_tangent_aval()) if ct[i] is None else ct[i]

        return [
            *new_totals,
            *(filled(i) for i in range(n_consts, n_consts + n_carry)),
            *(filled(i) for i in stacks),
        ]

    tangent = [a.to_tangent_aval() for a in in_avals]
    body_avals = [
        *(in_avals[i] for i in fixed),
        *(tangent[i] for i in sums),
        *tangent[carry],
        *(in_avals[i] for i in moving),
        *(a.to_tangent_aval() for a in program.out_avals[n_carry:]),
    ]
    backward, captured = trace_program(body, body_avals, program.name)
    operands = [
        *captured,
        *(args[i] for i in fixed),
        *(zeros(tangent[i]) for i in sums),
        *cts[:n_carry],
        *(args[i] for i in moving),
        *cts[n_carry:],
    ]
    results = bind(
        scan_p,
        *operands,
        program=backward,
        n_consts=len(captured) + len(fixed),
        n_carry=len(sums) + n_carry,
        length=length,
        reverse=not params["reverse"],
        unroll=params["unroll"],
    )
    out: list[Any] = [None] * len(args)
    for i, ct in zip([*sums, *range(n_consts, n_consts + n_carry), *stacks], results, strict=True):
        out[i] = ct if type(args[i]) is Linear else None
    return out
