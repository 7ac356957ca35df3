"""The two sides that every case runs: the same functions, over another library."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy

import jaxcore
import jaxcore.numpy
from benchmarks.harness import OURS, PEER


class Side:
    """A library under measurement, under the names that both have.

    Attributes:
        name: The side's name in the results.
        np, lax, random: Its namespaces.
        tree: Its functions of trees.
        jit, grad, value_and_grad, vmap, hessian: Its transformations.
    """

    def __init__(self, name: str, library: ModuleType) -> None:
        self.name = name
        self.np, self.lax, self.random = library.numpy, library.lax, library.random
        self.tree = library.tree
        self.jit, self.vmap = library.jit, library.vmap
        self.grad, self.value_and_grad = library.grad, library.value_and_grad
        self.hessian = library.hessian

    def block(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call one of a model's equal layers: ours as a module does it, JAX's as its users do."""
        if self.name == OURS:
            return jaxcore.block(fn, *args, name="block")
        return fn(*args)


SIDES = (Side(OURS, jaxcore), Side(PEER, jax))
