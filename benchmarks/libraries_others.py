"""The models of ``libraries.py`` in NNX, Equinox and PyTorch, as a user of each writes them.

Each takes the parameters of linen's tree, whose kernels stand inputs first.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.nnx
import jax
import jax.numpy as jnp
import optax

from benchmarks.peers import Advance, Begin, installed


def training(kind: str, params: Any, batch: Any) -> dict[str, Begin]:
    """What begins NNX's and Equinox's training of the model called `kind`."""
    begins = {"NNX": functools.partial(nnx_training, kind, params, batch)}
    if installed("equinox"):
        begins["Equinox"] = functools.partial(equinox_training, kind, params, batch)
    return begins


def layers(params: Any) -> list[tuple[Any, Any]]:
    """Kernels and biases of the dense layers, in order."""
    return [(p["kernel"], p["bias"]) for name, p in sorted(params.items()) if "kernel" in p]


def gates(cell: Any) -> tuple[Any, Any, Any]:
    """The LSTM's input kernel, hidden kernel and bias, its four gates side by side."""
    side_by_side = lambda of: jnp.concatenate([of(name) for name in "ifgo"], axis=-1)
    return (
        side_by_side(lambda name: cell[f"i{name}"]["kernel"]),
        side_by_side(lambda name: cell[f"h{name}"]["kernel"]),
        side_by_side(lambda name: cell[f"h{name}"]["bias"]),
    )


def cell_of(params: Any) -> Any:
    """The parameters of the LSTM's cell."""
    return next(p["cell"] for p in params.values() if "cell" in p)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def nnx_training(kind: str, params: Any, batch: Any) -> Advance:
    """NNX: modules hold their parameters, `nnx.jit` takes them apart at each call."""
    nnx = flax.nnx
    rngs = nnx.Rngs(0)

    def linear(kernel: Any, bias: Any) -> nnx.Linear:
        layer = nnx.Linear(*kernel.shape, rngs=rngs)
        layer.kernel[...], layer.bias[...] = kernel, bias
        return layer

    dense = [linear(*layer) for layer in layers(params)]
    if kind == "mlp":
        model = nnx.Sequential(dense[0], nnx.relu, dense[1], nnx.relu, dense[2])
    else:
        inner, hidden, bias = gates(cell_of(params))
        cell = nnx.OptimizedLSTMCell(len(inner), len(hidden), rngs=rngs)
        cell.dense_i.kernel[...], cell.dense_h.kernel[...] = inner, hidden
        cell.dense_h.bias[...] = bias
        model = nnx.Sequential(nnx.RNN(cell), functools.partial(jnp.mean, axis=1), dense[0])
    optimizer = nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)
    data = jax.device_put(batch)

    @functools.partial(nnx.jit, donate_argnums=(0, 1))
    def step(model: Any, optimizer: Any, batch: Any) -> Any:
        x, labels = batch
        value, grads = nnx.value_and_grad(lambda model: cross_entropy(model(x), labels))(model)
        optimizer.update(model, grads)
        return value

    return lambda: step(model, optimizer, data)


def equinox_training(kind: str, params: Any, batch: Any) -> Advance:
    """Equinox: a model is a tree, and a function of one example."""
    import equinox

    key = jax.random.key(0)

    def linear(kernel: Any, bias: Any) -> equinox.nn.Linear:
        layer = equinox.nn.Linear(*kernel.shape, key=key)
        return equinox.tree_at(lambda x: (x.weight, x.bias), layer, (jnp.array(kernel.T), bias))

    dense = [linear(*layer) for layer in layers(params)]
    if kind == "mlp":
        relu = equinox.nn.Lambda(jax.nn.relu)
        model: Any = equinox.nn.Sequential([dense[0], relu, dense[1], relu, dense[2]])
    else:
        inner, hidden, bias = gates(cell_of(params))
        cell = equinox.nn.LSTMCell(len(inner), len(hidden), key=key)
        weights = lambda c: (c.weight_ih, c.weight_hh, c.bias)
        cell = equinox.tree_at(weights, cell, (inner.T, hidden.T, bias))

        class LSTM(equinox.Module):
            cell: equinox.nn.LSTMCell
            last: equinox.nn.Linear

            def __call__(self, xs: jax.Array) -> jax.Array:
                def step(carry: Any, x: jax.Array) -> Any:
                    carry = self.cell(x, carry)
                    return carry, carry[0]

                zeros = jnp.zeros(self.cell.hidden_size)
                return self.last(jax.lax.scan(step, (zeros, zeros), xs)[1].mean(0))

        model = LSTM(cell, dense[0])
    optimiser = optax.adamw(1e-3)
    model = jax.tree.map(lambda x: jnp.array(x) if equinox.is_array_like(x) else x, model)
    moments = optimiser.init(equinox.filter(model, equinox.is_array))
    data = jax.device_put(batch)

    @equinox.filter_value_and_grad
    def loss(model: Any, batch: Any) -> Any:
        return cross_entropy(jax.vmap(model)(batch[0]), batch[1])

    @equinox.filter_jit(donate="all-except-first")
    def step(batch: Any, model: Any, moments: Any) -> Any:
        value, grads = loss(model, batch)
        updates, moments = optimiser.update(grads, moments, equinox.filter(model, equinox.is_array))
        return equinox.apply_updates(model, updates), moments, value

    def advance() -> Any:
        nonlocal model, moments
        model, moments, value = step(data, model, moments)
        return value

    return advance


def torch_module(kind: str, params: Any) -> Any:
    """PyTorch's module."""
    import torch
    from torch import nn

    def fill(parameter: Any, value: Any) -> None:
        parameter.data = torch.tensor(jax.device_get(value))

    def linear(kernel: Any, bias: Any) -> nn.Linear:
        layer = nn.Linear(*kernel.shape)
        fill(layer.weight, kernel.T)
        fill(layer.bias, bias)
        return layer

    dense = [linear(*layer) for layer in layers(params)]
    if kind == "mlp":
        return nn.Sequential(dense[0], nn.ReLU(), dense[1], nn.ReLU(), dense[2])

    class LSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inner, hidden, bias = gates(cell_of(params))
            self.cell, self.last = nn.LSTM(len(inner), len(hidden), batch_first=True), dense[0]
            for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), (inner, hidden, bias)):
                fill(getattr(self.cell, f"{name}_l0"), value.T)
            # A second bias, which the others do not have: it stays at zero.
            torch.nn.init.zeros_(self.cell.bias_hh_l0.requires_grad_(False))

        def forward(self, x: Any) -> Any:
            return self.last(self.cell(x)[0].mean(1))

    return LSTM()


def torch_loss(model: Callable[[Any], Any], batch: Any) -> Any:
    """Mean cross-entropy."""
    from torch.nn import functional

    x, labels = batch
    return functional.cross_entropy(model(x), labels)
