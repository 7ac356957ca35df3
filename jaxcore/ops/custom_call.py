"""Functions that carry rules of their own: what the classes for them share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, update_wrapper
from typing import Any

import jax

from jaxcore import errors
from jaxcore.ir import Program, param_key
from jaxcore.signature import function_name, is_valid, leaf_path
from jaxcore.source import fresh_path
from jaxcore.trace import aval_of, trace_program

__all__ = ["CustomCall", "CustomFunction"]


class CustomFunction:
    """A function whose arguments are resolved to positions; some of them may be fixed."""

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: Sequence[int] = (),
        nondiff_argnames: Sequence[str] = (),
    ) -> None:
        wrapper: Any = self
        update_wrapper(wrapper, fun)
        self.fun = fun
        self._kind = type(self).__name__
        self._positional = _positional(fun)
        self.nondiff_argnums = tuple(
            sorted({*_numbers(nondiff_argnums), *self._named(nondiff_argnames)})
        )

    def __getattr__(self, name: str) -> Any:
        """Rules are also given through an outer function: a `custom_vjp` of a `custom_vmap`."""
        if name.startswith("def") and "fun" in vars(self):
            return getattr(self.fun, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def name(self) -> str:
        """The function's name."""
        return function_name(self.fun)

    def _named(self, names: str | Iterable[str]) -> list[int]:
        names = (names,) if isinstance(names, str) else tuple(names)
        known = list(self._positional or ())
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{self._kind} of {self.name}: nondiff_argnames has {name!r}, but its "
                    f"positional arguments are {', '.join(known) or 'none'}."
                )
        return [known.index(name) for name in names]

    def resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, defaults among them."""
        if not kwargs and self._positional is not None and len(args) == len(self._positional):
            return args
        fun = self.fun
        signature = inspect.signature(_anything if isinstance(fun, partial) else fun)
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            by_name = [k for k in bound.kwargs if k in kwargs]
            if by_name:
                raise TypeError(
                    "The following keyword arguments could not be resolved to positions: "
                    f"{', '.join(by_name)}"
                )
        except TypeError as error:
            raise TypeError(
                f"The input arguments to the {self._kind}-decorated function {self.name} could "
                f"not be resolved to positional-only arguments. Binding failed with the error:\n"
                f"{error}"
            ) from None
        return bound.args


def _anything(*args: Any, **kwargs: Any) -> None:
    """The signature of what says none."""


def _numbers(numbers: int | Iterable[int]) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


def _positional(fun: Callable[..., Any]) -> dict[str, Any] | None:
    """The positional parameters, or None where a call need not have just those."""
    try:
        parameters = inspect.signature(fun).parameters
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
        return None
    return {name: p for name, p in parameters.items() if p.kind in kinds}


class CustomCall:
    """One call, taken apart and traced.

    Attributes:
      fixed: the arguments that are not differentiated, in order.
      leaves, tree: the others, flat.
      program, consts: the function of those leaves, and what it captured.
      out_tree: the tree of its result.
    """

    __slots__ = ("consts", "fixed", "leaves", "name", "numbers", "out_tree", "program", "tree")

    def __init__(self, function: CustomFunction, args: Sequence[Any]) -> None:
        self.name = function.name
        self.numbers = numbers = function.nondiff_argnums
        self.fixed = tuple([args[i] for i in numbers])
        dynamic = tuple([x for i, x in enumerate(args) if i not in numbers])
        self.leaves, self.tree = jax.tree.flatten(dynamic)
        for i, x in enumerate(self.leaves):
            if not is_valid(x):
                path = leaf_path((dynamic, {}), i)
                raise errors.not_an_array(x, f"Argument {path} of {self.name}")
        out: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            full = self.arguments(jax.tree.unflatten(self.tree, values))
            names = errors.stand_ins(values, self.leaves)
            with fresh_path(), errors.Boundary(names):
                results, out_tree = jax.tree.flatten(function.fun(*full))
            out[:] = [out_tree]
            return results

        self.program: Program
        self.program, self.consts = trace_program(
            flat, [aval_of(x) for x in self.leaves], self.name
        )
        self.out_tree = out[0]

    def arguments(self, dynamic: Sequence[Any]) -> list[Any]:
        """All arguments in their places."""
        fixed = dict(zip(self.numbers, self.fixed, strict=True))
        given = iter(dynamic)
        count = len(fixed) + len(dynamic)
        return [fixed[i] if i in fixed else next(given) for i in range(count)]

    @property
    def key(self) -> tuple[Any, ...]:
        """What rules are called with besides values."""
        fixed = param_key({str(i): x for i, x in enumerate(self.fixed)})
        outs = tuple([a.update(weak_type=False) for a in self.program.out_avals])
        return (fixed, self.tree, self.out_tree, outs)
