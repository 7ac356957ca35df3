"""JAX's functions on our tracers: what has no record of ours still differentiates and batches."""

import functools

import chex
import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
import optax
import pytest

import jaxcore

RNG = np.random.default_rng(0)
V = RNG.standard_normal(4).astype(np.float32)
POSITIVE = (np.abs(V) + 0.5).astype(np.float32)
M = RNG.standard_normal((4, 4)).astype(np.float32)
SPD = (M @ M.T + 4 * np.eye(4)).astype(np.float32)
STACK = np.stack([SPD, SPD + np.eye(4, dtype=np.float32)])


def symmetric(f):
    return lambda a: f((a + a.T) / 2)


def eigenvalues_of_symmetric(a):
    return jnp.linalg.eigh((a + a.T) / 2)[0]


def complex_power(x):
    return jnp.abs(jnp.fft.fft(x)) ** 2


# name: (function, argument, whether to differentiate twice)
FUNCTIONS = {
    "cholesky": (symmetric(jnp.linalg.cholesky), SPD, True),
    "solve": (lambda a: jnp.linalg.solve(a, V), SPD, True),
    "inv": (jnp.linalg.inv, SPD, False),
    "slogdet": (lambda a: jnp.linalg.slogdet(a)[1], SPD, True),
    "eigh": (eigenvalues_of_symmetric, SPD, True),
    "svd": (lambda a: jnp.linalg.svd(a, compute_uv=False), M, False),
    "qr": (lambda a: jnp.linalg.qr(a)[1], M, False),
    "norm": (jnp.linalg.norm, M, True),
    "triangular": (lambda a: jax.scipy.linalg.solve_triangular(a, V, lower=True), SPD, False),
    "rfft": (lambda x: jnp.abs(jnp.fft.rfft(x)) ** 2, V, True),
    "fft2": (lambda x: jnp.real(jnp.fft.ifft2(jnp.fft.fft2(x) ** 2)), M, False),
    "gammaln": (special.gammaln, POSITIVE, True),
    "digamma": (special.digamma, POSITIVE, True),
    "betainc": (lambda x: special.betainc(2.0, 3.0, x / 10), POSITIVE, False),
    "gammainc": (lambda x: special.gammainc(2.0, x), POSITIVE, False),
    "erfinv": (lambda x: special.erfinv(x / 10), POSITIVE, True),
    "i0e": (special.i0e, POSITIVE, True),
    "logsumexp": (special.logsumexp, V, True),
    "xlogy": (lambda x: special.xlogy(x, x), POSITIVE, True),
    "sort": (jnp.sort, V, False),
    "interp": (lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), POSITIVE, False),
    "polyval": (lambda x: jnp.polyval(jnp.arange(4.0), x), V, True),
    "convolve": (lambda x: jnp.convolve(x, jnp.ones(2)), V, False),
    "cumprod": (jnp.cumprod, V, True),
    "gather": (lambda x: x[jnp.array([3, 0, 0])] * x[1:2], V, True),
    "scatter": (lambda x: x.at[jnp.array([1, 1])].add(x[:2] ** 2), V, True),
    "scatter-mul": (lambda x: x.at[0].multiply(x[1]), V, False),
    "top_k": (lambda x: jax.lax.top_k(x, 2)[0], V, False),
    "argmax": (lambda x: x * jnp.argmax(x), V, False),
    "reduce_window": (
        lambda a: jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "VALID"),
        M,
        False,
    ),
    "conv": (lambda a: jax.lax.conv(a[None, None], a[None, None, :2, :2], (1, 1), "SAME"), M, True),
    "einsum": (lambda a: jnp.einsum("ij,kj->ik", a, a), M, True),
    "nn": (lambda x: jax.nn.softmax(jax.nn.gelu(x)) * jax.nn.silu(x) + jax.nn.relu(x), V, True),
}


def scalar(f):
    """A scalar function in which every result of `f` counts differently."""

    def g(x):
        y = f(x)
        weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        return jnp.sum(y * weights)

    return g


def close(ours, theirs, tolerance=2e-4):
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=tolerance, atol=tolerance)


def everything(np_like, f, x, xs, twice):
    """Value, derivatives, batches of `f` by the transformations of `np_like`, in one program."""
    g = scalar(f)
    gradient = np_like.grad(g)
    results = {
        "value": f(x),
        "grad": gradient(x),
        "jvp": np_like.jvp(f, (x,), (x,))[1],
        "vmap": np_like.vmap(gradient)(xs),
    }
    if twice:
        results["second"] = np_like.grad(lambda x: jnp.vdot(gradient(x), x))(x)
    return results


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_jax_under_every_transformation(name):
    f, x, twice = FUNCTIONS[name]
    xs = np.stack([x, x * np.float32(1.1)])
    ours = jaxcore.jit(lambda x, xs: everything(jaxcore, f, x, xs, twice))(x, xs)
    theirs = jax.jit(lambda x, xs: everything(jax, f, x, xs, twice))(x, xs)
    close(ours, theirs, 1e-3)


@pytest.mark.parametrize("name", ["cholesky", "gammaln", "rfft", "scatter"])
def test_gradients_with_values(name):
    f, x, _ = FUNCTIONS[name]
    close(jaxcore.grad(scalar(f))(x), jax.jit(jax.grad(scalar(f)))(x))


def test_several_operands_and_batches_of_matrices():
    def f(a, b):
        return jnp.sum(jnp.linalg.solve(a, b) ** 2)

    b = np.ones((2, 4, 1), np.float32)
    close(jaxcore.grad(f, (0, 1))(STACK, b), jax.grad(f, (0, 1))(STACK, b))
    mapped = jaxcore.vmap(jaxcore.grad(f), (0, None))(STACK, b[0])
    close(mapped, jax.vmap(jax.grad(f), (0, None))(STACK, b[0]))


# --- tracers in Python ---------------------------------------------------------------------------


def test_a_table_of_jax_is_indexed_by_our_tracer():
    table = jnp.arange(12.0).reshape(4, 3)
    host = np.arange(12, dtype=np.float32).reshape(4, 3)
    for f in (
        lambda i: table[i],
        lambda i: jnp.asarray(host)[i],
        lambda i: table[i, 1:],
        lambda i: table.at[i].set(0.0),
        lambda i: jnp.take(table, i, axis=0),
    ):
        close(jaxcore.jit(f)(2), f(2))
        close(jaxcore.vmap(f)(jnp.arange(3)), jax.vmap(f)(jnp.arange(3)))


def test_gradient_through_an_indexed_table():
    def f(table, i):
        return jnp.sum(table[i] ** 2)

    table, i = jnp.arange(12.0).reshape(4, 3), jnp.array([0, 2, 0])
    close(jaxcore.grad(f)(table, i), jax.grad(f)(table, i))


def test_numpy_arrays_meet_our_tracers():
    host = np.arange(3, dtype=np.float32)
    for f in (
        lambda x: host * x,
        lambda x: x @ host,
        lambda x: host @ x,
        lambda x: np.float32(2) * x,
        lambda x: host[None] * x[None],
    ):
        close(jaxcore.jit(f)(host), jnp.asarray(f(jnp.asarray(host))))


@pytest.mark.parametrize(
    "number", [3, 0.5, 2j, True, np.float16(0.5), np.array(3, np.int8)], ids=repr
)
def test_numbers_given_to_functions_of_jax_are_literals(number):
    def f(x):  # the mean's divisor and the jitted function's argument
        return jax.jit(jnp.multiply)(jnp.mean(x), number)

    traced = jaxcore.jit(f).trace(V)
    assert traced.consts == []  # each would be an argument of the executable
    expected, found = jax.jit(f)(V), jaxcore.jit(f)(V)
    assert found.aval == expected.aval
    np.testing.assert_array_equal(found, expected)


def test_our_tracers_are_arrays():
    seen = []

    def f(x):
        seen.append(
            (
                isinstance(x, jax.Array),
                isinstance(x, jax.core.Tracer),
                x.shape,
                x.dtype,
                x.ndim,
                x.size,
                len(x),
                jnp.ndim(x),
                jax.typeof(x).shape,
            )
        )
        return x

    jaxcore.jit(f)(V)
    assert seen == [(True, True, (4,), np.float32, 1, 4, 4, 1, (4,))]


# --- random, optax, chex -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey], ids=["typed", "raw"])
def test_random_bits_are_those_of_jax(make):
    def f(key):
        a, b = jax.random.split(key)
        return (
            jax.random.normal(a, (3,)),
            jax.random.uniform(jax.random.fold_in(b, 7), (2, 2), minval=-1.0),
            jax.random.randint(b, (4,), 0, 10),
            jax.random.permutation(a, 5),
            jax.random.categorical(b, jnp.zeros((2, 3))),
        )

    key = make(3)
    chex.assert_trees_all_equal(jaxcore.jit(f)(key), jax.jit(f)(key))
    keys = jax.random.split(key, 3)
    ours, theirs = jaxcore.jit(jaxcore.vmap(f))(keys), jax.jit(jax.vmap(f))(keys)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-6)


def test_a_gradient_through_a_sample():
    def f(scale, key):
        return jnp.sum((jax.random.normal(key, (3,)) * scale) ** 2)

    key = jax.random.key(0)
    close(jaxcore.grad(f)(2.0, key), jax.grad(f)(2.0, key))
    close(jaxcore.jit(jaxcore.grad(f))(2.0, key), jax.grad(f)(2.0, key))


PARAMS = {"w": M, "b": V}
DATA = (RNG.standard_normal((6, 4)).astype(np.float32), np.array([0, 1, 2, 3, 1, 0]))


def cross_entropy(params, data):
    x, labels = data
    logits = jnp.tanh(x @ params["w"] + params["b"][None])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@pytest.mark.parametrize(
    "tx",
    [
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
        optax.chain(optax.clip_by_global_norm(0.1), optax.lamb(0.1)),
        optax.MultiSteps(optax.adam(0.1), 2),
        optax.apply_if_finite(optax.adafactor(0.1), 3),
    ],
    ids=["sgd", "adamw", "lamb", "multi_steps", "adafactor"],
)
def test_optax_updates_under_our_jit(tx):
    def step(grad, params, state, data):
        updates, state = tx.update(grad(cross_entropy)(params, data), state, params)
        return optax.apply_updates(params, updates), state

    ours = theirs = (PARAMS, tx.init(PARAMS))
    our_step = jaxcore.jit(functools.partial(step, jaxcore.grad))
    their_step = jax.jit(functools.partial(step, jax.grad))
    for _ in range(3):
        ours, theirs = our_step(*ours, DATA), their_step(*theirs, DATA)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: optax.huber_loss(x, y),
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, y),
        lambda x, y: optax.cosine_similarity(x, y),
        lambda x, y: optax.l2_loss(x, y),
        lambda x, y: optax.log_cosh(x, y),
        lambda x, y: optax.kl_divergence(jax.nn.log_softmax(x), jax.nn.softmax(y)),
    ],
    ids=["huber", "sigmoid", "cosine", "l2", "log_cosh", "kl"],
)
def test_optax_losses(loss):
    f = scalar(loss_of(loss))
    close(jaxcore.jit(jaxcore.grad(f))(V), jax.grad(f)(V))
    close(jaxcore.vmap(jaxcore.grad(f))(M), jax.vmap(jax.grad(f))(M))


def loss_of(loss):
    return lambda x: loss(x, jnp.asarray(POSITIVE))


def test_chex_assertions_on_our_tracers():
    @jaxcore.jit
    def f(x, tree):
        chex.assert_shape(x, (4,))
        chex.assert_rank(x, 1)
        chex.assert_type(x, jnp.float32)
        chex.assert_equal_shape([x, x])
        chex.assert_tree_all_finite({"a": 1.0})
        chex.assert_trees_all_equal_shapes_and_dtypes(tree, tree)
        return x

    f(V, PARAMS)
    with pytest.raises(AssertionError, match="shape"):
        jaxcore.jit(lambda x: chex.assert_shape(x, (5,)))(V)


def test_chex_counts_our_traces():
    f = jaxcore.jit(chex.assert_max_traces(lambda x: x + 1, 1))
    f(V), f(V)
    with pytest.raises(AssertionError):
        f(M)


def test_chex_dataclasses():
    @chex.dataclass
    class State:
        x: chex.Array
        n: chex.Array

    def f(s):
        return State(x=s.x * 2, n=s.n + 1)

    s = State(x=V, n=np.int32(1))
    close(jaxcore.jit(f)(s), jax.jit(f)(s))
    close(jaxcore.vmap(f)(State(x=M, n=np.arange(4))), jax.vmap(f)(State(x=M, n=np.arange(4))))


@pytest.mark.parametrize("transform", [lambda f: f, jaxcore.grad, jaxcore.jvp, jaxcore.vmap])
def test_a_number_that_a_function_of_jax_hands_back_is_an_array(transform):
    def f(x):
        a, b = jax.numpy.asarray(0), jax.numpy.asarray(np.float32(2))
        assert (a.shape, a.dtype, b.shape, b.dtype) == ((), np.int32, (), np.float32)
        assert jax.typeof(a).weak_type and not jax.typeof(b).weak_type
        return x * b + a

    x = np.float32(3)
    args = {jaxcore.jvp: ((x,), (x,)), jaxcore.vmap: (x[None],)}.get(transform, (x,))
    if transform is jaxcore.jvp:
        transform = lambda f: lambda *args: jaxcore.jvp(f, *args)
    jaxcore.jit(transform(f))(*args)
