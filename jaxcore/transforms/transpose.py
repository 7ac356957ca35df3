"""Transposition: a linear program run backwards, equation by equation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxcore import backend
from jaxcore.axes import vary
from jaxcore.ir import Atom, Program, Var, intern
from jaxcore.ops.basic import add_cotangents
from jaxcore.primitive import Linear
from jaxcore.source import swap_source
from jaxcore.trace import StageTrace, StageTracer, bind_with, literal_value
from jaxcore.transforms.partition import partition

__all__ = ["Transposed", "transpose_program"]


@dataclass(frozen=True, slots=True)
class Transposed:
    """`program` maps consts, non-linear inputs and the present cotangents to cotangents of the
    linear inputs.

    `present[i]` tells whether linear input i receives one (otherwise it is zero and left out).
    """

    program: Program
    consts: tuple[Any, ...]
    present: tuple[bool, ...]


def transpose_program(
    program: Program, linear: tuple[bool, ...], cotangents: tuple[bool, ...]
) -> Transposed:
    """Transpose `program` in the inputs where `linear`, given cotangents of the outputs where
    `cotangents`.
    """
    key = ("transpose", linear, cotangents, backend.trace_context())
    found = program.memo.get(key)
    if found is None:
        found = _transpose(program, linear, cotangents)
        if not any(isinstance(c, backend.Tracer) for c in found.consts):
            program.memo[key] = found
    return found


def _transpose(
    program: Program, linear: tuple[bool, ...], cotangents: tuple[bool, ...]
) -> Transposed:
    trace = StageTrace(program.name + "_transpose" if program.name != "linear" else "transpose")
    known: dict[Var, Any] = {}
    new_inputs: list[Var] = []
    linear_vars: set[Var] = set()
    for v, is_linear in zip(program.inputs, linear, strict=True):
        if is_linear:
            linear_vars.add(v)
        else:
            new = Var(v.aval)
            new_inputs.append(new)
            known[v] = StageTracer(trace, new, None)
    ct_of: dict[Var, Any] = {}
    # What does not depend on a linear input is computed first.
    before, rest = partition(program.equations, linear_vars, enter_calls=False)
    linear_vars.update(v for eq in rest for v in eq.outputs)
    with backend.set_current_trace(trace):
        previous = swap_source(None)
        try:
            for eq in before:
                swap_source(eq.source)
                values = [known[x] if type(x) is Var else literal_value(x) for x in eq.inputs]  # type: ignore
                known.update(
                    zip(eq.outputs, bind_with(trace, eq.primitive, values, eq.params), strict=True)
                )
        finally:
            swap_source(previous)
        for x, given in zip(program.outputs, cotangents, strict=True):
            if not given:
                continue
            new = Var(x.aval)
            new_inputs.append(new)
            if type(x) is Var and x in linear_vars:
                ct_of[x] = add_cotangents(ct_of.get(x), StageTracer(trace, new, None))
        previous = swap_source(None)
        try:
            for eq in reversed(rest):
                _transpose_equation(eq, ct_of, known, linear_vars)
        finally:
            swap_source(previous)
        results: list[Atom] = []
        present: list[bool] = []
        for v, is_linear in zip(program.inputs, linear, strict=True):
            if is_linear:
                ct = ct_of.get(v)
                present.append(ct is not None)
                if ct is not None:
                    results.append(trace.lift(ct))
    done, consts = trace.finish(new_inputs, results)
    return Transposed(intern(done), tuple(consts), tuple(present))


def _transpose_equation(
    eq: Any, ct_of: dict[Var, Any], known: dict[Var, Any], linear_vars: set[Var]
) -> None:
    if not any(v in ct_of for v in eq.outputs):
        return
    cts = [ct_of.pop(v, None) for v in eq.outputs]
    mesh = backend.trace_ctx.trace.manual
    if mesh is not None:
        cts = [
            ct if ct is None else vary(ct, backend.varying(v.aval), mesh)
            for ct, v in zip(cts, eq.outputs, strict=True)
        ]
    swap_source(eq.source.during("backward"))
    args: Sequence[Any] = [
        literal_value(x) if type(x) is not Var else Linear(x.aval) if x in linear_vars else known[x]
        for x in eq.inputs
    ]
    rule = eq.primitive.transpose
    if rule is None:
        raise NotImplementedError(
            f"The primitive '{eq.primitive.name}' has no transpose rule, so reverse-mode "
            f"differentiation cannot go "
            f"through it (recorded at {eq.source}).\nFix: use forward mode (jaxcore.jvp), or "
            f"give the function a "
            "custom_vjp."
        )
    back = rule(cts if eq.primitive.multiple_results else cts[0], args, **eq.params)
    for x, ct in zip(eq.inputs, back, strict=True):
        if ct is not None and type(x) is Var and x in linear_vars:
            ct_of[x] = add_cotangents(ct_of.get(x), ct)
