"""Checkpointing: functions whose derivative computes again instead of keeping values in memory.

`checkpoint` is `jaxcore.checkpoint` and `jaxcore.remat`. Names that JAX has here and that are not
below are JAX's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import jax

from jaxcore import backend, errors, namespaces
from jaxcore.bodies import ours
from jaxcore.ir import Literal, Program, Var
from jaxcore.ops.call import run_program
from jaxcore.ops.checkpoint import Policy, checkpoint_p
from jaxcore.ops.checkpoint import name_p as _name_p
from jaxcore.side import SideState
from jaxcore.signature import function_name, is_valid, leaf_path
from jaxcore.source import fresh_path
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["checkpoint", "checkpoint_name", "print_saved_residuals", "remat"]


def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool | Sequence[Any] = True,
    policy: Callable[..., Any] | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Iterable[str] = (),
) -> Callable[..., Any]:
    """`fun` with the same values and derivatives, whose derivative keeps its arguments only.

    What the backward pass needs of the values between is computed again there, so a chain of n
    checkpointed functions keeps n arguments and the intermediate values of one function. It can be
    nested. What modules write inside leaves it as it leaves `jit`.

    Args:
      fun: function of pytrees of arrays; arrays that it closes over count as arguments.
      prevent_cse: keep XLA from merging the second computation with the first, which would undo
        the checkpoint. Not needed inside a loop such as `scan`. A tuple, a prefix of the
        arguments, chooses for each of them.
      policy: what may be kept all the same, ``policy(primitive, *avals, **params) -> bool`` on
        JAX's primitives: one of `jaxcore.checkpoint_policies`, or of your own. None keeps nothing.
      static_argnums, static_argnames: arguments that are not traced.

    Raises:
      TypeError: an argument is no array, or `prevent_cse` neither a bool nor a sequence.
      ValueError: a static argument does not exist.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.checkpoint
      ... def layer(x):
      ...     return jnp.sin(jnp.sin(x))
      >>> jaxcore.grad(layer)(0.0)
      Array(1., dtype=float32, weak_type=True)

    Chen et al. 2016, https://arxiv.org/abs/1604.06174
    """
    name = function_name(fun)
    if not isinstance(prevent_cse, bool | Sequence):
        raise TypeError(
            f"checkpoint of {name}: prevent_cse must be a bool or a sequence of them, one for each "
            f"argument; got {prevent_cse!r}."
        )
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)

    @errors.explained
    @wraps(fun)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        fixed = _static(fun, numbers, names, args)
        dynamic = tuple(x for i, x in enumerate(args) if i not in fixed)
        named = {k: x for k, x in kwargs.items() if k not in names}
        leaves, tree = jax.tree.flatten((dynamic, named))
        for i, x in enumerate(leaves):
            if not is_valid(x):
                path = leaf_path((dynamic, named), i)
                raise errors.not_an_array(x, f"Argument {path} of the checkpointed {name}")
        out: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            given, keywords = jax.tree.unflatten(tree, values)
            rest = iter(given)
            full = [args[i] if i in fixed else next(rest) for i in range(len(args))]
            path = lambda i: leaf_path((dynamic, named), i)
            names_of = errors.argument_names(values, path, name, leaves)
            with fresh_path(), errors.Boundary(names_of):
                results, out_tree = jax.tree.flatten(fun(*full, **{**kwargs, **keywords}))
            out[:] = [out_tree]
            return results

        state = SideState()
        pins = _pins(name, prevent_cse, dynamic, named, len(leaves))
        results = _apply(state.wrap(flat), leaves, pins, policy, name)
        return jax.tree.unflatten(out[0], state.deliver(results))

    return checkpointed


remat = checkpoint


def _apply(
    flat: Callable[..., list[Any]],
    leaves: Sequence[Any],
    pins: tuple[bool, ...],
    policy: Callable[..., Any] | None,
    name: str,
) -> list[Any]:
    if not ours():
        return jax.checkpoint(flat, prevent_cse=pins, policy=policy)(*leaves)
    program, consts = trace_program(flat, [aval_of(x) for x in leaves], name)
    operands = [*consts, *leaves]
    if backend.at_top_level():
        return run_program(program, operands)
    return bind(
        checkpoint_p,
        *operands,
        program=program,
        policy=Policy(policy),
        prevent_cse=(any(pins),) * len(consts) + pins,
        again=False,
    )


def _static(
    fun: Callable[..., Any], numbers: Sequence[int], names: Sequence[str], args: Sequence[Any]
) -> set[int]:
    """The positions of the static arguments of a call."""
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise ValueError(
                f"checkpoint of {function_name(fun)}: static_argnums has {n}, but the function was "
                f"called with {len(args)} positional arguments. Fix: pass the argument by position."
            )
    found = {n % len(args) for n in numbers}
    if names:
        parameters = list(inspect.signature(fun).parameters)
        found |= {parameters.index(n) for n in names if n in parameters[: len(args)]}
    return found


def _pins(
    name: str, prevent_cse: Any, dynamic: tuple[Any, ...], named: Any, count: int
) -> tuple[bool, ...]:
    """Which leaves are kept behind the barrier."""
    if isinstance(prevent_cse, bool):
        return (prevent_cse,) * count
    prefix = (*prevent_cse[:-1], prevent_cse[-1]) if named else tuple(prevent_cse)
    whole = (dynamic, named) if named else dynamic
    pins: list[bool] = []
    try:
        jax.tree.map(
            lambda on, tree: pins.extend([bool(on)] * len(jax.tree.leaves(tree))), prefix, whole
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"checkpoint of {name}: prevent_cse must be a prefix of the arguments; got "
            f"{prevent_cse!r} for {jax.tree.structure(whole)}. ({error})"
        ) from None
    return tuple(pins)


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, known as `name` to the policies of `checkpoint` that keep values by name.

    Args:
      x: pytree of arrays.
      name: any string; several values may share it.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> keep = jaxcore.checkpoint_policies.save_only_these_names("hidden")
      >>> f = jaxcore.checkpoint(lambda x: jnp.sin(checkpoint_name(x * 2, "hidden")), policy=keep)
      >>> jaxcore.grad(f)(0.0)
      Array(2., dtype=float32, weak_type=True)
    """
    return jax.tree.map(lambda leaf: bind(_name_p, leaf, name=name), x)


def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print the values that the backward pass of ``f(*args, **kwargs)`` keeps, one a line.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> print_saved_residuals(lambda x, y: x * y, jnp.ones(3), jnp.ones(3))
      f32[3] from the argument x
      f32[3] from the argument y
    """
    from jaxcore.transforms.derivation import is_inexact
    from jaxcore.transforms.linearize import linearize_program

    leaves, tree = jax.tree.flatten((args, kwargs))

    def flat(*values: Any) -> list[Any]:
        given, keywords = jax.tree.unflatten(tree, values)
        return jax.tree.leaves(f(*given, **keywords))

    avals = [aval_of(x) for x in leaves]
    program, consts = trace_program(flat, avals, function_name(f))
    split = linearize_program(program, (*(False for _ in consts), *map(is_inexact, avals)))
    sources = ["a constant"] * len(consts)
    sources += [f"the argument {leaf_path((args, kwargs), i, f)}" for i in range(len(leaves))]
    primal = split.primal
    origin: dict[Any, str] = dict.fromkeys(primal.inputs[: len(split.consts)], "a constant")
    origin.update(zip(primal.inputs[len(split.consts) :], sources, strict=True))
    pool = [*primal.inputs[len(split.consts) :], *primal.outputs]
    for x in dict.fromkeys(pool[r] for r in sorted(split.residuals)):
        if isinstance(x, Literal):
            text = "from a literal"
        else:
            text = f"from {origin[x]}" if x in origin else _made(primal, x)
        print(f"{x.aval.str_short(short_dtypes=True)} {text}")


def _made(program: Program, x: Var) -> str:
    """What made a variable of a program; calls are entered."""
    eq = next(eq for eq in program.equations if x in eq.outputs)
    callee = eq.params.get("program") if eq.primitive.name == "call" else None
    if callee is not None:
        inner = callee.outputs[list(eq.outputs).index(x)]
        if type(inner) is Var and inner not in callee.inputs:
            return _made(callee, inner)
    place = f"{eq.source.filename}:{eq.source.line} ({eq.source.function})"
    if eq.primitive is _name_p:
        return f"named '{eq.params['name']}' from {place}"
    return f"output of {eq.primitive.name} from {place}"


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
