"""A plain GPT and its AdamW training step, written once over either array namespace.

Parameters are nested dicts, layers a Python loop: what a person writes first. ``call_block`` says
how a block is called: directly, as a module of ours calls it, or through a nested ``jit``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import optax

from benchmarks.sides import Side

Params = dict[str, Any]
CallBlock = Callable[[Callable[..., Any], Params, Any], Any]


@dataclass(frozen=True)
class Config:
    """Sizes of the model and of its batch."""

    layers: int = 12
    width: int = 64
    heads: int = 4
    vocabulary: int = 256
    batch: int = 8
    length: int = 32


def init(config: Config) -> Params:
    """Draw the parameters with NumPy, so that both sides begin with the same bits."""
    rng = numpy.random.default_rng(0)
    width = config.width

    def normal(*shape: int) -> numpy.ndarray:
        return rng.standard_normal(shape).astype(numpy.float32) * numpy.float32(0.02)

    def norm() -> Params:
        return {"scale": numpy.ones(width, numpy.float32), "bias": numpy.zeros(width, "float32")}

    def block() -> Params:
        head = width // config.heads
        return {
            "norm_1": norm(),
            **{name: normal(width, config.heads, head) for name in ("query", "key", "value")},
            "out": normal(config.heads, head, width),
            "norm_2": norm(),
            "up": normal(width, 4 * width),
            "up_bias": numpy.zeros(4 * width, numpy.float32),
            "down": normal(4 * width, width),
            "down_bias": numpy.zeros(width, numpy.float32),
        }

    return {
        "embed": normal(config.vocabulary, width),
        "position": normal(config.length, width),
        **{f"block_{i}": block() for i in range(config.layers)},
        "norm": norm(),
        "head": normal(width, config.vocabulary),
    }


def tokens(config: Config) -> numpy.ndarray:
    """A batch of random token ids, one longer than the model reads: inputs and targets."""
    shape = (config.batch, config.length + 1)
    return numpy.random.default_rng(1).integers(0, config.vocabulary, shape, dtype=numpy.int32)


def loss_function(side: Side, config: Config, call_block: CallBlock) -> Callable[..., Any]:
    """Build ``loss(params, tokens)``: mean cross-entropy of the next token."""
    np = side.np

    def norm(p: Params, x: Any) -> Any:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-5) * p["scale"] + p["bias"]

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

    def softmax(x: Any) -> Any:
        shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return shifted / np.sum(shifted, axis=-1, keepdims=True)

    def attention(p: Params, x: Any) -> Any:
        query, key, value = (np.einsum("btc,chd->bhtd", x, p[n]) for n in ("query", "key", "value"))
        scores = np.einsum("bhtd,bhsd->bhts", query, key) * (config.width // config.heads) ** -0.5
        causal = np.tril(np.ones((config.length, config.length), bool))
        weights = softmax(np.where(causal, scores, -1e9))
        return np.einsum("bhtd,hdc->btc", np.einsum("bhts,bhsd->bhtd", weights, value), p["out"])

    def block(p: Params, x: Any) -> Any:
        x = x + attention(p, norm(p["norm_1"], x))
        hidden = gelu(norm(p["norm_2"], x) @ p["up"] + p["up_bias"])
        return x + hidden @ p["down"] + p["down_bias"]

    def loss(params: Params, batch: Any) -> Any:
        inputs, targets = batch[:, :-1], batch[:, 1:]
        x = params["embed"][inputs] + params["position"]
        for i in range(config.layers):
            x = call_block(block, params[f"block_{i}"], x)
        logits = norm(params["norm"], x) @ params["head"]
        logits = logits - np.max(logits, axis=-1, keepdims=True)
        picked = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - picked)

    return loss


def training_step(side: Side, config: Config, call_block: CallBlock) -> Callable[..., Any]:
    """Build ``step(state, tokens) -> (state, loss)``, compiled with its state donated."""
    optimiser = optax.adamw(1e-3)
    loss = loss_function(side, config, call_block)

    def step(state: tuple[Params, Any], batch: Any) -> tuple[tuple[Params, Any], Any]:
        params, moments = state
        value, gradients = side.value_and_grad(loss)(params, batch)
        updates, moments = optimiser.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return side.jit(step, donate_argnums=0)


def state(config: Config) -> tuple[Params, Any]:
    """Parameters and optimiser state before the first step."""
    params = init(config)
    return params, optax.adamw(1e-3).init(params)
