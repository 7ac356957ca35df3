"""Arrays that are taken apart and put together again.

    stack([x[0], x[1], ...])        is x, or a slice of it
    stack([a, b, c])[1]             is b
    pad(a) + pad(b) + pad(c)        is concatenate([a, b, c])

The last is the gradient of a function that reads an array row by row: a sum of as many arrays as it
has rows, each as large as all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxcore.ir import Atom, Equation, Literal, Program, Var, live_equations
from jaxcore.ops.arithmetic import add_p
from jaxcore.ops.avals import shaped
from jaxcore.ops.pieces import concatenate_p, pad_p, slice_p, split_p
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p, squeeze_p

__all__ = ["assembled"]

_RESHAPES = frozenset({reshape_p, squeeze_p, broadcast_in_dim_p})


def assembled(program: Program) -> Program:
    """`program` with what is only moved out of arrays and back read from where it was."""
    found = {eq.primitive for eq in program.equations}
    if concatenate_p in found:
        program = _Reading(program).result()
    if pad_p in found and add_p in found:
        program = _Summing(program).result()
    return program


class _Rewriting:
    """Goes through the equations of a program, replacing some."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made: dict[Any, Equation] = {}  # what makes each variable
        self.env: dict[Atom, Atom] = {}
        self.kept: list[Equation] = []
        self.changed = False

    def result(self) -> Program:
        program = self.program
        for eq in program.equations:
            if self.env:
                inputs = [self.env.get(x, x) for x in eq.inputs]
                eq = Equation(eq.primitive, inputs, eq.outputs, eq.params, eq.source)
            new = self.replaced(eq)
            if type(new) is not Equation:
                self.env[eq.outputs[0]] = new
                self.changed = True
                continue
            self.kept.append(new)
            self.made.update(dict.fromkeys(new.outputs, new))
            self.changed |= new is not eq
        if not self.changed:
            return program
        outputs = [self.env.get(x, x) for x in program.outputs]
        return Program(program.inputs, live_equations(self.kept, outputs), outputs, program.name)

    def replaced(self, eq: Equation) -> Any:
        """`eq`, an equation in its place, or the value that is its result."""
        return eq

    def unreshaped(self, x: Atom) -> Atom:
        """The value that `x` is a reshaped form of, with the same shape, if there is one."""
        shape, found, at = x.aval.shape, x, x
        while (eq := self.made.get(at)) is not None and eq.primitive in _RESHAPES:
            source = eq.inputs[0]
            dims = list(eq.params.get("broadcast_dimensions", ()))
            if source.aval.size != at.aval.size or dims != sorted(dims):
                break
            at = source
            if at.aval.shape == shape:
                found = at
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows `start` to `stop` of `x` along `axis`."""

    x: Atom
    axis: int
    start: int
    stop: int


class _Reading(_Rewriting):
    """Concatenations of neighbouring parts, and parts of concatenations."""

    def replaced(self, eq: Equation) -> Any:
        if eq.primitive is concatenate_p:
            axis = eq.params["dimension"]
            parts = [self.part(self.unreshaped(x), axis) for x in eq.inputs]
            whole = _joined(parts)
            return self.of_runs(parts, eq) if whole is None else self.of_part(whole, eq)
        if eq.primitive is slice_p:
            part = self.part(eq.outputs[0], eq=eq)
            source = None if part is None else self.made.get(part.x)
            if part is not None and source is not None and source.primitive is concatenate_p:
                return self.of_operand(part, source, eq)
        return eq

    def part(self, x: Atom, axis: int | None = None, eq: Equation | None = None) -> _Part | None:
        """What `x` is a part of, along `axis` if one is given."""
        eq = eq or self.made.get(x)
        if eq is None or eq.primitive not in (slice_p, split_p):
            return None
        source = eq.inputs[0]
        if eq.primitive is split_p:
            cut = [eq.params["axis"]]
            before = eq.outputs[: eq.outputs.index(x)]  # type: ignore[arg-type]
            start = sum(v.aval.shape[cut[0]] for v in before)
            stop = start + x.aval.shape[cut[0]]
        elif any(n != 1 for n in eq.params["strides"] or ()):
            return None
        else:
            ranges = list(zip(eq.params["start_indices"], eq.params["limit_indices"], strict=True))
            cut = [i for i, n in enumerate(source.aval.shape) if ranges[i] != (0, n)] or [axis or 0]
            start, stop = ranges[cut[0]] if ranges else (0, 0)
        if len(cut) != 1 or axis not in (None, cut[0]):
            return None
        return _Part(source, cut[0], start, stop)

    def of_part(self, part: _Part, eq: Equation) -> Any:
        """`part` as the result of `eq`: its array itself, or a slice of it."""
        x, out = part.x, eq.outputs[0]
        if x.aval == out.aval:
            return x
        if x.aval.dtype != out.aval.dtype or x.aval.weak_type != out.aval.weak_type:
            return eq
        shape = x.aval.shape
        starts = tuple([part.start if i == part.axis else 0 for i in range(len(shape))])
        stops = tuple([part.stop if i == part.axis else n for i, n in enumerate(shape)])
        params = {"start_indices": starts, "limit_indices": stops, "strides": None}
        return Equation(slice_p, [x], eq.outputs, params, eq.source)

    def of_runs(self, parts: list[_Part | None], eq: Equation) -> Equation:
        """The concatenation `eq` with neighbouring parts of one array as one operand."""
        axis, start = eq.params["dimension"], 0
        inputs: list[Atom] = []
        for i in range(1, len(parts) + 1):
            if i < len(parts) and _joined(parts[i - 1 : i + 1]) is not None:
                continue
            run = _joined(parts[start:i]) if i - start > 1 else None
            if run is None:
                inputs += eq.inputs[start:i]
            else:
                aval = eq.inputs[start].aval
                shape = (*aval.shape[:axis], run.stop - run.start, *aval.shape[axis + 1 :])
                out = Var(shaped(shape, aval.dtype, aval.weak_type))
                made = self.of_part(run, Equation(eq.primitive, (), [out], {}, eq.source))
                if type(made) is Equation:
                    if made.primitive is not slice_p:  # of another type
                        return eq
                    self.kept.append(made)
                    self.made[out] = made
                    made = out
                inputs.append(made)
            start = i
        if len(inputs) == len(eq.inputs):
            return eq
        return Equation(eq.primitive, inputs, eq.outputs, eq.params, eq.source)

    def of_operand(self, part: _Part, source: Equation, eq: Equation) -> Any:
        """A part of a concatenation as a part of the operand in which it lies."""
        if source.params["dimension"] != part.axis:
            return eq
        start = 0
        for x in source.inputs:
            n = x.aval.shape[part.axis]
            if start <= part.start and part.stop <= start + n:
                return self.of_part(_Part(x, part.axis, part.start - start, part.stop - start), eq)
            start += n
        return eq


def _joined(parts: list[_Part | None]) -> _Part | None:
    """The part that neighbouring parts of one array are together."""
    first, last = parts[0], parts[-1]
    if first is None or last is None:
        return None
    end = first.start
    for part in parts:
        if part is None or part.x is not first.x or part.axis != first.axis or part.start != end:
            return None
        end = part.stop
    return _Part(first.x, first.axis, first.start, end)


@dataclass(frozen=True, slots=True)
class _Sum:
    """Values that stand in zeros from `start` to `stop` of an axis, in order, side by side."""

    axis: int
    start: int
    stop: int
    pieces: tuple[Any, ...]  # an atom, or two sums


class _Summing(_Rewriting):
    """Sums of arrays that are zero except for parts side by side."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.sums: dict[Any, _Sum] = {}
        self.uses: dict[Any, int] = {}
        for eq in program.equations:
            for x in eq.inputs:
                self.uses[x] = self.uses.get(x, 0) + 1
        for x in program.outputs:
            self.uses[x] = self.uses.get(x, 0) + 1
        self.inner = self._inner()

    def _inner(self) -> set[Var]:
        """Sums that a larger sum takes up, and nothing else uses."""
        inner: set[Var] = set()
        for eq in self.program.equations:
            found = self._sum(eq)
            if found is not None:
                self.sums[eq.outputs[0]] = found
                inner.update(x for x in eq.inputs if x in self.sums and self.uses[x] == 1)  # type: ignore[misc]
        return inner

    def _sum(self, eq: Equation) -> _Sum | None:
        if eq.primitive is pad_p:
            x, value = eq.inputs
            config = eq.params["padding_config"]
            axes = [i for i, edges in enumerate(config) if any(edges)]
            if len(axes) != 1 or type(value) is not Literal or value.value != 0:
                return None
            low, high, interior = config[axes[0]]
            if min(low, high) < 0 or interior:
                return None
            return _Sum(axes[0], low, low + x.aval.shape[axes[0]], (x,))
        if eq.primitive is not add_p:
            return None
        pair = [self.sums.get(x) for x in eq.inputs]
        if None in pair or any(x.aval != eq.outputs[0].aval for x in eq.inputs):
            return None
        one, other = sorted(pair, key=lambda s: s.start)  # type: ignore[union-attr]
        if one.axis != other.axis or one.stop > other.start:  # type: ignore[union-attr]
            return None
        return _Sum(one.axis, one.start, other.stop, (one, other))  # type: ignore[union-attr]

    def replaced(self, eq: Equation) -> Any:
        out = eq.outputs[0] if eq.outputs else None
        found = self.sums.get(out) if eq.primitive is add_p else None
        if found is None or out is None or out in self.inner:
            return eq
        operands: list[Atom] = []
        end = 0
        for start, x in _pieces(found):
            operands += self.zeros(out.aval, found.axis, start - end, eq)
            operands.append(self.env.get(x, x))
            end = start + x.aval.shape[found.axis]
        operands += self.zeros(out.aval, found.axis, out.aval.shape[found.axis] - end, eq)
        return Equation(concatenate_p, operands, eq.outputs, {"dimension": found.axis}, eq.source)

    def zeros(self, aval: Any, axis: int, n: int, eq: Equation) -> list[Atom]:
        """Nothing where `n` is 0, else `n` rows of zeros."""
        if n == 0:
            return []
        shape = tuple([n if i == axis else size for i, size in enumerate(aval.shape)])
        out = Var(shaped(shape, aval.dtype, aval.weak_type))
        zero = Literal(np.zeros((), aval.dtype)[()], shaped((), aval.dtype, aval.weak_type))
        params = {"shape": shape, "broadcast_dimensions": ()}
        self.kept.append(Equation(broadcast_in_dim_p, [zero], [out], params, eq.source))
        return [out]


def _pieces(total: _Sum) -> list[tuple[int, Atom]]:
    """The values of a sum with their places, in order."""
    found, pending = [], [total]
    while pending:
        one = pending.pop()
        if len(one.pieces) == 2:
            pending += reversed(one.pieces)
        else:
            found.append((one.start, one.pieces[0]))
    return found
