"""What a program costs: floating-point operations and bytes, in total and by module.

Counted as in papers on models: a multiply-add is two operations, an elementwise operation one for
each element of its result, whatever its kind or dtype; moving data costs no operations. A loop
counts as often as it runs, a `while` loop, whose length nobody knows, once, and a choice as its
dearest branch. Bytes are what the equations read and write when nothing is fused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxcore import backend
from jaxcore.cost_rules import COSTS
from jaxcore.ir import Equation, Literal, Program

__all__ = [
    "Work",
    "flops_by_path",
    "program_bytes",
    "program_flops",
    "unbounded_loops",
    "work_by_path",
]


class Work(NamedTuple):
    """Floating-point operations, and bytes read and written."""

    flops: int
    bytes: int


def program_flops(program: Program) -> int:
    """Number of floating-point operations of one run of `program`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program = jaxcore.make_jaxpr(jnp.matmul)(jnp.ones((2, 3)), jnp.ones((3, 5)))
      >>> program_flops(program)  # 2 · 2 · 3 · 5
      60
    """
    return sum(work.flops for work in _work(program).values())


def program_bytes(program: Program) -> int:
    """Bytes that the equations read and write when nothing is fused; an upper bound of the traffic.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program_bytes(jaxcore.make_jaxpr(jnp.sin)(jnp.ones(3)))  # 12 read, 12 written
      24
    """
    return sum(work.bytes for work in _work(program).values())


def flops_by_path(program: Program) -> dict[str, int]:
    """Operations of each module, without those of its submodules, by the module's full path.

    The path of a call is joined with the paths inside the called function, so that a function that
    is called in twelve places counts in each of them. Operations outside any module have the key
    ``""``; the values add up to `program_flops`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> def f(x):
      ...     with jaxcore.name_scope("wave"):
      ...         x = jnp.sin(x)
      ...     return x + 1.0
      >>> flops_by_path(jaxcore.make_jaxpr(f)(jnp.ones(3)))
      {'wave': 3, '': 3}
    """
    return {path: work.flops for path, work in _work(program).items()}


def work_by_path(program: Program) -> dict[str, Work]:
    """Operations and bytes of each module, as `flops_by_path`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> work_by_path(jaxcore.make_jaxpr(jnp.sin)(jnp.ones(3)))
      {'': Work(flops=3, bytes=24)}
    """
    return dict(_work(program))


def unbounded_loops(program: Program) -> tuple[Equation, ...]:
    """The `while` loops of `program` and of what it calls, which are counted as one step each."""
    found = program.memo.get("unbounded_loops")
    if found is None:
        loops: dict[Equation, None] = {}
        for eq in program.equations:
            if eq.primitive.name == "while":
                loops[eq] = None
            for called in (_called(eq) or ((), 1))[0]:
                loops.update(dict.fromkeys(unbounded_loops(called)))
        found = program.memo["unbounded_loops"] = tuple(loops)
    return found


def _work(program: Program) -> dict[str, Work]:
    """`work_by_path`, worked out once for each program however often it is called."""
    found = program.memo.get("work")
    if found is None:
        totals: dict[str, list[int]] = {}
        sizes: dict[int, tuple[int, int]] = {}  # by identity: equal types are mostly one object
        for eq in program.equations:
            path = eq.source.path
            called = _called(eq)
            if called is None:
                _add(totals, path, _operation(eq, sizes), 1)
                continue
            programs, times = called
            for inner in programs:
                for below, work in _work(inner).items():
                    full = f"{path}/{below}" if path and below else path or below
                    _add(totals, full, work, times)
        found = program.memo["work"] = {p: Work(*total) for p, total in totals.items()}
    return found


def _add(totals: dict[str, list[int]], path: str, work: tuple[int, int], times: int) -> None:
    total = totals.get(path)
    if total is None:
        total = totals[path] = [0, 0]
    total[0] += work[0] * times
    total[1] += work[1] * times


def _operation(eq: Equation, sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Operations and bytes of one equation."""
    flops = traffic = 0
    for v in eq.outputs:
        elements, size = sizes.get(id(v.aval)) or _measure(v.aval, sizes)
        flops += elements
        traffic += size
    for x in eq.inputs:
        if type(x) is not Literal:
            traffic += (sizes.get(id(x.aval)) or _measure(x.aval, sizes))[1]
    rule = eq.primitive.cost or COSTS.get(eq.primitive.name)
    if rule is not None:
        avals_in, avals_out = [x.aval for x in eq.inputs], [v.aval for v in eq.outputs]
        flops = int(rule(avals_in, avals_out, **eq.params))
    return flops, traffic


def _measure(aval: Any, sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Elements and bytes of a value of type `aval`, kept in `sizes`."""
    elements = math.prod(aval.shape)
    found = sizes[id(aval)] = (elements, math.ceil(elements * aval.dtype.itemsize))
    return found


def _called(eq: Equation) -> tuple[list[Program], int] | None:
    """The programs that an equation runs, and how often; None where it is an operation itself."""
    rule = _RUNS.get(eq.primitive.name)
    if rule is None:
        return None
    functions, times = rule(eq.params)
    programs = [_program(f, eq.primitive.name) for f in functions]
    if eq.primitive.name == "cond":
        programs = [max(programs, key=program_flops)]
    return programs, times


def _program(function: Any, name: str) -> Program:
    if isinstance(function, Program):
        return function
    from jaxcore.ops.call import program_from_jaxpr

    return program_from_jaxpr(backend.close_jaxpr(function), name)[0]


def _function(p: dict[str, Any]) -> Any:
    return p["program"] if "program" in p else p["jaxpr"]


def _scan(p: dict[str, Any]) -> tuple[Sequence[Any], int]:
    return [_function(p)], p["length"]


def _while(p: dict[str, Any]) -> tuple[Sequence[Any], int]:
    return [p["cond"], p["body"]] if "body" in p else [p["cond_jaxpr"], p["body_jaxpr"]], 1


# Primitives that run functions, ours and JAX's: the functions by parameter, and how often.
_RUNS: dict[str, Callable[[dict[str, Any]], tuple[Sequence[Any], int]]] = {
    **dict.fromkeys(
        (
            "call",
            "checkpoint",
            "custom_jvp_call",
            "custom_vjp_call",
            "custom_vmap_call",
            "linear_call",
            "hi_primitive",
        ),
        lambda p: ([p["program"]], 1),
    ),
    **dict.fromkeys(("jit", "pjit"), lambda p: ([_function(p)], 1)),
    **dict.fromkeys(("closed_call", "core_call"), lambda p: ([p["call_jaxpr"]], 1)),
    "scan": _scan,
    "while": _while,
    "cond": lambda p: (p["branches"], 1),
}
