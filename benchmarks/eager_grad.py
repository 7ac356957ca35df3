"""A gradient outside jit: each call traces, differentiates and runs."""

import jax
import numpy

from benchmarks.harness import Row, Thunk, repeated
from benchmarks.sides import SIDES, Side

TARGET = 1 / 10


def run() -> list[Row]:
    """Measure the gradient of a function of three operations."""
    x = jax.numpy.asarray(numpy.linspace(-1, 1, 128, dtype=numpy.float32).reshape(8, 16))

    def gradient(side: Side) -> Thunk:
        np = side.np

        def function(x: jax.Array) -> jax.Array:
            return np.sum(np.sin(x) * x)

        return lambda: side.grad(function)(x)

    sides = {side.name: gradient(side) for side in SIDES}
    ours, peer = (call() for call in sides.values())
    numpy.testing.assert_allclose(ours, peer, rtol=1e-5)
    return [repeated("eager gradient, 3 operations", sides, target=TARGET)]
