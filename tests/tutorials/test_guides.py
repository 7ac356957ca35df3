"""What JAX's guides teach, written once: only the module that is passed in differs.

Each function is a guide's matter in our own words and takes the library as its argument, so that
what runs on ours is letter for letter what runs on JAX; both must give the same results.
"""

import functools

import jax
import numpy as np
import pytest

import jaxcore


def quickstart(lib):
    """Arrays, jit, grad, vmap and their composition."""
    jnp = lib.numpy

    def selu(x, alpha=1.67, scale=1.05):
        return scale * jnp.where(x > 0, x, alpha * jnp.exp(x) - alpha)

    x = lib.random.normal(lib.random.key(0), (20,))
    out = [selu(x), lib.jit(selu)(x)]

    def sum_logistic(x):
        return jnp.sum(1.0 / (1.0 + jnp.exp(-x)))

    small = jnp.arange(3.0)
    out.append(lib.grad(sum_logistic)(small))
    out.append(lib.grad(lib.jit(lib.grad(lib.jit(lib.grad(sum_logistic)))))(1.0))
    out.append(lib.jacobian(jnp.exp)(small))
    out.append(lib.jit(lib.jacfwd(lib.jacrev(sum_logistic)))(small))
    mat = lib.random.normal(lib.random.key(1), (5, 4))
    batch = lib.random.normal(lib.random.key(2), (3, 4))
    out.append(lib.jit(lib.vmap(lambda v: jnp.dot(mat, v)))(batch))
    return out


def vectorisation(lib):
    """A function of one example mapped over several, along chosen axes; gradients by example."""
    jnp = lib.numpy
    x, w = jnp.arange(5.0), jnp.array([2.0, 3.0, 4.0])

    def convolve(x, w):
        return jnp.array([jnp.dot(x[i - 1 : i + 2], w) for i in range(1, len(x) - 1)])

    xs, ws = jnp.stack([x, x + 1]), jnp.stack([w, w * 2])
    return [
        convolve(x, w),
        lib.vmap(convolve)(xs, ws),
        lib.vmap(convolve, in_axes=1, out_axes=1)(xs.T, ws.T),
        lib.vmap(convolve, in_axes=[0, None])(xs, w),
        lib.jit(lib.vmap(convolve))(xs, ws),
        lib.vmap(lib.grad(lambda x, w: convolve(x, w).sum()), in_axes=(0, None))(xs, w),
    ]


def autodiff(lib):
    """Gradients of a logistic regression, Hessian-vector products, Jacobians, vjp, jvp."""
    jnp = lib.numpy
    inputs = jnp.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30]])
    targets = jnp.array([True, True, False])
    w, b = lib.random.normal(lib.random.key(0), (3,)), lib.random.normal(lib.random.key(1), ())

    def predict(w, b, x):
        return 0.5 * (jnp.tanh((jnp.dot(x, w) + b) / 2) + 1)

    def loss(w, b):
        p = predict(w, b, inputs)
        return -jnp.sum(jnp.log(p * targets + (1 - p) * ~targets))

    out = [lib.grad(loss, 0)(w, b), lib.grad(loss, (0, 1))(w, b)]
    out.append(lib.value_and_grad(lambda p: loss(p["w"], p["b"]))({"w": w, "b": b}))
    f = lambda w: predict(w, b, inputs)
    out += [lib.jacfwd(f)(w), lib.jacrev(f)(w), lib.jacfwd(lib.jacrev(lambda w: loss(w, b)))(w)]
    out.append(lib.hessian(lambda w: loss(w, b))(w))

    def hvp(f, x, v):
        return lib.jvp(lib.grad(f), (x,), (v,))[1]

    v = jnp.ones(3)
    out.append(hvp(lambda w: loss(w, b), w, v))
    out.append(lib.grad(lambda x: jnp.vdot(lib.grad(lambda w: loss(w, b))(x), v))(w))
    y, back = lib.vjp(f, w)
    out += [y, back(jnp.ones(3))]
    _, push = lib.linearize(f, w)
    out.append(lib.vmap(push)(jnp.eye(3)))
    out.append(lib.vmap(back)(jnp.eye(3)))
    out.append(lib.grad(lambda z: jnp.sin(z) * z, holomorphic=True)(1.0 + 2.0j))
    out.append(lib.grad(lambda z: jnp.real(z * jnp.conj(z)))(3.0))
    return out


def state(lib):
    """Counters and a linear regression whose state is passed in and out."""
    jnp = lib.numpy

    @lib.jit
    def count(n):
        return n + 1, n

    n, seen = 0, []
    for _ in range(3):
        value, n = count(n)[::-1]
        seen.append(value)

    rng = np.random.default_rng(0)
    xs = rng.standard_normal((32, 1)).astype(np.float32)
    ys = xs * 3 - 1 + 0.1 * rng.standard_normal((32, 1)).astype(np.float32)

    def loss(params, x, y):
        return jnp.mean((params["weight"] * x + params["bias"] - y) ** 2)

    @lib.jit
    def update(params, x, y):
        gradient = lib.grad(loss)(params, x, y)
        return lib.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

    params = {"weight": jnp.zeros((1,)), "bias": jnp.zeros((1,))}
    for _ in range(50):
        params = update(params, xs, ys)
    assert abs(params["weight"][0] - 3) < 0.1 and abs(params["bias"][0] + 1) < 0.1
    return [seen, params]


def trees(lib):
    """Nested containers, paths, a registered class, and a small network trained on them."""
    jnp = lib.numpy
    example = {"a": [1.0, (2.0, None)], "b": {"c": jnp.ones(2)}}
    out = [lib.tree.map(lambda x: x * 2, example), lib.tree.leaves(example)]
    assert len(lib.tree_util.tree_flatten_with_path(example)[0]) == 3

    sizes = [1, 8, 8, 1]
    keys = lib.random.split(lib.random.key(0), 3)
    params = [
        {"w": lib.random.normal(k, (m, n)) * (2 / m) ** 0.5, "b": jnp.ones(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:])
    ]

    def forward(params, x):
        *hidden, last = params
        for layer in hidden:
            x = lib.nn.relu(x @ layer["w"] + layer["b"])
        return x @ last["w"] + last["b"]

    @lib.jit
    def update(params, x, y):
        grads = lib.grad(lambda p: jnp.mean((forward(p, x) - y) ** 2))(params)
        return lib.tree.map(lambda p, g: p - 0.02 * g, params, grads)

    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    for _ in range(20):
        params = update(params, x, x**2)
    out.append(params)
    stacked = lib.tree.map(lambda *xs: jnp.stack(xs), params[1], params[1])
    out.append(lib.tree.transpose(lib.tree.structure([0, 0]), None, [params[1], params[1]])["w"])
    return [*out, stacked]


def control(lib):
    """Loops and choices on values, and compiled ones."""
    jnp, lax = lib.numpy, lib.lax

    def f(x):
        return x**2 if x < 3 else -4 * x

    out = [lib.grad(f)(2.0), lib.grad(f)(4.0)]
    out.append(lib.jit(lambda x: lax.cond(x < 3, lambda x: x**2, lambda x: -4 * x, x))(4.0))
    out.append(lax.while_loop(lambda x: x < 10, lambda x: x * 2, 1))
    out.append(lax.fori_loop(0, 5, lambda i, x: x + i, 1))
    out.append(lax.scan(lambda c, x: (c + x, c * x), 1.0, jnp.arange(4.0)))
    out.append(lib.grad(lambda x: lax.scan(lambda c, _: (jnp.sin(c), c), x, None, 4)[0])(1.0))

    @functools.partial(lib.jit, static_argnames=("n",))
    def power(x, n):
        y = 1.0
        for _ in range(n):
            y = y * x
        return y

    return [*out, power(jnp.arange(3.0), n=3)]


def rules(lib):
    """Derivatives of their own: stable log1pexp, clipped gradients, a fixed point."""
    jnp = lib.numpy

    @lib.custom_jvp
    def log1pexp(x):
        return jnp.log(1.0 + jnp.exp(x))

    @log1pexp.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return log1pexp(x), (1 - 1 / (1 + jnp.exp(x))) * t

    @functools.partial(lib.custom_vjp, nondiff_argnums=(0, 1))
    def clip_gradient(lo, hi, x):
        return x

    clip_gradient.defvjp(lambda lo, hi, x: (x, None), lambda lo, hi, _, g: (jnp.clip(g, lo, hi),))

    @functools.partial(lib.custom_vjp, nondiff_argnums=(0,))
    def fixed_point(f, a, guess):
        return lib.lax.while_loop(
            lambda c: jnp.abs(c[0] - c[1]) > 1e-6,
            lambda c: (c[1], f(a, c[1])),
            (guess, f(a, guess)),
        )[1]

    def forward(f, a, guess):
        x = fixed_point(f, a, guess)
        return x, (a, x)

    def backward(f, res, ct):
        a, x = res
        _, back_a = lib.vjp(lambda a: f(a, x), a)
        (moved,) = back_a(
            fixed_point(lambda p, u: p[1] + lib.vjp(lambda x: f(p[0], x), x)[1](u)[0], (a, ct), ct)
        )
        return moved, jnp.zeros_like(x)

    fixed_point.defvjp(forward, backward)
    root = lambda a: fixed_point(lambda a, x: 0.5 * (x + a / x), a, a)
    return [
        lib.grad(log1pexp)(100.0),
        lib.vmap(lib.jit(lib.grad(log1pexp)))(jnp.arange(3.0)),
        lib.grad(lambda x: jnp.sin(clip_gradient(-0.75, 0.75, x)))(0.1),
        lib.grad(root)(2.0),
    ]


GUIDES = [quickstart, vectorisation, autodiff, state, trees, control, rules]


@pytest.mark.rank_promotion
@pytest.mark.parametrize("guide", GUIDES, ids=lambda g: g.__name__)
def test_only_the_import_changes(guide):
    got, want = guide(jaxcore), guide(jax)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
