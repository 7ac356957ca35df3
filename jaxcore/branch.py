"""Control flow by choice: cond, switch and platform_dependent, with JAX's signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.axes import cast_hint
from jaxcore.bodies import by_python, ours, same_type
from jaxcore.ops.cond import close_over_all, cond_p
from jaxcore.primitive import opaque
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind

__all__ = ["cond", "platform_dependent", "switch"]

_NONE_GIVEN = object()  # `operand=None` is an operand


@errors.explained
def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _NONE_GIVEN,
) -> Any:
    """``true_fun(*operands) if pred else false_fun(*operands)``, decided when the program runs.

    Only the chosen function runs. Under vmap with a mapped predicate both do, and the results are
    selected.

    Args:
      pred: scalar; a number counts as true where it is not zero.
      true_fun, false_fun: functions of the operands to pytrees of the same structure and types.
      operands: pytrees of arrays.
      operand: the single operand, as an older signature has it.

    Raises:
      TypeError: the predicate is no scalar, or the functions return different structures or types.

    Example:
      >>> cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 2.0)
      Array(3., dtype=float32, weak_type=True)
    """
    if not (callable(true_fun) and callable(false_fun)):
        if len(operands) == 2 and callable(false_fun) and callable(operands[1]):
            return _with_own_operands(pred, true_fun, false_fun, *operands)
        raise TypeError(
            "cond: true_fun and false_fun must be functions, got "
            f"{type(true_fun).__name__} and {type(false_fun).__name__}."
        )
    operands = _operands("cond", operands, operand)
    if not ours():
        return jax.lax.cond(pred, true_fun, false_fun, *operands)
    if pred is None or isinstance(pred, Sequence):
        raise TypeError(f"cond: the predicate must be a boolean or a number, got {pred!r}.")
    aval = aval_of(pred)
    if aval.shape != ():
        raise TypeError(
            f"cond: the predicate must be a scalar, got {aval}. Fix: use "
            "jaxcore.numpy.where for a choice by element."
        )
    import jaxcore.numpy as jnp

    if np.dtype(aval.dtype).kind not in "biuf":
        raise TypeError(f"cond: the predicate must be a boolean or a number, got {aval}.")
    if by_python(pred):
        return true_fun(*operands) if pred else false_fun(*operands)
    if aval.dtype != np.bool_:
        pred = jnp.not_equal(pred, 0)
    return _choose("cond", jnp.asarray(pred, "int32"), [false_fun, true_fun], operands)


def _with_own_operands(pred: Any, x_true: Any, f_true: Any, x_false: Any, f_false: Any) -> Any:
    """The oldest signature: an operand for each function."""
    return cond(pred, lambda x, _: f_true(x), lambda _, x: f_false(x), x_true, x_false)


def _operands(what: str, operands: tuple[Any, ...], operand: Any) -> tuple[Any, ...]:
    if operand is _NONE_GIVEN:
        return operands
    if operands:
        raise TypeError(
            f"{what}: operands are given by position or as operand=, not both; got "
            f"{len(operands)} by position and operand={operand!r}."
        )
    return (operand,)


@errors.explained
def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands: Any,
    operand: Any = _NONE_GIVEN,
) -> Any:
    """Call ``branches[index](*operands)``; an index out of range is clamped.

    Args:
      index: integer scalar.
      branches: functions of the operands to pytrees of the same structure and types.
      operands, operand: as for `cond`.

    Raises:
      TypeError: `index` is no integer scalar, or branches return different structures or types.
      ValueError: there is no branch.

    Example:
      >>> switch(1, [lambda x: x + 1.0, lambda x: x * 10.0], 2.0)
      Array(20., dtype=float32, weak_type=True)
    """
    for i, branch in enumerate(branches):
        if not callable(branch):
            raise TypeError(
                f"switch: branches must be functions, but branch {i} is {branch!r} of type "
                f"{type(branch).__name__}."
            )
    operands = _operands("switch", operands, operand)
    aval = aval_of(index)
    if aval.shape != () or np.dtype(aval.dtype).kind not in "iu":
        raise TypeError(f"switch: the index must be an integer scalar, got {aval}.")
    if not branches:
        raise ValueError("switch: there must be at least one branch.")
    if not ours():
        return jax.lax.switch(index, list(branches), *operands)
    import jaxcore.numpy as jnp

    if len(branches) == 1:
        return branches[0](*operands)
    if by_python(index):
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
    index = jnp.clip(jnp.asarray(index, "int32"), 0, len(branches) - 1)
    return _choose("switch", index, branches, operands)


@errors.explained
def platform_dependent(
    *args: Any,
    default: Callable[..., Any] | None = None,
    **per_platform: Callable[..., Any],
) -> Any:
    """Call the function for the platform that the program will run on.

    All functions are traced; the choice is made when the program is lowered, so only the chosen one
    needs to have a form on its platform.

    Args:
      args: pytrees of arrays.
      default: for platforms that are not named; without it lowering for those is an error.
      per_platform: functions by name of the platform: ``cpu=``, ``cuda=``, ``rocm=``, ``tpu=``.

    Raises:
      TypeError: a value is no function, or functions return different structures or types.
      ValueError: ``gpu`` is no name of a platform.

    Example:
      >>> platform_dependent(2.0, cpu=lambda x: x + 1.0, default=lambda x: x - 1.0)
      3.0
    """
    for name, function in [*per_platform.items(), ("default", default)]:
        if not callable(function) and not (name == "default" and function is None):
            raise TypeError(f"platform_dependent: {name} must be a function, got {function!r}.")
    if "gpu" in per_platform:
        raise ValueError("platform_dependent: 'gpu' is not one platform. Fix: use cuda or rocm.")
    if not ours():
        return jax.lax.platform_dependent(*args, default=default, **per_platform)
    names: dict[Callable[..., Any], list[str]] = {}
    for name, function in per_platform.items():
        names.setdefault(function, []).append(name)
    branches: list[Any] = list(names)
    platforms: list[tuple[str, ...] | None] = [tuple(n) for n in names.values()]
    if default is not None:
        branches.append(default)
        platforms.append(None)
    index = bind(opaque(backend.platform_index_p), platforms=tuple(platforms))
    if backend.at_top_level():
        return branches[int(index)](*args)
    return _choose("platform_dependent", index, branches, args, platforms=tuple(platforms))


def _choose(
    what: str, index: Any, branches: Sequence[Any], operands: Sequence[Any], **params: Any
) -> Any:
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
        _check_equal(what, branches, trees, programs, k)
    out = bind(cond_p, index, *consts, *leaves, branches=programs, **params)
    return jax.tree.unflatten(trees[0], out)


def _check_equal(
    what: str, branches: Sequence[Any], trees: Sequence[Any], programs: Sequence[Any], k: int
) -> None:
    """Raise where branch k does not return what the first one returns."""
    first, other = function_name(branches[0]), function_name(branches[k])
    if first == other:
        first, other = f"{first} (branch 0)", f"{other} (branch {k})"
    if trees[k] != trees[0]:
        raise TypeError(
            f"{what}: the branches {first} and {other} must return the same structure, got "
            f"{trees[0]} and {trees[k]}."
        )
    a, b = programs[0].out_avals, programs[k].out_avals
    paths = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(trees[0], a))[0]
    lines = [
        f"  output{jax.tree_util.keystr(path)}: {x} from {first}, {y} from {other}"
        for (path, _), x, y in zip(paths, a, b, strict=True)
        if not same_type(x, y)
    ]
    if lines:
        text = "\n".join(lines)
        raise TypeError(
            f"{what}: the branches {first} and {other} must return equal types:\n{text}\n"
            f"Fix: {cast_hint(a, b) or 'convert one of them'}."
        )
