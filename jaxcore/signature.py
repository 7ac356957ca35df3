"""A call of a jitted function taken apart: static and donated arguments, dynamic leaves, their
paths.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.ir import is_by_place
from jaxcore.source import fresh_path

__all__ = [
    "Call",
    "Settings",
    "argument_path",
    "function_name",
    "is_valid",
    "leaf_path",
    "need_function",
    "parameter_name",
    "settings_of",
]


def _names(static_argnames: str | Iterable[str] | None) -> tuple[str, ...]:
    if static_argnames is None:
        return ()
    return (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)


def _numbers(argnums: int | Iterable[int] | None) -> tuple[int, ...]:
    if argnums is None:
        return ()
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


@dataclass(frozen=True, slots=True)
class Settings:
    """Which arguments are static and which are donated, by number and by name."""

    static_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]
    donate_argnums: tuple[int, ...]
    donate_argnames: tuple[str, ...]
    options: Any = None  # where and how it is compiled, see `jaxcore.shardings`


def settings_of(
    fun: Callable[..., Any],
    static_argnums: Any,
    static_argnames: Any,
    donate_argnums: Any,
    donate_argnames: Any,
) -> Settings:
    """Check the arguments of `jit` against the signature of `fun`; numbers and names imply each
    other.
    """
    numbers, names = _numbers(static_argnums), _names(static_argnames)
    donated, donated_names = _numbers(donate_argnums), _names(donate_argnames)
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        return Settings(numbers, names, donated, donated_names)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p.name for p in parameters if p.kind in kinds]
    variadic = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
    numbers = tuple(n + len(positional) if n < 0 else n for n in numbers)
    donated = tuple(n + len(positional) if n < 0 else n for n in donated)
    for n in (*numbers, *donated):
        if not variadic and n >= len(positional):
            raise ValueError(
                f"jit of {function_name(fun)}: argument number {n} is out of range, the function "
                f"has {len(positional)} "
                f"positional arguments ({', '.join(positional) or 'none'}). Fix: count from 0."
            )
    known = {p.name for p in parameters}
    open_ended = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters)
    for name in (*names, *donated_names):
        if name not in known and not open_ended:
            raise ValueError(
                f"jit of {function_name(fun)}: there is no argument named {name!r}; its "
                f"arguments are {', '.join(sorted(known)) or 'none'}. Fix: use one of their names."
            )
    # An argument may be passed either way, so numbers imply names and names imply numbers.
    names = tuple(dict.fromkeys([*names, *(positional[n] for n in numbers if n < len(positional))]))
    numbers = tuple(
        dict.fromkeys([*numbers, *(positional.index(n) for n in names if n in positional)])
    )
    donated = tuple(
        dict.fromkeys([*donated, *(positional.index(n) for n in donated_names if n in positional)])
    )
    donated_names = tuple(
        dict.fromkeys([*donated_names, *(positional[n] for n in donated if n < len(positional))])
    )
    overlap = sorted(set(numbers) & set(donated))
    if overlap:
        raise ValueError(
            f"jit of {function_name(fun)}: arguments {overlap} are both static and donated. Fix: "
            "donate arrays, and mark static what is no array."
        )
    return Settings(numbers, names, donated, donated_names)


def function_name(fun: Any) -> str:
    """The name of a function, for messages."""
    if isinstance(fun, partial):
        return function_name(fun.func)
    return getattr(fun, "__name__", type(fun).__name__)


def need_function(what: str, fun: Any) -> None:
    """Raise TypeError where a transformation is given no function."""
    if not callable(fun):
        raise TypeError(
            f"{what} expects a function, got {fun!r} of type {type(fun).__name__}. Fix: pass the "
            f"function itself, {what}(f), not what it returns."
        )


class Call:
    """One call taken apart: dynamic leaves, static arguments, and which leaves are donated."""

    __slots__ = ("args", "donated", "fun", "kwargs", "leaves", "options", "static", "tree")

    def __init__(
        self, fun: Any, settings: Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        static: list[tuple[Any, Any]] = []
        dynamic_args = list(args)
        for n in settings.static_argnums:
            if n < len(args):
                static.append((n, args[n]))
                dynamic_args[n] = None
        dynamic_kwargs = dict(kwargs)
        for name in settings.static_argnames:
            if name in kwargs:
                static.append((name, kwargs[name]))
                dynamic_kwargs[name] = None
        for where, value in static:
            try:
                hash(value)
            except TypeError:
                name = parameter_name(fun, where) if isinstance(where, int) else where
                raise ValueError(
                    f"jit of {function_name(fun)}: the static argument {name} is {value!r} of "
                    f"type {type(value).__name__}, which is not hashable. Static arguments are "
                    "part of the cache key. Fix: pass a hashable value (a tuple instead of a "
                    "list, a frozen dataclass), or do not mark it static."
                ) from None
        self.options = settings.options
        self.fun = fun
        self.args = dynamic_args
        self.kwargs = dynamic_kwargs
        self.static = static
        self.leaves, self.tree = jax.tree.flatten((tuple(dynamic_args), dynamic_kwargs))
        for i, x in enumerate(self.leaves):
            if not is_valid(x):
                raise errors.not_an_array(x, f"Argument {self.path(i)} of {function_name(fun)}")
        self.donated: list[bool] = []
        if settings.donate_argnums or settings.donate_argnames:
            for n, tree in enumerate(dynamic_args):
                self.donated += [n in settings.donate_argnums] * len(jax.tree.leaves(tree))
            for name in sorted(dynamic_kwargs):
                self.donated += [name in settings.donate_argnames] * len(
                    jax.tree.leaves(dynamic_kwargs[name])
                )

    def key(self, avals: list[Any]) -> tuple[Any, ...]:
        """What a trace depends on: tree, types, static values with their types, JAX's context."""
        static = tuple((where, type(value), value) for where, value in self.static)
        return (self.tree, tuple(avals), static, backend.trace_context(), is_by_place())

    def path(self, i: int) -> str:
        return leaf_path((tuple(self.args), self.kwargs), i, self.fun)

    def function(self, fun: Any, out: list[Any]) -> Callable[..., list[Any]]:
        """`fun` of the flat dynamic leaves; the result's tree is left in `out`."""

        def flat(*values: Any) -> list[Any]:
            args, kwargs = jax.tree.unflatten(self.tree, values)
            args = list(args)
            for where, value in self.static:
                if isinstance(where, int):
                    args[where] = value
                else:
                    kwargs[where] = value
            names = errors.argument_names(values, self.path, function_name(fun), self.leaves)
            with fresh_path(), errors.Boundary(names):
                result = fun(*args, **kwargs)
            leaves, tree = jax.tree.flatten(result)
            for i, x in enumerate(leaves):
                if not is_valid(x):
                    path = jax.tree_util.keystr(
                        jax.tree_util.tree_flatten_with_path(result)[0][i][0]
                    )
                    raise errors.not_an_array(
                        x,
                        f"The value that {function_name(fun)} "
                        f"returns{' at ' + path if path else ''}",
                    )
            out.append(tree)
            return leaves

        return flat


def is_valid(x: Any) -> bool:
    """True for arrays, NumPy arrays, tracers and Python numbers."""
    if isinstance(x, jax.Array | bool | int | float | complex | backend.Tracer):
        return True
    dtype = getattr(x, "dtype", None)
    return dtype is not None and hasattr(x, "shape") and getattr(dtype, "kind", "V") not in "OUSMm"


def leaf_path(tree: Any, i: int, fun: Any = None) -> str:
    """A readable path of leaf `i` of (args, kwargs): ``params['w']`` where `fun` has a parameter of
    that name, else ``args[0]['w']``.
    """
    return argument_path(jax.tree_util.tree_flatten_with_path(tree)[0][i][0], fun)


def argument_path(path: Sequence[Any], fun: Any = None) -> str:
    """`leaf_path` of a path of keys into (args, kwargs)."""
    if len(path) < 2:
        return "the arguments"
    kind, which, *rest = path
    if getattr(kind, "idx", 0) == 0:
        name = parameter_name(fun, which.idx)
    else:
        name = which.key if fun is not None else f"kwargs[{which.key!r}]"
    return name + jax.tree_util.keystr(tuple(rest))


def parameter_name(fun: Any, number: int) -> str:
    """The name of a positional parameter, or ``args[number]``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    if number < len(parameters) and parameters[number].kind in kinds:
        return parameters[number].name
    return f"args[{number}]"
