"""Functions run outside `jit` under a derivative: recorded while nobody looks at a value.

A derivative outside `jit` must let Python's `if` and `float` see values, yet most functions never
look. So a `TapeTrace` only records, like `StageTrace`; when the function has returned, what it
recorded is found again from the last time by its form, and value and derivative run as one
executable. Where the function does look at a value, or does something with an effect, the tape is
played under a `LinearizeTrace`, which computes with values, and that takes over from there: every
operation runs once and in order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.ir import Atom, Literal, Program, Var, intern
from jaxcore.passes.scalars import literals, skeleton, widened
from jaxcore.primitive import Primitive
from jaxcore.source import swap_source
from jaxcore.trace import StageTrace, StageTracer, literal_value, live_equations
from jaxcore.transforms.linearize import LinearizeTrace

__all__ = ["TapeTrace", "recall", "usable"]


def usable() -> bool:
    """False under the settings that ask for one operation at a time."""
    flag = backend.flag
    return not (flag("jax_disable_jit") or flag("jax_debug_nans") or flag("jax_debug_infs"))


class TapeTrace(StageTrace):
    """Records the operations on `primals` until one of their values is asked for.

    Attributes:
      played: the trace that computes with values, once somebody has looked at one.
    """

    __slots__ = ("_avals", "_inputs", "_primals", "_values", "played")

    def __init__(
        self, primals: Sequence[Any], avals: Sequence[Any], active: Sequence[bool], name: str
    ) -> None:
        super().__init__(name)
        self.played: LinearizeTrace | None = None
        self._primals = list(zip(primals, active, strict=True))
        self._inputs = [Var(a) for a in avals]
        self._values: dict[Var, Any] = {}

    def run(self, fun: Callable[..., Sequence[Any]]) -> list[Any]:
        """Results of `fun`, values of this trace."""
        with backend.set_current_trace(self):
            return list(fun(*[StageTracer(self, v, None) for v in self._inputs]))

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        if self.played is None:
            effects = primitive.effects
            if effects is None or not effects([self.lift(a).aval for a in args], params):
                return StageTrace.process(self, primitive, args, params)
            self._play()
        return self.played.process(primitive, [self.known(a) for a in args], params)  # type: ignore[union-attr]

    def process_foreign(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        if self.played is None:
            return StageTrace.process_foreign(self, primitive, args, params)
        return self.process(primitive, args, params)

    def lift(self, x: Any) -> Atom:
        """As for `StageTrace`; of a NumPy array, which may change before the tape runs, a copy."""
        return StageTrace.lift(self, np.array(x) if type(x) is np.ndarray and x.ndim else x)

    def stage_value(self, val: Any) -> Any:
        return StageTrace.stage_value(self, val) if self.played is None else val

    def concrete(self, var: Var) -> Any:
        """The value of `var`, which ends the recording."""
        if not self.is_valid():
            return None
        if self.played is None:
            self._play()
        value = self._values[var]
        return value.to_concrete_value() if isinstance(value, backend.Tracer) else value

    def known(self, x: Any) -> Any:
        """`x` as a value of the trace that computes."""
        return self._values[x.variable] if type(x) is StageTracer and x._trace is self else x

    def _play(self) -> None:
        self.played = trace = LinearizeTrace(backend.eval_trace, self.name)
        values = self._values
        for v, (primal, on) in zip(self._inputs, self._primals, strict=True):
            values[v] = trace.new(primal, v.aval.to_tangent_aval())[0] if on else primal
        values.update(self.consts.values())
        previous = swap_source(None)
        try:
            with backend.set_current_trace(trace):
                for eq in self.equations:
                    swap_source(eq.source)
                    args = [values[x] if type(x) is Var else literal_value(x) for x in eq.inputs]  # type: ignore[index,arg-type]
                    results = trace.process(eq.primitive, args, eq.params)
                    values.update(zip(eq.outputs, results, strict=True))
        finally:
            swap_source(previous)

    @property
    def tangents(self) -> list[Var]:
        """The variables of the active inputs' tangents in the program that `played` records."""
        return [self._values[v].tangent for v, (_, on) in zip(self._inputs, self._primals) if on]

    def close(self, outputs: Sequence[Any]) -> tuple[Program, list[Any]]:
        """What was recorded, and the captured values that are its first inputs."""
        atoms = [self.lift(o) for o in outputs]
        self.invalidate()
        consts = list(self.consts.values())
        inputs = [*(v for v, _ in consts), *self._inputs]
        return Program(inputs, self.equations, atoms, self.name), [x for _, x in consts]


class _Family:
    """Programs of one form: equal but for the scalars that differed from call to call, which are
    operands.
    """

    __slots__ = ("_base", "_first", "_varying", "program")

    def __init__(self, program: Program) -> None:
        self._base = program
        self.program = _closed(program)
        self._first = [x.key for x in literals(program)]
        self._varying: list[int] = []

    def operands(self, scalars: Sequence[Literal]) -> list[Any]:
        """Values of the scalars that are operands of `program`, which is widened where another one
        differs for the first time.
        """
        found = [x.key for x in scalars]
        if found != self._first:
            new = {i for i, key in enumerate(found) if key != self._first[i]}
            if not new.issubset(self._varying):
                self._varying = sorted(new.union(self._varying))
                self.program = _closed(widened(self._base, set(self._varying)))
        return [literal_value(scalars[i]) for i in self._varying]


def _closed(program: Program) -> Program:
    """`program` without what its outputs do not need, interned."""
    equations = live_equations(program.equations, program.outputs)
    return intern(Program(program.inputs, equations, program.outputs, program.name))


_LIMIT = 1024
_families: OrderedDict[Any, _Family] = OrderedDict()


def recall(program: Program) -> tuple[Program, list[Any]]:
    """The program that was made of this form before, and the scalars it takes as last operands."""
    form = skeleton(program)
    family = _families.get(form)
    if family is None:
        if len(_families) >= _LIMIT:
            _families.popitem(last=False)
        family = _families[form] = _Family(program)
    scalars = literals(program)
    operands = family.operands(scalars) if scalars else []
    return family.program, operands
