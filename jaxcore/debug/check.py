"""Checks of what else passes in silence, made while a function runs and its values are known.

Outside an array JAX clamps, fills or drops; two draws from one key give the same numbers; NumPy's
64-bit arrays become 32-bit ones; integers wrap around. `check` runs the function operation by
operation, as the interpreter does, and raises at the first of these with the user's line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ContextDecorator
from typing import Any

import numpy as np

from jaxcore import eager
from jaxcore.debug import rules
from jaxcore.debug.running import Operation, Runner, watching
from jaxcore.errors import classes, describe_source, describe_type
from jaxcore.errors.fixes import documented_fix
from jaxcore.primitive import Primitive
from jaxcore.source import Source

__all__ = ["check"]

_array = Primitive("array", lambda *avals: avals[0])  # what a NumPy array becomes


class _Checker(Runner):
    """Runs operations and raises where one does what it should not."""

    def __init__(self, wanted: frozenset[str]) -> None:
        super().__init__()
        self._wanted = wanted
        self._drawn: dict[bytes, Operation] = {}
        self._wrapped: dict[int, tuple[Any, Operation]] = {}

    def operation(self, op: Operation) -> list[Any]:
        wanted = self._wanted
        if "narrowing" in wanted:
            self._check_narrowing(op)
        if "division" in wanted and rules.divides_by_zero(op):
            raise _error(classes.IntegerDivisionError, op, "integers are divided by zero")
        if "keys" in wanted and op.source.phase == "forward":
            self._check_keys(op)
        if op.primitive in rules.INDEX_OPERANDS and op.source.phase == "forward":
            self._check_positions(op)
        results = eager.run(op.primitive, op.operands, op.params)
        if "overflow" in wanted:
            self._note_overflow(op, results)
        return results

    def structured(self, op: Operation, run: Callable[[], list[Any]]) -> list[Any]:
        if "narrowing" in self._wanted:
            self._check_narrowing(op)
        return run()

    def row(self, x: Any, i: int) -> Any:
        out = super().row(x, i)
        self._pass_on([x], [out])
        return out

    def joined(self, parts: Sequence[Any]) -> Any:
        out = super().joined(parts)
        self._pass_on(parts, [out])
        return out

    def received(self, x: np.ndarray, source: Source) -> None:
        if "narrowing" in self._wanted:
            self._check_narrowing(Operation(_array, {}, [x], source, source.path, ()))

    def _check_narrowing(self, op: Operation) -> None:
        for x in op.operands:
            lost = rules.narrowed(x)
            if lost:
                raise _error(
                    classes.NarrowedError, op, f"a NumPy array is {lost}, because x64 is off"
                )

    def _check_keys(self, op: Operation) -> None:
        new: set[bytes] = set()
        for key in rules.consumed_keys(op):
            first = op if key in new else self._drawn.get(key)
            if first is not None:
                before = f"{describe_source(first.source)}{_step(first)}"
                raise _error(
                    classes.ReusedKeyError,
                    op,
                    f"a random key is used a second time, by {op.primitive.name}; it was used "
                    f"first by {first.primitive.name} at {before}",
                )
            new.add(key)
        self._drawn.update(dict.fromkeys(new, op))

    def _check_positions(self, op: Operation) -> None:
        if "overflow" in self._wanted:
            for x in op.operands[rules.INDEX_OPERANDS[op.primitive]]:
                known = self._wrapped.get(id(x))
                if known is not None:
                    raise _error(
                        classes.IndexOverflowError,
                        known[1],
                        f"integers wrapped around in {known[1].primitive.name}, and the result is "
                        f"an index at {describe_source(op.source)}",
                    )
        if "bounds" in self._wanted:
            wrong = rules.outside(op)
            if wrong and not rules.is_explicit(op):
                raise _error(classes.OutOfBoundsError, op, f"{wrong} in {op.primitive.name}")

    def _note_overflow(self, op: Operation, results: Sequence[Any]) -> None:
        if op.primitive.name in ("rem", "and"):  # brought back on purpose
            return
        self._pass_on(op.operands, results)
        for x in results:
            if id(x) not in self._wrapped and rules.wraps(op, x):
                self._wrapped[id(x)] = (x, op)

    def _pass_on(self, given: Sequence[Any], made: Sequence[Any]) -> None:
        """Integers made of wrapped ones are wrapped ones."""
        known = [k for x in given if (k := self._wrapped.get(id(x))) is not None]
        for x in made if known else ():
            if getattr(np.dtype(getattr(x, "dtype", float)), "kind", "") == "i":
                self._wrapped[id(x)] = (x, known[0][1])


def _step(op: Operation) -> str:
    return f" (iteration {', '.join(map(str, op.iteration))})" if op.iteration else ""


def _error(kind: type[classes.CheckError], op: Operation, what: str) -> classes.CheckError:
    operands = ", ".join(describe_type(x) for x in op.operands)
    module = f"\n  Module: {op.module}" if op.module else ""
    return kind(
        f"{what}{_step(op)}\n  Operands of {op.primitive.name}: {operands}{module}"
        f"\n  Your line: {describe_source(op.source)}\n  Fix: {documented_fix(kind)}"
    )


_CHECKS = ("bounds", "keys", "narrowing", "overflow", "division")


class _Check(ContextDecorator):
    """A context in which every operation is checked; also a decorator."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._open: list[AbstractContextManager[None]] = []

    def __enter__(self) -> _Check:
        context = watching(_Checker(self._wanted), "check")
        context.__enter__()
        self._open.append(context)
        return self

    def __exit__(self, *exception: Any) -> Any:
        return self._open.pop().__exit__(*exception)


def check(
    fun: Callable[..., Any] | None = None,
    *,
    bounds: bool = True,
    keys: bool = True,
    narrowing: bool = True,
    overflow: bool = True,
    division: bool = True,
) -> Any:
    """Check what a function does while it runs; ``with check():`` checks all that runs inside.

    Everything is run operation by operation, loops step by step, so this is for finding mistakes:
    expect some ten microseconds for each operation where compiled code takes a fraction of one.
    Gradients are checked in their forward pass, whose positions and keys they share.

    Args:
      fun: a function of pytrees, jitted or not. Without it, a context and decorator is returned.
      bounds: positions of gathers, scatters and dynamic slices are inside the array. An expression
        with its own ``mode=`` has said what happens outside.
      keys: no key is drawn from or split twice.
      narrowing: no NumPy array of 64 bits becomes one of 32 that cannot hold it. (What enters
        through JAX's own functions and operators has been narrowed before we see it.)
      overflow: no signed integer wraps around on its way to an index.
      division: no integer is divided by zero.

    Returns:
      A function of the same arguments with the same result, or the context.

    Raises:
      OutOfBoundsError, ReusedKeyError, NarrowedError, IndexOverflowError, IntegerDivisionError:
        from the checked code; all are a `jaxcore.errors.CheckError`.
      RuntimeError: entered inside a traced function, where there are no values.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> row = jaxcore.jit(lambda table, i: table[i])
      >>> table = jnp.arange(3.0)
      >>> row(table, 7)  # the last row, silently
      Array(2., dtype=float32)
      >>> try:
      ...     check(row)(table, 7)
      ... except IndexError as error:
      ...     print(str(error).splitlines()[0])
      index 7 is out of bounds for axis 0 of size 3 in dynamic_slice
    """
    flags = zip(_CHECKS, (bounds, keys, narrowing, overflow, division), strict=True)
    context = _Check(frozenset(name for name, on in flags if on))
    return context if fun is None else context(fun)
