"""Positions against formulas in NumPy, and the options of attention layers against plain masks."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random


def test_rotary_depends_on_distances_alone(rng):
    q, k = rng.standard_normal((2, 1, 2, 3, 8), np.float32)
    for options in ({}, {"interleaved": True}, {"features": 4}):
        products = [
            np.einsum(
                "bqhd,bkhd->bhqk",
                nn.rotary(q, np.array([3, 5]) + shift, **options),
                nn.rotary(k, np.array([1, 9]) + shift, **options),
            )
            for shift in (0, 40)
        ]
        np.testing.assert_allclose(*products, rtol=2e-4, atol=1e-4)


def test_rotary_turns_pairs(rng):
    x = rng.standard_normal((2, 5, 3, 6), np.float32)
    pairs = x[..., 0::2] + 1j * x[..., 1::2]
    angles = np.arange(5)[:, None] * 100.0 ** (-np.arange(3) / 3)
    turned = pairs * np.exp(1j * angles)[:, None]
    want = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    got = nn.rotary(x, base=100.0, interleaved=True)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    halves = np.concatenate([x[..., 0::2], x[..., 1::2]], -1)
    got = nn.rotary(halves, base=100.0)
    want = np.concatenate([turned.real, turned.imag], -1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    part = nn.rotary(x, features=2)
    np.testing.assert_array_equal(part[..., 2:], x[..., 2:])
    assert nn.rotary(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    with pytest.raises(nn.InputError, match="turned in pairs"):
        nn.rotary(x[..., :5])


def test_sinusoidal_table():
    table = np.asarray(nn.sinusoidal_positions(7, 5))
    for p in range(7):
        for c in range(5):
            angle = p / 10000 ** ((c - c % 2) / 5)
            assert abs(table[p, c] - (np.cos if c % 2 else np.sin)(angle)) < 1e-6


def test_alibi_slopes_are_the_papers():
    np.testing.assert_allclose(nn.alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    # The published code, for numbers of heads that are no power of two.
    np.testing.assert_allclose(nn.alibi_slopes(6), [0.25, 0.0625, 2**-6, 2**-8, 0.5, 0.125])
    bias = nn.alibi_bias(2, np.array([[4], [5]]), np.arange(6)[None])
    assert bias.shape == (2, 2, 1, 6)
    np.testing.assert_allclose(bias[1, 0, 0], -(2.0**-4) * np.abs(5 - np.arange(6)))


def t5_bucket(relative, bidirectional, count, most):
    """The paper's buckets, one distance at a time."""
    offset = 0
    if bidirectional:
        count //= 2
        offset = count if relative > 0 else 0
        relative = abs(relative)
    else:
        relative = max(-relative, 0)
    exact = count // 2
    if relative < exact:
        return offset + relative
    scaled = np.log(np.float32(relative) / exact) / np.log(most / exact) * (count - exact)
    return offset + min(exact + int(scaled), count - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_bias_has_t5s_buckets(bidirectional):
    layer = nn.RelativePositionBias(2, 8, 20, bidirectional)
    table = np.arange(16.0, dtype=np.float32).reshape(8, 2)
    out = layer.apply({"params": {"embedding": table}}, 30, 33)
    want = [[t5_bucket(k - q, bidirectional, 8, 20) for k in range(33)] for q in range(30)]
    np.testing.assert_array_equal(out, table[np.array(want)].transpose(2, 0, 1))


X = np.random.default_rng(0).standard_normal((2, 6, 8)).astype(np.float32)
PLACES = np.arange(6)
LAYERS = {
    "causal": ({"is_causal": True}, PLACES[:, None] >= PLACES),
    "window": ({"local_window_size": 1}, abs(PLACES[:, None] - PLACES) <= 1),
    "causal window": (
        {"is_causal": True, "local_window_size": (2, 0), "num_kv_heads": 1, "rotary_base": 50.0},
        (PLACES[:, None] >= PLACES) & (PLACES[:, None] - PLACES <= 2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_limits_of_a_layer_are_masks_and_a_cache_sees_the_same(name):
    options, mask = LAYERS[name]
    layer = nn.MultiHeadAttention(4, **options)
    free = {k: v for k, v in options.items() if k not in ("is_causal", "local_window_size")}
    types = jaxcore.eval_shape(layer.init, random.key(0), X)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda t: rng.standard_normal(t.shape, np.float32), types)
    out, sown = layer.apply(variables, X, sow_weights=True, mutable=["intermediates"])
    masked = nn.MultiHeadAttention(4, **free)
    want = masked.apply(variables, X, mask=jnp.asarray(mask)[None, None])
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    weights = sown["intermediates"]["attention_weights"][0]
    assert (np.asarray(weights)[:, :, ~mask] == 0).all()
    if name == "window":  # sees later keys, which a cache does not have yet
        return
    decoder = nn.MultiHeadAttention(4, **options, decode=True)
    cache = jax.tree.map(
        lambda t: jnp.zeros(t.shape, t.dtype),
        jaxcore.eval_shape(decoder.init, random.key(0), X)["cache"],
    )
    for positions in (None, "rows"):  # after another; or said for every row
        state, parts = cache, []
        for start, end in ((0, 4), (4, 5), (5, 6)):
            given = {}
            if positions:
                given["positions"] = jnp.broadcast_to(jnp.arange(start, end), (2, end - start))
            part, updates = decoder.apply(
                {**variables, "cache": state}, X[:, start:end], mutable=["cache"], **given
            )
            state = updates["cache"]
            parts.append(part)
        np.testing.assert_allclose(jnp.concatenate(parts, 1), out, rtol=1e-4, atol=1e-5)


def test_a_bias_is_added_to_the_scores():
    layer = nn.MultiHeadAttention(2)
    types = jaxcore.eval_shape(layer.init, random.key(0), X)
    variables = jax.tree.map(lambda t: np.ones(t.shape, np.float32) / 8, types)
    bias = jnp.where(PLACES == 3, 0.0, -1e9).reshape(1, 1, 1, 6)
    out = layer.apply(variables, X, bias=bias)
    alone = layer.apply(variables, X, X[:, 3:4])
    np.testing.assert_allclose(out, alone, rtol=1e-5, atol=1e-5)


def test_self_attention_takes_its_mask_second_and_has_a_name_of_its_own():
    mask = jnp.asarray(PLACES[:, None] >= PLACES)[None, None]
    types = jaxcore.eval_shape(nn.SelfAttention(2).init, random.key(0), X)
    variables = jax.tree.map(lambda t: np.ones(t.shape, np.float32) / 8, types)
    want = nn.MultiHeadAttention(2).apply(variables, X, mask=mask)
    np.testing.assert_array_equal(nn.SelfAttention(2).apply(variables, X, mask), want)

    class Net(nn.Module):
        def __call__(self, x):
            return nn.SelfAttention(2)(x)

    assert list(jaxcore.eval_shape(Net().init, random.key(0), X)["params"]) == ["SelfAttention_0"]
