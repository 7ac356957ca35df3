"""Normalisation, reparametrised layers and other contractions, against linen and formulas."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table import Row, assert_close, check, integers, linen, normal, randomised, refused

import jaxcore
from jaxcore import nn, random

X = normal(2, 6, 8)
IMAGE = normal(2, 6, 5, 4)
MASK = integers(2, 6, 5, 4, below=2).astype(bool).at[:, :2].set(True)
MASKED = {"options": {"mask": MASK}, "rigid": True, "free": False, "low": None}
BATCH = {"rigid": True, "free": False}


def dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def bilinear(variables, x):
    params = variables["params"]
    return jnp.einsum("bti,btj,ijf->btf", x, x, params["kernel"]) + params["bias"]


class Squared(nn.Module):
    """A layer of two inputs as a layer of one."""

    layer: nn.Module

    def __call__(self, x):
        return self.layer(x, x)


def mlp(variables, x):
    params = variables["params"]
    return dense(params["Dense_1"], jax.nn.gelu(dense(params["Dense_0"], x)))


def gated(variables, x):
    params = variables["params"]
    hidden = jax.nn.silu(dense(params["gate"], x)) * dense(params["up"], x)
    return dense(params["down"], hidden)


def maxout(variables, x):
    return dense(variables["params"]["Dense_0"], x).reshape(2, 6, 3, 2).max(-1)


def lora(variables, x):
    params = variables["params"]
    change = params["lora"]["kernel"]
    kernel = params["layer"]["kernel"] + 2.0 * change["a"] @ change["b"]
    return x @ kernel + params["layer"]["bias"]


def unbiased(variables, x):
    params, old = variables["params"], variables["batch_stats"]
    mean, var = x.mean((0, 1)), x.var((0, 1))
    y = (x - mean) / jnp.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    new = {"mean": mean, "var": x.var((0, 1), ddof=1)}
    stats = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, dict(old), new)
    return y, {"batch_stats": stats}


STATS = {"updates": ("batch_stats",), **BATCH}

ROWS = {
    "BatchNorm": Row(
        lambda m: m.BatchNorm(use_running_average=False, momentum=0.9), [X], low=None, **STATS
    ),
    "BatchNorm, mask": Row(
        lambda m: m.BatchNorm(use_running_average=False), [IMAGE], **(MASKED | STATS)
    ),
    "BatchNorm, unbiased": Row(
        lambda m: m.BatchNorm(use_running_average=False, momentum=0.9, unbiased=True),
        [X],
        reference=unbiased,
        low=None,
        **STATS,
    ),
    "RMSNorm, mask": Row(lambda m: m.RMSNorm(), [IMAGE], **MASKED),
    "GroupNorm, axes": Row(lambda m: m.GroupNorm(2, reduction_axes=(2, -1)), [IMAGE], free=False),
    "GroupNorm, mask": Row(lambda m: m.GroupNorm(2), [IMAGE], **MASKED),
    "InstanceNorm, axes": Row(lambda m: m.InstanceNorm(feature_axes=(1, -1)), [IMAGE], free=False),
    "InstanceNorm, mask": Row(lambda m: m.InstanceNorm(), [IMAGE], **MASKED),
    "WeightNorm": Row(lambda m: m.WeightNorm(m.Dense(3)), [X], init=True),
    "WeightNorm, options": Row(
        lambda m: m.WeightNorm(m.Dense(3), feature_axes=None, variable_filter=None, epsilon=1e-3),
        [X],
    ),
    "WeightNorm, Conv": Row(
        lambda m: m.WeightNorm(m.Conv(3, (3,)), feature_axes=(-1, 0)), [X], free=False
    ),
    "SpectralNorm": Row(
        lambda m: m.SpectralNorm(m.Dense(3), n_steps=2),
        [X],
        options={"update_stats": True},
        updates=("batch_stats",),
        low=None,
    ),
    "SpectralNorm, Conv": Row(
        lambda m: m.SpectralNorm(m.Conv(3, (3,))),
        [X],
        options={"update_stats": False},
        updates=("batch_stats",),
        low=None,
    ),
    "LoRA": Row(lambda m: m.LoRA(m.Dense(3), 2, alpha=4.0), [X], reference=lora),
    "Einsum": Row(lambda m: m.Einsum((8, 2, 3), "btd,dhk->bthk"), [X], free=False, init=True),
    "Einsum, dots": Row(lambda m: m.Einsum((3, 8), "...d,kd->k..."), [X], rigid=True, free=False),
    "Einsum, no bias": Row(lambda m: m.Einsum((8, 3), "...d,dk->...k", use_bias=False), [X]),
    "Bilinear": Row(
        lambda m: Squared(m.Bilinear(3, name="b")),
        [X],
        lambda v, x: bilinear({"params": v["params"]["layer"]}, x),
    ),
    "MLP": Row(lambda m: m.MLP((5, 3), m.gelu), [X], reference=mlp),
    "GatedMLP": Row(lambda m: m.GatedMLP(5), [X], reference=gated),
    "Maxout": Row(lambda m: m.Maxout(3), [X], reference=maxout),
    "PReLU": Row(lambda m: m.PReLU(), [X], init=True),
    "PReLU, axes": Row(
        lambda m: m.PReLU(axes=-1),
        [X],
        reference=lambda v, x: jnp.where(x >= 0, x, x * v["params"]["negative_slope"][None, None]),
    ),
    "Scale": Row(
        lambda m: m.Scale(),
        [X],
        reference=lambda v, x: (
            x * v["params"]["scale"][None, None] + v["params"]["bias"][None, None]
        ),
    ),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.rank_promotion  # linen's and the formulas'
def test_layer(name):
    check(dataclasses.replace(ROWS[name], brief="," in name))


def test_functions():
    x = IMAGE.at[0, 0, 0].set(0.0)

    def both(x):
        ours = nn.normalize(x), nn.normalize(x, 1, order=1), nn.local_response_norm(x, 3)
        grad = jaxcore.grad(lambda x: (nn.normalize(x) * IMAGE).sum())(x)
        return ours, grad

    (unit, one, local), grad = jaxcore.jit(both)(x)
    v = np.asarray(x)
    length = np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
    np.testing.assert_allclose(unit, v / length, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one, v / np.abs(v).sum(1, keepdims=True), rtol=1e-5, atol=1e-6)
    assert np.all(np.isfinite(grad))
    square = np.pad(v**2, [(0, 0)] * 3 + [(1, 1)])
    mean = (square[..., :-2] + square[..., 1:-1] + square[..., 2:]) / 3
    np.testing.assert_allclose(local, v / (1 + 1e-4 * mean) ** 0.75, rtol=1e-5, atol=1e-6)


def test_wrappers_inside_a_model():
    """Named where they are made, with state inside, under Repeat, and again without a change."""

    class Model(nn.Module):
        deep: nn.Module = nn.Repeat(nn.LoRA(nn.Sequential([nn.Dense(8), nn.BatchNorm()]), 2), 2)

        def __call__(self, x):
            return self.deep(nn.WeightNorm(nn.Dense(8))(x))

    class Linen(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.WeightNorm(linen.Dense(8))(x)

    variables = Model().init(random.key(0), X)
    expected = Linen().init(jax.random.key(0), X)["params"]
    assert set(expected) == set(variables["params"]) - {"deep"}
    assert set(expected["WeightNorm_0"]) == set(variables["params"]["WeightNorm_0"])
    stacked = variables["params"]["deep"]["block"]
    assert stacked["lora"]["layers_0"]["kernel"]["a"].shape == (2, 8, 2)
    y, updates = jaxcore.jit(lambda v: Model().apply(v, X, train=True, mutable=True))(variables)
    mean = updates["batch_stats"]["deep"]["block"]["layer"]["layers_1"]["mean"]
    assert y.shape == X.shape and mean.shape == (2, 8) and np.any(mean[0] != mean[1])
    layer = nn.LoRA(nn.Sequential([nn.Dense(3), nn.Dense(2)]), 2, globs="layers_1/kernel")
    params = randomised(layer.init(random.key(0), X)["params"])
    merged = layer.merged(params)
    np.testing.assert_array_equal(
        merged["layers_0"]["kernel"], params["layer"]["layers_0"]["kernel"]
    )
    assert_close(layer.layer.apply({"params": merged}, X), layer.apply({"params": params}, X))
    trained, _ = nn.partition({"params": params}, "**/lora/**")
    assert len(jax.tree.leaves(trained)) == 2


@pytest.mark.parametrize("unbiased", [False, True])
def test_batch_norm_over_a_named_axis_is_that_of_the_whole_batch(unbiased):
    whole, part = (nn.BatchNorm(axis_name=axis, unbiased=unbiased) for axis in (None, "parts"))
    variables = randomised(part.init(random.key(0), X))
    parts = X.reshape(4, 3, 8)

    def run(variables):
        apply = lambda layer, x: layer.apply(variables, x, train=True, mutable=["batch_stats"])
        each = jaxcore.vmap(lambda x: apply(part, x), axis_name="parts")(parts)
        return apply(whole, X.reshape(12, 8)), each

    (y, updates), (parts_y, parts_updates) = jaxcore.jit(run)(variables)
    np.testing.assert_allclose(parts_y.reshape(12, 8), y, rtol=1e-4, atol=1e-5)
    for one, all_ in zip(jax.tree.leaves(updates), jax.tree.leaves(parts_updates), strict=True):
        np.testing.assert_allclose(all_, np.stack([one] * 4), rtol=1e-5)


NOISE = {
    "AlphaDropout": nn.AlphaDropout(0.3),
    "GaussianDropout": nn.GaussianDropout(0.2),
    "GaussianNoise": nn.GaussianNoise(0.5),
    "DropPath": nn.DropPath(0.25),
}


def test_dropout_in_its_variants():
    x = 1 + random.normal(random.key(1), (4000, 5))
    zeros = (x - 1).ravel()

    def run(key):
        out = {name: layer.apply({}, x, train=True, rngs=key) for name, layer in NOISE.items()}
        out["alpha"] = nn.AlphaDropout(0.3).apply({}, zeros, train=True, rngs=key)
        out["whole"] = nn.AlphaDropout(0.5, broadcast_dims=(1,)).apply({}, x, train=True, rngs=key)
        ones = jnp.ones_like(x)
        out["paths"] = nn.DropPath(0.25, scale=False).apply({}, ones, train=True, rngs=key)
        out["noise"] = nn.GaussianNoise(0.5).apply({}, ones, train=True, rngs=key)
        out["factor"] = nn.GaussianDropout(0.2).apply({}, ones, train=True, rngs=key)
        return out, jaxcore.grad(
            lambda x: NOISE["DropPath"].apply({}, x, train=True, rngs=key).sum()
        )(x)

    out, grad = jaxcore.jit(run)(random.key(0))
    assert abs(out["alpha"].mean()) < 0.02 and abs(out["alpha"].std() - 1) < 0.02
    dropped = np.isclose(out["whole"], out["whole"][:, :1]).all(1)
    assert abs(dropped.mean() - 0.5) < 0.03
    assert set(np.unique(out["paths"])) == {0, 1} and abs(out["paths"].mean() - 0.75) < 0.03
    assert np.all(np.ptp(out["paths"], axis=1) == 0)
    assert abs(out["noise"].mean() - 1) < 0.02 and abs(out["noise"].std() - 0.5) < 0.01
    assert abs(out["factor"].mean() - 1) < 0.02 and abs(out["factor"].std() - 0.5) < 0.01
    for name in ("GaussianDropout", "GaussianNoise", "DropPath"):
        assert abs(out[name].mean() - x.mean()) < 0.05, name
    assert set(np.unique(grad)) == {np.float32(0), np.float32(1 / 0.75)}
    for layer in NOISE.values():
        assert layer.apply({}, x) is x and layer.apply({}, x, True, train=True) is x
        with pytest.raises(nn.MissingRngError, match="'dropout'"):
            layer.apply({}, x, train=True)
        assert layer.apply({}, x[:0], train=True, rngs=random.key(0)).shape == (0, 5)


MISTAKES = {
    "rate": (lambda: nn.DropPath(1.5).apply({}, X, train=True), ["<root> (DropPath)", "rate=1.5"]),
    "infinite": (lambda: nn.GaussianDropout(1.0).apply({}, X, train=True), ["infinite variance"]),
    "groups": (
        lambda: nn.GroupNorm(3).init(0, IMAGE),
        ["<root> (GroupNorm)", "4 channels", "num_groups=3"],
    ),
    "axes": (
        lambda: nn.GroupNorm(2, reduction_axes=(1, 2)).init(0, IMAGE),
        ["reduction_axes=(1, 2)", "the last axis"],
    ),
    "features": (
        lambda: nn.InstanceNorm(feature_axes=(0, -1)).init(0, IMAGE),
        ["feature_axes=(0, -1)", "the batch's"],
    ),
    "no matrix": (
        lambda: nn.SpectralNorm(nn.Conv(2, (3,)), error_on_non_matrix=True).init(0, X),
        ["<root> (SpectralNorm)", "'kernel'", "(3, 8, 2)"],
    ),
    "no match": (
        lambda: nn.LoRA(nn.Dense(2), 2, globs="head/*").init(0, X),
        ["<root> (LoRA)", "globs=head/*"],
    ),
    "vector": (
        lambda: nn.LoRA(nn.Dense(2), 2, globs="*").init(0, X),
        ["'bias'", "(2,)", "Expected matrices"],
    ),
    "equation": (
        lambda: nn.Einsum((8, 3), "bd,dk").init(0, X),
        ["<root> (Einsum)", "'bd,dk'", "'input,kernel->output'"],
    ),
    "no equation": (lambda: nn.Einsum((8, 3)).init(0, X), ["einsum_str=None", "one of the two"]),
    "Bilinear": (
        lambda: nn.Bilinear(2).init(0, X, X[:1]),
        ["<root> (Bilinear)", "(2, 6, 8)", "(1, 6, 8)"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
