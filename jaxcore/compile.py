"""Compilation of programs: StableHLO by `jaxcore.lower`, executables by XLA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxcore import backend
from jaxcore.collector import collector_paused
from jaxcore.ir import Program, Var
from jaxcore.lower import primitive_of
from jaxcore.placement import program_params
from jaxcore.shardings import Placed

__all__ = ["Entry", "compile_program", "lower_program"]


@dataclass(slots=True)
class Entry:
    """A compiled program with what is needed to call it from Python."""

    compiled: Any
    consts: list[Any]
    out_tree: Any
    kept: list[bool]

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        values = [x for x, keep in zip([*self.consts, *leaves], self.kept, strict=True) if keep]
        if backend.flag("jax_disable_jit"):  # what is compiled already stays so
            with jax.disable_jit(False):
                return self.compiled(*values)
        return self.compiled(*values)


def compile_program(
    program: Program,
    consts: Sequence[Any],
    leaves: Sequence[Any],
    donated: Sequence[bool],
    name: str,
    placed: Placed | None = None,
) -> tuple[Any, list[bool]]:
    """Compile; returns the executable and which of consts + leaves it takes."""
    lowered, kept = lower_program(program, consts, leaves, donated, name, placed=placed)
    return lowered.compile(), kept


def lower_program(
    program: Program,
    consts: Sequence[Any],
    leaves: Sequence[Any],
    donated: Sequence[bool],
    name: str,
    platforms: Sequence[str] | None = None,
    placed: Placed | None = None,
) -> tuple[Any, list[bool]]:
    """JAX's lowered form of a program whose unused inputs are left out; for the current backend
    unless `platforms` are named, and laid out as `placed` says.
    """
    used: set[Any] = {x for eq in program.equations for x in eq.inputs if type(x) is Var}
    used.update(x for x in program.outputs if type(x) is Var)
    keep_all = placed is not None and placed.keep_unused
    kept = [keep_all or v in used for v in program.inputs]
    pruned = Program(
        [v for v, keep in zip(program.inputs, kept, strict=True) if keep],
        program.equations,
        program.outputs,
        program.name,
    )
    flags = [False] * len(consts) + (list(donated) or [False] * len(leaves))
    donate = [on for on, keep in zip(flags, kept, strict=True) if keep]
    values = [x for x, keep in zip([*consts, *leaves], kept, strict=True) if keep]
    forms = {} if placed is None or placed.blocks is None else {"blocks": placed.blocks}
    with backend.set_current_trace(backend.eval_trace), collector_paused():
        traced = backend.traced_call(
            primitive_of(pruned),
            {**program_params(pruned), **forms},
            values,
            pruned.out_avals,
            pruned.effects,
            donate,
            name,
            {} if placed is None else placed.settings(kept),
        )
        return traced.lower(
            lowering_platforms=None if platforms is None else tuple(platforms)
        ), kept
