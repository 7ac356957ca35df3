"""custom_jvp and custom_vjp, ours and JAX's, in every feature under every transformation."""

import functools

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.custom_derivatives import SymbolicZero

X = np.array([0.3, -1.2, 2.1], np.float32)


def close(ours, theirs, tolerance=1e-4):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        if np.asarray(a).dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# --- functions of x, made of the classes of t and the functions of np_ ---------------------------


def plain_jvp(t, np_):
    @t.custom_jvp
    def f(x, y=2.0):
        """Documented."""
        return np_.sin(x) * y

    @f.defjvp
    def rule(primals, tangents):
        (x, y), (dx, dy) = primals, tangents
        return f(x, y), 10.0 * np_.cos(x) * dx * y + dy

    return lambda x: np_.sum(f(x, np_.sum(x)) + f(y=x, x=1.0) + f(x))


def jvps_by_argument(t, np_):
    @t.custom_jvp
    def f(x, y, z):
        return {"a": x * y, "b": (x + z,)}

    f.defjvps(
        lambda dx, out, x, y, z: {"a": dx * y * 3.0, "b": (dx,)},
        None,
        lambda dz, out, x, y, z: {"a": out["a"] * dz, "b": (dz * 5.0,)},
    )

    def total(x):
        out = f(x, x + 1, np_.sin(x))
        return np_.sum(out["a"] * out["b"][0])

    return total


def fixed_arguments(t, np_):
    @functools.partial(t.custom_jvp, nondiff_argnums=(0,), nondiff_argnames="n")
    def f(g, x, n):
        return g(x) ** n

    @f.defjvp
    def rule(g, n, primals, tangents):
        return f(g, primals[0], n), n * 100.0 * tangents[0]

    return lambda x: np_.sum(f(np_.sin, x, 3) * f(np_.cos, x, n=2))


def identity_with_a_rule(t, np_):
    @t.custom_jvp
    def f(x):
        return x

    f.defjvp(lambda primals, tangents: (primals[0], tangents[0] * -1.0))
    return lambda x: np_.sum(f(x) * x)


def symbolic_jvp(t, np_):
    @t.custom_jvp
    def f(tree, y):
        return tree["a"] * y

    def rule(primals, tangents):
        (tree, y), (dtree, dy) = primals, tangents
        out = np_.zeros_like(y)
        if type(dtree["a"]) is not SymbolicZero:
            out = out + 2.0 * dtree["a"] * y
        if type(dy) is not SymbolicZero:
            out = out + 3.0 * dy * tree["a"]
        return f(tree, y), out

    f.defjvp(rule, symbolic_zeros=True)
    return lambda x: np_.sum(f({"a": x}, np_.ones(3)) + f({"a": np_.ones(3)}, x) * x)


def nested_jvp(t, np_):
    @t.custom_jvp
    def inner(x):
        return np_.sin(x)

    inner.defjvp(lambda p, d: (inner(*p), 2.0 * np_.cos(p[0]) * d[0]))

    @t.custom_jvp
    def outer(x):
        return inner(x) * x

    outer.defjvp(lambda p, d: (outer(*p), inner(p[0]) * d[0] * 3.0))
    return lambda x: np_.sum(outer(inner(x)) + inner(outer(x)))


def with_integers(t, np_):
    @t.custom_jvp
    def f(x, n):
        return x * n, n + 1

    @f.defjvp
    def rule(primals, tangents):
        (x, n), (dx, dn) = primals, tangents
        assert dn.dtype == jax.dtypes.float0
        return f(x, n), (dx * n * 7.0, np.zeros((), jax.dtypes.float0))

    def total(x):
        y, n = f(x, 3)
        return np_.sum(y * n)

    return total


def plain_vjp(t, np_):
    @t.custom_vjp
    def f(x, limit=0.5):
        return x * 2.0

    def bwd(limit, ct):
        return np_.clip(ct, -limit, limit) * 2.0, None

    f.defvjp(lambda x, limit: (f(x, limit), limit), bwd)
    return lambda x: np_.sum(f(x) ** 2 + f(limit=1.5, x=x) * x)


def vjp_of_trees(t, np_):
    @functools.partial(t.custom_vjp, nondiff_argnums=(0,))
    def f(n, tree, z):
        return {"y": tree["a"] * n + tree["b"][0], "z": z}

    def fwd(n, tree, z):
        return f(n, tree, z), {"kept": (tree["a"], None), "n": n}

    def bwd(n, res, ct):
        a, _ = res["kept"]
        back = {"a": ct["y"] * a * n * 10.0, "b": [-ct["y"] * res["n"]]}
        return back, ct["z"] * 2.0

    f.defvjp(fwd, bwd)

    def total(x):
        out = f(3, {"a": x, "b": [x**2]}, np_.sum(x))
        return np_.sum(out["y"] ** 2) * out["z"]

    return total


def symbolic_vjp(t, np_):
    @t.custom_vjp
    def f(x, y):
        return x * y, x + y

    def fwd(x, y):
        assert x.perturbed and not y.perturbed
        return (x.value * y.value, x.value + y.value), y.value

    def bwd(y, cts):
        assert type(cts[1]) is SymbolicZero and type(cts[0]) is not SymbolicZero
        return cts[0] * y * 4.0, None

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    return lambda x: np_.sum(f(x, np_.arange(3.0))[0] ** 2)


def vjp_with_shared_arguments(t, np_):
    """A weight that every row of a batch shares gets the sum of what the rows give it."""

    @t.custom_vjp
    def f(w, x):
        return np_.dot(w, x)

    f.defvjp(lambda w, x: (f(w, x), (w, x)), lambda r, ct: (ct * r[1] * 2.0, ct * r[0] * 3.0))

    def total(w):
        rows = np_.reshape(np_.arange(6.0), (2, 3))
        return np_.sum(t.vmap(f, (None, 0))(w, rows) ** 2)

    return total


def in_control_flow(t, np_):
    @t.custom_jvp
    def f(x):
        return np_.sin(x)

    f.defjvp(lambda p, d: (f(*p), 2.0 * np_.cos(p[0]) * d[0]))

    @t.custom_vjp
    def g(x):
        return np_.cos(x)

    g.defvjp(lambda x: (g(x), x), lambda x, ct: (-3.0 * np_.sin(x) * ct,))
    lax_ = lax if np_ is jnp else jax.lax

    def total(x):
        y, ys = lax_.scan(lambda c, _: (f(c) + g(c), f(c)), x, None, length=2)
        y = lax_.cond(y[0] > 0, lambda y: g(f(y)), f, y)
        y = t.checkpoint(lambda y: f(g(y)))(y)
        return np_.sum(t.jit(lambda y: g(y) * f(y))(y)) + np_.sum(ys * ys)

    return total


def complex_numbers(t, np_):
    @t.custom_jvp
    def f(z):
        return z * z

    f.defjvp(lambda p, d: (f(*p), 2.0 * p[0] * d[0] * (1 + 1j)))

    @t.custom_vjp
    def g(z):
        return z * 3.0

    g.defvjp(lambda z: (g(z), z), lambda z, ct: (ct * z,))
    return lambda x: np_.sum(np_.abs(f(x * (1 + 2j)) + g(x + 1j)))


JVPS = [
    plain_jvp,
    jvps_by_argument,
    fixed_arguments,
    identity_with_a_rule,
    symbolic_jvp,
    nested_jvp,
    with_integers,
]
VJPS = [
    plain_vjp,
    vjp_of_trees,
    symbolic_vjp,
    vjp_with_shared_arguments,
    in_control_flow,
    complex_numbers,
]
NO_SECOND = (in_control_flow,)  # JAX's second derivative of a scan forgets the rule


def everything(t, np_, f, forward, second):
    gradient = t.grad(f)

    def run(x, xs):
        out = [f(x), gradient(x), t.vmap(f)(xs), t.vmap(gradient)(xs)]
        if second:
            out.append(t.grad(lambda x: np_.sum(gradient(x) * x))(x))
        if forward:
            out += [t.jvp(f, (x,), (x,)), t.jacfwd(f)(x), t.vmap(t.jacfwd(f))(xs)]
        return out

    return run


@pytest.mark.parametrize("make", [*JVPS, *VJPS], ids=lambda make: make.__name__)
def test_rules_under_every_transformation(make):
    xs = np.stack([X, X * 2])
    forward, second = make in JVPS, make not in NO_SECOND
    run = lambda t, np_, f: t.jit(everything(t, np_, f, forward, second))(X, xs)
    want = run(jax, jax.numpy, make(jax, jax.numpy))
    ours, theirs = make(jaxcore, jnp), make(jax, jax.numpy)
    close(run(jaxcore, jnp, ours), want)
    close(run(jaxcore, jnp, theirs), want)  # JAX's classes under our transformations
    close(jax.jit(jax.grad(ours))(X), want[1])  # ours under JAX's
    close(jax.jit(jax.vmap(jax.grad(jaxcore.jit(ours))))(xs), want[3])
    close(jaxcore.grad(ours)(X), want[1])
    close(ours(X), want[0])


def test_names_and_documentation_are_those_of_the_function():
    f = plain_jvp(jaxcore, jnp)
    wrapped = f.__closure__[0].cell_contents
    assert (wrapped.__name__, wrapped.__doc__) == ("f", "Documented.")


def test_equal_calls_are_one_program():
    @jaxcore.custom_jvp
    def f(x):
        return jnp.sin(x)

    f.defjvp(lambda p, d: (f(*p), d[0] * 2.0))
    calls = jaxcore.make_jaxpr(lambda x: f(f(f(x))))(X).equations
    assert len({(eq.params["program"], eq.params["rule"]) for eq in calls}) == 1


def test_forward_mode_of_custom_vjp_is_refused():
    f = plain_vjp(jaxcore, jnp)
    for move in (lambda: jaxcore.jvp(f, (X,), (X,)), lambda: jaxcore.jacfwd(f)(X)):
        with pytest.raises(TypeError, match="can't apply forward-mode differentiation"):
            move()


def test_a_value_that_a_function_closes_over_is_not_differentiated():
    def f(scale):
        @jaxcore.custom_vjp
        def g(x):
            return x * scale

        g.defvjp(lambda x: (g(x), None), lambda _, ct: (ct * 7.0,))
        return g(2.0)

    with pytest.raises(Exception, match="closes over; its rule only knows its arguments") as caught:
        jaxcore.grad(f)(3.0)
    assert type(caught.value).__name__ == "CustomVJPException"  # as in JAX
    inner = lambda x, scale: jaxcore.grad(lambda x: plain_jvp(jaxcore, jnp)(x * scale))(x)
    close(jaxcore.vmap(inner, (None, 0))(X, X), jax.vmap(
        lambda x, s: jax.grad(lambda x: plain_jvp(jax, jax.numpy)(x * s))(x), (None, 0))(X, X)
    )  # fmt: skip


def test_a_cotangent_takes_the_dtype_of_its_argument():
    @jaxcore.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct.astype("float32") * 3,))
    assert jaxcore.grad(lambda x: jnp.sum(f(x)))(X.astype("float16")).dtype == np.float16
