"""A gradient outside jit: each call traces, differentiates and runs."""

import jax
import numpy

from benchmarks.harness import Row, repeated
from benchmarks.sides import SIDES, Side

TARGET = 1 / 8


def run() -> list[Row]:
    """Measure the gradient of a function of three operations."""
    x = jax.numpy.asarray(numpy.linspace(-1, 1, 128, dtype=numpy.float32).reshape(8, 16))

    def gradient(side: Side) -> jax.Array:
        np = side.np
        return side.grad(lambda x: np.sum(np.sin(x) * x))(x)

    ours, peer = (gradient(side) for side in SIDES)
    numpy.testing.assert_allclose(ours, peer, rtol=1e-5)
    sides = {side.name: lambda side=side: gradient(side) for side in SIDES}
    return [repeated("eager gradient, 3 operations", sides, target=TARGET)]
