"""Our transformations and functions inside JAX's."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

X = np.array([0.3, -1.2, 2.1], np.float32)
W = np.array([[0.5, 0.1, -0.2], [0.0, 1.0, 0.3], [0.7, -0.4, 0.2]], np.float32)


def close(ours, theirs, tolerance=1e-5):
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=tolerance, atol=tolerance)


def wave(x):
    return jnp.sum(jnp.sin(x) * x)


def ours_jit(x):
    return jaxcore.jit(lambda x: jnp.sum(jnp.sin(x) * x))(x)


def ours_grad(x):
    return jnp.sum(jaxcore.grad(wave)(x) ** 2)


def ours_vmap(x):
    return jnp.sum(jaxcore.vmap(lambda a, b: a * jnp.sin(b), (0, None))(x, 2.0) ** 2)


def ours_jvp(x):
    return jaxcore.jvp(wave, (x,), (x,))[1]


def ours_plain(x):
    return jaxcore.numpy.sum(jaxcore.numpy.tanh(x * x + 1.0) - jaxcore.numpy.exp(-x))


def ours_blocks(x):
    for _ in range(3):
        x = jaxcore.block(lambda x: jaxcore.numpy.tanh(x) * 2.0, x, name="layer")
    return jaxcore.numpy.sum(x)


def ours_nested(x):
    return jaxcore.jit(
        jaxcore.grad(lambda x: jnp.sum(jaxcore.vmap(jaxcore.grad(wave))(jnp.stack([x, x])) ** 2))
    )(x).sum()


def ours_captured(x):
    """A jitted function that closes over JAX's tracer."""
    return jaxcore.jit(lambda y: jnp.sum(x * jnp.sin(y)))(x * 2.0)


def ours_dot(x):
    return jaxcore.numpy.dot(jaxcore.jit(lambda x: jaxcore.numpy.asarray(W) @ x)(x), x)


def as_jax(f):
    """The same function with our transformations and namespace replaced by JAX's."""
    names = {
        "jit": jax.jit,
        "grad": jax.grad,
        "vmap": jax.vmap,
        "jvp": jax.jvp,
        "numpy": jnp,
        "block": lambda f, *args, name: f(*args),
    }
    fake = type(
        "jaxcore", (), {k: staticmethod(v) if k != "numpy" else v for k, v in names.items()}
    )
    return type(f)(f.__code__, {**f.__globals__, "jaxcore": fake}, f.__name__)


OURS = [
    ours_jit,
    ours_grad,
    ours_vmap,
    ours_jvp,
    ours_plain,
    ours_blocks,
    ours_nested,
    ours_captured,
    ours_dot,
]


@pytest.mark.parametrize("f", OURS, ids=lambda f: f.__name__)
def test_ours_inside_the_transformations_of_jax(f):
    xs = np.stack([X, X * 2])

    def everything(f, x, xs):
        return {
            "jit": jax.jit(f)(x),
            "grad": jax.grad(f)(x),
            "vmap": jax.vmap(f)(xs),
            "vmap of grad": jax.vmap(jax.grad(f))(xs),
            "jvp": jax.jvp(f, (x,), (x,))[1],
            "checkpoint": jax.grad(jax.checkpoint(f))(x),
            "second": jax.grad(lambda x: jnp.sum(jax.grad(f)(x) * x))(x),
            "forward over reverse": jax.jvp(jax.grad(f), (x,), (x,))[1],
            "linearize": jax.linearize(f, x)[1](x),
            "scan": jax.grad(lambda x: jax.lax.scan(lambda c, t: (c * t + f(x * c), c), 1.0, x)[0])(
                x
            ),
            "cond": jax.grad(lambda x: jax.lax.cond(x[0] > 0, f, lambda x: -f(x), x))(x),
        }

    ours = jax.jit(functools.partial(everything, f))(X, xs)
    theirs = jax.jit(functools.partial(everything, as_jax(f)))(X, xs)
    close(ours, theirs, 1e-4)


@pytest.mark.parametrize(
    "f", [ours_jit, ours_grad, ours_plain, ours_nested], ids=lambda f: f.__name__
)
def test_ours_inside_the_gradient_of_jax_with_values(f):
    close(jax.grad(f)(X), jax.grad(as_jax(f))(X), 1e-4)
    close(jax.vmap(f)(X[None]), jax.vmap(as_jax(f))(X[None]), 1e-4)


def test_ours_in_a_while_loop_of_jax():
    def f(x):
        body = lambda c: jaxcore.jit(lambda c: c * 2.0)(c)
        return jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, body, x)

    close(jax.jit(f)(X), jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, lambda c: c * 2.0, X))


def test_ours_lowers_into_one_module_of_jax():
    text = jax.jit(lambda x: ours_blocks(x) + ours_blocks(x * 2)).lower(X).as_text()
    assert text.count("stablehlo.tanh") <= 6


def test_a_closed_over_array_stays_the_same_through_both():
    table = jnp.asarray(np.arange(9, dtype=np.float32).reshape(3, 3))
    ours = jaxcore.jit(lambda x: jnp.sum(table @ x))
    close(jax.jit(jax.grad(ours))(X), jnp.sum(table, axis=0))


def test_integers_and_keys_pass_through_the_gradients_of_jax():
    @jaxcore.jit
    def f(x, n, key):
        return x**n * jnp.sum(jax.random.uniform(key, (2,))), n + 1

    args = (2.0, 3, jax.random.key(0))
    (value, n), gradient = jax.value_and_grad(f, has_aux=True)(*args)
    want = 12.0 * jnp.sum(jax.random.uniform(args[2], (2,)))
    close(gradient, want)
    assert int(n) == 4


def test_effects_of_jax_inside_ours(capfd):
    @jaxcore.jit
    def f(x):
        jax.debug.print("x is {}", x)
        return x + 1

    f(1.0)
    jax.effects_barrier()
    assert "x is 1.0" in capfd.readouterr().out


def test_callbacks_of_jax_inside_ours():
    def f(x):
        shape = jax.ShapeDtypeStruct((3,), np.float32)
        return jax.pure_callback(lambda v: np.sin(v), shape, x, vmap_method="sequential")

    close(jaxcore.jit(f)(X), np.sin(X))
    close(jaxcore.vmap(f)(X[None]), np.sin(X)[None])


def test_flax_modules_inside_ours():
    linen = pytest.importorskip("flax.linen")
    model = linen.Sequential([linen.Dense(4), linen.relu, linen.Dense(1)])
    variables = model.init(jax.random.key(0), X)
    loss = lambda v: jnp.sum(model.apply(v, X) ** 2)
    close(jaxcore.jit(jaxcore.grad(loss))(variables), jax.grad(loss)(variables))


def test_eval_shape_and_make_jaxpr_of_jax_accept_ours():
    f = jaxcore.jit(lambda x: jnp.sin(x) * 2)
    assert jax.eval_shape(f, X).shape == (3,)
    assert jax.eval_shape(lambda x: f(x), X).shape == (3,)
    assert "jaxcore_program" in str(jax.make_jaxpr(lambda x: f(x))(X))


def test_types_stand_in_for_arrays():
    f = jaxcore.jit(lambda x: jnp.sin(x) * 2)
    like = jax.ShapeDtypeStruct((3,), np.float32)
    close(f.lower(like).compile()(X), jnp.sin(X) * 2)
    assert f.trace(like).out_info.shape == (3,)
    assert str(jaxcore.make_jaxpr(f)(like)) == str(jaxcore.make_jaxpr(f)(X))
