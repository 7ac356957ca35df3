"""Functions with batching rules of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend, errors, namespaces
from jaxcore.bodies import ours
from jaxcore.control import map as map_elements
from jaxcore.ops.custom_batch import VmapRule, check_trees, custom_vmap_p
from jaxcore.ops.custom_call import CustomCall, CustomFunction
from jaxcore.signature import function_name
from jaxcore.trace import bind

__all__ = ["custom_vmap", "sequential_vmap"]


class custom_vmap(CustomFunction):
    """A function that `vmap` applies to a batch by the rule given with `def_vmap`.

    Forward mode differentiates the function, under vmap the rule; reverse mode differentiates the
    function and batches that as it comes. For a gradient of its own put `custom_vjp` around it.

    Args:
      fun: function of pytrees of arrays.

    Raises:
      AttributeError: it is called before there is a rule.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @custom_vmap
      ... def scaled(x, y):
      ...     return x * y
      >>> @scaled.def_vmap
      ... def rule(axis_size, in_batched, x, y):
      ...     return jnp.multiply(x, y) + axis_size, True
      >>> jaxcore.vmap(scaled)(jnp.arange(3.0), jnp.ones(3))
      Array([3., 4., 5.], dtype=float32)
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        super().__init__(fun)
        self.vmap_rule: Callable[..., Any] | None = None
        self._theirs: Any = None

    def def_vmap(self, vmap_rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule ``vmap_rule(axis_size, in_batched, *args) -> (out, out_batched)``.

        `in_batched` has a tree of bools for each argument; batched ones have their examples along
        axis 0. `out_batched` says the same of the results, in their structure.
        """
        self.vmap_rule, self._theirs = vmap_rule, None
        return vmap_rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.vmap_rule is None:
            raise AttributeError(
                f"No batching rule defined for custom_vmap function {self.name} using def_vmap."
            )
        args = self.resolve(args, kwargs)
        if not ours():
            if self._theirs is None:
                self._theirs = jax.custom_batching.custom_vmap(self.fun)
                self._theirs.def_vmap(self.vmap_rule)
            return self._theirs(*args)
        if backend.at_top_level():
            return self.fun(*args)
        call = CustomCall(self, args)
        out = bind(
            custom_vmap_p,
            *call.consts,
            *call.leaves,
            program=call.program,
            rule=_Rule(self.vmap_rule, call),
            n_consts=len(call.consts),
        )
        return jax.tree.unflatten(call.out_tree, out)


class _Rule(VmapRule):
    """A user's rule, called on the trees of its function."""

    __slots__ = ("call", "function")

    def __init__(self, function: Callable[..., Any], call: CustomCall) -> None:
        super().__init__((function, call.key))
        self.function, self.call = function, call

    def __repr__(self) -> str:
        return function_name(self.function)

    def __call__(
        self, size: int, values: Sequence[Any], batched: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        tree = self.call.tree
        mask = list(jax.tree.unflatten(tree, batched))
        with errors.Boundary():
            result = self.function(size, mask, *jax.tree.unflatten(tree, values))
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"custom vmap rule {self!r} for function {self.call.name} must return a pair "
                f"(output, which of it is batched), got {result!r}."
            )
        return check_trees(repr(self), self.call.out_tree, *result)


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """A function that `vmap` calls for one example after the other, in a loop.

    For functions that cannot take a batch, or should not have one in memory.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.vmap(sequential_vmap(lambda x: x + 1))(jnp.arange(3))
      Array([1, 2, 3], dtype=int32)
    """
    function = custom_vmap(f)

    @function.def_vmap
    def rule(axis_size: int, in_batched: Sequence[Any], *args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        mask = jax.tree.leaves(list(in_batched))

        def one(mapped: Sequence[Any]) -> Any:
            given = iter(mapped)
            full = [next(given) if on else x for x, on in zip(leaves, mask, strict=True)]
            return function(*jax.tree.unflatten(tree, full))

        out = map_elements(one, [x for x, on in zip(leaves, mask, strict=True) if on])
        return out, jax.tree.map(lambda _: True, out)

    return function


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
