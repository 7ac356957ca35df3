"""Functions whose captured values become arguments: closure_convert and custom_gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.call import run_program
from jaxcore.signature import function_name
from jaxcore.stages import shape_aval
from jaxcore.trace import trace_program
from jaxcore.transforms.derivation import is_inexact

__all__ = ["Closed", "closure_convert", "custom_gradient"]


class Closed:
    """A traced function of trees; what it captured comes first among the values of `call`."""

    __slots__ = ("consts", "in_tree", "name", "out_tree", "program")

    def __init__(self, fun: Callable[..., Any], examples: Sequence[Any]) -> None:
        leaves, self.in_tree = jax.tree.flatten(tuple(examples))
        self.name = function_name(fun)
        out: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            results, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(self.in_tree, values)))
            out[:] = [out_tree]
            return results

        self.program: Program
        self.program, self.consts = trace_program(flat, [shape_aval(x) for x in leaves], self.name)
        self.out_tree = out[0]

    def call(self, consts: Sequence[Any], args: tuple[Any, ...]) -> Any:
        """The function of `args`, at these values in place of those that it captured."""
        tree: Any  # JAX's stubs know no comparison of treedefs
        leaves, tree = jax.tree.flatten(args)
        if tree != self.in_tree:
            raise TypeError(
                f"The inputs to the converted {self.name} must have the structure of the example "
                f"arguments, {self.in_tree}; got {tree}."
            )
        return jax.tree.unflatten(self.out_tree, run_program(self.program, [*consts, *leaves]))


def closure_convert(
    fun: Callable[..., Any], *example_args: Any
) -> tuple[Callable[..., Any], list[Any]]:
    """`fun` with what it captured as further arguments, as far as a derivative may need it.

    A rule of `custom_vjp` can only give cotangents to arguments; so a function that is handed to
    it, and may have captured values that are differentiated, is converted first.

    Args:
      fun: pure function of pytrees of arrays.
      example_args: arguments of the types that it will be called with.

    Returns:
      ``(converted, values)`` with ``converted(*args, *values) == fun(*args)``.

    Example:
      >>> def line(slope):
      ...     converted, values = closure_convert(lambda x: slope * x, 1.0)
      ...     return converted(3.0, *values)
      >>> import jaxcore
      >>> float(jaxcore.grad(line)(2.0))
      3.0
    """
    closed = Closed(fun, example_args)
    hoisted = [i for i, c in enumerate(closed.consts) if _may_move(c)]

    def converted(*args_and_values: Any) -> Any:
        count = len(args_and_values) - len(hoisted)
        consts = list(closed.consts)
        for i, value in zip(hoisted, args_and_values[count:], strict=True):
            consts[i] = value
        return closed.call(consts, args_and_values[:count])

    return converted, [closed.consts[i] for i in hoisted]


def _may_move(x: Any) -> bool:
    """False for what cannot have a tangent."""
    return isinstance(x, backend.Tracer) and is_inexact(x.aval)


def custom_gradient(
    fun: Callable[..., Any] | None = None,
    *,
    with_logs: bool = False,
    remat: bool = False,
    with_accums: Any = None,
) -> Callable[..., Any]:
    """A function that returns its value together with its gradient function.

    Args:
      fun: ``fun(*args) -> (out, back)``, where ``back(ct)`` returns the cotangent of the argument,
        or a tuple with one for each of several. `back` may use what `fun` computed, but not decide
        in Python on its values.
      with_logs, remat, with_accums: jax 0.12's options for its own reverse mode; with one of them
        this is JAX's function.

    Example:
      >>> import jaxcore
      >>> @custom_gradient
      ... def f(x):
      ...     return x**2, lambda ct: ct * 100.0
      >>> float(f(3.0)), float(jaxcore.grad(f)(3.0))
      (9.0, 100.0)
    """
    from jaxcore.custom_derivatives import custom_vjp

    if with_logs or remat or with_accums is not None:
        options = {"with_logs": with_logs, "remat": remat, "with_accums": with_accums}
        return jax.custom_gradient(fun, **options)
    if fun is None:
        return custom_gradient

    def value(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)[0]

    value.__name__ = value.__qualname__ = function_name(fun)
    value.__wrapped__ = fun  # type: ignore[attr-defined] # for its signature
    wrapped = custom_vjp(value)

    def fwd(*args: Any) -> Any:
        out, back = fun(*args)
        like = jax.tree.map(lambda x: _tangent_shape(x), out)
        closed = Closed(back, (like,))
        return out, _Residuals(closed, closed.consts)

    def bwd(residuals: _Residuals, ct: Any) -> Any:
        back = residuals.closed.call(residuals.consts, (ct,))
        return back if isinstance(back, tuple | list) else (back,)

    wrapped.defvjp(fwd, bwd)
    return wrapped


def _tangent_shape(x: Any) -> Any:
    aval = shape_aval(x).to_tangent_aval()
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


class _Residuals:
    """A traced function as a pytree of what it captured."""

    def __init__(self, closed: Closed, consts: Sequence[Any]) -> None:
        self.closed, self.consts = closed, consts


jax.tree_util.register_pytree_node(
    _Residuals,
    lambda r: (r.consts, _Same(r.closed)),
    lambda same, consts: _Residuals(same.closed, consts),
)


class _Same:
    """Closed functions as a part of a tree's structure: equal for equal programs and trees."""

    __slots__ = ("closed", "key")

    def __init__(self, closed: Closed) -> None:
        self.closed = closed
        self.key = (closed.program, closed.in_tree, closed.out_tree)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key
