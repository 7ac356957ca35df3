"""What has no counterpart in linen, or more to it than values: Repeat, dropout, caches, pooling,
activations, tree filters, the summary."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import random

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import flax.linen as linen

KEY = random.key(0)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32)


X = normal(4, 3)


class Block(nn.Module):
    def __call__(self, x, shift=0.0):
        self.sow("intermediates", "seen", x)
        x = nn.BatchNorm()(x) + nn.Dropout(0.5)(nn.Dense(x.shape[-1])(x))
        return x + shift


class Stack(nn.Module):
    def __call__(self, x, shift=0.0):
        for i in range(3):
            x = Block(name=f"block_{i}")(x, shift)
        return x


def test_repeat_is_the_loop_over_its_slices():
    deep = nn.Repeat(Block(), 3)
    variables = deep.init(KEY, X)
    kernel = variables["params"]["block"]["Dense_0"]["kernel"]
    assert kernel.shape == (3, 3, 3) and np.any(kernel[0] != kernel[1])
    loop = {
        c: {f"block_{i}": jax.tree.map(lambda v, i=i: v[i], tree["block"]) for i in range(3)}
        for c, tree in variables.items()
    }
    run = jaxcore.jit(lambda v: deep.apply(v, X, 0.5, mutable=True))
    y, updates = run(variables)
    expected, _ = Stack().apply(loop, X, 0.5, mutable=True)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert updates["intermediates"]["block"]["seen"][0].shape == (3, 4, 3)
    np.testing.assert_allclose(updates["intermediates"]["block"]["seen"][0][0], X)


def test_repeat_in_training_and_nested():
    deep = nn.Repeat(nn.Repeat(Block(), 2), 2)
    variables = deep.init(KEY, X)
    kernel = variables["params"]["block"]["block"]["Dense_0"]["kernel"]
    assert kernel.shape == (2, 2, 3, 3)

    def loss(params, key):
        state = {**variables, "params": params}
        y, updates = deep.apply(state, X, train=True, rngs=key, mutable=["batch_stats"])
        return (y**2).sum(), updates

    grad = jaxcore.jit(jaxcore.grad(loss, has_aux=True))
    (grads, updates), (other, _) = (grad(variables["params"], random.key(i)) for i in (1, 2))
    means = updates["batch_stats"]["block"]["block"]["BatchNorm_0"]["mean"]
    assert means.shape == (2, 2, 3) and np.any(means[0, 0] != means[0, 1])
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(other), strict=True)
    assert any(np.any(a != b) for a, b in pairs)


def test_repeat_draws_anew_for_each_layer():
    class Drop(nn.Module):
        def __call__(self, x):
            y = nn.Dropout(0.5)(jnp.ones_like(x))
            self.sow("intermediates", "mask", y)
            return x + 0.0 * y

    _, updates = nn.Repeat(Drop(), 3).apply(
        {}, jnp.ones(64), train=True, rngs=KEY, mutable="intermediates"
    )
    masks = updates["intermediates"]["block"]["mask"][0]
    assert np.any(masks[0] != masks[1]) and np.any(masks[1] != masks[2])


def test_vmap_is_a_copy_for_each():
    many = nn.Vmap(Block(), 3, in_axes=(0, None))
    x = normal(3, 4, 3)
    variables = many.init(KEY, x, 0.5)
    y, updates = jaxcore.jit(lambda v: many.apply(v, x, 0.5, train=True, rngs=KEY, mutable=True))(
        variables
    )
    kernel = variables["params"]["block"]["Dense_0"]["kernel"]
    assert y.shape == x.shape and np.any(kernel[0] != kernel[1])
    assert updates["intermediates"]["block"]["seen"][0].shape == (3, 4, 3)
    one = jax.tree.map(lambda v: v[1], {c: tree["block"] for c, tree in variables.items()})
    _, expected = Block().apply(one, x[1], 0.5, train=True, rngs=KEY, mutable=["batch_stats"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5, atol=1e-6),
        updates["batch_stats"]["block"],
        expected["batch_stats"],
    )
    masks = nn.Vmap(nn.Dropout(0.5), 3, in_axes=None).apply({}, X, train=True, rngs=KEY)
    assert np.any(masks[0] != masks[1])


def test_remat_changes_nothing_but_memory():
    def step(module, variables):
        def loss(params):
            state = {**variables, "params": params}
            y, updates = module.apply(state, X, train=True, rngs=KEY, mutable=True)
            return (y**2).sum(), updates

        return jaxcore.grad(loss, has_aux=True)(variables["params"])

    class Plain(nn.Module):
        block: nn.Module

        def __call__(self, x):
            return self.block(x)

    class Checkpointed(Plain):  # its state and its random masks leave the function as they are
        def __call__(self, x):
            return jaxcore.checkpoint(lambda x: self.block(x))(x)

    block = Block()
    modules = Plain(block), nn.Remat(block), Checkpointed(block), nn.Repeat(nn.Remat(block), 2)
    variables = [module.init(KEY, X) for module in modules]
    pairs = zip(modules, variables, strict=True)
    expected, *found, _ = jaxcore.jit(lambda: [step(m, v) for m, v in pairs])()
    assert set(expected[1]) == {"params", "batch_stats", "intermediates"}
    for own, got in zip(variables[1:], found, strict=False):
        jax.tree.map(np.testing.assert_array_equal, own, variables[0])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, expected
        )


def test_dropout_keeps_the_mean_and_broadcasts():
    ones = jnp.ones((64, 8, 32))

    def drop(module, **options):
        return np.asarray(module.apply({}, ones, train=True, rngs=KEY, **options))

    y = drop(nn.Dropout(0.25))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 0.02
    assert np.all(np.ptp(drop(nn.Dropout(0.5, broadcast_dims=(1,))), axis=1) == 0)
    assert np.all(drop(nn.Dropout(1.0)) == 0)
    assert np.all(drop(nn.Dropout(0.5), deterministic=True) == 1)
    assert np.all(nn.Dropout(0.5).apply({}, ones) == 1)


def test_attention_decodes_step_by_step_as_it_computes_at_once():
    x = normal(2, 5, 8)
    at_once = nn.MultiHeadAttention(4, num_kv_heads=2)
    variables = at_once.init(KEY, x)
    assert variables["params"]["key"]["kernel"].shape == (8, 2, 2)
    expected = at_once.apply(variables, x, mask=nn.make_causal_mask(x[..., 0]))
    stepwise = nn.MultiHeadAttention(4, num_kv_heads=2, decode=True)
    cache = stepwise.init(KEY, x)["cache"]
    assert cache["cached_key"].shape == (2, 5, 2, 2) and cache["cache_index"] == 0
    step = jaxcore.jit(lambda c, x: stepwise.apply({**variables, "cache": c}, x, mutable="cache"))
    pieces = []
    for part in (x[:, :3], x[:, 3:4], x[:, 4:5]):  # a prompt at once, then one by one
        y, state = step(cache, part)
        cache = state["cache"]
        pieces.append(y)
    np.testing.assert_allclose(jnp.concatenate(pieces, 1), expected, rtol=1e-4, atol=1e-5)


def test_attention_masks_dropout_and_weights():
    tokens = jnp.array([[1, 1, 0]])
    both = nn.combine_masks(nn.make_causal_mask(tokens), nn.make_attention_mask(tokens, tokens))
    np.testing.assert_array_equal(both[0, 0], [[1, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert nn.combine_masks(None, None) is None
    x = normal(2, 4, 8)
    layer = nn.MultiHeadAttention(2, dropout_rate=0.5)
    variables = layer.init(KEY, x)
    y, updates = layer.apply(variables, x, sow_weights=True, mutable="intermediates")
    weights = updates["intermediates"]["attention_weights"][0]
    np.testing.assert_allclose(weights.sum(-1), np.ones((2, 2, 4)), rtol=1e-5)
    assert np.any(y != layer.apply(variables, x, train=True, rngs=KEY))


POOLS = {
    "max": lambda m, x: m.max_pool(x, (2, 2), strides=(2, 2)),
    "max, same": lambda m, x: m.max_pool(x, (3, 2), padding="SAME"),
    "explicit": lambda m, x: m.max_pool(x, (2, 3), padding=((1, 0), (0, 1))),
    "avg": lambda m, x: m.avg_pool(x, (2, 2), strides=(2, 1)),
    "avg, padded": lambda m, x: m.avg_pool(x, (2, 3), padding="SAME"),
    "avg, inside": lambda m, x: m.avg_pool(x, (2, 3), padding="SAME", count_include_pad=False),
}


@pytest.mark.parametrize("name", POOLS)
def test_pooling(name):
    x = normal(2, 5, 6, 3)
    ours, theirs = (lambda x, m=m: POOLS[name](m, x) for m in (nn, linen))
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours(x[0]), theirs(x[0]), rtol=1e-5, atol=1e-6)
    got = jaxcore.grad(lambda x: (ours(x) ** 2).sum())(x)
    expected = jax.grad(lambda x: (theirs(x) ** 2).sum())(x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_min_pool():
    x = normal(2, 5, 6, 3)
    np.testing.assert_array_equal(nn.min_pool(x, (2, 3)), -nn.max_pool(-x, (2, 3)))


ACTIVATIONS = [
    *["celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity"],
    *["leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "mish", "relu", "relu6", "selu"],
    *["sigmoid", "silu", "soft_sign", "softmax", "softplus", "sparse_plus", "sparse_sigmoid"],
    *["squareplus", "standardize", "swish", "glu"],
]


def test_activations():
    x = normal(4, 6) * 3

    def evaluate(lib, grad):
        return {
            name: grad(lambda x, name=name: (getattr(lib, name)(x) ** 2).sum())(x)
            for name in ACTIVATIONS
        }

    got = jaxcore.jit(lambda: evaluate(nn, jaxcore.value_and_grad))()
    expected = jax.jit(lambda: evaluate(jax.nn, jax.value_and_grad))()
    for name in ACTIVATIONS:
        for a, b in zip(got[name], expected[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(nn.tanh(x), np.tanh(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nn.one_hot(jnp.array([1]), 3), [[0, 1, 0]])


def test_softmax_of_large_masked_and_low_precision_values():
    big = jnp.array([1e4, 1e4, -jnp.inf])
    np.testing.assert_allclose(nn.softmax(big), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(nn.logsumexp(big), 1e4 + np.log(2), rtol=1e-6)
    none = jnp.zeros(3, bool)
    np.testing.assert_array_equal(nn.softmax(big, where=none), np.zeros(3))
    keep = jnp.array([True, False, True])
    np.testing.assert_allclose(nn.softmax(jnp.zeros(3), where=keep), [0.5, 0.0, 0.5])
    low = nn.softmax(jnp.zeros(3, jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    grad = jaxcore.grad(lambda x: nn.softmax(x, where=keep)[0])(jnp.zeros(3))
    np.testing.assert_allclose(grad, [0.25, 0.0, -0.25])


TREE = {
    "enc": {"Dense_0": {"kernel": 1, "bias": 2}, "norm": {"scale": 3}},
    "head": {"kernel": 4, "bias": 5},
}

# globs: leaves taken
GLOBS = {
    "**": {1, 2, 3, 4, 5},
    "enc/**": {1, 2, 3},
    "enc": {1, 2, 3},
    "**/bias": {2, 5},
    "*/bias": {5},
    "**/kernel": {1, 4},
    "enc/*/kernel": {1},
    "enc/Dense_?/*": {1, 2},
    "**/Dense_*/**": {1, 2},
    "bias": set(),
    "nc/**": set(),
}


@pytest.mark.parametrize("glob", GLOBS)
def test_partition(glob):
    matched, rest = nn.partition(TREE, [glob])
    assert set(jax.tree.leaves(matched)) == GLOBS[glob]
    assert set(jax.tree.leaves(rest)) == {1, 2, 3, 4, 5} - GLOBS[glob]
    assert nn.merge(matched, rest) == TREE


def test_summary():
    class Model(nn.Module):
        def __call__(self, x):
            shared = nn.Dense(3)
            return nn.Sequential([nn.Dense(5), nn.relu, nn.Dense(2)])(shared(shared(x)))

    table = Model().summary(X)
    lines = {line.split()[0]: line.split() for line in table.splitlines()[2:]}
    assert lines["(model)"][1:4] == ["Model", "float32[4,2]", "44"]
    assert lines["Dense_0"][1:5] == ["Dense", "x2", "float32[4,3]", "12"]
    assert lines["Dense_1"][3] == "20"
    if "FLOPs" in table:
        assert lines["Dense_1"][-1] == f"{2 * 4 * 3 * 5 + 4 * 5:,}"
    struct = jaxcore.ShapeDtypeStruct(X.shape, X.dtype)
    assert Model().summary(struct) == table == repr(table)
    trained = nn.Sequential([nn.BatchNorm(), nn.Dropout(0.5)]).summary(struct, train=True)
    assert "layers_1" in trained


def test_summary_counts_equal_modules_that_stand_elsewhere():
    """A cell belongs to the model that made it, and runs in a loop of another module."""

    class Twice(nn.Module):
        def __call__(self, x):
            return nn.RNN(nn.SimpleCell(3))(nn.RNN(nn.SimpleCell(3))(x))

    table = Twice().summary(jaxcore.ShapeDtypeStruct((2, 5, 3), "float32"))
    lines = {line.split()[0]: line.split() for line in table.splitlines()[2:]}
    flops = lines["SimpleCell_0"][-1]
    assert flops == lines["SimpleCell_1"][-1] and int(flops) >= 5 * 2 * 2 * 2 * 3 * 3
