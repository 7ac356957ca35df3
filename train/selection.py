"""New values or the old ones: a choice that costs neither a copy nor a pass over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import tree
from jaxcore.trace import eval_program


def updated_where(keep: Any, fun: Callable[..., tuple[Any, Any]], old: Any, *args: Any) -> Any:
    """`new, rest = fun(*args)`, with `old` in place of `new` where `keep` is False.

    The choice is made as soon as a value of `new` is there, before anything else is computed from
    it. Where `keep` is True that changes nothing, and where it is False only `rest`. But then
    nothing reads an old value after its successor, which can so be written to the same memory;
    with a choice at the end XLA would first copy what is donated.

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

    def choose(variable: Any, value: Any) -> Any:
        if variable not in kept:
            return value
        chosen = jnp.where(keep, value, kept[variable])
        if jaxcore.typeof(chosen) == jaxcore.typeof(value):
            chosen_early.add(variable)
            return chosen
        return value

    def finish(variable: Any, value: Any, last: Any) -> Any:
        early = variable in chosen_early and kept[variable] is last
        return value if early else jnp.where(keep, value, last)

    chosen_early: set[Any] = set()
    results = eval_program(program, [*traced.consts, *tree.leaves(args)], choose)
    new, rest = tree.unflatten(traced.out_tree, results)
    return tree.map(finish, variables, new, old), rest
