"""A plain GPT and its AdamW training step, written once over either array namespace.

Parameters are nested dicts, layers a Python loop: what a person writes first. ``call_block`` says
how a block is called: directly, as a module of ours calls it, or through a nested ``jit``. Blocks
that are stacked are scanned.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy

from benchmarks.harness import OURS, PEER, Row
from benchmarks.peers import Advance, torch_training
from benchmarks.sides import SIDES, Side
from benchmarks.work import Step, Work, measure, stepping, training, training_state
from jaxcore import nn

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
    dtype: str = "float32"


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
        params = side.tree.map(lambda p: p.astype(config.dtype), params)
        x = params["embed"][inputs] + params["position"]
        if "blocks" in params:
            x, _ = side.lax.scan(lambda x, p: (block(p, x), None), x, params["blocks"])
        else:
            for i in range(config.layers):
                x = call_block(block, params[f"block_{i}"], x)
        logits = (norm(params["norm"], x) @ params["head"]).astype("float32")
        logits = logits - np.max(logits, axis=-1, keepdims=True)
        picked = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - picked)

    return loss


def torch_loss(config: Config) -> Callable[..., Any]:
    """The same loss in PyTorch, with its fused attention, norm and cross-entropy."""

    def loss(params: Params, batch: Any) -> Any:
        from torch.nn import functional

        def norm(p: Params, x: Any) -> Any:
            return functional.layer_norm(x, x.shape[-1:], p["scale"], p["bias"])

        def heads(x: Any, kernel: Any) -> Any:
            return (x @ kernel.flatten(1)).unflatten(-1, kernel.shape[1:]).transpose(1, 2)

        inputs, targets = batch[:, :-1], batch[:, 1:]
        x = params["embed"][inputs] + params["position"]
        for i in range(config.layers):
            p = params[f"block_{i}"]
            y = norm(p["norm_1"], x)
            split = [heads(y, p[name]) for name in ("query", "key", "value")]
            mixed = functional.scaled_dot_product_attention(*split, is_causal=True)
            x = x + mixed.transpose(1, 2).flatten(2) @ p["out"].flatten(0, 1)
            y = norm(p["norm_2"], x) @ p["up"] + p["up_bias"]
            x = x + functional.gelu(y, approximate="tanh") @ p["down"] + p["down_bias"]
        logits = norm(params["norm"], x) @ params["head"]
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return loss


def stacked(config: Config) -> Params:
    """The parameters as a hand-written scan wants them: those of all blocks in one."""
    params = init(config)
    blocks = [params.pop(f"block_{i}") for i in range(config.layers)]
    return params | {"blocks": jax.tree.map(lambda *leaves: numpy.stack(leaves), *blocks)}


def state(config: Config) -> tuple[Params, Any]:
    """Parameters and optimiser state before the first step."""
    return training_state(init(config))


def plain(side: Side) -> CallBlock:
    """A module's call on our side, a plain call on JAX's."""
    return side.block


def nested_jit(side: Side) -> CallBlock:
    """The same nested ``jit`` on both sides."""
    jit = functools.lru_cache(side.jit)
    return lambda block, *args: jit(block)(*args)


def work(config: Config, call: Callable[[Side], CallBlock] = plain) -> Work:
    """The training step; where blocks are called plainly, JAX's scan, ours with the parameters of
    its layers stacked, and PyTorch's beside it.
    """

    def step(side: Side) -> Step:
        return training(side, loss_function(side, config, call(side)))

    def scanned() -> Advance:
        side = next(side for side in SIDES if side.name == PEER)
        twin = Work(step, training_state(stacked(config)), batch)
        return stepping(twin.jitted(side), twin)

    def lying() -> Advance:
        side = next(side for side in SIDES if side.name == OURS)
        loss = loss_function(side, config, call(side))

        def step(side: Side) -> Step:
            return training(side, lambda params, batch: loss(nn.unstack_layers(params), batch))

        layers = nn.stack_layers(init(config), "block_*")
        twin = Work(step, training_state(jax.tree.map(numpy.asarray, layers)), batch)
        return stepping(twin.jitted(side), twin)

    batch, params = tokens(config), init(config)
    others = {
        "JAX's scan": scanned,
        "ours, stacked": lying,
        **torch_training(torch_loss(config), params, batch, dtype=config.dtype),
    }
    return Work(step, training_state(params), batch, others if call is plain else {})


def measured(title: str, config: Config, call: Any = plain, **options: Any) -> list[Row]:
    """All figures of that step; a width of its own for each trace."""

    def make(k: int) -> Work:
        return work(dataclasses.replace(config, width=config.width + k * config.heads), call)

    small = dataclasses.replace(config, layers=2, width=config.width // 2)
    return measure(title, make, compiles=1, warm=work(small, call), **options)
