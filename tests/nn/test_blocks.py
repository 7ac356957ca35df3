"""Layers made of layers, and functions of images and classes, against formulas and PyTorch's
numbers."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from layer_table import QUICK, Row, check, integers, normal, refused

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import random

QUICK_KEY = jax.random.key(3, impl="rbg")  # quick to compile
X, MEMORY, IMAGE = normal(2, 5, 8), normal(2, 3, 8), normal(2, 6, 5, 4)


# --- references ---------------------------------------------------------------------------------


def wide(v, x):
    return v.reshape((1,) * (x.ndim - v.ndim) + v.shape)


def norm(p, x):
    x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * wide(p["scale"], x) + wide(p["bias"], x)


def dense(p, x):
    y = x @ p["kernel"]
    return y + wide(p["bias"], y)


def attend(p, x, y, causal):
    q, k, v = (
        jnp.einsum("btc,chd->bthd", z, p[name]["kernel"]) + p[name]["bias"][None, None]
        for name, z in (("query", x), ("key", y), ("value", y))
    )
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    if causal:
        scores = jnp.where(np.tri(x.shape[1], dtype=bool)[None, None], scores, -1e9)
    out = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
    return jnp.einsum("bqhd,hdc->bqc", out, p["out"]["kernel"]) + p["out"]["bias"][None, None]


def mlp(p, x):
    return dense(p["proj"], jax.nn.relu(dense(p["fc"], x)))


def encoder_layer(p, x):
    x = norm(p["norm1"], x + attend(p["self_attention"], x, x, False))
    return norm(p["norm2"], x + mlp(p, x))


def decoder_layer(p, x, memory):
    x = norm(p["norm1"], x + attend(p["self_attention"], x, x, True))
    x = norm(p["norm2"], x + attend(p["cross_attention"], x, memory, False))
    return norm(p["norm3"], x + mlp(p, x))


def two_layers_with_norms_first(p, x):
    for layer in (p["layers_0"], p["layers_1"]):
        y = norm(layer["norm1"], x)
        x = x + attend(layer["self_attention"], y, y, True)
        x = x + mlp(layer, norm(layer["norm2"], x))
    return norm(p["norm"], x)


def experts(p, x, k=2):
    """Every expert for every token, most of them times 0."""
    chances = jax.nn.softmax(x @ p["router"]["kernel"])
    weights, chosen = jax.lax.top_k(chances, k)
    weights = weights / weights.sum(-1, keepdims=True)
    out = 0.0
    for e in range(chances.shape[-1]):
        hidden = jax.nn.silu(x @ p["gate"][e]) * (x @ p["up"][e])
        out = out + jnp.where(chosen == e, weights, 0).sum(-1)[..., None] * (hidden @ p["down"][e])
    return out


def conv_block(v, x):
    p = v["params"]
    x = jax.lax.conv_general_dilated(
        x, p["conv"]["kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    mean, var = (wide(v["batch_stats"]["norm"][name], x) for name in ("mean", "var"))
    x = (x - mean) / jnp.sqrt(var + 1e-5)
    return jax.nn.relu(x * wide(p["norm"]["scale"], x) + wide(p["norm"]["bias"], x))


def bag(p, indices, weights=None):
    real = (indices != 0).astype(jnp.float32)
    total = (p["embedding"][indices] * (real * (1 if weights is None else weights))[..., None]).sum(
        -2
    )
    return total / jnp.maximum(real.sum(-1), 1)[..., None] if weights is None else total


def of_params(function):
    return lambda variables, *inputs: function(variables["params"], *inputs)


BAGS = integers(4, 3, below=4)
WEIGHTS = normal(4, 3)
LAYERS = {
    "TransformerEncoderLayer": Row(
        lambda m: m.TransformerEncoderLayer(2, 12), [X], of_params(encoder_layer)
    ),
    "TransformerDecoderLayer": Row(
        lambda m: m.TransformerDecoderLayer(2, 12),
        [X, MEMORY],
        of_params(decoder_layer),
        brief=True,
    ),
    "TransformerEncoder, norms first": Row(
        lambda m: m.TransformerEncoder(
            m.TransformerEncoderLayer(2, 2, norm_first=True), 2, m.LayerNorm(1e-5)
        ),
        [X],
        of_params(two_layers_with_norms_first),
        options={"is_causal": True},
        brief=True,
    ),
    "MixtureOfExperts": Row(lambda m: m.MixtureOfExperts(3, 5), [X], of_params(experts)),
    "ConvNormAct": Row(
        lambda m: m.ConvNormAct(3, (3, 3), strides=2), [IMAGE], conv_block, free=False
    ),
    "EmbeddingBag": Row(
        lambda m: m.EmbeddingBag(4, 6, padding_index=0), [BAGS], of_params(bag), low="bfloat16"
    ),
    "EmbeddingBag, weighted sums": Row(
        lambda m: m.EmbeddingBag(4, 6, mode="sum", padding_index=0),
        [BAGS, WEIGHTS],
        of_params(bag),
        brief=True,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    check(LAYERS[name])


WIDE = normal(2, 9, 32)
# Layers that linen has not: the deviation that their initial values should have.
SPREADS = {
    "Bilinear": (nn.Bilinear(40), [WIDE, WIDE], {"kernel": 1 / 32}),
    "DepthwiseConv": (nn.DepthwiseConv((3,), 16), [WIDE], {"kernel": 3**-0.5}),
    "EmbeddingBag": (nn.EmbeddingBag(50, 40), [BAGS], {"embedding": 40**-0.5}),
    "LoRA": (
        nn.LoRA(nn.Dense(40), 20),
        [WIDE],
        {"lora/kernel/a": 96**-0.5, "lora/kernel/b": 0.0},
    ),
    "MixtureOfExperts": (
        nn.MixtureOfExperts(16, 50),
        [WIDE],
        {"router/kernel": 32**-0.5, "up": 32**-0.5, "down": 50**-0.5},
    ),
    "TransformerEncoderLayer": (
        nn.TransformerEncoderLayer(4, 48),
        [WIDE],
        {"self_attention/query/kernel": 32**-0.5, "fc/kernel": 40**-0.5, "fc/bias": 0.0},
    ),
}


def test_initial_values_are_as_wide_as_they_should_be():
    def init(key):
        values = {}
        for name, (layer, inputs, spreads) in SPREADS.items():
            params = layer.init(key, *inputs)["params"]
            for path in spreads:
                value = params
                for part in path.split("/"):
                    value = value[part]
                values[name, path] = value
        return values

    values = jaxcore.jit(init, compiler_options=QUICK)(QUICK_KEY)
    for (name, path), value in values.items():
        spread = SPREADS[name][2][path]
        assert value.size >= 500 or spread in (0.0, 3**-0.5), (name, path)
        np.testing.assert_allclose(np.std(value), spread, rtol=0.15, err_msg=f"{name} {path}")
        assert abs(np.mean(value)) <= 0.2 * spread, (name, path)


def test_the_decoder_hands_memory_to_every_layer():
    model = nn.TransformerDecoder(nn.TransformerDecoderLayer(2, 4), 2)

    def run(key):
        variables = model.init(key, X, MEMORY)
        cases = (X, MEMORY), (X, MEMORY + 1), (X.at[:, 1:].set(0), MEMORY)
        return [model.apply(variables, x, memory)[:, 0] for x, memory in cases]

    first, other, later = jaxcore.jit(run, compiler_options=QUICK)(QUICK_KEY)
    assert np.any(first != other)
    np.testing.assert_allclose(later, first, rtol=1e-5, atol=1e-6)


def test_dropout_of_a_transformer_layer_asks_for_its_stream():
    layer = nn.TransformerEncoderLayer(2, 4, dropout_rate=0.5)

    def run(variables, key):
        return layer.apply(variables, X, train=True, rngs=key)

    types = jaxcore.eval_shape(layer.init, QUICK_KEY, X)
    with pytest.raises(nn.MissingRngError, match="'dropout'"):
        jaxcore.eval_shape(run, types, None)
    variables = jax.tree.map(lambda t: jnp.ones(t.shape, t.dtype), types)
    compiled = jaxcore.jit(run, compiler_options=QUICK)
    draws = [compiled(variables, jax.random.key(i, impl="rbg")) for i in (1, 2)]
    assert np.any(draws[0] != draws[1])


def test_experts_say_how_even_they_are():
    layer = nn.MixtureOfExperts(4, 3, top_k=1)
    types = jaxcore.eval_shape(layer.init, random.key(0), X)
    even = jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), types)
    router = jnp.zeros((8, 4)).at[:, 2].set(X.sum((0, 1)) * 10)
    uneven = {"params": {**even["params"], "router": {"kernel": router}}}
    run = jaxcore.jit(
        lambda v: layer.apply(v, X, mutable=["losses"])[1]["losses"]["balance"][0],
        compiler_options=QUICK,
    )
    assert run(even) == 1
    sown = run(uneven)
    chances = jax.nn.softmax(X @ router).reshape(-1, 4)
    share = np.bincount(np.argmax(chances, -1), minlength=4) / len(chances)
    want = 4 * (share * chances.mean(0)).sum()
    np.testing.assert_allclose(sown, want, rtol=1e-5)
    assert want > 1


@pytest.mark.parametrize(("padding", "strides"), [("VALID", (1, 1)), ("SAME", (2, 3))])
def test_maxima_have_places(padding, strides):
    image = jnp.round(IMAGE)  # with equal values
    window = (3, 2)

    def both(x):
        values, places = nn.max_pool_with_indices(x, window, strides, padding)
        back = nn.max_unpool(values, places, (6, 5))
        grad = jaxcore.grad(lambda x: (nn.max_pool_with_indices(x, window, strides)[0] ** 2).sum())
        plain = jaxcore.grad(lambda x: (nn.max_pool(x, window, strides) ** 2).sum())
        return values, places, nn.max_pool(x, window, strides, padding), back, grad(x), plain(x)

    values, places, plain, back, grad, expected = jaxcore.jit(both, compiler_options=QUICK)(image)
    np.testing.assert_array_equal(values, plain)
    flat = np.asarray(image).reshape(2, 30, 4)
    picked = np.take_along_axis(flat, np.asarray(places).reshape(2, -1, 4), 1)
    np.testing.assert_array_equal(picked.reshape(values.shape), values)
    hit = np.zeros_like(flat)
    np.put_along_axis(hit, np.asarray(places).reshape(2, -1, 4), picked, 1)
    np.testing.assert_array_equal(back.reshape(2, 30, 4), hit)
    np.testing.assert_allclose(grad.sum(), expected.sum(), rtol=1e-5)  # ties may go elsewhere
    low = nn.max_pool_with_indices(jnp.full((1, 2, 1), -jnp.inf), (2,), padding=((1, 0),))[1]
    assert low.ravel().tolist() == [0, 0]


# torch.nn.functional.grid_sample(IMAGE_2_3, GRID, mode, padding_mode, align_corners)
IMAGE_2_3 = jnp.array([[1.0, 2, 4], [8, 16, 32]])[..., None]
GRID = jnp.array([[-0.9, -0.6], [0.3, 0.2], [1.4, 0.9], [-2.3, 1.7]])
SAMPLES = {
    ("bilinear", "zeros", False): [0.585, 17.11, 0.0, 0.0],
    ("bilinear", "zeros", True): [2.64, 13.52, 18.36, 0.0],
    ("bilinear", "border", False): [1.0, 17.11, 32.0, 8.0],
    ("bilinear", "border", True): [2.64, 13.52, 30.6, 8.0],
    ("bilinear", "reflection", False): [1.0, 17.11, 30.4, 19.14],
    ("bilinear", "reflection", True): [2.64, 13.52, 24.48, 14.43],
    ("nearest", "zeros", False): [1.0, 16.0, 0.0, 0.0],
    ("nearest", "zeros", True): [1.0, 16.0, 32.0, 0.0],
    ("nearest", "border", False): [1.0, 16.0, 32.0, 8.0],
    ("nearest", "border", True): [1.0, 16.0, 32.0, 8.0],
    ("nearest", "reflection", False): [1.0, 16.0, 32.0, 16.0],
    ("nearest", "reflection", True): [1.0, 16.0, 32.0, 16.0],
}


def test_grid_sample_as_pytorch_does():
    def sampled(image, grid):
        return {
            (mode, padding, align): nn.grid_sample(
                image, grid, mode=mode, padding_mode=padding, align_corners=align
            )
            for mode, padding, align in SAMPLES
        }

    got = jaxcore.jit(sampled, compiler_options=QUICK)(IMAGE_2_3, GRID)
    for name, values in SAMPLES.items():
        np.testing.assert_allclose(got[name][..., 0], values, atol=2e-5, err_msg=str(name))


def test_affine_grid_and_what_it_samples():
    theta = jnp.array([[[1.0, 0.5, 0.1], [-0.5, 2, 0.2]]])
    for align, corner in ((False, [-0.65, -0.55]), (True, [-1.4, -1.3])):  # PyTorch's
        grid = nn.affine_grid(theta, (2, 2), align_corners=align)
        np.testing.assert_allclose(grid[0, 0, 0], corner, atol=1e-6)
    volume = normal(3, 4, 2, 1)
    mirror = jnp.array([[-1.0, 0, 0], [0, 1, 0]])

    def sampled():
        thetas = jnp.stack([jnp.eye(2, 3), mirror])
        whole = nn.affine_grid(jnp.eye(3, 4), volume.shape[:3])
        images = nn.grid_sample(IMAGE, nn.affine_grid(thetas, (6, 5)))
        return images, nn.grid_sample(volume, whole)

    images, same = jaxcore.jit(sampled, compiler_options=QUICK)()
    np.testing.assert_allclose(images[0], IMAGE[0], atol=1e-5)
    np.testing.assert_allclose(images[1], IMAGE[1, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(same, volume, atol=1e-5)


def test_gumbel_softmax_draws_the_classes_at_their_rates():
    logits = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    many = jnp.broadcast_to(logits, (4000, 3))

    def both(key):
        soft = nn.gumbel_softmax(key, many, 0.7)
        hard = nn.gumbel_softmax(key, many, 0.7, hard=True)
        slope = lambda hard: jaxcore.grad(
            lambda x: (nn.gumbel_softmax(key, x, 0.7, hard=hard) * jnp.arange(3.0)[None]).sum()
        )
        return soft, hard, slope(False)(many), slope(True)(many)

    soft, hard, slope, hard_slope = jaxcore.jit(both, compiler_options=QUICK)(random.key(0))
    np.testing.assert_allclose(soft.sum(-1), np.ones(4000), rtol=1e-5)
    assert np.array_equal(np.argmax(soft, -1), np.argmax(hard, -1))
    np.testing.assert_allclose(hard.mean(0), [0.2, 0.3, 0.5], atol=0.03)
    np.testing.assert_allclose(slope, hard_slope, rtol=1e-5, atol=1e-6)
    noise = jax.random.gumbel(jax.random.key(0), (4000, 3))
    np.testing.assert_allclose(soft, jax.nn.softmax((many + noise) / 0.7), rtol=1e-4, atol=1e-6)


def test_classes_of_a_row_and_activations_by_name():
    rows = jnp.array([[[0, 3, 3], [2, -1, 7]]])
    want = np.zeros((1, 2, 4))
    for i, j in itertools.product(range(2), range(3)):
        if 0 <= rows[0, i, j] < 4:
            want[0, i, rows[0, i, j]] = 1
    np.testing.assert_array_equal(nn.multi_hot(rows, 4), want)
    assert nn.multi_hot(rows, 4, dtype=bool).dtype == bool
    x = jnp.linspace(-2, 2, 5)
    for name, value in {
        "relu": jax.nn.relu(x),
        "swish": jax.nn.silu(x),
        "hard_swish": jax.nn.hard_swish(x),
        "hardtanh": jnp.clip(x, -1, 1),
        "quick_gelu": x / (1 + np.exp(-1.702 * x)),
        "gelu_new": jax.nn.gelu(x, approximate=True),
        "gelu_exact": jax.nn.gelu(x, approximate=False),
        "relu2": jax.nn.relu(x) ** 2,
        "linear": x,
    }.items():
        np.testing.assert_allclose(nn.activation(name)(x), value, rtol=2e-5, atol=1e-6)
    assert nn.activation(nn.relu) is nn.relu


MISTAKES = {
    "unknown activation": (lambda: nn.activation("rleu"), ["'rleu'", "relu"]),
    "multi_hot of floats": (lambda: nn.multi_hot(jnp.ones(2), 3), ["float32[2]", "integers"]),
    "experts": (
        lambda: nn.MixtureOfExperts(2, 3, top_k=3).init(0, X),
        ["<root> (MixtureOfExperts)", "top_k=3", "num_experts=2"],
    ),
    "bag of numbers": (
        lambda: nn.EmbeddingBag(3, 2).init(0, X),
        ["<root> (EmbeddingBag)", "float32", "astype"],
    ),
    "mode of a bag": (lambda: nn.EmbeddingBag(3, 2, mode="min").init(0, BAGS), ["'min'", "'max'"]),
    "unpool": (
        lambda: nn.max_unpool(IMAGE, IMAGE[:1], (2, 2)),
        ["(2, 6, 5, 4)", "(1, 6, 5, 4)", "max_pool_with_indices"],
    ),
    "theta": (lambda: nn.affine_grid(jnp.eye(3), (2, 2)), ["(3, 3)", "2, 3"]),
    "grid": (lambda: nn.grid_sample(IMAGE, GRID), ["(2, 6, 5, 4)", "(4, 2)"]),
    "mode": (
        lambda: nn.grid_sample(IMAGE_2_3, GRID, mode="cubic"),
        ["'cubic'", "'bilinear'", "'reflection'"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
