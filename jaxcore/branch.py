"""Control flow by choice: cond and switch, with JAX's signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import errors
from jaxcore.control import ours, strong, types_text
from jaxcore.ops.cond import close_over_all, cond_p
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind

__all__ = ["cond", "switch"]


@errors.explained
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Call ``branches[index](*operands)``; an index out of range is clamped.

    Raises:
      TypeError: branches return different structures or types.

    Example:
      >>> switch(1, [lambda x: x + 1.0, lambda x: x * 10.0], 2.0)
      Array(20., dtype=float32, weak_type=True)
    """
    if not branches:
        raise ValueError("switch: there must be at least one branch.")
    aval = aval_of(index)
    if aval.shape != () or np.dtype(aval.dtype).kind not in "iub":
        raise TypeError(f"switch: the index must be an integer scalar, got {aval}.")
    if not ours():
        return jax.lax.switch(index, list(branches), *operands)
    import jaxcore.numpy as jnp

    if len(branches) == 1:
        return branches[0](*operands)
    index = jnp.clip(jnp.asarray(index, "int32"), 0, len(branches) - 1)
    return _choose("switch", index, branches, operands)


def _choose(what: str, index: Any, branches: Sequence[Any], operands: Sequence[Any]) -> Any:
    leaves, tree = jax.tree.flatten(tuple(operands))
    avals = [aval_of(x) for x in leaves]
    trees: list[Any] = []

    def flat(branch: Any) -> Any:
        def run(*values: Any) -> list[Any]:
            with errors.Boundary(errors.stand_ins(values, leaves)):
                result, out_tree = jax.tree.flatten(branch(*jax.tree.unflatten(tree, values)))
            trees.append(out_tree)
            return result

        return run

    programs, consts = close_over_all([flat(b) for b in branches], avals, "branch")
    for k in range(1, len(programs)):
        first, other = function_name(branches[0]), function_name(branches[k])
        names = f"{first} and {other}"
        if trees[k] != trees[0]:
            raise TypeError(
                f"{what}: the branches {names} must return the same structure, got "
                f"{trees[0]} and {trees[k]}."
            )
        a, b = programs[0].out_avals, programs[k].out_avals
        if [strong(x) for x in a] != [strong(x) for x in b]:
            example = jax.tree.unflatten(trees[0], a)
            text = types_text("output", example, a, b).replace("in ", "").replace("out ", "")
            raise TypeError(
                f"{what}: the branches {names} must return equal types:\n{text}\n"
                "Fix: convert one of them."
            )
    return jax.tree.unflatten(trees[0], bind(cond_p, index, *consts, *leaves, branches=programs))


@errors.explained
def cond(pred: Any, true_fun: Any, false_fun: Any, *operands: Any, operand: Any = None) -> Any:
    """``true_fun(*operands) if pred else false_fun(*operands)``, decided when the program runs.

    Under vmap with a mapped predicate both branches run and the results are selected.

    Example:
      >>> cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 2.0)
      Array(3., dtype=float32, weak_type=True)
    """
    if not (callable(true_fun) and callable(false_fun)):
        raise TypeError(
            "cond: true_fun and false_fun must be functions, got "
            f"{type(true_fun).__name__} and {type(false_fun).__name__}."
        )
    if operand is not None:
        operands = (operand,)
    if not ours():
        return jax.lax.cond(pred, true_fun, false_fun, *operands)
    aval = aval_of(pred)
    if aval.shape != ():
        raise TypeError(
            f"cond: the predicate must be a scalar, got {aval}. Fix: use "
            "jaxcore.numpy.where for a choice by element."
        )
    import jaxcore.numpy as jnp

    if np.dtype(aval.dtype).kind not in "biuf":
        raise TypeError(f"cond: the predicate must be a boolean or a number, got {aval}.")
    if aval.dtype != np.bool_:
        pred = jnp.not_equal(pred, 0)
    return _choose("cond", jnp.asarray(pred, "int32"), [false_fun, true_fun], operands)
