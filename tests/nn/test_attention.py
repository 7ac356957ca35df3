"""The attention function against JAX's, with all its options, and against linen's in the layers."""

import functools

import jax
import jax.nn
import jax.numpy
import numpy as np
import pytest
from layer_table import QUICK

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
        return lib.jit(run, compiler_options=QUICK)(*args)

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
    "bias of heads": ((QUERY, *FEW), {"bias": normal(1, N, T, S), "is_causal": True}),
    "bias of keys, in bfloat16": ((QUERY, KEY, VALUE), {"bias": normal(B, 1, 1, S), "mask": MASK}),
    "residual": ((QUERY, *FEW), {"bias": normal(T, S), "return_residual": True}),
}


@pytest.fixture
def blocks_of_two(monkeypatch):
    """For 4 queries and 5 keys: several blocks, and the last one not full."""
    blocks = functools.partial(fused.fused_attention, block=2)
    monkeypatch.setattr(dot_product, "fused_attention", blocks)


@pytest.mark.parametrize("name", FUSED)
def test_fused_is_the_same_in_blocks(name, blocks_of_two):
    args, options = FUSED[name]
    options = dict(options)
    bias = jnp.asarray(options.pop("bias", 0.0), "bfloat16" if "bfloat16" in name else "float32")

    def loss(q, k, v, bias, implementation):
        bias = bias if bias.ndim else None
        out = nn.dot_product_attention(q, k, v, bias, **options, implementation=implementation)
        means = out[0] if isinstance(out, tuple) else out
        return (means * jnp.cos(means)).sum(), out

    def both(*args):
        f = jaxcore.grad(loss, (0, 1, 2, 3), has_aux=True)
        return f(*args, implementation="fused"), f(*args, implementation="xla")

    ours, theirs = jaxcore.jit(both, compiler_options=QUICK)(*args, bias)
    if "bfloat16" in name:  # the gradient is rounded
        close(ours[0][3], theirs[0][3], tol=1e-2)
        ours, theirs = (ours[0][:3], ours[1]), (theirs[0][:3], theirs[1])
    close(ours, theirs)


QUICK_KEY = jax.random.key(5, impl="rbg")  # quick to compile


def kept_by_dropout(rate, broadcast):
    """The factors of all weights in blocks of two, (B, N, T, S)."""
    setting = fused._Setting(False, None, T, S, 2, None, rate, broadcast)
    operands = fused._Operands(*[None] * 5, dropout=QUICK_KEY)
    ones = jnp.ones((B, K, N // K, 2, 2))
    factor = lambda i, j: fused._dropped(setting, operands, i, j, ones)
    whole = lambda: jnp.block([[factor(i, j) for j in range(3)] for i in range(2)])
    kept = np.asarray(jaxcore.jit(whole, compiler_options=QUICK)()).reshape(B, N, 4, 6)[..., :S]
    assert set(np.unique(kept)) == {0.0, np.float32(1 / (1 - rate))}
    return kept


def test_dropout_of_the_fused_path_is_that_of_its_blocks():
    rate = 0.4
    assert (np.ptp(kept_by_dropout(rate, True), (0, 1)) == 0).all()
    kept = kept_by_dropout(rate, False)
    assert np.ptp(kept, (0, 1)).any()

    def dense(q, k, v):
        weights = nn.dot_product_attention_weights(q, jnp.repeat(k, N // K, 2))
        return jnp.einsum("bhqk,bkhd->bqhd", weights * kept, jnp.repeat(v, N // K, 2))

    def in_blocks(q, k, v):
        options = {"dropout_rng": QUICK_KEY, "dropout_rate": rate, "broadcast_dropout": False}
        return fused.fused_attention(q, k, v, block=2, **options)[0]

    def both(*args):
        ways = tuple(jnp.cos(x) for x in args)
        moved = lambda f: (jaxcore.vjp(f, *args)[1](ways[0]), jaxcore.jvp(f, args, ways))
        return moved(in_blocks), moved(dense)

    close(*jaxcore.jit(both, compiler_options=QUICK)(QUERY, *FEW))


def test_fused_has_derivatives_in_every_mode_and_of_every_order(blocks_of_two):
    args = QUERY[:1, :, :2], *(x[:1, :, :1] for x in FEW), normal(1, 2, T, 1)

    def loss(implementation, q, k, v, bias):
        options = {"is_causal": True, "implementation": implementation}
        out = nn.dot_product_attention(q, k, v, bias, **options)
        return (out * jnp.cos(out)).sum()

    def every(implementation):
        f = functools.partial(loss, implementation)
        steps = lambda *args: sum(jnp.sin(g).sum() for g in jaxcore.grad(f, (0, 1, 2, 3))(*args))
        ways = tuple(jnp.cos(x) for x in args)
        return {
            "forward": jaxcore.jvp(f, args, ways),
            "forward over reverse": jaxcore.jvp(jaxcore.grad(f, (0, 1, 2, 3)), args, ways),
            "reverse over reverse": jaxcore.grad(steps, (0, 1, 2, 3))(*args),
            "batched": jaxcore.vmap(jaxcore.grad(f, (0, 3)))(*(x[None] for x in args)),
        }

    both = lambda: (every("fused"), every("xla"))
    close(*jaxcore.jit(both, compiler_options=QUICK)(), tol=1e-4)


def test_jaxs_transformations_take_the_fused_path(blocks_of_two):
    def loss(q, k, v):
        return (nn.dot_product_attention(q, k, v, implementation="fused") ** 2).sum()

    args = [np.stack([x, 2 * x]) for x in (QUERY, *FEW)]
    got, want = (lib.jit(lib.vmap(lib.grad(loss)))(*args) for lib in (jax, jaxcore))
    close(got, want)


def test_fused_is_chosen_for_long_sequences_and_its_memory_grows_with_the_length(monkeypatch):
    monkeypatch.setattr(dot_product, "_LARGE", 1 << 14)
    blocks = functools.partial(fused.fused_attention, block=32)
    monkeypatch.setattr(dot_product, "fused_attention", blocks)

    def loss(q, k, v, bias):
        options = {"is_causal": True, "dropout_rng": QUICK_KEY, "dropout_rate": 0.1}
        return nn.dot_product_attention(q, k, v, bias, **options, broadcast_dropout=False).sum()

    def types(length):
        x = jax.ShapeDtypeStruct((2, length, 2, 4), "float32")
        return x, x, x, jax.ShapeDtypeStruct((1, 2, 1, length), "float32")

    def temporaries(length):
        grad = jaxcore.jit(jaxcore.grad(loss, (0, 1, 2, 3)))
        return grad.lower(*types(length)).compile().memory_analysis().temp_size_in_bytes

    short, long = temporaries(256), temporaries(1024)
    assert long < 5 * short and long < 2 * 2 * 1024**2 * 4 / 4
    assert "linear_call" not in str(jaxcore.make_jaxpr(jaxcore.grad(loss))(*types(64)))


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
    with pytest.raises(nn.InputError, match="no dropout_rng"):
        nn.dot_product_attention(QUERY, KEY, VALUE, dropout_rate=0.1, implementation="fused")
