"""`ensure_compile_time_eval`: operations on known values run at once while others are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax

from jaxcore import backend
from jaxcore.primitive import Primitive
from jaxcore.trace import JaxcoreTrace, bind_with

__all__ = ["ensure_compile_time_eval"]


class _FoldTrace(JaxcoreTrace):
    """Runs an operation whose operands are all known; leaves the others to `parent`."""

    __slots__ = ("parent",)

    def __init__(self, parent: JaxcoreTrace) -> None:
        super().__init__()
        self.parent = parent

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        traced = any(isinstance(a, backend.Tracer) for a in args)
        trace = self.parent if traced else backend.eval_trace
        with backend.set_current_trace(trace):
            return bind_with(trace, primitive, args, params)

    def stage_value(self, val: Any) -> Any:
        return val


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Inside it, operations on values that are known run at once, also under `jit`.

    So a table, a size or a Python condition can be computed with array functions while a function
    is traced. Operations on traced values are recorded as ever.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.jit
      ... def f(x):
      ...     with jaxcore.ensure_compile_time_eval():
      ...         n = int(jnp.sum(jnp.arange(3)))
      ...     return x * n
      >>> f(2.0)
      Array(6., dtype=float32, weak_type=True)
    """
    with jax.ensure_compile_time_eval():
        parent = backend.current_trace()
        if not isinstance(parent, JaxcoreTrace):
            yield
            return
        with backend.set_current_trace(_FoldTrace(parent)):
            yield
