"""The two sides that every case runs: the same functions, over another namespace."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import jax.numpy

import jaxcore
import jaxcore.numpy
from benchmarks.harness import OURS, PEER


@dataclass(frozen=True)
class Side:
    """A library under measurement.

    Attributes:
        name: The side's name in the results.
        np: Its array namespace.
        jit: Its compiled call.
        grad: Its gradient.
        value_and_grad: Its value and gradient.
    """

    name: str
    np: ModuleType
    jit: Callable[..., Any]
    grad: Callable[..., Any]
    value_and_grad: Callable[..., Any]


SIDES = (
    Side(OURS, jaxcore.numpy, jaxcore.jit, jaxcore.grad, jaxcore.value_and_grad),
    Side(PEER, jax.numpy, jax.jit, jax.grad, jax.value_and_grad),
)
