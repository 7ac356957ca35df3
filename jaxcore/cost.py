"""What a program costs: floating-point operations and bytes, in total and by module.

Counted as in papers on models: a multiply-add is two operations, an elementwise operation one for
each element of its result, whatever its kind or dtype; moving data costs no operations. A loop
counts as often as it runs, a `while` loop, whose length nobody knows, once, and a choice as its
dearest branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Equation, Literal, Program

__all__ = ["flops_by_path", "program_bytes", "program_flops"]

Cost = Callable[..., int]


def program_flops(program: Program) -> int:
    """Number of floating-point operations of one run of `program`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program = jaxcore.make_jaxpr(jnp.matmul)(jnp.ones((2, 3)), jnp.ones((3, 5)))
      >>> program_flops(program)  # 2 · 2 · 3 · 5
      60
    """
    found = program.memo.get("flops")
    if found is None:
        found = program.memo["flops"] = sum(_flops(eq) for eq in program.equations)
    return found


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
    found = program.memo.get("flops_by_path")
    if found is None:
        found = {}
        for eq in program.equations:
            for path, flops in _flops_inside(eq):
                full = "/".join(p for p in (eq.source.path, path) if p)
                found[full] = found.get(full, 0) + flops
        program.memo["flops_by_path"] = found
    return dict(found)


def program_bytes(program: Program) -> int:
    """Bytes that the equations read and write when nothing is fused; an upper bound of the traffic.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program_bytes(jaxcore.make_jaxpr(jnp.sin)(jnp.ones(3)))  # 12 read, 12 written
      24
    """
    found = program.memo.get("bytes")
    if found is None:
        found = program.memo["bytes"] = sum(_bytes(eq) for eq in program.equations)
    return found


def _flops(eq: Equation) -> int:
    called = _called(eq)
    if called is not None:
        programs, times = called
        return times * sum(program_flops(p) for p in programs)
    rule = eq.primitive.cost or _COSTS.get(eq.primitive.name)
    avals_out = [v.aval for v in eq.outputs]
    if rule is None:
        return _elements(avals_out)
    return int(rule([x.aval for x in eq.inputs], avals_out, **eq.params))


def _flops_inside(eq: Equation) -> Iterator[tuple[str, int]]:
    """Operations of one equation by path, relative to the equation's own."""
    called = _called(eq)
    if called is None:
        yield "", _flops(eq)
        return
    programs, times = called
    for program in programs:
        for path, flops in flops_by_path(program).items():
            yield path, flops * times


def _bytes(eq: Equation) -> int:
    called = _called(eq)
    if called is not None:
        programs, times = called
        return times * sum(program_bytes(p) for p in programs)
    atoms = [x.aval for x in (*eq.inputs, *eq.outputs) if type(x) is not Literal]
    return sum(math.ceil(a.size * a.dtype.itemsize) for a in atoms)


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
    **dict.fromkeys(("call", "custom_jvp_call", "custom_vjp_call"), lambda p: ([p["program"]], 1)),
    **dict.fromkeys(
        ("remat", "remat2", "checkpoint", "jit", "pjit"), lambda p: ([_function(p)], 1)
    ),
    **dict.fromkeys(("closed_call", "core_call"), lambda p: ([p["call_jaxpr"]], 1)),
    "scan": _scan,
    "while": _while,
    "cond": lambda p: (p["branches"], 1),
}


def _elements(avals: Sequence[Any]) -> int:
    return sum(a.size for a in avals)


def _operand(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[0].size


def _nothing(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return 0


def _dot_general(avals_in: Any, avals_out: Any, *, dimension_numbers: Any, **_: Any) -> int:
    (contract, _), _ = dimension_numbers
    return 2 * avals_out[0].size * math.prod(avals_in[0].shape[d] for d in contract)


def _conv(avals_in: Any, avals_out: Any, *, dimension_numbers: Any, **_: Any) -> int:
    """Each result sums a window over the input features of its group; padding counts as data."""
    features_out = dimension_numbers.rhs_spec[0]
    kernel = avals_in[1]
    return 2 * avals_out[0].size * (kernel.size // max(kernel.shape[features_out], 1))


def _window(avals_in: Any, avals_out: Any, *, window_dimensions: Sequence[int], **_: Any) -> int:
    return avals_out[0].size * math.prod(window_dimensions)


def _sort(avals_in: Any, avals_out: Any, *, dimension: int, **_: Any) -> int:
    """n·log₂ n comparisons along the sorted dimension."""
    return avals_in[0].size * _log2(avals_in[0].shape[dimension])


def _top_k(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[0].size * _log2(avals_out[0].shape[-1])


def _log2(n: int) -> int:
    return math.ceil(math.log2(max(n, 1)))


def _fft(avals_in: Any, avals_out: Any, *, fft_lengths: Sequence[int], **_: Any) -> int:
    """5·n·log₂ n for a transform of n points."""
    return 5 * max(avals_in[0].size, avals_out[0].size) * _log2(math.prod(fft_lengths))


def _cubic(factor: float) -> Cost:
    """``factor · m·n·min(m, n)`` for each matrix."""

    def rule(avals_in: Any, avals_out: Any, **_: Any) -> int:
        a = avals_in[0]
        return round(factor * a.size * min(a.shape[-2:])) if a.ndim >= 2 else a.size

    return rule


def _triangular_solve(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_out[0].size * avals_in[0].shape[-1]


def _scatter(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[2].size


_MOVEMENT = """
    reshape transpose squeeze expand_dims broadcast_in_dim rev slice dynamic_slice
    dynamic_update_slice pad concatenate split tile gather scatter iota copy copy_p
    convert_element_type reduce_precision bitcast_convert_type optimization_barrier stop_gradient
    device_put random_wrap random_unwrap real imag complex sharding_constraint pvary empty
    create_token debug_callback debug_print unstack stack
"""
_REDUCTIONS = """
    reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor argmax argmin
    reduce select_and_scatter_add
"""
_SCATTERS = "scatter-add scatter_add scatter_sub scatter-mul scatter_mul scatter_min scatter_max"
_WINDOWS = """
    reduce_window reduce_window_sum reduce_window_max reduce_window_min select_and_gather_add
"""

# Operations of JAX's primitives (and of ours without a rule) that are not one for each result.
_COSTS: dict[str, Cost] = {
    **dict.fromkeys(_MOVEMENT.split(), _nothing),
    **dict.fromkeys(_REDUCTIONS.split(), _operand),
    **dict.fromkeys(_SCATTERS.split(), _scatter),
    **dict.fromkeys(_WINDOWS.split(), _window),
    "dot_general": _dot_general,
    "conv_general_dilated": _conv,
    "sort": _sort,
    "top_k": _top_k,
    "fft": _fft,
    "triangular_solve": _triangular_solve,
    "cholesky": _cubic(1 / 3),
    "lu": _cubic(2 / 3),
    "geqrf": _cubic(4 / 3),
    "householder_product": _cubic(4 / 3),
    "eigh": _cubic(9),
    "svd": _cubic(12),
}
