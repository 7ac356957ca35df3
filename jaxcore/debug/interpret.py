"""What every line computes: a function run equation by equation, with the values of each line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jaxcore import backend
from jaxcore.debug.running import Operation, Runner, watching
from jaxcore.debug.values import summary
from jaxcore.errors import describe_type
from jaxcore.primitive import Primitive
from jaxcore.source import Source, current_source
from jaxcore.trace import JaxcoreTrace, bind_with

__all__ = ["Line", "interpret"]


@dataclass(frozen=True, slots=True)
class Line:
    """What one line computed at one time.

    Attributes:
      source: the user's line.
      module: path of the module that was running, or empty.
      iteration: the step of each loop around it, the outermost first, counted from 0.
      phase: ``"forward"``, ``"derivative"`` or ``"backward"``.
      operations: names of the primitives, in order.
      values: the results that nothing else of the line used up; under `jit` tracers.
      mapped: the values have an axis of examples, because the function is mapped over them.
    """

    source: Source
    module: str
    iteration: tuple[int, ...]
    phase: str
    operations: tuple[str, ...]
    values: tuple[Any, ...]
    mapped: bool = False

    def __str__(self) -> str:
        place = f"{self.source.filename.rpartition('/')[2]}:{self.source.line}"
        marks = [self.module, *(f"[{i}]" for i in self.iteration)]
        marks += [self.phase] if self.phase != "forward" else []
        head = " ".join([place, *(mark for mark in marks if mark)])
        values = "; ".join(
            describe_type(x) if isinstance(x, backend.Tracer) else summary(x) for x in self.values
        )
        return f"{head} | {self.source.text} | {values}{' (all examples)' * self.mapped}"


def _known(x: Any) -> Any:
    """The value that a tracer stands for, or the tracer where there is none."""
    while isinstance(x, backend.Tracer):
        inner = getattr(x, "value", None)
        inner = x.to_concrete_value() if inner is None else inner
        if inner is None:
            return x
        x = inner
    return x


class _Interpreter(Runner):
    """Gathers the results of consecutive operations of one line, and hands them to `log`."""

    def __init__(self, log: Callable[[Line], None]) -> None:
        super().__init__()
        self._log = log
        self._key: Any = None
        self._operations: list[Operation] = []
        self._results: list[Any] = []

    def operation(self, op: Operation) -> list[Any]:
        results = super().operation(op)
        self.seen(op, results)
        return results

    def seen(self, op: Operation, results: Sequence[Any]) -> None:
        """Take note of an operation that has run."""
        source = op.source
        key = (source.code, source.line, source.phase, op.module, op.iteration)
        if key != self._key:
            self.flush()
            self._key = key
        self._operations.append(op)
        self._results.extend(results)

    def flush(self) -> None:
        """Log the line that is being gathered."""
        if not self._operations:
            return
        used = {id(x) for op in self._operations for x in op.operands}
        left = [x for x in self._results if id(x) not in used] or self._results[-1:]
        op = self._operations[0]
        names = tuple(op.primitive.name for op in self._operations)
        known = tuple(_known(x) for x in left)
        mapped = any(hasattr(x, "dim") for x in left)
        line = Line(op.source, op.module, op.iteration, op.source.phase, names, known, mapped)
        self._operations, self._results = [], []
        self._log(line)


class _PassTrace(JaxcoreTrace):
    """Shows what a function does inside a transformation, which does the work."""

    __slots__ = ("parent", "runner")

    def __init__(self, parent: Any, runner: _Interpreter) -> None:
        super().__init__()
        self.parent = parent
        self.runner = runner

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        source = current_source()
        with backend.set_current_trace(self.parent):
            results = bind_with(self.parent, primitive, args, params)
        self.runner.seen(Operation(primitive, params, args, source, source.path, ()), results)
        return results

    def stage_value(self, val: Any) -> Any:
        return self.parent.stage_value(val)


@contextmanager
def _shown_by(runner: _Interpreter) -> Iterator[None]:
    """While `runner` sees every operation; inside a transformation that still does the work."""
    if backend.at_top_level():
        with watching(runner, "interpret"):
            yield
    else:
        trace = _PassTrace(backend.current_trace(), runner)
        try:
            with backend.set_current_trace(trace):
                yield
        finally:
            trace.invalidate()
    runner.flush()


def interpret(
    fun: Callable[..., Any], log: Callable[[Line], None] | None = None
) -> Callable[..., Any]:
    """`fun`, run operation by operation, that shows what each line computes.

    Jitted functions, gradients, mapped functions, loops and branches inside are taken apart, loops
    step by step. Inside a transformation (``grad(interpret(f))``) the transformation does the work
    and the lines of `f` are shown, with values where there are some (under `jit` with types), and
    loops are one operation. A line costs a few times what its operations cost outside `jit`; a loop
    costs its steps, where a compiled one is a single call.

    Args:
      fun: function of pytrees.
      log: called with a `Line` after each line has run; prints it by default.

    Returns:
      A function of the same arguments with the same result.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.jit
      ... def f(x):
      ...     y = jnp.sin(x)
      ...     return y * 2.0
      >>> lines = []
      >>> interpret(f, lines.append)(1.0)
      Array(1.6829419, dtype=float32, weak_type=True)
      >>> [(line.operations, float(line.values[0])) for line in lines]
      [(('sin',), 0.8414709568023682), (('mul',), 1.6829419136047363)]
    """

    @wraps(fun)
    def interpreted(*args: Any, **kwargs: Any) -> Any:
        with _shown_by(_Interpreter(print if log is None else log)):
            return fun(*args, **kwargs)

    return interpreted
