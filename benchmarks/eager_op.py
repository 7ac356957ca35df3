"""Functions outside jit: what a person types at the prompt or while debugging.

One operation, five of them by hand, and functions that are made of several themselves.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy

import jaxcore.nn
from benchmarks.harness import OURS, Row, repeated
from benchmarks.sides import SIDES, Side


def softmax(side: Side, x: jax.Array) -> jax.Array:
    """Softmax over the last axis, in five operations."""
    np = side.np
    shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return shifted / np.sum(shifted, axis=-1, keepdims=True)


def activations(side: Side) -> Any:
    """The namespace of activation functions."""
    return jaxcore.nn if side.name == OURS else jax.nn


CASES: dict[str, tuple[Callable[[Side, jax.Array], Any], float | None]] = {
    "np.add(a, a)": (lambda side, x: side.np.add(x, x), None),
    "softmax, 5 operations": (softmax, None),
    "nn.softmax": (lambda side, x: activations(side).softmax(x), 0.25),
    "nn.gelu": (lambda side, x: activations(side).gelu(x), None),
    "np.var": (lambda side, x: side.np.var(x, axis=-1), None),
    "np.einsum": (lambda side, x: side.np.einsum("ij,kj->ik", x, x), None),
}


def run() -> list[Row]:
    """Measure each on a small batch."""
    values = numpy.random.default_rng(0).standard_normal((8, 16)).astype(numpy.float32)
    x = jax.numpy.asarray(values)
    return [
        repeated(f"eager {name}", {s.name: lambda s=s, f=f: f(s, x) for s in SIDES}, target=target)
        for name, (f, target) in CASES.items()
    ]
