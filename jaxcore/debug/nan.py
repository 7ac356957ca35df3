"""Where a NaN comes from: its line, module, loop iteration, and whether going forward or back.

A NaN spreads, so the last place that shows one says little. `find_nan` runs the function once
more: each NaN remembers the operation that made it of operands without any, and the results tell
which of these got through. Compiled parts run as they are, and are taken apart only where they
give a NaN of clean operands, so finding costs little more than running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import jax
import numpy as np

from jaxcore import backend, eager, errors
from jaxcore.debug.devices import first_inside
from jaxcore.debug.running import Operation, Runner, watching
from jaxcore.debug.values import as_numpy, is_float, summary
from jaxcore.ir import Program
from jaxcore.ops.shard_map import shard_map_p
from jaxcore.signature import leaf_path
from jaxcore.source import Source, current_source

__all__ = ["NanReport", "find_nan", "non_finite_call", "non_finite_operation"]


@dataclass(frozen=True, slots=True)
class NanReport:
    """Where the first NaN was made.

    Attributes:
      primitive: the operation that made it; ``"argument"`` where an argument held it already,
        and `operands` are these arguments.
      source: the user's line, of the forward pass also for what happens in the backward pass.
      module: path of the module that was running, or empty.
      iteration: the step of each loop around it, the outermost first, counted from 0; of a
        backward pass through a loop, the step that it goes back through.
      phase: ``"forward"``; ``"backward"``, which includes what only a gradient needs;
        ``"tangent"`` in forward mode.
      operands: what the operation was given, in words.
      result: what it made, in words.
      position: index of the first NaN in the result.
    """

    primitive: str
    source: Source
    module: str
    iteration: tuple[int, ...]
    phase: str
    operands: tuple[str, ...]
    result: str
    position: tuple[int, ...]
    kind: str = "nan"

    @property
    def filename(self) -> str:
        return self.source.filename

    @property
    def line(self) -> int:
        """The number of the line."""
        return self.source.line

    @property
    def text(self) -> str:
        """The line itself."""
        return self.source.text

    def __str__(self) -> str:
        what = {"nan": "NaN", "inf": "infinity"}[self.kind]
        step = f", iteration {', '.join(map(str, self.iteration))}" if self.iteration else ""
        if self.primitive == "argument":
            given = f": {'; '.join(self.operands)}" if self.operands else ""
            return f"{what} in an argument{given}\n  First used at {_place(self.source)}"
        module = f"\n  Module: {self.module}" if self.module else ""
        position = f", first at [{', '.join(map(str, self.position))}]" if self.position else ""
        types = ", ".join(operand.split(" ")[0] for operand in self.operands)
        return (
            f"{what} in the {self.phase} pass{step}\n  Made by {self.primitive} of {types}"
            f"{module}\n  Your line: {_place(self.source)}"
            f"\n  Operands: {'; '.join(self.operands)}\n  Result: {self.result}{position}"
        )


def _place(source: Source) -> str:
    return f"{source.filename}:{source.line} ({source.function}): {source.text}"


@dataclass(frozen=True, slots=True)
class _Birth:
    order: int
    op: Operation
    result: Any
    given: bool  # an operand held it already, of unknown origin


class _Tracker(Runner):
    """Runs operations and remembers of every value with a NaN where that came from."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._test: Callable[[Any], Any] = np.isnan if kind == "nan" else np.isinf
        self._births: dict[int, tuple[Any, _Birth]] = {}
        self._turned_back = False

    def operation(self, op: Operation) -> list[Any]:
        self._turned_back = self._turned_back or op.source.phase == "backward"
        results = eager.run(op.primitive, op.operands, op.params)
        made = any(map(self.holds, results)) and not any(map(self.holds, op.operands))
        if made and op.primitive is shard_map_p:
            test = jax.numpy.isnan if self.kind == "nan" else jax.numpy.isinf
            inside = first_inside(op, test, self._located)
            if inside is not None:
                birth = _Birth(len(self._births), *inside, given=False)
                self._births.update({id(x): (x, birth) for x in results if self.holds(x)})
                return results
        return self._noted(op, results)

    def structured(self, op: Operation, run: Callable[[], list[Any]]) -> list[Any]:
        self._turned_back = self._turned_back or op.source.phase == "backward"
        effects = op.primitive.effects
        if effects is not None and effects([jax.typeof(x) for x in op.operands], op.params):
            return run()  # what calls back shall do so once
        results = eager.run(op.primitive, op.operands, op.params)
        held = [x for x in results if self.holds(x)]
        if held and not any(self.holds(x) for x in op.operands):
            stepped = run()
            if any(self.birth(x) for x in stepped):
                return stepped
        return self._noted(op, results)

    def joined(self, parts: Sequence[Any]) -> Any:
        out = super().joined(parts)
        births = [b for b in map(self.birth, parts) if b is not None]
        if births and self.holds(out):
            self._births[id(out)] = (out, min(births, key=lambda b: b.order))
        return out

    def holds(self, x: Any) -> bool:
        """Whether `x` has a NaN."""
        return is_float(x) and bool(self._test(as_numpy(x)).any())

    def birth(self, x: Any) -> _Birth | None:
        """Where the NaN in `x` was made, if that is known."""
        known = self._births.get(id(x))
        return known[1] if known is not None else None

    def _noted(self, op: Operation, results: list[Any]) -> list[Any]:
        for x in results:
            if self.holds(x):
                self._births[id(x)] = (x, self._origin(op, x))
        return results

    def _origin(self, op: Operation, result: Any) -> _Birth:
        held = [x for x in op.operands if self.holds(x)]
        births = [b for b in map(self.birth, held) if b is not None]
        if births:
            return min(births, key=lambda b: b.order)
        return _Birth(len(self._births), op, result, given=bool(held))

    def report(
        self, outputs: Sequence[Any], arguments: Callable[[], list[str]] | None = None
    ) -> NanReport | None:
        """Of the NaNs that reach `outputs`, the one that was made first; `arguments` describes
        those that held one before.
        """
        births = [b for x in outputs if self.holds(x) and (b := self.birth(x)) is not None]
        if not births:
            return None
        birth = min(births, key=lambda b: b.order)
        op = birth.op
        phase = op.source.phase
        if phase == "derivative":
            phase = "backward" if self._turned_back else "tangent"
        operands = tuple(summary(x) for x in op.operands)
        if birth.given:
            operands = tuple(arguments()) if arguments is not None else ()
        positions = np.argwhere(self._test(as_numpy(birth.result)))
        return NanReport(
            primitive="argument" if birth.given else op.primitive.name,
            source=op.source,
            module=op.module,
            iteration=op.iteration,
            phase=phase,
            operands=operands,
            result=summary(birth.result),
            position=tuple(int(i) for i in positions[0]) if len(positions) else (),
            kind=self.kind,
        )


def find_nan(fun: Callable[..., Any], kind: str = "nan") -> Callable[..., NanReport | None]:
    """A function of the arguments of `fun` that tells where the first NaN in its result comes from.

    `fun` may be anything that runs outside `jit`: a jitted function, a gradient, a function with
    loops and modules in it. Its result is thrown away. A NaN that no result shows, because
    `where` masks it, is no finding.

    Args:
      fun: function of pytrees.
      kind: ``"nan"``, or ``"inf"`` for infinities.

    Returns:
      ``find(*args, **kwargs)``, which gives a `NanReport`, to be printed or asked, or None.

    Raises:
      RuntimeError: called inside a traced function, where there are no values.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> def loss(x):
      ...     return jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0.0))
      >>> report = find_nan(jaxcore.grad(loss))(jnp.array([1.0, 0.0]))
      >>> report.phase, report.primitive, report.position
      ('backward', 'mul', (1,))
      >>> find_nan(loss)(jnp.array([1.0, 0.0])) is None
      True
    """
    if kind not in ("nan", "inf"):
        raise ValueError(f"find_nan: kind must be 'nan' or 'inf', got {kind!r}.")

    @wraps(fun)
    def find(*args: Any, **kwargs: Any) -> NanReport | None:
        tracker = _Tracker(kind)
        with watching(tracker, "find_nan"):
            result = fun(*args, **kwargs)

        def arguments() -> list[str]:
            leaves = enumerate(jax.tree.leaves((args, kwargs)))
            held = [(i, x) for i, x in leaves if tracker.holds(x)]
            return [f"{leaf_path((args, kwargs), i, fun)} {summary(x)}" for i, x in held]

        return tracker.report(jax.tree.leaves(result), arguments)

    return find


def non_finite_operation(error: Exception, name: str) -> FloatingPointError:
    """The error for one operation outside `jit`, under ``jax.debug_nans``."""
    return FloatingPointError(
        f"invalid value ({_kind(error)}) encountered in {name}\n"
        f"  Your line: {errors.describe_source(current_source())}"
    )


def non_finite_call(
    error: Exception, name: str, program: Program, args: Sequence[Any]
) -> FloatingPointError:
    """The error for a compiled function, under ``jax.debug_nans``: the program is run once more."""
    message = f"invalid value ({_kind(error)}) encountered in {name}"
    if not any(isinstance(x, jax.Array) and x.is_deleted() for x in args):
        tracker = _Tracker(_kind(error))
        eagerly = backend.set_current_trace(backend.eval_trace)
        with jax.debug_nans(False), jax.debug_infs(False), eagerly:
            report = tracker.report(tracker.run(program, args))
        if report is not None:
            message += f"\n{report}"
    return FloatingPointError(message)


def _kind(error: Exception) -> str:
    return str(getattr(error, "ty", "nan"))
