"""Training steps of an MLP and of an LSTM as modules: Flax linen, NNX, Equinox, PyTorch, and ours.

JAX's column is linen's. All begin with the same parameters.
"""

import functools
from typing import Any

import flax.linen
import jax
import numpy

from benchmarks import libraries_others
from benchmarks.harness import OURS, PEER, Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, training, training_state
from benchmarks.works.mlp import cross_entropy
from jaxcore import nn

INPUTS, CLASSES, BATCH, LENGTH = 64, 10, 32, 32
LIBRARIES = {OURS: nn, PEER: flax.linen}


def mlp(library: Any, width: int) -> Any:
    """Two hidden layers, in a library with linen's names."""
    relu = library.relu
    layers = [library.Dense(width), relu, library.Dense(width), relu, library.Dense(CLASSES)]
    return library.Sequential(layers)


def lstm(library: Any, width: int) -> Any:
    """An LSTM and a layer that reads all its steps' mean."""
    cell = library.OptimizedLSTMCell(width)
    mean = functools.partial(jax.numpy.mean, axis=1)
    return library.Sequential([library.RNN(cell), mean, library.Dense(CLASSES)])


def step(side: Side, model: Any) -> Step:
    """A step of ours or linen's on ``(inputs, labels)``."""

    def loss(params: Any, batch: Any) -> Any:
        x, labels = batch
        return cross_entropy(side, model.apply({"params": params}, x), labels)

    return training(side, loss)


def work(kind: str, width: int = 128) -> Work:
    """The work of the model called `kind`, ``"mlp"`` or ``"lstm"``."""
    build = {"mlp": mlp, "lstm": lstm}[kind]
    models = {name: build(library, width) for name, library in LIBRARIES.items()}
    rng = numpy.random.default_rng(0)
    shape = (BATCH, INPUTS) if kind == "mlp" else (BATCH, LENGTH, INPUTS)
    batch = rng.standard_normal(shape, "float32"), rng.integers(0, CLASSES, BATCH).astype("int32")
    variables = models[OURS].init(jax.random.key(0), batch[0])
    params = jax.tree.map(numpy.asarray, dict(variables["params"]))
    others = libraries_others.training(kind, params, batch)
    make = functools.partial(libraries_others.torch_module, kind, params)
    others |= torch_training(libraries_others.torch_loss, make, batch, compiles=kind == "mlp")
    build_step = lambda side: step(side, models[side.name])
    return Work(build_step, training_state(params), batch, others)


def run() -> list[Row]:
    """Measure both models."""
    return [
        row
        for kind in ("mlp", "lstm")
        for row in measure(
            f"{kind.upper()} of modules", lambda k, kind=kind: work(kind, 128 + 8 * k)
        )
    ]
