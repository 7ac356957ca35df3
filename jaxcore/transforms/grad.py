"""Derivatives of functions: jvp, linearize, vjp, grad, value_and_grad, stop_gradient.

While operations are being recorded a function is first traced to a program, whose linearisation and transpose are
memoised on it; otherwise its Python runs under a `LinearizeTrace`, so that control flow on values works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.ir import Program, intern
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program

from jaxcore.trace import StageTrace, aval_of, trace_program
from jaxcore.transforms.linearize import LinearizeTrace, linearize_program
from jaxcore.transforms.transpose import transpose_program
from jaxcore.transforms.vmap import leaf_path

__all__ = ["grad", "jvp", "linearize", "stop_gradient", "value_and_grad", "vjp"]


class _Linear:
    """A linear program with the residuals it needs; maps tangents forward and cotangents back."""

    __slots__ = ("active_in", "active_out", "in_avals", "out_avals", "program", "residuals")

    def __init__(self, program: Program, residuals: Sequence[Any], active_in: Sequence[bool],
                 active_out: Sequence[bool], in_avals: Sequence[Any], out_avals: Sequence[Any]) -> None:
        self.program = program
        self.residuals = list(residuals)
        self.active_in = tuple(active_in)
        self.active_out = tuple(active_out)
        self.in_avals = list(in_avals)
        self.out_avals = list(out_avals)

    def forward(self, tangents: Sequence[Any]) -> list[Any]:
        """Tangents of all outputs from tangents of all inputs."""
        given = [t for t, on in zip(tangents, self.active_in, strict=True) if on]
        moved = iter(run_program(self.program, [*self.residuals, *given]))
        return [next(moved) if on else zeros(a.to_tangent_aval())
                for on, a in zip(self.active_out, self.out_avals, strict=True)]

    def backward(self, cts: Sequence[Any]) -> list[Any]:
        """Cotangents of all inputs from cotangents of all outputs."""
        n = len(self.residuals)
        given = [c for c, on in zip(cts, self.active_out, strict=True) if on]
        count = len(self.program.inputs) - n
        back = transpose_program(self.program, (False,) * n + (True,) * count, (True,) * len(given))
        results = iter(run_program(back.program, [*back.consts, *self.residuals, *given]))
        filled = iter(back.present)
        return [next(results) if on and next(filled) else zeros(a.to_tangent_aval())
                for on, a in zip(self.active_in, self.in_avals, strict=True)]


def linearize_flat(fun: Callable[..., list[Any]], primals: Sequence[Any], active: Sequence[bool], name: str
                   ) -> tuple[list[Any], _Linear]:
    """Values of a flat function and its linear part at `primals`."""
    parent = backend.current_trace()
    avals = [aval_of(p) for p in primals]
    if type(parent) is StageTrace:
        program, consts = trace_program(fun, avals, name)
        split = linearize_program(program, (False,) * len(consts) + tuple(active))
        operands = [*consts, *primals]
        results = run_program(split.primal, [*split.consts, *operands])
        pool = [*operands, *results]
        residuals = [pool[i] for i in split.residuals]
        outs = results[: len(split.active)]
        return outs, _Linear(split.linear, residuals, active, split.active, avals, [aval_of(o) for o in outs])
    trace = LinearizeTrace(parent, name)
    args: list[Any] = []
    tangents = []
    for p, aval, on in zip(primals, avals, active, strict=True):
        if on:
            p, var = trace.new(p, aval.to_tangent_aval())
            tangents.append(var)
        args.append(p)
    with backend.set_current_trace(trace):
        pairs = [trace.split(x) for x in fun(*args)]
    trace.invalidate()
    active_out = [t is not None for _, t in pairs]
    program, residuals = trace.linear.finish(tangents, [t for _, t in pairs if t is not None])
    outs = [p for p, _ in pairs]
    return outs, _Linear(intern(program), residuals, active, active_out, avals, [aval_of(o) for o in outs])


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", type(fun).__name__)


def _is_inexact(aval: Any) -> bool:
    return aval.to_tangent_aval().dtype != backend.float0


def _flat(fun: Callable[..., Any], tree: Any, out: list[Any]) -> Callable[..., list[Any]]:
    def flat(*leaves: Any) -> list[Any]:
        leaves_out, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, leaves)))
        out[:] = [out_tree]
        return leaves_out

    return flat


def _check_tangents(name: str, kind: str, primals: Any, tangents: Any) -> tuple[list[Any], list[Any], Any]:
    """Flat primals and tangents, whose trees, shapes and dtypes must agree."""
    p_leaves, tree = jax.tree.flatten(primals)
    t_leaves, t_tree = jax.tree.flatten(tangents)
    if tree != t_tree:
        raise TypeError(f"{kind} of {name}: primals and tangents must have the same tree structure; got {tree} and "
                        f"{t_tree}.")
    for i, (p, t) in enumerate(zip(p_leaves, t_leaves, strict=True)):
        want, got = aval_of(p).to_tangent_aval(), aval_of(t)
        if want.dtype != got.dtype or want.shape != got.shape:
            path = leaf_path((primals, {}), i)
            raise (TypeError if want.dtype != got.dtype else ValueError)(
                f"{kind} of {name}: primal {path} has type {aval_of(p)}, so its tangent must be "
                f"{want.dtype}{list(want.shape)}, but got {got}.")
    return p_leaves, t_leaves, tree


def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
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
    name = _name(fun)
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(f"jvp of {name}: primals and tangents must be tuples or lists, got {type(primals).__name__} and "
                        f"{type(tangents).__name__}. Fix: write (x,) for a single argument.")
    leaves, t_leaves, tree = _check_tangents(name, "jvp", tuple(primals), tuple(tangents))
    active = [_is_inexact(aval_of(p)) for p in leaves]
    out: list[Any] = []
    aux: list[Any] = []
    flat = _flat(_with_aux(fun, aux) if has_aux else fun, tree, out)
    outs, linear = linearize_flat(flat, leaves, active, name)
    moved = linear.forward(t_leaves)
    result = jax.tree.unflatten(out[0], outs), jax.tree.unflatten(out[0], moved)
    return (*result, _lower_aux(aux[0])) if has_aux else result


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value at `primals` and the linear map of tangents there, which may be applied many times.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> y, f_jvp = jaxcore.linearize(jnp.sin, 0.0)
      >>> f_jvp(2.0)
      Array(2., dtype=float32, weak_type=True)
    """
    name = _name(fun)
    leaves, tree = jax.tree.flatten(primals)
    active = [_is_inexact(aval_of(p)) for p in leaves]
    out: list[Any] = []
    aux: list[Any] = []
    flat = _flat(_with_aux(fun, aux) if has_aux else fun, tree, out)
    outs, linear = linearize_flat(flat, leaves, active, name)

    def f_jvp(*tangents: Any) -> Any:
        _, t_leaves, _ = _check_tangents(name, "linearize", jax.tree.unflatten(tree, leaves), tuple(tangents))
        return jax.tree.unflatten(out[0], linear.forward(t_leaves))

    value = jax.tree.unflatten(out[0], outs)
    return (value, f_jvp, _lower_aux(aux[0])) if has_aux else (value, f_jvp)


def _with_aux(fun: Callable[..., Any], box: list[Any]) -> Callable[..., Any]:
    """`fun` returns (out, aux): keep aux aside as extra outputs that carry no derivative."""

    @wraps(fun)
    def split(*args: Any, **kwargs: Any) -> Any:
        result = fun(*args, **kwargs)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{_name(fun)} must return a pair (out, aux) because has_aux=True, but returned "
                            f"{type(result).__name__}{f' of length {len(result)}' if isinstance(result, tuple) else ''}.")
        box[:] = [result[1]]
        return result[0]

    return split


def _lower_aux(aux: Any) -> Any:
    """aux with our finished tracers replaced by their primal values."""

    def primal(x: Any) -> Any:
        while type(x).__name__ == "LinearizeTracer" and not x._trace.is_valid():
            x = x.primal
        return x

    return jax.tree.map(primal, aux)


class _VJP:
    """Applies a transposed linear map; a pytree, so that it may leave a jitted function."""

    def __init__(self, linear: _Linear, in_tree: Any, out_tree: Any, name: str) -> None:
        self.linear, self.in_tree, self.out_tree, self.name = linear, in_tree, out_tree, name

    def __call__(self, cotangent: Any) -> Any:
        leaves, tree = jax.tree.flatten(cotangent)
        if tree != self.out_tree:
            raise ValueError(f"vjp of {self.name}: the cotangent must have the structure of the output, "
                             f"{self.out_tree}; got {tree}.")
        for x, aval in zip(leaves, self.linear.out_avals, strict=True):
            want, got = aval.to_tangent_aval(), aval_of(x)
            if got.shape != want.shape or got.dtype != want.dtype:
                raise ValueError(f"vjp of {self.name}: the cotangent must have the type of the output, {want}; got "
                                 f"{got}. Fix: use the shape and dtype of the value that vjp returned.")
        return jax.tree.unflatten(self.in_tree, self.linear.backward(leaves))


def _flatten_vjp(v: _VJP) -> tuple[list[Any], Any]:
    ln = v.linear
    static = (ln.program, ln.active_in, ln.active_out, tuple(ln.in_avals), tuple(ln.out_avals), v.in_tree, v.out_tree,
              v.name)
    return ln.residuals, static


def _unflatten_vjp(static: Any, residuals: Sequence[Any]) -> _VJP:
    program, active_in, active_out, in_avals, out_avals, in_tree, out_tree, name = static
    return _VJP(_Linear(program, residuals, active_in, active_out, in_avals, out_avals), in_tree, out_tree, name)


jax.tree_util.register_pytree_node(_VJP, _flatten_vjp, _unflatten_vjp)


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value at `primals` and the function from a cotangent of it to cotangents of the arguments (reverse mode).

    Returns:
      ``(out, vjp_fun)`` or ``(out, vjp_fun, aux)``; ``vjp_fun(ct)`` returns a tuple, one entry an argument.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> y, back = jaxcore.vjp(jnp.multiply, 2.0, 3.0)
      >>> [float(g) for g in back(y)]
      [18.0, 12.0]
    """
    name = _name(fun)
    leaves, tree = jax.tree.flatten(primals)
    active = [_is_inexact(aval_of(p)) for p in leaves]
    out: list[Any] = []
    aux: list[Any] = []
    flat = _flat(_with_aux(fun, aux) if has_aux else fun, tree, out)
    outs, linear = linearize_flat(flat, leaves, active, name)
    value = jax.tree.unflatten(out[0], outs)
    back = _VJP(linear, tree, out[0], name)
    return (value, back, _lower_aux(aux[0])) if has_aux else (value, back)


def value_and_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False,
                   holomorphic: bool = False, allow_int: bool = False) -> Callable[..., Any]:
    """A function that returns the value of `fun` and its gradient.

    Args:
      fun: returns a real scalar, or ``(scalar, aux)`` with `has_aux`.
      argnums: the positional argument, or several, to differentiate; any pytree of float arrays.
      has_aux: `fun` also returns auxiliary values, which are passed through.
      holomorphic: `fun` is a holomorphic function of complex arguments.
      allow_int: let integer arguments through; their gradients are float0 zeros.

    Returns:
      ``f(*args) -> (value, gradient)``, ``((value, aux), gradient)`` with `has_aux`; the gradient has the structure
      of the argument, a tuple for several argnums.

    Raises:
      TypeError: the output is not a real scalar, or an argument is not of a float dtype.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.value_and_grad(lambda x: x ** 2)(3.0)
      (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    name = _name(fun)
    many = not isinstance(argnums, int)
    numbers = tuple(argnums) if many else (argnums,)  # type: ignore[arg-type]

    @wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(f"grad of {name}: differentiating with respect to argnums={argnums} requires at least "
                                 f"{max(m + 1 if m >= 0 else -m for m in numbers)} positional arguments, but it was "
                                 f"called with {len(args)}. Fix: pass the argument by position.")
        positions = [n % len(args) for n in numbers]
        chosen = tuple(args[n] for n in positions)
        leaves, tree = jax.tree.flatten(chosen)
        for i, x in enumerate(leaves):
            _check_input(name, x, chosen, i, positions, holomorphic, allow_int)

        def of_chosen(*values: Any) -> Any:
            full = list(args)
            for n, value in zip(positions, values, strict=True):
                full[n] = value
            return fun(*full, **kwargs)

        aux: list[Any] = []
        out: list[Any] = []
        if has_aux:
            flat = _flat_with_aux(_named(of_chosen, fun), tree, out, aux)
        else:
            flat = _flat(of_chosen, tree, out)
        active = [_is_inexact(aval_of(p)) for p in leaves]
        outs, linear = linearize_flat(flat, leaves, active, name)
        n_value = out[0].num_leaves
        value = jax.tree.unflatten(out[0], outs[:n_value])
        ct = _unit(name, value, linear.out_avals[0] if linear.out_avals else None, holomorphic)
        cts = [ct] + [zeros(a.to_tangent_aval()) for a in linear.out_avals[1:]]
        gradient = jax.tree.unflatten(tree, linear.backward(cts))
        gradient = gradient if many else gradient[0]
        if has_aux:
            rest = jax.tree.unflatten(aux[0], outs[n_value:])
            return (value, rest), gradient
        return value, gradient

    return wrapped


def _named(f: Callable[..., Any], like: Any) -> Callable[..., Any]:
    f.__name__ = _name(like)
    return f


def _flat_with_aux(fun: Callable[..., Any], tree: Any, out: list[Any], aux: list[Any]) -> Callable[..., list[Any]]:
    """Flat outputs of fun's first result followed by those of aux."""

    def flat(*leaves: Any) -> list[Any]:
        result = fun(*jax.tree.unflatten(tree, leaves))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{_name(fun)} must return a pair (value, aux) because has_aux=True, but returned "
                            f"{type(result).__name__}.")
        value, value_tree = jax.tree.flatten(result[0])
        rest, rest_tree = jax.tree.flatten(result[1])
        out[:], aux[:] = [value_tree], [rest_tree]
        return [*value, *rest]

    return flat


def _check_input(name: str, x: Any, chosen: Any, i: int, positions: Sequence[int], holomorphic: bool, allow_int: bool
                 ) -> None:
    try:
        aval = aval_of(x)
    except TypeError:
        raise errors.not_an_array(x, f"grad of {name}: argument {positions[0]}") from None
    dtype = aval.dtype
    kind = np.dtype(dtype).kind if not backend.is_extended(dtype) else "O"
    inexact = _is_inexact(aval)
    if holomorphic and kind != "c":
        raise TypeError(f"grad of {name} with holomorphic=True requires complex arguments, got {aval}.")
    if kind == "c" and not holomorphic:
        raise TypeError(f"grad of {name} requires real-valued arguments, but got {aval}. Fix: pass holomorphic=True for "
                        "a holomorphic function, or use jaxcore.vjp.")
    if not inexact and not allow_int:
        path = jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(chosen)[0][i][0][1:])
        number = jax.tree_util.tree_flatten_with_path(chosen)[0][i][0][0].idx
        raise TypeError(
            f"grad requires real- or complex-valued inputs (input dtype that is a sub-dtype of np.inexact), but "
            f"argument {positions[number]}{path} of {name} has type {aval}.\nFix: pass floats (1.0 instead of 1), "
            "differentiate another argument with argnums, or set allow_int=True.")


def _unit(name: str, value: Any, aval: Any, holomorphic: bool) -> Any:
    """The cotangent 1 of a scalar output."""
    leaves = jax.tree.leaves(value)
    if len(leaves) != 1 or jax.tree.structure(value) != jax.tree.structure(0):
        raise TypeError(f"Gradient only defined for scalar-output functions. {name} returned {type(value).__name__} with "
                        f"{len(leaves)} leaves. Fix: return a single scalar, or use has_aux=True for further values.")
    if aval.shape != ():
        raise TypeError(f"Gradient only defined for scalar-output functions. {name} returned {aval}.\nFix: reduce it, "
                        "for example with jaxcore.numpy.mean or sum, or use jaxcore.vjp.")
    kind = np.dtype(aval.dtype).kind
    if kind == "c" and not holomorphic:
        raise TypeError(f"grad requires real-valued outputs, but {name} returned {aval}. Fix: pass holomorphic=True for "
                        "a holomorphic function, or return its real part.")
    if kind in "iub":
        raise TypeError(f"grad requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but "
                        f"{name} returned {aval}. Fix: convert the result to a float dtype before returning it.")
    return np.ones((), aval.dtype)[()] if not aval.weak_type else (1.0 + 0j if kind == "c" else 1.0)


def grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False,
         allow_int: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`; arguments as for `value_and_grad`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.grad(jnp.tanh)(0.0)
      Array(1., dtype=float32, weak_type=True)
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

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
    from jaxcore.ops.basic import stop_gradient_p
    from jaxcore.trace import bind

    return jax.tree.map(lambda leaf: bind(stop_gradient_p, leaf) if _is_inexact(aval_of(leaf)) else leaf, x)



