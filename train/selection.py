"""New values or the old ones: a choice that costs neither a copy nor a pass over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, tree
from jaxcore.trace import eval_program


def updated_where(keep: Any, fun: Callable[..., tuple[Any, Any]], old: Any, *args: Any) -> Any:
    """`new, rest = fun(*args)`, with `old` in place of `new` where `keep` is False.

    The choice is made as soon as a value of `new` is there, before anything else is computed from
    it. Where `keep` is True that changes nothing, and where it is False only `rest`. But then
    nothing reads an old value after its successor, which can so be written to the same memory;
    with a choice at the end XLA would first copy what is donated.

    Small values are chosen a few at a time. If all of them waited for `keep` alone, XLA on a CPU
    would hand them to its threads as soon as it is known, at several times the cost of computing
    them.

    Args:
      keep: bool scalar.
      fun: pure function of arrays.
      old: tree of the structure of `new`.
      args: of `fun`.

    >>> halve = lambda x: ({"w": x / 2}, x)
    >>> updated_where(jnp.asarray(False), halve, {"w": jnp.ones(())}, jnp.ones(()))[0]["w"].item()
    1.0
    """
    traced = jaxcore.jit(fun).trace(*args)
    program = traced.program
    variables, _ = tree.unflatten(traced.out_tree, program.outputs)
    kept: dict[Any, Any] = {}
    tree.map(kept.setdefault, variables, old)

    small: list[Any] = []
    gate = keep

    def choose(variable: Any, value: Any) -> Any:
        nonlocal gate
        if variable not in kept:
            return value
        is_small = 0 < value.size <= _SMALL
        chosen = jnp.where(gate if is_small else keep, value, kept[variable])
        if jaxcore.typeof(chosen) != jaxcore.typeof(value):
            return value
        chosen_early.add(variable)
        if is_small:
            small.append(chosen)
            if len(small) % _AT_ONCE == 0:
                gate = _after(chosen, keep)
        return chosen

    def finish(variable: Any, value: Any, last: Any) -> Any:
        early = variable in chosen_early and kept[variable] is last
        return value if early else jnp.where(keep, value, last)

    chosen_early: set[Any] = set()
    results = eval_program(program, [*traced.consts, *tree.leaves(args)], choose)
    new, rest = tree.unflatten(traced.out_tree, results)
    return tree.map(finish, variables, new, old), rest


_SMALL = 4096  # entries that are computed faster than another thread is woken
_AT_ONCE = 4  # small values that may be ready together; XLA shares out more than 8


def _after(value: Any, keep: Any) -> Any:
    """`keep`, but not known before `value`: no whole number is below the least one."""
    if not jnp.issubdtype(value.dtype, jnp.number) or jnp.iscomplexobj(value):
        return keep
    whole = jnp.dtype(f"int{8 * value.dtype.itemsize}")
    bits = lax.bitcast_convert_type(value.ravel()[0], whole)
    return keep & (bits >= jnp.iinfo(whole).min)
