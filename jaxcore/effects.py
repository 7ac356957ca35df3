"""Effects: calls of Python from inside a compiled function.

`debug.print`, `pure_callback` and `io_callback` are JAX's own, recorded as equations that declare
their effects: nothing that has an effect is dropped, and ordered ones happen in program order, in
loops and branches too. `callback` is ours, so that blocks which call back stay equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxcore import backend

__all__ = ["callback"]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Callback:
    """`function` of the arrays among its arguments; equal where function and structure are."""

    function: Callable[..., None]
    tree: Any
    static: tuple[tuple[int, Any], ...]

    def __call__(self, *arrays: Any) -> tuple[()]:
        leaves = list(arrays)
        for i, x in self.static:
            leaves.insert(i, x)
        args, kwargs = jax.tree.unflatten(self.tree, leaves)
        self.function(*args, **kwargs)
        return ()


def callback(
    function: Callable[..., None] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` on the host when the program gets there.

    The function sees the values of arrays; its result is thrown away. Under `grad` it is called in
    the forward pass, under `vmap` once for each example. ``callback(ordered=True)(function, x)``
    says the same as ``callback(function, x, ordered=True)``.

    Args:
      function: function of pytrees, called for what it does.
      args, kwargs: its arguments; leaves that are no arrays are passed on as they are.
      ordered: keep the order of this call and other ordered ones.
      partitioned: call with each device's part of the arrays instead of with whole arrays.

    Raises:
      TypeError: `function` is not callable.

    Example:
      >>> import jax, jaxcore
      >>> seen = []
      >>> @jaxcore.jit
      ... def f(x):
      ...     callback(lambda x, name: seen.append((name, int(x))), x, name="x")
      ...     return x + 1
      >>> y = f(1)
      >>> jax.effects_barrier()
      >>> seen
      [('x', 1)]
    """

    def record(function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        if not callable(function):
            raise TypeError(
                f"debug.callback: the first argument must be a function, got {function!r} of type "
                f"{type(function).__name__}."
            )
        leaves, tree = jax.tree.flatten((args, kwargs))
        static = tuple((i, x) for i, x in enumerate(leaves) if not backend.is_value(x))
        backend.debug_callback_p.bind(
            *(x for x in leaves if backend.is_value(x)),
            callback=_Callback(function, tree, static),
            effect=backend.debug_effect(ordered),
            partitioned=partitioned,
        )

    if function is not None:
        return record(function, *args, **kwargs)
    if args or kwargs:
        raise TypeError("debug.callback: pass the function first, then its arguments.")
    return record
