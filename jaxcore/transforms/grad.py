"""Gradients of scalar functions: value_and_grad, grad, and stop_gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.ops.basic import stop_gradient_p
from jaxcore.signature import function_name, need_function, parameter_name
from jaxcore.trace import aval_of, bind
from jaxcore.transforms.derivation import Derivation, is_inexact
from jaxcore.transforms.derivative import flatten_aux, flatten_fun

__all__ = ["grad", "stop_gradient", "value_and_grad"]


@errors.explained
def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the value of `fun` and its gradient.

    Args:
      fun: returns a real scalar, or ``(scalar, aux)`` with `has_aux`.
      argnums: the positional argument, or several, to differentiate; any pytree of float arrays.
      has_aux: `fun` also returns auxiliary values, which are passed through.
      holomorphic: `fun` is a holomorphic function of complex arguments.
      allow_int: let integer arguments through; their gradients are float0 zeros.

    Returns:
      ``f(*args) -> (value, gradient)``, ``((value, aux), gradient)`` with `has_aux`; the gradient
      has the structure of the argument, a tuple for several argnums.

    Raises:
      TypeError: the output is not a real scalar, or an argument is not of a float dtype.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.value_and_grad(lambda x: x**2)(3.0)
      (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    return wraps(fun)(_value_and_grad(fun, argnums, has_aux, holomorphic, allow_int))


def _value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
) -> Callable[..., Any]:
    need_function("grad", fun)
    name = function_name(fun)
    many = not isinstance(argnums, int)
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @errors.explained
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise TypeError(
                    f"grad of {name}: differentiating with respect to argnums={argnums} requires "
                    f"at least "
                    f"{max(m + 1 if m >= 0 else -m for m in numbers)} positional arguments, but "
                    f"it was "
                    f"called with {len(args)}. Fix: pass the argument by position."
                )
        positions = [n % len(args) for n in numbers]
        chosen = tuple(args[n] for n in positions)
        leaves, tree = jax.tree.flatten(chosen)
        for i, x in enumerate(leaves):
            _check_input(fun, x, chosen, i, positions, holomorphic, allow_int)

        def of_chosen(*values: Any) -> Any:
            full = list(args)
            for n, value in zip(positions, values, strict=True):
                full[n] = value
            return fun(*full, **kwargs)

        def names(values: Sequence[Any]) -> errors.Finder:
            return errors.argument_names(
                values, lambda i: _path(fun, chosen, positions, i), name, leaves
            )

        aux: list[Any] = []
        out: list[Any] = []
        if has_aux:
            flat = flatten_aux(of_chosen, tree, out, aux, names)
        else:
            flat = flatten_fun(of_chosen, tree, out, names)
        active = [is_inexact(aval_of(p)) for p in leaves]
        traced = Derivation(flat, leaves, active, name)
        n_value = out[0].num_leaves
        unit = _unit(name, out[0], traced.out_avals[:n_value], holomorphic)
        outs, pulled = traced.pull(unit)
        value = jax.tree.unflatten(out[0], outs[:n_value])
        gradient = jax.tree.unflatten(tree, pulled)
        gradient = gradient if many else gradient[0]
        if has_aux:
            rest = jax.tree.unflatten(aux[0], outs[n_value:])
            return (value, rest), gradient
        return value, gradient

    return wrapped


def _path(fun: Any, chosen: Any, positions: Sequence[int], i: int) -> str:
    """The path of a leaf of the arguments that are differentiated."""
    which, *rest = jax.tree_util.tree_flatten_with_path(chosen)[0][i][0]
    return parameter_name(fun, positions[which.idx]) + jax.tree_util.keystr(tuple(rest))


def _check_input(
    fun: Any,
    x: Any,
    chosen: Any,
    i: int,
    positions: Sequence[int],
    holomorphic: bool,
    allow_int: bool,
) -> None:
    name = function_name(fun)
    try:
        aval = aval_of(x)
    except TypeError:
        path = _path(fun, chosen, positions, i)
        raise errors.not_an_array(x, f"grad of {name}: argument {path}") from None
    dtype = aval.dtype
    kind = np.dtype(dtype).kind if not backend.is_extended(dtype) else "O"
    inexact = is_inexact(aval)
    if holomorphic and kind != "c":
        raise TypeError(
            f"grad of {name} with holomorphic=True requires complex arguments, got {aval}. Fix: "
            "pass complex numbers, or leave holomorphic out."
        )
    if not inexact and not allow_int:
        raise TypeError(
            "grad requires real- or complex-valued inputs (input dtype that is a sub-dtype of "
            f"np.inexact), but argument {_path(fun, chosen, positions, i)} of {name} has type "
            f"{aval}.\nFix: pass floats (1.0 instead of 1), differentiate another argument with "
            "argnums, or set allow_int=True."
        )


def _unit(name: str, tree: Any, avals: Sequence[Any], holomorphic: bool) -> Any:
    """The cotangent 1 of a scalar output."""
    if len(avals) != 1 or not jax.tree_util.treedef_is_leaf(tree):
        kind = type(jax.tree.unflatten(tree, avals)).__name__
        raise TypeError(
            f"Gradient only defined for scalar-output functions. {name} returned {kind} with "
            f"{len(avals)} leaves. Fix: return a single scalar, or use has_aux=True for further "
            f"values."
        )
    aval = avals[0]
    if aval.shape != ():
        raise TypeError(
            f"Gradient only defined for scalar-output functions. {name} returned {aval}.\nFix: "
            f"reduce it, "
            "for example with jaxcore.numpy.mean or sum, or use jaxcore.vjp."
        )
    kind = np.dtype(aval.dtype).kind
    if kind == "c" and not holomorphic:
        raise TypeError(
            f"grad requires real-valued outputs, but {name} returned {aval}. Fix: pass "
            f"holomorphic=True for "
            "a holomorphic function, or return its real part."
        )
    if kind in "iub":
        raise TypeError(
            f"grad requires real-valued outputs (output dtype that is a sub-dtype of "
            f"np.floating), but "
            f"{name} returned {aval}. Fix: convert the result to a float dtype before returning it."
        )
    return np.ones((), aval.dtype)[()] if not aval.weak_type else (1.0 + 0j if kind == "c" else 1.0)


@errors.explained
def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`; arguments as for `value_and_grad`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.grad(jnp.tanh)(0.0)
      Array(1., dtype=float32, weak_type=True)
    """
    both = _value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def stop_gradient(x: Any) -> Any:
    """`x` as a constant for differentiation; a pytree of arrays.

    Example:
      >>> import jaxcore
      >>> jaxcore.grad(lambda x: x * jaxcore.stop_gradient(x))(3.0)
      Array(3., dtype=float32, weak_type=True)
    """
    return jax.tree.map(
        lambda leaf: bind(stop_gradient_p, leaf) if is_inexact(aval_of(leaf)) else leaf, x
    )
