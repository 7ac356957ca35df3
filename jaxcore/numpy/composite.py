"""Functions made of many operations, each of which is one executable outside `jit`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from jaxcore import backend

__all__ = ["composite"]

F = TypeVar("F", bound=Callable[..., Any])


def composite(*static: str) -> Callable[[F], F]:
    """Compile the decorated function as a whole where it is called outside of any trace.

    While a trace is current its operations go there one by one, as those of any other function.

    Args:
      static: names of the arguments that are not arrays; lists among them become tuples.
    """

    def decorate(function: F) -> F:
        names = list(inspect.signature(function).parameters)
        places = {i for i, name in enumerate(names) if name in static}
        compiled: list[Callable[..., Any]] = []

        def prepared(x: Any, is_static: bool) -> Any:
            if is_static:
                return tuple(x) if isinstance(x, list) else x
            if type(x) in (list, tuple):
                return type(x)([prepared(item, False) for item in x])
            return x.__jax_array__() if hasattr(x, "__jax_array__") else x

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not backend.at_top_level():
                return function(*args, **kwargs)
            if not compiled:
                from jaxcore.jit import jit

                compiled.append(jit(function, static_argnames=static))
            return compiled[0](
                *(prepared(x, i in places) for i, x in enumerate(args)),
                **{name: prepared(x, name in static) for name, x in kwargs.items()},
            )

        return call  # type: ignore[return-value]

    return decorate
