"""Custom derivatives: JAX's under our transformations, and ours."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

X = np.array([0.3, -1.2, 2.1], np.float32)


def close(ours, theirs, tolerance=1e-5):
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=tolerance, atol=tolerance)


@jax.custom_jvp
def doubled_slope(x):
    return jnp.sin(x)


@doubled_slope.defjvp
def _(primals, tangents):
    return doubled_slope(primals[0]), 2.0 * jnp.cos(primals[0]) * tangents[0]


@jax.custom_vjp
def clipped(x, limit):
    return x * 2.0


clipped.defvjp(
    lambda x, limit: (clipped(x, limit), limit),
    lambda limit, ct: (jnp.clip(ct, -limit, limit) * 2.0, None),
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def apply_power(f, x, n):
    return f(x) ** n


@apply_power.defjvp
def _(f, n, primals, tangents):
    return apply_power(f, primals[0], n), n * 100.0 * tangents[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scaled(n, tree):
    return {"y": tree["a"] * n + tree["b"]}


scaled.defvjp(
    lambda n, tree: (scaled(n, tree), None),
    lambda n, _, ct: ({"a": ct["y"] * n * 10.0, "b": -ct["y"]},),
)

CUSTOM = {
    "custom_jvp": lambda x: jnp.sum(doubled_slope(x)),
    "nested": lambda x: jnp.sum(doubled_slope(doubled_slope(x) * x)),
    "custom_vjp": lambda x: jnp.sum(clipped(x, 0.5) ** 2),
    "nondiff": lambda x: jnp.sum(apply_power(jnp.sin, x, 3)),
    "pytree": lambda x: jnp.sum(scaled(3, {"a": x, "b": x**2})["y"] ** 2),
    "in a scan": lambda x: jax.lax.scan(lambda c, _: (doubled_slope(c), c), x, None, 3)[0].sum(),
    "in a jit": lambda x: jnp.sum(jax.jit(lambda x: clipped(doubled_slope(x), 1.0))(x)),
    "relu6": lambda x: jnp.sum(jax.nn.relu6(x) * jax.nn.silu(x) + jax.nn.elu(x)),
    "logsumexp": lambda x: jax.nn.logsumexp(x) + jax.nn.log_softmax(x)[0],
}


def unrolled_second(x):
    f = lambda x: jnp.sum(doubled_slope(doubled_slope(doubled_slope(x))))
    return jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(f)(x) * x)))(x)


@pytest.mark.parametrize("name", CUSTOM)
def test_custom_derivatives_of_jax(name):
    f = CUSTOM[name]
    xs = np.stack([X, X * 2])

    def everything(t):
        gradient = t.grad(f)

        def run(x, xs):
            second = t.grad(lambda x: jnp.sum(gradient(x) * x))(x)
            return f(x), gradient(x), t.vmap(f)(xs), t.vmap(gradient)(xs), second

        return run

    theirs = jax.jit(everything(jax))(X, xs)
    ours = jaxcore.jit(everything(jaxcore))(X, xs)
    if name == "in a scan":  # JAX's second derivative forgets the rule; an unrolled loop does not
        theirs = (*theirs[:-1], unrolled_second(X))
    close(ours, theirs)
    close(jaxcore.grad(f)(X), theirs[1])


@pytest.mark.parametrize("name", ["custom_jvp", "custom_vjp", "nondiff", "pytree"])
def test_custom_derivatives_of_ours_are_those_of_jax(name):
    f = CUSTOM[name]
    close(jax.jit(jax.grad(jaxcore.jit(f)))(X), jax.jit(jax.grad(f))(X))
    close(jax.jit(jax.vmap(jax.grad(jaxcore.jit(f))))(X[None]), jax.vmap(jax.grad(f))(X[None]))


def test_static_arguments_of_a_rule_are_told_apart_by_type():
    """1, 1.0 and True are equal, and the rules that they select are not."""
    seen = []

    @functools.partial(jaxcore.custom_jvp, nondiff_argnums=(0,))
    def f(n, x):
        return x * 1.0

    @f.defjvp
    def rule(n, primals, tangents):
        seen.append(type(n))
        return f(n, primals[0]), tangents[0] * (5.0 if type(n) is float else 7.0)

    g = jaxcore.jit(jaxcore.grad(lambda x: f(1, x) + 10 * f(1.0, x) + 100 * f(True, x)))
    assert float(g(1.0)) == 7 + 50 + 700
    assert {int, float, bool} <= set(seen)


def test_a_rule_that_closes_over_changing_values_is_not_confused():
    def make(scale):
        @jaxcore.custom_vjp
        def f(x):
            return x * 1.0

        f.defvjp(lambda x: (x, None), lambda _, ct: (ct * scale,))
        return f

    g = jaxcore.jit(jaxcore.grad(lambda x: make(3.0)(x) + make(4.0)(x)))
    assert float(g(1.0)) == 7.0


def test_symbolic_zeros_reach_the_rule():
    seen = []

    @jaxcore.custom_jvp
    def f(x, y):
        return x * y

    def rule(primals, tangents):
        seen.append([type(t).__name__ for t in tangents])
        (x, y), (tx, ty) = primals, tangents
        zero = jax.custom_derivatives.SymbolicZero
        out = jnp.zeros_like(x)
        if type(tx) is not zero:
            out = out + tx * y
        if type(ty) is not zero:
            out = out + ty * x
        return x * y, out

    f.defjvp(rule, symbolic_zeros=True)
    close(jaxcore.jit(jaxcore.grad(f))(2.0, 3.0), jnp.float32(3.0))
    assert seen[-1][1] == "SymbolicZero" and seen[-1][0] != "SymbolicZero"
    close(jaxcore.grad(f, 1)(2.0, 3.0), jnp.float32(2.0))


def test_symbolic_zeros_of_custom_vjp():
    perturbed = []

    @jaxcore.custom_vjp
    def f(x, y):
        return x * y, x

    def fwd(x, y):
        perturbed.append((x.perturbed, y.perturbed))
        return (x.value * y.value, x.value), (x.value, y.value)

    def bwd(residuals, cts):
        x, y = residuals
        zero = jax.custom_derivatives.SymbolicZero
        assert isinstance(cts[1], zero)
        return cts[0] * y, cts[0] * x

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    close(jaxcore.grad(lambda x: f(x, 3.0)[0])(2.0), jnp.float32(3.0))
    assert perturbed[-1] == (True, False)


def test_a_rule_of_ours_closes_over_a_traced_argument():
    def f(x, scale):
        @jaxcore.custom_jvp
        def g(x):
            return x * scale

        g.defjvp(lambda p, t: (g(p[0]), t[0] * scale * 2.0))
        return g(x)

    close(jaxcore.jit(jaxcore.grad(f))(1.0, 3.0), jnp.float32(6.0))
    close(jaxcore.vmap(jaxcore.grad(f))(X, X), 2 * X)


@jax.custom_jvp
def unchanged(x):
    return x


@unchanged.defjvp
def _(primals, tangents):
    return primals[0], 2.0 * tangents[0]


def test_a_rule_on_a_function_that_returns_its_argument():
    """Such a function has no operation of its own; its rule counts all the same."""
    for grad in (jaxcore.grad, lambda f: jaxcore.jit(jaxcore.grad(f))):
        assert (
            grad(lambda x: unchanged(x) * x)(3.0)
            == jax.grad(lambda x: unchanged(x) * x)(3.0)
            == 9.0
        )
    close(jaxcore.vmap(jaxcore.grad(unchanged))(X), jax.vmap(jax.grad(unchanged))(X))


@pytest.mark.parametrize("custom_vjp", [jax.custom_vjp, jaxcore.custom_vjp])
def test_a_rule_gets_its_truth_values_as_they_were(custom_vjp):
    """A rule in Python may ask for them."""

    @custom_vjp
    def f(x):
        return 3.0 * x

    def backward(double, ct):
        assert type(double) is bool
        return (ct * (2.0 if double else 1.0),)

    f.defvjp(lambda x: (f(x), True), backward)
    for grad in (jaxcore.grad(f), jaxcore.jit(jaxcore.grad(f))):
        assert grad(1.0) == 2.0
