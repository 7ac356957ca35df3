"""Derivatives of functions: jvp, linearize, vjp.

`derivation` says how a function's value and linear part are found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import errors
from jaxcore.signature import function_name, leaf_path, need_function
from jaxcore.trace import aval_of
from jaxcore.transforms.derivation import Derivation, LinearMap, is_inexact

__all__ = ["flatten_aux", "flatten_fun", "fwd_and_bwd", "jvp", "linearize", "vjp"]

Names = Callable[[Sequence[Any]], errors.Finder]


def flatten_fun(
    fun: Callable[..., Any], tree: Any, out: list[Any], names: Names
) -> Callable[..., list[Any]]:
    """`fun` of flat leaves, which `names` names; the tree of its result is left in `out`."""

    def flat(*leaves: Any) -> list[Any]:
        with errors.Boundary(names(leaves)):
            result = fun(*jax.tree.unflatten(tree, leaves))
        leaves_out, out_tree = jax.tree.flatten(result)
        out[:] = [out_tree]
        return leaves_out

    return flat


def _check_tangents(
    fun: Any, kind: str, primals: Any, tangents: Any
) -> tuple[list[Any], list[Any], Any]:
    """Flat primals and tangents, whose trees, shapes and dtypes must agree."""
    name = function_name(fun)
    tree: Any  # JAX's stubs know no comparison of treedefs
    p_leaves, tree = jax.tree.flatten(primals)
    t_leaves, t_tree = jax.tree.flatten(tangents)
    if tree != t_tree:
        raise TypeError(
            f"{kind} of {name}: primals and tangents must have the same tree structure; got "
            f"{tree} and {t_tree}. Fix: build the tangents with jaxcore.tree.map over the primals."
        )
    for i, (p, t) in enumerate(zip(p_leaves, t_leaves, strict=True)):
        want, got = aval_of(p).to_tangent_aval(), aval_of(t)
        if want.dtype != got.dtype or want.shape != got.shape:
            path = leaf_path((primals, {}), i, fun)
            raise (TypeError if want.dtype != got.dtype else ValueError)(
                f"{kind} of {name}: primal {path} has type {aval_of(p)}, so its tangent must be "
                f"{want.dtype}{list(want.shape)}, but got {got}. Fix: give each primal a tangent "
                "of its shape and dtype (float0 for integers), for example with ones_like."
            )
    return p_leaves, t_leaves, tree


@errors.explained
def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """Value and directional derivative (forward mode).

    Args:
      fun: function of pytrees of arrays.
      primals: tuple of arguments.
      tangents: tuple of the same structure; the direction. Integer arguments take float0 tangents.
      has_aux: `fun` returns ``(out, aux)`` and aux is not differentiated.

    Returns:
      ``(out, tangent_out)``, with aux as a third element if `has_aux`.

    Raises:
      TypeError, ValueError: primals and tangents differ in structure, dtype or shape.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.jvp(jnp.sin, (0.0,), (1.0,))
      (Array(0., dtype=float32, weak_type=True), Array(1., dtype=float32, weak_type=True))
    """
    need_function("jvp", fun)
    name = function_name(fun)
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(
            f"jvp of {name}: primals and tangents must be tuples or lists, got "
            f"{type(primals).__name__} and "
            f"{type(tangents).__name__}. Fix: write (x,) for a single argument."
        )
    leaves, t_leaves, tree = _check_tangents(fun, "jvp", tuple(primals), tuple(tangents))
    value, aux, out_tree, linear = _linearize_tree(fun, leaves, tree, has_aux, name)
    moved = jax.tree.unflatten(out_tree, linear.forward(t_leaves)[: out_tree.num_leaves])
    return (value, moved, aux) if has_aux else (value, moved)


@errors.explained
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value at `primals` and the linear map of tangents there, which may be applied many times.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> y, f_jvp = jaxcore.linearize(jnp.sin, 0.0)
      >>> f_jvp(2.0)
      Array(2., dtype=float32, weak_type=True)
    """
    need_function("linearize", fun)
    name = function_name(fun)
    leaves, tree = jax.tree.flatten(primals)
    value, aux, out_tree, linear = _linearize_tree(fun, leaves, tree, has_aux, name)

    @errors.explained
    def f_jvp(*tangents: Any) -> Any:
        _, t_leaves, _ = _check_tangents(
            fun, "linearize", jax.tree.unflatten(tree, leaves), tuple(tangents)
        )
        return jax.tree.unflatten(out_tree, linear.forward(t_leaves)[: out_tree.num_leaves])

    return (value, f_jvp, aux) if has_aux else (value, f_jvp)


def flatten_aux(
    fun: Callable[..., Any],
    tree: Any,
    out: list[Any],
    aux: list[Any],
    names: Names,
) -> Callable[..., list[Any]]:
    """Flat outputs of the first result of `fun`, followed by those of the second."""

    def flat(*leaves: Any) -> list[Any]:
        with errors.Boundary(names(leaves)):
            result = fun(*jax.tree.unflatten(tree, leaves))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{function_name(fun)} must return a pair (value, aux) because has_aux=True, but "
                f"returned {type(result).__name__}. Fix: return both, or leave has_aux out."
            )
        value, value_tree = jax.tree.flatten(result[0])
        rest, rest_tree = jax.tree.flatten(result[1])
        out[:], aux[:] = [value_tree], [rest_tree]
        return [*value, *rest]

    return flat


def _linearize_tree(
    fun: Callable[..., Any], leaves: Sequence[Any], tree: Any, has_aux: bool, name: str
) -> tuple[Any, Any, Any, LinearMap]:
    """Value, aux (or None), tree of the value, and the linear part."""
    active = [is_inexact(aval_of(p)) for p in leaves]
    out: list[Any] = []
    aux: list[Any] = []

    def names(values: Sequence[Any]) -> errors.Finder:
        def path(i: int) -> str:
            return leaf_path((jax.tree.unflatten(tree, leaves), {}), i, fun)

        return errors.argument_names(values, path, name, leaves)

    if has_aux:
        flat = flatten_aux(fun, tree, out, aux, names)
    else:
        flat = flatten_fun(fun, tree, out, names)
    outs, linear = Derivation(flat, leaves, active, name).linearize()
    n = out[0].num_leaves
    rest = jax.tree.unflatten(aux[0], outs[n:]) if has_aux else None
    return jax.tree.unflatten(out[0], outs[:n]), rest, out[0], linear


class _VJP:
    """Applies a transposed linear map; a pytree, so that it may leave a jitted function."""

    def __init__(self, linear: LinearMap, in_tree: Any, out_tree: Any, name: str) -> None:
        self.linear, self.in_tree, self.out_tree, self.name = linear, in_tree, out_tree, name

    @errors.explained
    def __call__(self, cotangent: Any) -> Any:
        leaves, tree = jax.tree.flatten(cotangent)
        if tree != self.out_tree:
            raise ValueError(
                f"vjp of {self.name}: the cotangent must have the structure of the output, "
                f"{self.out_tree}; got {tree}. Fix: build it with jaxcore.tree.map over the output."
            )
        for x, aval in zip(leaves, self.linear.out_avals, strict=False):
            want, got = aval.to_tangent_aval(), aval_of(x)
            if got.shape != want.shape or got.dtype != want.dtype:
                raise ValueError(
                    f"vjp of {self.name}: the cotangent must have the type of the output, "
                    f"{want}; got "
                    f"{got}. Fix: use the shape and dtype of the value that vjp returned."
                )
        return jax.tree.unflatten(self.in_tree, self.linear.backward(leaves))


def _flatten_vjp(v: _VJP) -> tuple[list[Any], Any]:
    ln = v.linear
    static = (
        ln.program,
        ln.active_in,
        ln.active_out,
        tuple(ln.in_avals),
        tuple(ln.out_avals),
        v.in_tree,
        v.out_tree,
        v.name,
    )
    return ln.residuals, static


def _unflatten_vjp(static: Any, residuals: Sequence[Any]) -> _VJP:
    program, active_in, active_out, in_avals, out_avals, in_tree, out_tree, name = static
    return _VJP(
        LinearMap(program, residuals, active_in, active_out, in_avals, out_avals),
        in_tree,
        out_tree,
        name,
    )


jax.tree_util.register_pytree_node(_VJP, _flatten_vjp, _unflatten_vjp)


@errors.explained
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value at `primals` and the function from a cotangent of it to cotangents of the arguments
    (reverse mode).

    Returns:
      ``(out, vjp_fun)`` or ``(out, vjp_fun, aux)``; ``vjp_fun(ct)`` returns a tuple, one entry an
      argument.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> y, back = jaxcore.vjp(jnp.multiply, 2.0, 3.0)
      >>> [float(g) for g in back(y)]
      [18.0, 12.0]
    """
    need_function("vjp", fun)
    name = function_name(fun)
    leaves, tree = jax.tree.flatten(primals)
    value, aux, out_tree, linear = _linearize_tree(fun, leaves, tree, has_aux, name)
    back = _VJP(linear, tree, out_tree, name)
    return (value, back, aux) if has_aux else (value, back)


def fwd_and_bwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool = False,
    jitted: bool = True,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two passes of reverse mode as two functions, which compile once each.

    Args:
      fun: function of pytrees of arrays.
      argnums: the positional argument, or several, to differentiate.
      has_aux: `fun` returns ``(out, aux)``.
      jitted: compile both. A compiled backward pass of a forward pass that is not compiled would
        compile at every call.

    Returns:
      ``(fwd, bwd)``: ``fwd(*args)`` returns ``(out, residuals)``, or ``(out, residuals, aux)``, and
      ``bwd(residuals, ct)`` the cotangent of the argument, a tuple for several argnums.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> fwd, bwd = fwd_and_bwd(jnp.multiply, argnums=(0, 1))
      >>> out, residuals = fwd(2.0, 3.0)
      >>> [float(ct) for ct in bwd(residuals, 1.0)]
      [3.0, 2.0]
    """
    from jaxcore.jit import jit

    need_function("fwd_and_bwd", fun)
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def fwd(*args: Any, **kwargs: Any) -> Any:
        positions = [n % len(args) for n in numbers]

        def of_chosen(*chosen: Any) -> Any:
            full = list(args)
            for n, value in zip(positions, chosen, strict=True):
                full[n] = value
            return fun(*full, **kwargs)

        return vjp(of_chosen, *(args[n] for n in positions), has_aux=has_aux)

    def bwd(residuals: Any, ct: Any) -> Any:
        cts = residuals(ct)
        return cts[0] if isinstance(argnums, int) else cts

    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)
