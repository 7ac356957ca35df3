"""The derivative of a scan: a scan that stacks residuals, and linear scans through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program
from jaxcore.primitive import Linear
from jaxcore.trace import StageTrace, StageTracer, aval_of, bind, trace_program

__all__ = ["linearize_scan", "transpose_scan"]


def linearize_scan(avals: Sequence[Any], active: tuple[bool, ...], **params: Any) -> Any:
    """Split a scan: the forward loop with residuals, and the loop of its tangents."""
    from jaxcore.transforms.linearize import Linearized

    loop = _Loop(avals, active, params)
    primal, consts = loop.forward()
    n_in = len(avals)
    residuals = [i if kind in _AT_HAND else n_in + i for kind, i in loop.sources]
    return Linearized(
        primal, tuple(consts), loop.linear(), tuple(residuals), (*loop.on_carry, *loop.on_ys)
    )


_AT_HAND = ("const", "input")


class _Loop:
    """A scan and the split of its body.

    Attributes:
      split: the body's linearisation, at the constants, carries and inputs that are active.
      sources: where each residual of the body comes from: a constant of the loop ("const", its
        number among the operands), a stacked input ("input"), a stacked output ("output", its
        number among the results), or a further output of the forward loop ("stack").
      extra: the residuals, as the body's split numbers them, that are stacked for this.
    """

    def __init__(
        self, avals: Sequence[Any], active: tuple[bool, ...], params: dict[str, Any]
    ) -> None:
        from jaxcore.transforms.linearize import linearize_program

        self.avals, self.active = avals, active
        self.program: Program = params["program"]
        self.n_consts, self.n_carry = params["n_consts"], params["n_carry"]
        self.length = params["length"]
        self.settings = {k: params[k] for k in ("length", "reverse", "unroll")}
        end = self.n_consts + self.n_carry
        self.on_consts, self.on_xs = active[: self.n_consts], active[end:]
        self.on_carry = active[self.n_consts : end]
        while True:  # a carry that receives a tangent in the body has one from the start
            on = (*self.on_consts, *self.on_carry, *self.on_xs)
            self.split = linearize_program(self.program, on)
            got = self.split.active[: self.n_carry]
            grown = tuple(a or b for a, b in zip(self.on_carry, got, strict=True))
            if grown == self.on_carry:
                break
            self.on_carry = grown
        self.on_ys = self.split.active[self.n_carry :]
        self.extra: list[int] = []
        self.sources = [self._source(r) for r in self.split.residuals]

    def _source(self, residual: int) -> tuple[str, int]:
        n_in, n_out = len(self.program.inputs), len(self.program.outputs)
        if residual < self.n_consts:
            return "const", residual
        if self.n_consts + self.n_carry <= residual < n_in:
            return "input", residual
        if n_in + self.n_carry <= residual < n_in + n_out:
            return "output", residual - n_in
        self.extra.append(residual)
        return "stack", n_out + len(self.extra) - 1

    def forward(self) -> tuple[Program, list[Any]]:
        """The loop that also stacks residuals, and what it captured."""
        from jaxcore.ops.scan import scan_p

        split, n_new, n_out = self.split, len(self.split.consts), len(self.program.outputs)

        def body(*values: Any) -> list[Any]:
            results = run_program(split.primal, values)
            pool = [*values[n_new:], *results]
            return [*results[:n_out], *(pool[r] for r in self.extra)]

        avals = [*(aval_of(c) for c in split.consts), *self.program.in_avals]
        program, captured = trace_program(body, avals, self.program.name)
        consts = [*captured, *split.consts]
        stage = StageTrace(self.program.name)
        inputs = [Var(a) for a in self.avals]
        with backend.set_current_trace(stage):
            results = bind(
                scan_p,
                *consts,
                *(StageTracer(stage, v, None) for v in inputs),
                program=program,
                n_consts=len(consts) + self.n_consts,
                n_carry=self.n_carry,
                **self.settings,
            )
            outs = [stage.lift(x) for x in results]
        done, found = stage.finish(inputs, outs)
        return intern(done), found

    def linear(self) -> Program:
        """The loop of the tangents, over residuals and active tangents."""
        from jaxcore.ops.scan import scan_p, stacked

        count = len(self.sources)
        residuals = self.split.linear.in_avals[:count]
        tangents = self.split.linear.in_avals[count:]
        fixed = [i for i, (kind, _) in enumerate(self.sources) if kind == "const"]
        moving = [i for i, (kind, _) in enumerate(self.sources) if kind != "const"]
        n_consts, n_carry = sum(self.on_consts), sum(self.on_carry)
        start = n_consts + n_carry  # of the tangents of stacked inputs

        def order(of_residual: Sequence[Any], of_tangent: Sequence[Any]) -> list[Any]:
            """Constants (residuals, tangents), carry, stacked inputs (residuals, tangents)."""
            first, last = [of_residual[i] for i in fixed], [of_residual[i] for i in moving]
            return [*first, *of_tangent[:start], *last, *of_tangent[start:]]

        def body(*values: Any) -> list[Any]:
            at = len(fixed) + start
            known = dict(zip(fixed, values, strict=False))
            known.update(zip(moving, values[at:], strict=False))
            given = [*values[len(fixed) : at], *values[at + len(moving) :]]
            found = iter(
                run_program(self.split.linear, [*(known[i] for i in range(count)), *given])
            )
            moved = [next(found) if on else None for on in self.split.active]
            carry = zip(moved, self.program.in_avals[self.n_consts :], self.on_carry, strict=False)
            return [
                *(zeros(a.to_tangent_aval()) if t is None else t for t, a, on in carry if on),
                *(t for t in moved[self.n_carry :] if t is not None),
            ]

        program, captured = trace_program(body, order(residuals, tangents), "linear")
        stage = StageTrace("linear")
        known = [Var(a if i in fixed else stacked(a, self.length)) for i, a in enumerate(residuals)]
        moved = [Var(a if i < start else stacked(a, self.length)) for i, a in enumerate(tangents)]
        given = [on for on, now in zip(self.active, self._now_active(), strict=True) if now]
        with backend.set_current_trace(stage):
            tracers = [StageTracer(stage, v, None) for v in known]
            directions = [
                StageTracer(stage, v, None) if on else zeros(v.aval)
                for v, on in zip(moved, given, strict=True)
            ]
            results = bind(
                scan_p,
                *captured,
                *order(tracers, directions),
                program=program,
                n_consts=len(captured) + len(fixed) + n_consts,
                n_carry=n_carry,
                **self.settings,
            )
            outs = [stage.lift(x) for x in results]
        inputs = [*known, *(v for v, on in zip(moved, given, strict=True) if on)]
        done, found = stage.finish(inputs, outs)
        if found:
            raise NotImplementedError("scan: the linear part of the body captured a value.")
        return intern(done)

    def _now_active(self) -> tuple[bool, ...]:
        """`active`, with the carries that become active in the loop."""
        return (*self.on_consts, *self.on_carry, *self.on_xs)


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
