"""What the tables of cases cannot say: messages, constants, and indices of a narrow type."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_an_index_of_a_narrow_type_counts_from_the_end():
    row = np.arange(300.0, dtype=np.float32)
    for index in (np.array(-1, np.int8), np.array([-1, -100, 100], np.int8)):
        got = jaxcore.jit(lambda x, i: (x[i], x.at[i].set(0.0), jnp.take(x, i)))(row, index)
        changed = row.copy()
        changed[index] = 0
        for ours, want in zip(got, (row[index], changed, row[index]), strict=True):
            np.testing.assert_array_equal(ours, want)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: jnp.where(jnp.tril(jnp.ones((4, 4), bool)), x, 0.0),
        lambda x: x[0] + jnp.zeros(4) + jnp.full(4, 2) + jnp.arange(4.0, 8.0),
        lambda x: x @ jnp.eye(4) + jnp.asarray(1.5) + jnp.ones_like(x),
        lambda x: jnp.stack([x[0], jnp.array([1.0, x[0, 0], 2.0, 3.0])]),
    ],
)
def test_constants_are_equations(make):
    """No array is captured: the program has no input but its argument."""
    program = jaxcore.make_jaxpr(jaxcore.grad(lambda x: make(x).sum()))(np.ones((4, 4), "float32"))
    assert len(program.inputs) <= 1


@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        (lambda x: x.reshape(5, 2), TypeError, ["(3, 4) (size 12)", "(5, 2) (size 10)", "Fix:"]),
        (lambda x: x.reshape(-1, 5), TypeError, ["(3, 4)", "(-1, 5)"]),
        (lambda x: x.reshape(x[0, 0].astype(int), 2), TypeError, ["concrete", "x.shape"]),
        (lambda x: x @ x, TypeError, ["(3, 4) and (3, 4)", "Fix:"]),
        (lambda x: jnp.matmul(x, 2.0), ValueError, ["operand 1", "multiplication"]),
        (lambda x: jnp.concatenate([x, x[:, :1]]), TypeError, ["(3, 4), (3, 1)", "Your line:"]),
        (lambda x: jnp.stack([x, x[0]]), ValueError, ["(3, 4) and (4,)"]),
        (lambda x: jnp.split(x, 5), ValueError, ["equal division"]),
        (lambda x: jnp.split(x, [2, 1]), ValueError, ["negative", "(2, 1)", "Fix:"]),
        (lambda x: jnp.einsum("ij,jk->ik", x, x), ValueError, ["'j'", "ij,jk->ik"]),
        (lambda x: jnp.transpose(x, (0,)), TypeError, ["permutation", "(0,)", "(3, 4)"]),
        (lambda x: jnp.broadcast_to(x, (2, 4)), ValueError, ["(3, 4)", "(2, 4)"]),
        (lambda x: x[0, 0, 0], IndexError, ["2-dimensional", "3 were indexed"]),
        (lambda x: x["a"], TypeError, ["string"]),
        (lambda x: x[x > 1], jax.errors.NonConcreteBooleanIndexError, ["boolean"]),
        (lambda x: x[x[0, 0].astype(int) :], IndexError, ["static"]),
        (lambda x: jnp.reshape([1, 2], (2,)), TypeError, ["list", "Fix:"]),
        (lambda x: jnp.arange(x[0, 0]), jax.errors.ConcretizationTypeError, ["jnp.arange"]),
        (lambda x: list(x[0, 0]), TypeError, ["0-d"]),
    ],
)
def test_mistakes_say_what_is_wrong(mistake, error, words):
    with pytest.raises(error) as caught:
        jaxcore.jit(mistake)(X)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_our_functions_under_jax_transformations():
    def f(lib, x, i):
        rows = lib.einsum("ij,kj->ik", lib.take(x, i, 0), lib.tril(x))
        return (rows * lib.take_along_axis(x, i[None], 1).sum()).sum()

    ours, theirs = (lambda *args, lib=lib: f(lib, *args) for lib in (jnp, jax.numpy))
    i = np.array([0, 2], np.int32)
    want = jax.grad(theirs)(X, i)
    np.testing.assert_allclose(jax.jit(jax.grad(ours))(X, i), want, rtol=1e-6)
    np.testing.assert_allclose(jaxcore.grad(ours)(X, i), want, rtol=1e-6)
    both = jax.vmap(jax.grad(ours), (None, 0))(X, np.stack([i, i]))
    np.testing.assert_allclose(both[1], want, rtol=1e-6)


@pytest.mark.parametrize("mode", ["set", "add", "multiply", "min", "max"])
def test_scatter_of_a_jax_function_is_native(mode):
    """What JAX's own indexing records on our tracers becomes our equation."""
    change = lambda x: getattr(jax.numpy.asarray(x).at[np.array([0, 2])], mode)(2.0)
    program = jaxcore.make_jaxpr(change)(X)
    assert any(eq.primitive.name.startswith("scatter") for eq in program.equations)
    want = change(jax.numpy.asarray(X))
    np.testing.assert_allclose(jaxcore.jit(change)(X), want)


def test_keys_can_be_moved_about():
    keys = jax.random.split(jax.random.key(0), 4)

    def f(keys, i):
        mixed = jax.numpy.concatenate([keys[i][None], keys.at[i].set(keys[0])])
        return jax.random.key_data(mixed.reshape(5))

    np.testing.assert_array_equal(jaxcore.jit(f)(keys, 2), jax.jit(f)(keys, 2))
