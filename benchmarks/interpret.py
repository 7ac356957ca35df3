"""A function interpreted line by line, beside JAX running it operation by operation."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
import numpy

import jaxcore
import jaxcore.numpy
from benchmarks.harness import OURS, PEER, Row, repeated
from jaxcore import debug

TARGET = 10.0
LAYERS, WIDTH, BATCH = 10, 64, 8


def network(np: Any) -> Callable[..., Any]:
    """A multilayer perceptron and its squared output, over an array namespace."""

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for w in weights:
            x = np.tanh(np.matmul(x, w))
        return np.sum(np.multiply(x, x))

    return loss


def run() -> list[Row]:
    """Measure the forward pass and the gradient, each line's values written as text."""
    rng = numpy.random.default_rng(0)
    draw = rng.standard_normal((LAYERS, WIDTH, WIDTH), numpy.float32) / WIDTH**0.5
    weights, x = list(map(jax.numpy.asarray, draw)), jax.numpy.ones((BATCH, WIDTH))
    ours, peer = network(jaxcore.numpy), network(jax.numpy)
    cases = {
        "interpreted forward pass, 10 layers": (ours, peer),
        "interpreted gradient, 10 layers": (jaxcore.grad(ours), jax.grad(peer)),
    }
    rows = []
    with open(os.devnull, "w") as sink:
        for name, (mine, theirs) in cases.items():
            shown = debug.interpret(mine, lambda line: print(line, file=sink))
            numpy.testing.assert_allclose(
                jax.tree.leaves(shown(weights, x))[0],
                jax.tree.leaves(theirs(weights, x))[0],
                rtol=2e-4,
                atol=1e-5,
            )
            sides = {
                OURS: lambda shown=shown: shown(weights, x),
                PEER: lambda theirs=theirs: theirs(weights, x),
            }
            rows.append(repeated(name, sides, target=TARGET, rounds=11))
    return rows
