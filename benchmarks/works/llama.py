"""The training step of a Llama block: width 256, 8 heads on 2 of keys, 4 sequences of 128 tokens.

RMSNorm, rotary positions, grouped-query attention and SwiGLU; Touvron et al. 2023,
https://arxiv.org/abs/2307.09288
"""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state


def step(side: Side) -> Step:
    """A side's step: the block learns to map one batch of random vectors to another."""
    np, lax = side.np, side.lax

    def norm(scale: Any, x: Any) -> Any:
        return x * lax.rsqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale

    def rotate(x: Any) -> Any:
        length, head = x.shape[1], x.shape[-1]
        rates = 10000.0 ** (-np.arange(0, head, 2, dtype="float32") / head)
        angles = np.arange(length, dtype="float32")[:, None] * rates
        cos, sin = (f(angles)[:, None, :] for f in (np.cos, np.sin))
        a, b = x[..., : head // 2], x[..., head // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def attention(p: Any, x: Any) -> Any:
        query, key, value = (np.einsum("btc,chd->bthd", x, p[n]) for n in ("query", "key", "value"))
        query, key = rotate(query), rotate(key)
        batch, length, heads, head = query.shape
        groups = query.reshape(batch, length, key.shape[2], -1, head)
        scores = np.einsum("btkgd,bskd->bkgts", groups, key) * head**-0.5
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -1e9)
        weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        weights = weights / np.sum(weights, axis=-1, keepdims=True)
        mixed = np.einsum("bkgts,bskd->btkgd", weights, value).reshape(batch, length, heads, head)
        return np.einsum("bthd,hdc->btc", mixed, p["out"])

    def block(p: Any, x: Any) -> Any:
        x = x + attention(p, norm(p["norm_1"], x))
        y = norm(p["norm_2"], x)
        gate = y @ p["gate"]
        return x + (gate / (1 + np.exp(-gate)) * (y @ p["up"])) @ p["down"]

    def loss(params: Any, batch: Any) -> Any:
        x, target = batch
        return np.mean((side.block(block, params, x) - target) ** 2)

    return training(side, loss)


def torch_loss(p: Any, batch: Any) -> Any:
    """The same in PyTorch, with its fused attention."""
    import torch
    from torch.nn import functional

    def rotate(x: Any) -> Any:
        length, head = x.shape[1], x.shape[-1]
        rates = 10000.0 ** (-torch.arange(0, head, 2) / head)
        angles = torch.outer(torch.arange(length), rates)[:, None]
        a, b = x.chunk(2, dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def heads(y: Any, kernel: Any) -> Any:
        return (y @ kernel.flatten(1)).unflatten(-1, kernel.shape[1:])

    x, target = batch
    y = functional.rms_norm(x, x.shape[-1:], p["norm_1"], 1e-6)
    query, key = (rotate(heads(y, p[name])).transpose(1, 2) for name in ("query", "key"))
    value = heads(y, p["value"]).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )
    x = x + mixed.transpose(1, 2).flatten(2) @ p["out"].flatten(0, 1)
    y = functional.rms_norm(x, x.shape[-1:], p["norm_2"], 1e-6)
    x = x + (functional.silu(y @ p["gate"]) * (y @ p["up"])) @ p["down"]
    return functional.mse_loss(x, target)


def work(
    width: int = 256, heads: int = 8, groups: int = 2, batch: int = 4, length: int = 128
) -> Work:
    """One block of `width`, with `groups` heads of keys and values."""
    rng = numpy.random.default_rng(0)
    head, hidden = width // heads, width * 11 // 4
    flat = {"query": heads * head, "key": groups * head, "value": groups * head}
    params = {
        "norm_1": numpy.ones(width, "float32"),
        **{n: normal(rng, width, size).reshape(width, -1, head) for n, size in flat.items()},
        "out": normal(rng, heads * head, width).reshape(heads, head, width),
        "norm_2": numpy.ones(width, "float32"),
        "gate": normal(rng, width, hidden),
        "up": normal(rng, width, hidden),
        "down": normal(rng, hidden, width),
    }
    data = tuple(rng.standard_normal((2, batch, length, width), "float32"))
    return Work(step, training_state(params), data, torch_training(torch_loss, params, data))


def run() -> list[Row]:
    """Measure it."""
    return measure("Llama block", lambda k: work(256 + 16 * k))
