"""Programs run one equation after the other on values, through calls, loops and branches.

A `Runner` is that, with one method for subclasses to look at each operation. Made current by
`watching`, it is told of everything that a function does: of the operations of its Python one by
one, of what it compiles equation by equation, of derivatives and batches as what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxcore import backend, eager
from jaxcore.ir import Program, Var, by_place
from jaxcore.numpy.operand import listeners
from jaxcore.ops.scan import scan_p
from jaxcore.primitive import Primitive
from jaxcore.source import Source, current_source
from jaxcore.trace import JaxcoreTrace, literal_value

__all__ = ["CALLS", "Operation", "Runner", "watching"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation and where it is.

    Attributes:
      primitive, params, operands: what is applied to which values.
      source: the user's line, and what of it is computed.
      module: absolute path of the module, or empty.
      iteration: the step of each open loop, the outermost first, counted from 0.
    """

    primitive: Primitive
    params: dict[str, Any]
    operands: Sequence[Any]
    source: Source
    module: str
    iteration: tuple[int, ...]


class Runner:
    """Runs operations on concrete values, where `operation` may be overridden.

    Attributes:
      iteration: the step of each loop that is being run.
    """

    def __init__(self) -> None:
        self.iteration: tuple[int, ...] = ()
        self._path = ""
        self._here: Source | None = None
        self._again = False  # inside what a checkpoint computes a second time

    def operation(self, op: Operation) -> list[Any]:
        """Results of an operation that holds no program of its own."""
        return eager.run(op.primitive, op.operands, op.params)

    def received(self, x: np.ndarray, source: Source) -> None:
        """Told of a NumPy array that becomes an array."""

    def structured(self, op: Operation, run: Callable[[], list[Any]]) -> list[Any]:
        """Results of a call, loop or branch; `run` steps through it."""
        return run()

    def row(self, x: Any, i: int) -> Any:
        """One step's part of what a loop runs over."""
        return x[i]

    def joined(self, parts: Sequence[Any]) -> Any:
        """The results of a loop's steps, stacked."""
        return jax.numpy.stack(parts)

    def apply(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any], source: Source
    ) -> list[Any]:
        """Results of an operation of any kind."""
        source = self._located(source)
        path = "/".join(p for p in (self._path, source.path) if p)
        op = Operation(primitive, params, args, source, path, self.iteration)
        step = _STEPS.get(primitive.name)
        if step is None:
            return self.operation(op)

        def run() -> list[Any]:
            before = self._path, self._here, self._again
            self._path, self._here = path, source  # paths inside are relative
            self._again = self._again or bool(params.get("again"))
            try:
                return step(self, args, params)
            finally:
                self._path, self._here, self._again = before

        return self.structured(op, run)

    def _located(self, source: Source) -> Source:
        """The source, where a memoised program that holds the equation is used."""
        if source.code is None and self._here is not None:
            source = self._here.during(source.phase)
        return source.during("derivative") if self._again else source

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        """Results of a program, equation by equation."""
        env: dict[Var, Any] = dict(zip(program.inputs, args, strict=True))
        for eq in program.equations:
            values = [env[x] if type(x) is Var else literal_value(x) for x in eq.inputs]  # type: ignore
            results = self.apply(eq.primitive, values, eq.params, eq.source)
            env.update(zip(eq.outputs, results, strict=True))
        return [env[x] if type(x) is Var else literal_value(x) for x in program.outputs]  # type: ignore

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """While one step of a loop runs."""
        before = self.iteration
        self.iteration = (*before, number)
        try:
            yield
        finally:
            self.iteration = before


# --- operations that hold programs ----------------------------------------------------------------


def _call(runner: Runner, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    return runner.run(params["program"], args)


def _scan(runner: Runner, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    n_consts, n_carry = params["n_consts"], params["n_carry"]
    program, length = params["program"], params["length"]
    consts, xs = args[:n_consts], args[n_consts + n_carry :]
    carry = list(args[n_consts : n_consts + n_carry])
    rows: list[list[Any]] = []
    for i in reversed(range(length)) if params["reverse"] else range(length):
        with runner.step(i):
            out = runner.run(program, [*consts, *carry, *(runner.row(x, i) for x in xs)])
        carry = out[:n_carry]
        rows.append(out[n_carry:])
    if params["reverse"]:
        rows.reverse()
    if not rows:
        return eager.run(scan_p, args, params)
    return [*carry, *(runner.joined(column) for column in zip(*rows, strict=True))]


def _while(runner: Runner, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    n_cond, n_body = params["n_cond"], params["n_body"]
    test, body = args[:n_cond], args[n_cond : n_cond + n_body]
    carry = list(args[n_cond + n_body :])
    count, limit = 0, params.get("max_steps")
    while count != limit:
        with runner.step(count):
            if not bool(runner.run(params["cond"], [*test, *carry])[0]):
                return carry
            carry = runner.run(params["body"], [*body, *carry])
        count += 1
    return carry


def _cond(runner: Runner, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    branches = params["branches"]
    chosen = int(np.clip(np.asarray(args[0]), 0, len(branches) - 1))
    return runner.run(branches[chosen], args[1:])


CALLS = (
    "call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vmap_call",
    "linear_call",
    "hi_primitive",
    "checkpoint",
)
_STEPS: dict[str, Callable[[Runner, Sequence[Any], dict[str, Any]], list[Any]]] = {
    **dict.fromkeys(CALLS, _call),
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}


# --- a runner in the place of the eager trace -----------------------------------------------------


class _WatchTrace(JaxcoreTrace):
    """Hands every operation to a runner."""

    __slots__ = ("runner",)

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        source = current_source()
        with backend.set_current_trace(backend.eval_trace):
            return self.runner.apply(primitive, args, params, source)

    def stage_value(self, val: Any) -> Any:
        with backend.set_current_trace(backend.eval_trace):
            return val if isinstance(val, jax.Array) else jax.numpy.asarray(val)


@contextmanager
def watching(runner: Runner, name: str) -> Iterator[None]:
    """While `runner` runs every operation of this thread.

    Raises:
      RuntimeError: there are no values, because a transformation is tracing.
    """
    if not backend.at_top_level():
        raise RuntimeError(
            f"debug.{name} looks at values, but it is called inside a traced function, where there "
            f"are none. Fix: put it around the transformed function, debug.{name}(jit(f)) instead "
            f"of jit(debug.{name}(f))."
        )
    watch = backend.set_current_trace(_WatchTrace(runner))
    before = listeners.received
    listeners.received = lambda x: runner.received(x, current_source())
    try:
        with by_place(), jax.debug_nans(False), jax.debug_infs(False), watch:
            yield
    finally:
        listeners.received = before
