"""A function's value and derivative, wherever it runs.

While operations are being recorded a function is first traced to a program, whose linearisation and
transpose are memoised on it. Outside `jit` it is recorded on a tape, so that value and gradient are
one executable, unless it looks at values on its way; under another transformation its Python runs
under a `LinearizeTrace`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxcore import backend
from jaxcore.eager import execute, remember
from jaxcore.ir import Program, intern
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program
from jaxcore.side import SideState
from jaxcore.trace import StageTrace, aval_of, trace_program
from jaxcore.transforms.linearize import LinearizeTrace, linearize_program
from jaxcore.transforms.tape import TapeTrace, recall, usable
from jaxcore.transforms.transpose import transpose_program
from jaxcore.values import SCALARS

__all__ = ["Derivation", "LinearMap", "is_inexact"]


class LinearMap:
    """A linear program with the residuals it needs; maps tangents forward and cotangents back."""

    __slots__ = ("active_in", "active_out", "in_avals", "out_avals", "program", "residuals")

    def __init__(
        self,
        program: Program,
        residuals: Sequence[Any],
        active_in: Sequence[bool],
        active_out: Sequence[bool],
        in_avals: Sequence[Any],
        out_avals: Sequence[Any],
    ) -> None:
        self.program = program
        self.residuals = list(residuals)
        self.active_in = tuple(active_in)
        self.active_out = tuple(active_out)
        self.in_avals = list(in_avals)
        self.out_avals = list(out_avals)

    def forward(self, tangents: Sequence[Any]) -> list[Any]:
        """Tangents of the outputs from tangents of all inputs."""
        given = [t for t, on in zip(tangents, self.active_in, strict=True) if on]
        moved = iter(run_program(self.program, [*self.residuals, *given]))
        return [
            _array(next(moved) if on else zeros(a.to_tangent_aval()))
            for on, a in zip(self.active_out, self.out_avals, strict=True)
        ]

    def backward(self, cts: Sequence[Any]) -> list[Any]:
        """Cotangents of all inputs from those of the outputs; outputs without one come last."""
        n = len(self.residuals)
        padded = [*cts, *(None,) * (len(self.active_out) - len(cts))]
        given = [c for c, on in zip(padded, self.active_out, strict=True) if on]
        present = tuple(c is not None for c in given)
        count = len(self.program.inputs) - n
        back = transpose_program(self.program, (False,) * n + (True,) * count, present)
        given = [c for c in given if c is not None]
        results = iter(run_program(back.program, [*back.consts, *self.residuals, *given]))
        filled = iter(back.present)
        return [
            _array(_like(next(results), a) if on and next(filled) else zeros(a.to_tangent_aval()))
            for on, a in zip(self.active_in, self.in_avals, strict=True)
        ]


def _array(x: Any) -> Any:
    """`x` as a value with a shape and a dtype, which a Python scalar has not."""
    if type(x) not in SCALARS:
        return x
    from jaxcore.numpy.operand import as_value

    return as_value(x)


def _like(x: Any, aval: Any) -> Any:
    """The cotangent `x` with the weak type of what it belongs to."""
    if aval_of(x).weak_type == aval.weak_type:
        return x
    from jaxcore.ops.convert import convert

    return convert(x, aval.dtype, aval.weak_type)


class Derivation:
    """A flat function traced at `primals`, whose values and derivative can then be asked for.

    Attributes:
      out_avals: types of the outputs (None: no array), with state that the function wrote last.
    """

    def __init__(
        self,
        fun: Callable[..., Sequence[Any]],
        primals: Sequence[Any],
        active: Sequence[bool],
        name: str,
    ) -> None:
        self._state = SideState()
        self._avals = [aval_of(p) for p in primals]
        self._active = tuple(active)
        self._program: Program | None = None
        fun = self._state.wrap(fun)
        parent = backend.current_trace()
        if type(parent) is StageTrace:
            program, consts = trace_program(self._open(fun), self._avals, name, relative=False)
            self._keep(program, [*consts, *primals], len(consts))
        elif parent is backend.eval_trace and usable():
            tape = TapeTrace(primals, self._avals, self._active, name)
            outs = tape.run(self._open(fun))
            if tape.played is None:
                program, consts = tape.close(outs)
                program, scalars = recall(program)
                self._keep(program, [*consts, *primals, *scalars], len(consts))
            else:
                self._outs = [tape.known(o) for o in self._outs]
                self._close(tape.played, tape.tangents)
                tape.invalidate()
        else:
            self._compute(fun, primals, LinearizeTrace(parent, name))

    def _open(self, fun: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
        """`fun` with the outputs that depend on something; the others are kept as they are."""

        def traced(*args: Any) -> list[Any]:
            self._outs = list(fun(*args))
            self._made = [i for i, x in enumerate(self._outs) if isinstance(x, backend.Tracer)]
            return [self._outs[i] for i in self._made]

        return traced

    def _keep(self, program: Program, operands: list[Any], n_consts: int) -> None:
        self._program, self._operands = program, operands
        rest = len(operands) - n_consts - len(self._active)
        self._mask = (False,) * n_consts + self._active + (False,) * rest
        self.out_avals = self._filled([_type(x) for x in self._outs], program.out_avals)

    def _filled(self, outs: Sequence[Any], made: Sequence[Any]) -> list[Any]:
        """`outs` with those that the program gives."""
        if len(made) == len(outs):
            return list(made)
        outs = list(outs)
        for i, x in zip(self._made, made, strict=True):
            outs[i] = x
        return outs

    def _compute(
        self, fun: Callable[..., Sequence[Any]], primals: Sequence[Any], trace: LinearizeTrace
    ) -> None:
        args: list[Any] = []
        tangents = []
        for p, aval, on in zip(primals, self._avals, self._active, strict=True):
            if on:
                p, var = trace.new(p, aval.to_tangent_aval())
                tangents.append(var)
            args.append(p)
        with backend.set_current_trace(trace):
            self._outs = list(fun(*args))
        self._close(trace, tangents)

    def _close(self, trace: LinearizeTrace, tangents: Sequence[Any]) -> None:
        trace.invalidate()
        pairs = [trace.split(x) for x in self._outs]
        linear, residuals = trace.linear.finish(tangents, [t for _, t in pairs if t is not None])
        self._outs = [p for p, _ in pairs]
        self.out_avals = [_type(p) for p in self._outs]
        self._linear = LinearMap(
            remember(intern(linear)),
            residuals,
            self._active,
            [t is not None for _, t in pairs],
            self._avals,
            self.out_avals,
        )

    def linearize(self) -> tuple[list[Any], LinearMap]:
        """Values of the function and its linear part."""
        if self._program is None:
            return self._state.deliver(self._outs), self._linear
        results, linear = self._at(self._program, self._operands)
        return self._state.deliver(self._filled(self._outs, results)), linear

    def pull(self, unit: Any) -> tuple[list[Any], list[Any]]:
        """Values of the function, and the cotangents of its inputs where `unit` is that of the
        first output; outside `jit` both come from one executable.
        """
        program = self._program
        if program is None or not backend.at_top_level():
            outs, linear = self.linearize()
            return outs, linear.backward([unit])
        key = ("pull", self._mask, len(self._outs), tuple(self._made), backend.trace_context())
        found = program.memo.get(key)
        if found is None:
            found = program.memo[key] = self._whole(program, unit)
        whole, consts = found
        results = execute(whole, [*consts, *self._operands])
        n = len(program.outputs)
        cotangents = iter(results[n:])
        pulled = [
            next(cotangents) if on else zeros(a.to_tangent_aval())
            for a, on in zip(self._avals, self._active, strict=True)
        ]
        return self._state.deliver(self._filled(self._outs, results[:n])), pulled

    def _whole(self, program: Program, unit: Any) -> tuple[Program, list[Any]]:
        """A program of the outputs of `program` and the cotangents of its active inputs, and the
        values it captures.
        """

        def fun(*operands: Any) -> list[Any]:
            outs, linear = self._at(program, operands)
            pulled = linear.backward([unit])
            return [*outs, *(ct for ct, on in zip(pulled, self._active, strict=True) if on)]

        whole, consts = trace_program(fun, program.in_avals, program.name, relative=False)
        return remember(whole), consts

    def _at(self, program: Program, operands: Sequence[Any]) -> tuple[list[Any], LinearMap]:
        """Results of `program`, and the linear part of the function."""
        split = linearize_program(program, self._mask)
        results = run_program(split.primal, [*split.consts, *operands])
        pool = [*operands, *results]
        active_out = self._filled([False] * len(self._outs), split.active)
        return results[: len(split.active)], LinearMap(
            split.linear,
            [pool[i] for i in split.residuals],
            self._active,
            active_out,
            self._avals,
            self.out_avals,
        )


def _type(x: Any) -> Any:
    """The type of an output; None where it is no array, which an auxiliary value need not be."""
    try:
        return aval_of(x)
    except TypeError:
        return None


def is_inexact(aval: Any) -> bool:
    """True for types that have a tangent."""
    found = _inexact.get(aval.dtype)
    if found is None:
        found = _inexact[aval.dtype] = aval.to_tangent_aval().dtype != backend.float0
    return found


_inexact: dict[Any, bool] = {}
