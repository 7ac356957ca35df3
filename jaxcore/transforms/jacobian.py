"""Whole Jacobians: jacfwd, jacrev, hessian, as batched applications of the linear map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np

from jaxcore import errors
from jaxcore.signature import function_name, need_function
from jaxcore.trace import aval_of
from jaxcore.transforms.derivation import is_inexact
from jaxcore.transforms.derivative import jvp, vjp
from jaxcore.transforms.vmap import vmap

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]


def _chosen(
    name: str, argnums: int | Sequence[int], args: Sequence[Any]
) -> tuple[tuple[int, ...], bool]:
    many = not isinstance(argnums, int)
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise ValueError(
                f"{name}: argnums={argnums} asks for an argument that is not there; it was called "
                f"with {len(args)} positional arguments. Fix: pass the argument by position."
            )
    return tuple(n % len(args) for n in numbers), many


def _check(name: str, tree: Any, holomorphic: bool, allow_int: bool, what: str) -> None:
    for x in jax.tree.leaves(tree):
        aval = aval_of(x)
        is_complex = np.dtype(aval.dtype).kind == "c"
        if holomorphic and not is_complex:
            raise TypeError(
                f"{name} with holomorphic=True requires complex {what}, got {aval}. Fix: "
                "leave holomorphic out."
            )
        if not holomorphic and is_complex:
            raise TypeError(
                f"{name} requires real {what}, got {aval}. Fix: pass holomorphic=True for a "
                "holomorphic function."
            )
        if not is_inexact(aval) and not allow_int:
            raise TypeError(
                f"{name} requires {what} of a float dtype, got {aval}. Fix: pass floats (1.0 "
                "instead of 1), or convert with x.astype(float)."
            )


def _basis(tree: Any) -> tuple[Any, list[int]]:
    """One-hot directions of every element of `tree`, stacked, and the leaves' sizes."""
    import jaxcore.numpy as jnp

    leaves, structure = jax.tree.flatten(tree)
    sizes = [int(np.prod(aval_of(x).shape)) for x in leaves]
    total, at, out = sum(sizes), 0, []
    for x, size in zip(leaves, sizes, strict=True):
        aval = aval_of(x)
        eye = jnp.eye(total, size, -at, dtype=aval.dtype)
        out.append(jnp.reshape(eye, (total, *aval.shape)))
        at += size
    return jax.tree.unflatten(structure, out), sizes


def _split_axis(x: Any, axis: int, tree: Any, sizes: Sequence[int]) -> Any:
    """Split an axis that runs over all elements of `tree` into one array for each leaf."""
    import jaxcore.numpy as jnp

    leaves, structure = jax.tree.flatten(tree)
    ends = list(np.cumsum(sizes))[:-1]
    parts = jnp.split(x, [int(e) for e in ends], axis)
    shaped = []
    for part, leaf in zip(parts, leaves, strict=True):
        shape = aval_of(part).shape
        shaped.append(jnp.reshape(part, (*shape[:axis], *aval_of(leaf).shape, *shape[axis + 1 :])))
    return jax.tree.unflatten(structure, shaped)


@errors.explained
def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Jacobian by forward mode: one column for each element of the argument, all at once.

    Args:
      fun: function of pytrees of arrays to a pytree.
      argnums: the argument, or several, to differentiate.
      has_aux: `fun` returns ``(out, aux)``; aux is returned beside the Jacobian.
      holomorphic: for holomorphic functions of complex arguments.

    Returns:
      A function whose result has the structure of the output, each leaf of it the structure of
      the argument; shapes are output shape + argument shape.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jacfwd(lambda x: x**2)(jnp.arange(2.0)).tolist()
      [[0.0, 0.0], [0.0, 2.0]]
    """
    need_function("jacfwd", fun)
    name = f"jacfwd of {function_name(fun)}"

    @wraps(fun)
    @errors.explained
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        positions, many = _chosen(name, argnums, args)
        chosen = tuple(args[n] for n in positions)
        _check(name, chosen, holomorphic, False, "arguments")
        of_chosen = _partial(fun, args, kwargs, positions)
        directions, sizes = _basis(chosen)

        def push(direction: Any) -> Any:
            result = jvp(of_chosen, chosen, direction, has_aux=has_aux)
            return result[1:]

        moved, *aux = vmap(push, out_axes=(-1, None) if has_aux else (-1,))(directions)
        jacobian = jax.tree.map(
            lambda y: _split_axis(y, len(aval_of(y).shape) - 1, chosen, sizes), moved
        )
        if not many:
            jacobian = _first(jacobian, moved)
        return (jacobian, aux[0]) if has_aux else jacobian

    return jacobian_of


def _partial(fun: Callable[..., Any], args: Any, kwargs: Any, positions: Any) -> Callable[..., Any]:
    def of_chosen(*values: Any) -> Any:
        full = list(args)
        for n, value in zip(positions, values, strict=True):
            full[n] = value
        return fun(*full, **kwargs)

    return of_chosen


def _first(jacobian: Any, like: Any) -> Any:
    """Take the single argument's entry out of the tuple at each leaf of the output."""
    return jax.tree.map(lambda _, entry: entry[0], like, jacobian, is_leaf=lambda x: x is None)


@errors.explained
def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """Jacobian by reverse mode: one row for each element of the output, all at once.

    Arguments and result are those of `jacfwd`; `allow_int` lets integer arguments through.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jacrev(lambda x: x**2)(jnp.arange(2.0)).tolist()
      [[0.0, 0.0], [0.0, 2.0]]
    """
    need_function("jacrev", fun)
    name = f"jacrev of {function_name(fun)}"

    @wraps(fun)
    @errors.explained
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        positions, many = _chosen(name, argnums, args)
        chosen = tuple(args[n] for n in positions)
        _check(name, chosen, holomorphic, allow_int, "arguments")
        out, back, *aux = vjp(_partial(fun, args, kwargs, positions), *chosen, has_aux=has_aux)
        _check(name, out, holomorphic, False, "outputs")
        directions, sizes = _basis(out)
        rows = vmap(back)(directions)
        rows = rows if many else rows[0]
        split = jax.tree.map(lambda r: _split_axis(r, 0, out, sizes), rows)
        jacobian = jax.tree.transpose(jax.tree.structure(rows), jax.tree.structure(out), split)
        return (jacobian, aux[0]) if has_aux else jacobian

    return jacobian_of


jacobian = jacrev


@errors.explained
def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """Second derivatives: `jacfwd` of `jacrev`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> hessian(lambda x: jnp.sum(x**3))(jnp.arange(2.0)).tolist()
      [[0.0, 0.0], [0.0, 6.0]]
    """
    rows = jacrev(fun, argnums, has_aux=has_aux, holomorphic=holomorphic)
    return jacfwd(rows, argnums, has_aux=has_aux, holomorphic=holomorphic)
