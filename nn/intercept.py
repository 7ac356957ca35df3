"""`intercept_methods`: something done around every call of a method of a module."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from . import scope
from .errors import InputError
from .module import Module

Interceptor = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], Any]


class MethodContext(NamedTuple):
    """What is being called; where it stands in the model is ``context.module.path``."""

    module: Module
    method_name: str


def intercept_methods(interceptor: Interceptor) -> AbstractContextManager[None]:
    """While it is open, methods of modules run through `interceptor`, as Flax's and Haiku's do.

    ``interceptor(run, args, kwargs, context)`` returns the method's result, mostly that of
    ``run(*args, **kwargs)``. Of several the one that was opened last is outermost. Under `jit` this
    happens while the function is traced: open it around that, or inside.

    Args:
      interceptor: the function; `context` has the `module` and the `method_name`.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> def doubled(run, args, kwargs, context):
    ...     y = run(*args, **kwargs)
    ...     return 2 * y if isinstance(context.module, nn.Dense) else y
    >>> layer, x = nn.Dense(1), jnp.ones((1, 3))
    >>> y, variables = layer.init_with_output(random.key(0), x)
    >>> with nn.intercept_methods(doubled):
    ...     z = layer.apply(variables, x)
    >>> bool((z == 2 * y).all())
    True
    """
    if not callable(interceptor):
        raise InputError(
            f"intercept_methods: got {interceptor!r}. Expected a function (run, args, kwargs, "
            "context) that returns run(*args, **kwargs), or something else instead."
        )

    def around(run: Any, module: Module, method: str, *args: Any, **kwargs: Any) -> Any:
        return interceptor(run, args, kwargs, MethodContext(module, method))

    return scope.intercepting(around)
