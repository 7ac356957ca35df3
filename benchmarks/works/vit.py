"""The training step of ViT-tiny: 12 layers of width 192, 3 heads, 4 images of 224 x 224.

Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929
"""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state
from benchmarks.works.mlp import cross_entropy


def step(side: Side, dtype: str = "float32") -> Step:
    """A side's step on ``(patches, labels)``, computed in `dtype`."""
    np, lax = side.np, side.lax

    def norm(p: Any, x: Any) -> Any:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        return centred * lax.rsqrt(variance + 1e-6) * p["scale"] + p["bias"]

    def attention(p: Any, x: Any) -> Any:
        query, key, value = (np.einsum("btc,chd->bhtd", x, p[n]) for n in ("query", "key", "value"))
        scores = np.einsum("bhtd,bhsd->bhts", query, key) * query.shape[-1] ** -0.5
        weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        weights = weights / np.sum(weights, axis=-1, keepdims=True)
        return np.einsum("bhtd,hdc->btc", np.einsum("bhts,bhsd->bhtd", weights, value), p["out"])

    def block(p: Any, x: Any) -> Any:
        x = x + attention(p, norm(p["norm_1"], x))
        y = norm(p["norm_2"], x) @ p["up"] + p["up_bias"]
        y = y * 0.5 * (1 + lax.erf(y * 0.5**0.5))
        return x + y @ p["down"] + p["down_bias"]

    def loss(params: Any, batch: Any) -> Any:
        patches, labels = batch
        params = side.tree.map(lambda p: p.astype(dtype), params)
        x = patches.astype(dtype) @ params["embed"]
        first = np.broadcast_to(params["class"], (len(x), 1, x.shape[-1]))
        x = np.concatenate([first, x], axis=1) + params["position"]
        for p in params["blocks"]:
            x = side.block(block, p, x)
        logits = norm(params["norm"], x[:, 0]) @ params["head"]
        return cross_entropy(side, logits.astype("float32"), labels)

    return training(side, loss)


def torch_loss(params: Any, batch: Any) -> Any:
    """The same in PyTorch, with its fused attention."""
    import torch
    from torch.nn import functional

    def norm(p: Any, x: Any) -> Any:
        return functional.layer_norm(x, x.shape[-1:], p["scale"], p["bias"], 1e-6)

    def attention(p: Any, x: Any) -> Any:
        names = ("query", "key", "value")
        split = [(x @ p[n].flatten(1)).unflatten(-1, p[n].shape[1:]).transpose(1, 2) for n in names]
        mixed = functional.scaled_dot_product_attention(*split)
        return mixed.transpose(1, 2).flatten(2) @ p["out"].flatten(0, 1)

    patches, labels = batch
    x = patches @ params["embed"]
    x = torch.cat([params["class"].expand(len(x), 1, -1), x], dim=1) + params["position"]
    for p in params["blocks"]:
        x = x + attention(p, norm(p["norm_1"], x))
        y = functional.gelu(norm(p["norm_2"], x) @ p["up"] + p["up_bias"])
        x = x + y @ p["down"] + p["down_bias"]
    return functional.cross_entropy(norm(params["norm"], x[:, 0]) @ params["head"], labels)


def work(
    width: int = 192,
    heads: int = 3,
    layers: int = 12,
    batch: int = 4,
    size: int = 224,
    dtype: str = "float32",
) -> Work:
    """A ViT on images of `size`, already cut into patches of 16 x 16, with 1000 classes."""
    rng = numpy.random.default_rng(0)
    head, patches = width // heads, (size // 16) ** 2

    def norm() -> dict[str, numpy.ndarray]:
        return {"scale": numpy.ones(width, "float32"), "bias": numpy.zeros(width, "float32")}

    def block() -> dict[str, Any]:
        split = {n: normal(rng, width, width) for n in ("query", "key", "value")}
        return {
            "norm_1": norm(),
            **{name: kernel.reshape(width, heads, head) for name, kernel in split.items()},
            "out": normal(rng, width, width).reshape(heads, head, width),
            "norm_2": norm(),
            "up": normal(rng, width, 4 * width),
            "up_bias": numpy.zeros(4 * width, "float32"),
            "down": normal(rng, 4 * width, width),
            "down_bias": numpy.zeros(width, "float32"),
        }

    params = {
        "embed": normal(rng, 16 * 16 * 3, width),
        "class": numpy.zeros((1, 1, width), "float32"),
        "position": normal(rng, patches + 1, width) * 0.1,
        "blocks": [block() for _ in range(layers)],
        "norm": norm(),
        "head": normal(rng, width, 1000),
    }
    images = rng.standard_normal((batch, patches, 16 * 16 * 3), "float32")
    data = images, rng.integers(0, 1000, batch).astype("int32")
    others = torch_training(torch_loss, params, data, dtype=dtype)
    return Work(lambda side: step(side, dtype), training_state(params), data, others)


def run() -> list[Row]:
    """Measure it."""
    warm = work(layers=2, batch=1)
    return measure("ViT-tiny", lambda k: work(192 + 6 * k), traces=3, compiles=1, warm=warm)
