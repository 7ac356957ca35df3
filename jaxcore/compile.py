"""Compilation of programs: StableHLO by `jaxcore.lower`, executables by XLA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxcore import backend, cache
from jaxcore.collector import collector_paused
from jaxcore.ir import Program, Var
from jaxcore.lower import primitive_of
from jaxcore.passes.simplify import simplified
from jaxcore.passes.weak import strong_key
from jaxcore.placement import program_params
from jaxcore.shardings import Placed

__all__ = ["Entry", "compile_program", "lower_program"]


@dataclass(slots=True)
class Entry:
    """A compiled program with what is needed to call it from Python."""

    program: Program
    compiled: Any
    consts: list[Any]
    out_tree: Any
    kept: list[bool]

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        values = [x for x, keep in zip([*self.consts, *leaves], self.kept, strict=True) if keep]
        if backend.flag("jax_disable_jit"):  # what is compiled already stays so
            with jax.disable_jit(False):
                outputs = self.compiled(*values)
        else:
            outputs = self.compiled(*values)
        # The executable may have been made for a program of other weak types.
        return [
            backend.with_weak_type(x, v.aval.weak_type)
            for x, v in zip(outputs, self.program.outputs, strict=True)
        ]

    def fits(self, program: Program, consts: Sequence[Any], out_tree: Any) -> bool:
        """True where `program`, traced for types of other weakness, needs no other executable."""
        places = [backend.committed_sharding(x) for x in consts]
        return (
            out_tree == self.out_tree
            and places == [backend.committed_sharding(x) for x in self.consts]
            and strong_key(program) == strong_key(self.program)
        )


def compile_program(
    program: Program,
    consts: Sequence[Any],
    leaves: Sequence[Any],
    donated: Sequence[bool],
    name: str,
    placed: Placed | None = None,
) -> tuple[Any, list[bool], bool]:
    """Compile, or read from the disk; the executable, which of consts + leaves it takes, and
    whether it was read.
    """
    request = _Request.of(program, consts, leaves, donated, name, placed)
    compiled, was_read = cache.load_or_compile(
        request.program, request.values, request.donated, name, request.lower, request.options
    )
    return compiled, request.kept, was_read


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
    request = _Request.of(program, consts, leaves, donated, name, placed)
    return request.lower(platforms), request.kept


@dataclass(frozen=True, slots=True)
class _Request:
    """A program without the inputs that it does not use, and all that its executable depends on.

    Attributes:
      values: what the inputs are bound to, or types of it.
      donated: which of them may be reused.
      options: the form of its calls; the passes that are off; where and how it is compiled,
        as parameters of JAX's equation.
      kept: which inputs of the program that was asked for are left.
    """

    program: Program
    values: list[Any]
    donated: list[bool]
    name: str
    options: tuple[str | None, tuple[str, ...], dict[str, Any]]
    kept: list[bool]

    @classmethod
    def of(
        cls,
        program: Program,
        consts: Sequence[Any],
        leaves: Sequence[Any],
        donated: Sequence[bool],
        name: str,
        placed: Placed | None,
    ) -> _Request:
        off = () if placed is None else placed.passes_off
        with collector_paused():
            program = simplified(program, off)
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
        pruned.memo["simplified", off] = pruned
        flags = [False] * len(consts) + (list(donated) or [False] * len(leaves))
        donate = [on for on, keep in zip(flags, kept, strict=True) if keep]
        values = [x for x, keep in zip([*consts, *leaves], kept, strict=True) if keep]
        settings = {} if placed is None else placed.settings(kept)
        options = (None if placed is None else placed.blocks, off, settings)
        return cls(pruned, values, donate, name, options, kept)

    def lower(self, platforms: Sequence[str] | None = None) -> Any:
        blocks, off, settings = self.options
        forms = {name: x for name, x in (("blocks", blocks), ("off", off)) if x}
        with backend.set_current_trace(backend.eval_trace), collector_paused():
            traced = backend.traced_call(
                primitive_of(self.program),
                {**program_params(self.program), **forms},
                self.values,
                self.program.out_avals,
                self.program.effects,
                self.donated,
                self.name,
                settings,
            )
            return traced.lower(lowering_platforms=None if platforms is None else tuple(platforms))
