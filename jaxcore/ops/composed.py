"""JAX primitives that are a few of our operations: an equation becomes a call of their program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.ir import Program, is_by_place, param_key
from jaxcore.ops.call import call_p
from jaxcore.primitive import mirror
from jaxcore.trace import aval_of, trace_program

__all__ = ["composed"]

_programs: dict[Any, Program] = {}


def composed(jax_primitive: Any, function: Callable[..., Any]) -> None:
    """An equation of `jax_primitive` means ``function(*operands, **params)``."""

    @mirror(jax_primitive)
    def convert(args: Sequence[Any], params: dict[str, Any]) -> Any:
        avals = [aval_of(x) for x in args]
        if any(backend.is_extended(a.dtype) for a in avals):
            return None
        key = (jax_primitive, *avals, param_key(params), backend.trace_context(), is_by_place())
        program = _programs.get(key) if not is_by_place() else None
        if program is None:
            if len(_programs) > 1024:
                _programs.clear()
            program, consts = trace_program(
                lambda *xs: jax.tree.leaves(function(*xs, **params)), avals, str(jax_primitive)
            )
            assert not consts
            _programs[key] = program
        return call_p, args, {"program": program}
