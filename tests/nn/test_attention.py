"""The attention function against JAX's, with all its options, and against linen's in the layers."""

import functools

import jax
import jax.nn
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn
from jaxcore.nn import dot_product, fused

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


FUSED = {
    "plain": ((QUERY, KEY, VALUE), {}),
    "mask": ((QUERY, *FEW), {"mask": MASK}),
    "mask of keys": ((QUERY, KEY, VALUE), {"mask": MASK[:1, :1, :1], "scale": 0.3}),
    "causal and lengths": ((QUERY, *FEW), {"is_causal": True, **LENGTHS}),
    "window": ((QUERY, *FEW), {"local_window_size": 1}),
    "causal window": ((QUERY, *FEW), {"local_window_size": (1, 0), "is_causal": True}),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_is_the_same_in_blocks(name, monkeypatch):
    """Blocks of 2 for 4 queries and 5 keys: several, and the last one not full."""
    blocks = lambda *a, **k: fused.fused_attention(*a, **k, block=2)
    monkeypatch.setattr(dot_product, "fused_attention", blocks)
    args, options = FUSED[name]

    def loss(q, k, v, implementation):
        out = nn.dot_product_attention(q, k, v, **options, implementation=implementation)
        return (out * jnp.cos(out)).sum(), out

    def both(*args):
        f = jaxcore.grad(loss, (0, 1, 2), has_aux=True)
        return f(*args, implementation="fused"), f(*args, implementation="xla")

    close(*jaxcore.jit(both)(*args))


def test_fused_is_chosen_for_long_sequences_and_holds_no_square(monkeypatch):
    monkeypatch.setattr(dot_product, "_LARGE", 1 << 14)
    monkeypatch.setattr(fused, "BLOCK", 32)
    blocks = lambda *a, **k: fused.fused_attention(*a, **k, block=32)
    monkeypatch.setattr(dot_product, "fused_attention", blocks)
    length = 256
    x = jax.ShapeDtypeStruct((2, length, 2, 4), "float32")
    loss = lambda q, k, v: nn.dot_product_attention(q, k, v, is_causal=True).sum()
    compiled = jaxcore.jit(jaxcore.grad(loss, (0, 1, 2))).lower(x, x, x).compile()
    scores = 2 * 2 * length**2 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < scores / 2
    short = jaxcore.make_jaxpr(loss)(*[jax.ShapeDtypeStruct((2, 64, 2, 4), "float32")] * 3)
    assert "custom_vjp" not in str(short)


def test_fused_is_batched_and_in_half_precision():
    attend = functools.partial(nn.dot_product_attention, is_causal=True)
    f = jaxcore.jit(functools.partial(attend, implementation="fused"))
    mapped = jaxcore.jit(jaxcore.vmap(f, (0, None, 1)))(QUERY, KEY[0], np.moveaxis(VALUE, 0, 1))
    want = [jaxcore.jit(attend)(QUERY[i], KEY[0], VALUE[i]) for i in range(B)]
    np.testing.assert_allclose(mapped, np.stack(want), rtol=1e-5, atol=1e-5)
    half = [x.astype(jnp.bfloat16) for x in (QUERY, KEY, VALUE)]
    assert f(*half).dtype == jnp.bfloat16
    close(f(*half), jaxcore.jit(attend)(*half), tol=4e-2)
    for shape in ((0, 3, 2, 4), (2, 0, 2, 4), (3, 2, 4), (1, 2, 3, 2, 4)):
        assert jaxcore.eval_shape(f, *[jax.ShapeDtypeStruct(shape, "float32")] * 3).shape == shape
    with pytest.raises(nn.InputError, match="no bias"):
        nn.dot_product_attention(QUERY, KEY, VALUE, bias=MASK, implementation="fused")
