"""One operation outside jit: what a person types at the prompt or while debugging."""

import jax
import numpy

from benchmarks.harness import Row, repeated
from benchmarks.sides import SIDES, Side


def softmax(side: Side, x: jax.Array) -> jax.Array:
    """Softmax over the last axis, in five operations."""
    np = side.np
    shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return shifted / np.sum(shifted, axis=-1, keepdims=True)


def run() -> list[Row]:
    """Measure a sum of two small arrays and a softmax of a small batch."""
    values = numpy.random.default_rng(0).standard_normal((8, 16)).astype(numpy.float32)
    x = jax.numpy.asarray(values)
    return [
        repeated("eager np.add(a, a)", {s.name: lambda s=s: s.np.add(x, x) for s in SIDES}),
        repeated("eager softmax, 5 operations", {s.name: lambda s=s: softmax(s, x) for s in SIDES}),
    ]
