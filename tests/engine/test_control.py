"""scan, while_loop, fori_loop, cond, switch and map against JAX, native and through JAX's
functions.
"""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax

X = np.array([0.5, 1.5, -0.3], np.float32)
W = np.array([0.9, 0.2, 1.1], np.float32)
XS = np.arange(6, dtype=np.float32).reshape(2, 3) * 0.3 + 0.1
WB, XB = np.stack([W, W * 2]), np.stack([X, X + 1])

# (lax, array namespace) for functions that our transformations get; theirs get JAX's.
PAIRS = {"native": (lax, jnp), "through JAX": (jax.lax, jax.numpy)}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
def pair(request):
    return request.param


def close(ours, theirs, tol=1e-4):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def total(np_, tree):
    return sum(np_.sum(leaf * leaf * 1.0) for leaf in jax.tree.leaves(tree))


def scanned(lax_, np_, reverse=False, unroll=1):
    def f(w, c, xs):
        def body(carry, x):
            h, n = carry
            return (h * np_.sin(w * x) + x * x, n + 1), (h * x, w)

        return lax_.scan(body, (c, 0), xs, reverse=reverse, unroll=unroll)

    return f


def chosen(lax_, np_):
    def f(index, w, x):
        branches = [
            lambda w, x: (np_.sin(w) * x, np_.sum(w)),
            lambda w, x: (x * x, np_.sum(x * w)),
            lambda w, x: (w, np_.prod(x)),
        ]
        return lax_.switch(index, branches, w, x)

    return f


@pytest.mark.parametrize("reverse, unroll", [(False, 1), (True, 1), (False, 2), (True, True)])
def test_scan(pair, reverse, unroll):
    ours, theirs = scanned(*pair, reverse, unroll), scanned(jax.lax, jax.numpy, reverse, unroll)
    close(jaxcore.jit(ours)(W, W, XS), theirs(W, W, XS))
    loss = lambda f, np_: lambda *a: total(np_, f(*a))
    g, t = loss(ours, pair[1]), loss(theirs, jax.numpy)
    close(jaxcore.jit(jaxcore.grad(g, (0, 1, 2)))(W, W, XS), jax.grad(t, (0, 1, 2))(W, W, XS))


@pytest.mark.parametrize("argnum", [0, 1, 2])
def test_scan_derivatives_of_one_argument(pair, argnum):
    g = lambda *a: total(pair[1], scanned(*pair)(*a))
    t = lambda *a: total(jax.numpy, scanned(jax.lax, jax.numpy)(*a))
    args = (W, W, XS)
    close(jaxcore.grad(g, argnum)(*args), jax.grad(t, argnum)(*args))
    close(jaxcore.jvp(g, args, args), jax.jvp(t, args, args))


def test_scan_second_derivative(pair):
    g = lambda w: total(pair[1], scanned(*pair)(w, W, XS))
    t = lambda w: total(jax.numpy, scanned(jax.lax, jax.numpy)(w, W, XS))
    twice = lambda lib, f: lambda w: lib.grad(lambda w: lib.grad(f)(w).sum())(w)
    close(jaxcore.jit(twice(jaxcore, g))(W), twice(jax, t)(W), 1e-3)


@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, None), (None, None, 1), (0, 0, 1)])
def test_scan_batched(pair, axes):
    args = [WB if axes[0] == 0 else W, XB if axes[1] == 0 else X]
    args.append(np.stack([XS, XS + 1], 1) if axes[2] == 1 else XS)
    g = lambda *a: total(pair[1], scanned(*pair)(*a))
    t = lambda *a: total(jax.numpy, scanned(jax.lax, jax.numpy)(*a))
    close(
        jaxcore.vmap(scanned(*pair), axes)(*args),
        jax.vmap(scanned(jax.lax, jax.numpy), axes)(*args),
    )
    close(
        jaxcore.jit(jaxcore.vmap(jaxcore.grad(g), axes))(*args),
        jax.vmap(jax.grad(t), axes)(*args),
    )


def test_scan_of_keys_none_and_weak_carry():
    keys = jax.random.split(jax.random.key(0), 4)

    def f(lax_, rnd):
        return lambda keys: lax_.scan(
            lambda c, k: (c + rnd.normal(k, (2,)), None), np.zeros(2, np.float32), keys
        )

    close(jaxcore.jit(f(lax, jaxcore.random))(keys), f(jax.lax, jax.random)(keys))
    g = lambda lax_, c: lambda x: lax_.scan(lambda c, x: (c + x, ()), c, x)
    close(g(lax, 0)(X), g(jax.lax, 0)(X))  # a weak int becomes what the body makes of it
    with pytest.raises(TypeError, match=r"(?s)carry: in int32\[\], out float32\[\].*Fix"):
        g(lax, np.int32(0))(X)
    h = lambda lax_: lambda x: lax_.scan(lambda c, x: (c * x, c), 1.0, x)
    close(jaxcore.jit(h(lax))(X), h(jax.lax)(X))
    assert lax.scan(lambda c, _: (c + 1, c), 0, None, length=3)[1].tolist() == [0, 1, 2]
    assert lax.scan(lambda c, x: (c, x), 0.0, np.zeros((0, 2), np.float32))[1].shape == (0, 2)


@pytest.mark.parametrize("index", [0, 1, 2, 5, -1])
def test_switch(pair, index):
    ours, theirs = chosen(*pair), chosen(jax.lax, jax.numpy)
    close(jaxcore.jit(ours)(index, W, X), theirs(index, W, X))
    g = lambda *a: total(pair[1], ours(*a))
    t = lambda *a: total(jax.numpy, theirs(*a))
    close(jaxcore.jit(jaxcore.grad(g, (1, 2)))(index, W, X), jax.grad(t, (1, 2))(index, W, X))


@pytest.mark.parametrize("axes", [(None, 0, None), (0, None, None), (0, 0, 0)])
def test_switch_batched(pair, axes):
    index = np.array([0, 2], np.int32)
    args = [index if axes[0] == 0 else 1, WB if axes[1] == 0 else W, XB if axes[2] == 0 else X]
    ours, theirs = chosen(*pair), chosen(jax.lax, jax.numpy)
    g = lambda *a: total(pair[1], ours(*a))
    t = lambda *a: total(jax.numpy, theirs(*a))
    close(jaxcore.vmap(ours, axes)(*args), jax.vmap(theirs, axes)(*args))
    close(
        jaxcore.jit(jaxcore.vmap(jaxcore.grad(g, (1, 2)), axes))(*args),
        jax.vmap(jax.grad(t, (1, 2)), axes)(*args),
    )


def test_cond_takes_numbers_and_refuses_the_rest():
    f = lambda p: lax.cond(p, lambda x: x + 1, lambda x: x - 1, 5)
    assert [int(f(p)) for p in (True, False, 2, 0, 1.5)] == [6, 4, 6, 4, 6]
    with pytest.raises(TypeError, match=r"must be a scalar, got bool\[3\].*where"):
        f(X > 0)
    with pytest.raises(TypeError, match="must be functions"):
        lax.cond(True, 1, 2)
    with pytest.raises(TypeError, match=r"(?s)equal types.*int32\[\].*float32\[3\].*Fix"):
        lax.cond(True, lambda x: x, lambda x: 1, X)
    with pytest.raises(TypeError, match="same structure"):
        lax.cond(True, lambda x: (x, x), lambda x: x, X)


def looped(lax_, np_):
    def f(w, x):
        return lax_.while_loop(
            lambda c: np_.sum(c[0]) < 40.0, lambda c: (c[0] * w * w + x * x + 1.0, c[1] + 1), (x, 0)
        )

    return f


def test_a_key_that_one_branch_alone_keeps_for_the_derivative():
    def gradient(t, lax_):
        def f(x, key):
            def drawn(x, key):
                # What is computed again in the backward pass starts from the new key.
                again = t.checkpoint(lambda x, key: jax.numpy.sin(x * jax.random.uniform(key)))
                return again(x, jax.random.fold_in(key, 1))

            return lax_.cond(x > 0, drawn, lambda x, key: x, x, key)

        return t.grad(f)

    for x in (1.0, -1.0):
        args = (x, jax.random.key(0))
        close(gradient(jaxcore, lax)(*args), gradient(jax, jax.lax)(*args))


def test_while_loop(pair):
    ours, theirs = looped(*pair), looped(jax.lax, jax.numpy)
    close(jaxcore.jit(ours)(W, X), theirs(W, X))
    close(
        jaxcore.jvp(lambda w: ours(w, X)[0], (W,), (X,)),
        jax.jvp(lambda w: theirs(w, X)[0], (W,), (X,)),
    )
    with pytest.raises(ValueError, match="(?i)reverse-mode differentiation does not work"):
        jaxcore.grad(lambda x: pair[1].sum(ours(W, x)[0]))(X)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_while_loop_batched(pair, axes):
    args = [WB if axes[0] == 0 else W, XB if axes[1] == 0 else X]
    ours, theirs = looped(*pair), looped(jax.lax, jax.numpy)
    close(jaxcore.jit(jaxcore.vmap(ours, axes))(*args), jax.vmap(theirs, axes)(*args))
    move = lambda lib, f: lambda w, x: lib.jvp(lambda *a: f(*a)[0], (w, x), (w, x))[1]
    close(jaxcore.vmap(move(jaxcore, ours), axes)(*args), jax.vmap(move(jax, theirs), axes)(*args))


def test_fori_loop():
    f = lambda lax_: lambda n, x: lax_.fori_loop(0, n, lambda i, c: c * 1.5 + i, x)
    n = np.array([3, 5, 1], np.int32)
    close(jaxcore.vmap(f(lax))(n, X), jax.vmap(f(jax.lax))(n, X))
    close(
        jaxcore.grad(lambda x: jnp.sum(f(lax)(4, x)))(X),
        jax.grad(lambda x: jax.numpy.sum(f(jax.lax)(4, x)))(X),
    )
    close(lax.fori_loop(5, 2, lambda i, c: c + 1, X), X)


def test_while_loop_checks():
    with pytest.raises(TypeError, match=r"boolean scalar, got float32\[3\]"):
        lax.while_loop(lambda c: c, lambda c: c, X)
    with pytest.raises(TypeError, match=r"(?s)carry: in float32\[3\], out int32\[3\]"):
        lax.while_loop(lambda c: c[0] > 0, lambda c: c.astype(int), X)


def test_map():
    f = lambda lax_, np_: lambda xs: lax_.map(lambda x: np_.sum(x) * x, xs)
    xs = np.arange(14, dtype=np.float32).reshape(7, 2)
    close(f(lax, jnp)(xs), f(jax.lax, jax.numpy)(xs))
    close(lax.map(lambda x: jnp.sum(x) * x, xs, batch_size=3), f(jax.lax, jax.numpy)(xs))


def nested(lax_, np_):
    def f(w, x):
        def inner(d, _, a):
            return d * w + a, d

        def body(c, a):
            c = lax_.cond(
                a > 0,
                lambda c: lax_.scan(lambda d, _: inner(d, _, a), c, None, length=3)[0],
                lambda c: c * a,
                c,
            )
            return c, np_.sum(c)

        return total(np_, lax_.scan(body, w, x))

    return f


def test_nested_control_flow(pair):
    ours, theirs = nested(*pair), nested(jax.lax, jax.numpy)
    close(jaxcore.jit(jaxcore.grad(ours, (0, 1)))(W, X), jax.grad(theirs, (0, 1))(W, X))
    close(
        jaxcore.jit(jaxcore.vmap(jaxcore.grad(ours, (0, 1))))(WB, XB),
        jax.vmap(jax.grad(theirs, (0, 1)))(WB, XB),
    )
    close(
        jaxcore.jit(jaxcore.grad(jaxcore.checkpoint(ours), (0, 1)))(W, X),
        jax.grad(theirs, (0, 1))(W, X),
    )


def test_ours_under_jax():
    ours, theirs = nested(lax, jnp), nested(jax.lax, jax.numpy)
    close(jax.jit(jax.grad(ours))(W, X), jax.grad(theirs)(W, X))
    close(jax.grad(jaxcore.jit(ours))(W, X), jax.grad(theirs)(W, X))


def test_bodies_are_shared_programs():
    body = lambda c, x: (c * x, c)
    f = lambda x: lax.scan(body, lax.scan(body, np.float32(1), x)[0], x)
    scans = [eq for eq in jaxcore.make_jaxpr(f)(X).equations if eq.primitive.name == "scan"]
    assert scans[0].params["program"] is scans[1].params["program"]


def test_kernels_put_side_by_side_in_a_loop_are_not_stacked():
    """As the cell of an LSTM does: the derivative puts them side by side again."""
    kernels, xs = [np.ones((2, 3), np.float32)] * 2, np.ones((5, 2), np.float32)

    def loss(kernels, xs):
        step = lambda c, x: (jnp.sin(x @ jnp.concatenate(kernels, 1) + c), None)
        return jaxcore.lax.scan(step, jnp.zeros(6), xs)[0].sum()

    program = jaxcore.make_jaxpr(jaxcore.grad(loss, argnums=(0, 1)))(kernels, xs)
    scans = [eq for eq in program.equations if eq.primitive.name == "scan"]
    assert len(scans) == 2
    assert (5, 2, 6) not in [v.aval.shape for v in scans[0].outputs]
