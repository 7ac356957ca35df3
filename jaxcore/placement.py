"""The devices that a program names, which JAX has to know before it lowers the program.

JAX finds the devices of a computation in its arguments and in the equations of its jaxpr. A program
of ours is one equation there, so what it names inside is given as a jaxpr beside it.
"""

from __future__ import annotations

from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcore import backend
from jaxcore.ir import Program

__all__ = ["program_params", "shardings"]


def shardings(program: Program) -> tuple[Any, ...]:
    """The shardings over concrete devices in `program` and what it calls, memoised on it."""
    found = program.memo.get("shardings")
    if found is None:
        every: dict[Any, None] = {}
        for eq in program.equations:
            if backend.is_plain(eq.params):
                continue
            for callee in eq.programs:
                every.update(dict.fromkeys(shardings(callee)))
            mesh = eq.params.get("mesh")
            if isinstance(mesh, Mesh):
                every[NamedSharding(mesh, PartitionSpec())] = None
            elif eq.primitive.jax is not None:
                given = backend.named_shardings(eq.primitive.jax, eq.params)
                every.update(dict.fromkeys(given))
        found = program.memo["shardings"] = tuple(every)
    return found


def program_params(program: Program) -> dict[str, Any]:
    """The parameters of the JAX equation that stands for `program`."""
    found = program.memo.get("params")
    if found is None:
        found = {}
        named = shardings(program)
        if named:
            found["placement"] = backend.placement(named)
        program.memo["params"] = found
    return {"program": program, **found}
