"""A small regression that trains in a second, shared by the tests of the training layer."""

import io
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

import jaxcore.numpy as jnp
from jaxcore import nn, random, train


class Net(nn.Module):
    """Two layers, optionally with everything that carries state or draws random numbers."""

    width: int = 8
    norm: bool = False
    rate: float = 0.0

    def __call__(self, x):
        h = nn.tanh(nn.Dense(self.width, name="hidden")(x))
        if self.norm:
            h = nn.BatchNorm(name="norm")(h)
        if self.rate:
            h = nn.Dropout(self.rate)(h)
        return nn.Dense(1, name="out")(h)[:, 0]


class Regression(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        error = model(x) - y
        return error**2, {"mae": jnp.abs(error)}


def _task(tx=optax.adam, lr=1e-2, *, width=8, norm=False, rate=0.0, cls=Regression, **kwargs):
    return cls(model=Net(width, norm, rate), tx=tx, lr=lr, **kwargs)


def _arrays(rows=50, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return x, np.sin(x.sum(1)).astype(np.float32)


def _trainer(**kwargs):
    kwargs.setdefault("callbacks", [])
    return train.Trainer(console=Console(file=io.StringIO(), width=200), **kwargs)


def _equal(a, b):
    """Assert that two trees are equal to the bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        if str(x.dtype).startswith("key<"):
            x, y = random.key_data(x), random.key_data(y)
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), path
        if x.tobytes() != y.tobytes():
            np.testing.assert_array_equal(x, y, err_msg=str(path))
            raise AssertionError(f"{path}: equal in value but not in bits")


@pytest.fixture(scope="session")
def toy():
    return SimpleNamespace(
        Net=Net,
        Regression=Regression,
        task=_task,
        arrays=_arrays,
        trainer=_trainer,
        equal=_equal,
        data=lambda rows=50, batch_size=8, **kw: train.ArrayData(
            _arrays(rows), batch_size=batch_size, **kw
        ),
    )
