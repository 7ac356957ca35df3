"""Functions that are one executable outside `jit`, however many operations they are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jaxcore import backend

if TYPE_CHECKING:
    from jaxcore.jit import Jitted

__all__ = ["composite"]

F = TypeVar("F", bound=Callable[..., Any])
# What the dispatcher takes as it is, whether it is an array or static.
_PLAIN = frozenset({backend.Array, np.ndarray, bool, int, float, complex, str, type(None)})


def composite(*static: str) -> Callable[[F], F]:
    """Compile the decorated function as a whole where it is called outside of any trace.

    While a trace is current its operations go there one by one, as those of any other function.

    Args:
      static: names of the arguments that are not arrays; lists among them become tuples.
    """

    def decorate(function: F) -> F:
        names = list(inspect.signature(function).parameters)
        places = {i for i, name in enumerate(names) if name in static}
        context, top_level = backend.trace_ctx, backend.eval_trace
        compiled: Jitted | None = None

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal compiled
            if context.trace is not top_level:
                return function(*args, **kwargs)
            if compiled is None:
                from jaxcore.jit import jit

                compiled = jit(function, static_argnames=static)
            for x in args:
                if type(x) not in _PLAIN:
                    args = tuple([_prepared(x, i in places) for i, x in enumerate(args)])
                    break
            if kwargs:
                kwargs = {name: _prepared(x, name in static) for name, x in kwargs.items()}
            try:
                return compiled.dispatch(*args, **kwargs)
            except (backend.NonFinite, OverflowError, RuntimeError, ValueError) as error:
                if "Non-hashable static" in str(error):  # an axis in an array
                    return function(*args, **kwargs)
                if type(error) is OverflowError:  # which operation by itself says more of
                    function(*args, **kwargs)
                else:
                    compiled.refuse(error, args, kwargs)
                raise

        return call  # type: ignore[return-value]

    return decorate


def _prepared(x: Any, static: bool) -> Any:
    """An argument as the dispatcher takes it."""
    if type(x) in _PLAIN:
        return x
    if static:
        return tuple(x) if isinstance(x, list) else x
    if type(x) in (list, tuple):
        return type(x)([_prepared(item, False) for item in x])
    as_array = getattr(x, "__jax_array__", None)
    return x if as_array is None else as_array()
