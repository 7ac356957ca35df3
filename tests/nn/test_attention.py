"""The attention function against JAX's, with all its options, and against linen's in the layers."""

import jax
import jax.nn
import jax.numpy
import numpy as np
import pytest

import jaxcore
from jaxcore import nn

RNG = np.random.default_rng(0)
B, T, S, N, K, H = 2, 4, 5, 4, 2, 3


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


QUERY, KEY, VALUE = normal(B, T, N, H), normal(B, S, N, H), normal(B, S, N, H)
FEW = normal(B, S, K, H), normal(B, S, K, H)
MASK = RNG.random((B, N, T, S)) > 0.4
MASK[0, 0, 1] = False  # a query that sees nothing
LENGTHS = {
    "query_seq_lengths": np.array([4, 2], np.int32),
    "key_value_seq_lengths": np.array([3, 5], np.int32),
}
OPTIONS = {
    "plain": {},
    "scale": {"scale": 0.3},
    "bias": {"bias": normal(B, N, T, S)},
    "bias of one head": {"bias": normal(1, 1, T, S)},
    "mask": {"mask": MASK},
    "causal": {"is_causal": True},
    "lengths": LENGTHS,
    "key lengths": {"key_value_seq_lengths": LENGTHS["key_value_seq_lengths"]},
    "window": {"local_window_size": 1},
    "uneven window": {"local_window_size": (2, 0), "implementation": "xla"},
    "everything": {
        "bias": normal(1, N, T, S),
        "mask": MASK[:, :1],
        "is_causal": True,
        "local_window_size": 2,
        "return_residual": True,
        **LENGTHS,
    },
}


def both(options, args):
    """Values and gradients of both functions."""

    def results(lib, f):
        def loss(q, k, v):
            out = f(q, k, v, **options)
            out = out[0] if isinstance(out, tuple) else out
            return (out * lib.numpy.cos(out)).sum()

        run = lambda *a: (f(*a, **options), lib.grad(loss, (0, 1, 2))(*a))
        return lib.jit(run)(*args)

    return (
        results(jaxcore, nn.dot_product_attention),
        results(jax, jax.nn.dot_product_attention),
    )


def close(ours, theirs, tol=2e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, b.shape)
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=tol, atol=tol
        )


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    close(*both(OPTIONS[name], (QUERY, KEY, VALUE)))


@pytest.mark.parametrize("name", ["plain", "everything", "mask"])
def test_heads_in_groups(name):
    close(*both(OPTIONS[name], (QUERY, *FEW)))


def test_without_a_batch_and_in_half_precision():
    close(*both({"is_causal": True}, (QUERY[0], KEY[0], VALUE[0])))
    half = [x.astype(jax.numpy.bfloat16) for x in (QUERY, KEY, VALUE)]
    close(*both({"mask": MASK}, half), tol=4e-2)


def test_it_is_batched():
    f = lambda q, k, v: nn.dot_product_attention(q, k, v, is_causal=True)
    mapped = jaxcore.vmap(f, (0, None, 1))(QUERY, KEY[0], np.moveaxis(VALUE, 0, 1))
    want = [f(QUERY[i], KEY[0], VALUE[i]) for i in range(B)]
    np.testing.assert_allclose(mapped, np.stack(want), rtol=1e-5, atol=1e-5)


def test_groups_in_the_layer_are_repeated_heads():
    x = normal(B, T, 8)
    layer = nn.MultiHeadAttention(4, num_kv_heads=2)
    variables = layer.init(jax.random.key(0), x)
    other = nn.MultiHeadAttention(
        4, num_kv_heads=2, attention_fn=lambda *a, **k: nn.dot_product_attention(*a, **k)
    )
    close(layer.apply(variables, x), other.apply(variables, x))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f(QUERY[..., :2], KEY, VALUE), ["(2, 4, 4, 2)", "(2, 5, 4, 3)"]),
        (lambda f: f(QUERY[:, :, :3], *FEW), ["multiple"]),
        (lambda f: f(QUERY, KEY, VALUE[:, :3]), ["value", "(2, 3, 4, 3)"]),
        (lambda f: f(QUERY, KEY, VALUE, implementation="magic"), ["magic", "'cudnn'"]),
    ],
)
def test_mistakes_say_what_is_wrong(call, words):
    with pytest.raises(ValueError):
        call(jax.nn.dot_product_attention)
    with pytest.raises(ValueError) as caught:
        call(nn.dot_product_attention)
    for word in words:
        assert word in str(caught.value)
