"""What the tables of cases cannot say about `lax`: batched groups, and refusals."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ROWS = lax.ScatterDimensionNumbers((1,), (0,), (0,))


@pytest.mark.parametrize("axes", [(0, 0, 0), (1, None, 1), (None, 2, None), (0, None, None)])
def test_groups_are_batched_along_any_axis(axes, rng):
    """JAX only batches all operands along axis 0."""
    x, y = rng.standard_normal((4, 3), np.float32), rng.standard_normal((2, 3, 5), np.float32)
    sizes = np.array([1, 2], np.int32)

    def stacked(v, axis):
        return v if axis is None else np.stack([v, v[::-1]], axis)

    args = [stacked(v, a) for v, a in zip((x, y, sizes), axes, strict=True)]
    f = lambda x, y, sizes: lax.ragged_dot(x, y, sizes)
    both = jaxcore.vmap(f, axes)(*args)
    for i in range(2):
        one = [v if a is None else np.take(v, i, a) for v, a in zip(args, axes, strict=True)]
        np.testing.assert_allclose(both[i], jax.lax.ragged_dot(*one), rtol=1e-5, atol=1e-5)


def test_groups_of_a_batch_dimension_are_batched(rng):
    dims = jax.lax.RaggedDotDimensionNumbers((((2,), (2,)), ((0,), (0,))), (1,), (1,))
    x, y = rng.standard_normal((2, 2, 4, 3)), rng.standard_normal((2, 2, 2, 3, 5))
    x, y, sizes = x.astype("f"), y.astype("f"), np.array([[1, 2], [3, 0]], np.int32)

    def loss(lib, x, y, sizes):
        return (lib.lax.ragged_dot_general(x, y, sizes, dims) ** 2).sum()

    got = jaxcore.vmap(jaxcore.grad(lambda *a: loss(jaxcore, *a), (0, 1)))(x, y, sizes)
    for i in range(2):
        want = jax.grad(lambda *a: loss(jax, *a), (0, 1))(x[i], y[i], sizes[i])
        for ours, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-4, atol=1e-5)


def test_a_composite_has_its_name_in_the_module():
    square = lax.composite(lambda x, *, p: x**p, "my.power", version=3)
    text = jaxcore.jit(lambda x: square(x, p=2)).lower(X).as_text()
    assert 'stablehlo.composite "my.power"' in text and "version = 3" in text and "p = 2" in text


def test_a_barrier_stands_between_the_values():
    text = jaxcore.jit(lambda x: lax.optimization_barrier((x, x + 1))).lower(X).as_text()
    assert text.count("stablehlo.optimization_barrier") == 1


def test_rng_uniform_is_in_its_range():
    drawn = jaxcore.jit(lambda a: lax.rng_uniform(a, 2.0, (100,)))(1.0)
    assert drawn.shape == (100,) and bool(((drawn >= 1) & (drawn < 2)).all())


def test_a_reduction_may_capture_a_number():
    scale = jax.numpy.float32(2)
    got = lax.reduce(X, 0.0, lambda a, b: a + b * (scale / 2), (1,))
    np.testing.assert_allclose(got, X.sum(1))


MISTAKES = [
    (lambda x: lax.betainc(x, 1.0, 0.5), ValueError, ["betainc", "a and b"]),
    (lambda x: lax.polygamma(x, 1.0), ValueError, ["polygamma", "m"]),
    (lambda x: lax.zeta(x, 1.0), NotImplementedError, ["zeta", "custom_jvp"]),
    (lambda x: lax.igamma_grad_a(x, 1.0), NotImplementedError, ["igamma_grad_a"]),
    (
        lambda x: lax.reduce(x[None], x, lambda a, b: a + 2 * b, (0,)),
        NotImplementedError,
        ["varying", "initial values"],
    ),
    (
        lambda x: lax.scatter_apply(
            x[None], np.array([0]), jnp.sin, lax.ScatterDimensionNumbers((), (0,), (0,))
        )[0],
        NotImplementedError,
        ["scatter_apply", "x.at[i].set"],
    ),
    (lambda x: lax.composite(jnp.sin, "my.sin")(x), ValueError, ["composite", "custom_jvp"]),
]


@pytest.mark.parametrize(("f", "error", "words"), MISTAKES)
def test_derivatives_that_nobody_has_are_refused(f, error, words):
    with pytest.raises(error) as caught:
        jaxcore.grad(f)(0.5)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        (lambda x: lax.tile(x, (2,)), TypeError, ["reps", "(2, 3)"]),
        (lambda x: lax.stack([x, x[0]]), ValueError, ["(2, 3)", "(3,)"]),
        (lambda x: lax.stack([x, x.astype(int)]), TypeError, ["float32, int32"]),
        (lambda x: lax.broadcast_like(x, x[0]), ValueError, ["(2, 3)", "(3,)", "Fix:"]),
        (lambda x: lax.dot(x, x), ValueError, ["dimension_numbers", "(2, 3)"]),
        (lambda x: lax.batch_matmul(x[0], x[0]), ValueError, ["at least 2", "(3,)"]),
        (lambda x: lax.reduce(x, (0.0,), lax.add, (0,)), ValueError, ["tree"]),
        (lambda x: lax.reduce(x, 0, lambda a, b: a, (0,)), TypeError, ["dtypes"]),
        (lambda x: lax.reduce(x, 0.0, lambda a, b: a > b, (0,)), TypeError, ["bool"]),
        (
            lambda x: lax.reduce(x, 0.0, lambda a, b: a + x[0, 0], (0,)),
            NotImplementedError,
            ["captures", "float32"],
        ),
        (lambda x: lax.scatter_add(x, np.array([[0]]), x[0], ROWS), TypeError, []),
        (lambda x: lax.approx_max_k(x, 4), ValueError, ["k", "4"]),
        (lambda x: lax.rng_bit_generator(x, (2,), np.int32), TypeError, ["int32"]),
        (lambda x: lax.rng_uniform(x, x, (2,)), ValueError, ["scalars"]),
        (lambda x: lax.ragged_dot(x, x[None], np.array([1.0])), TypeError, []),
        (lambda x: lax.conv_transpose(x, x[None], (1,), "SAME"), TypeError, ["rank"]),
    ],
)
def test_mistakes_say_what_is_wrong(mistake, error, words):
    with pytest.raises(error) as caught:
        jaxcore.jit(mistake)(X)
    for word in words:
        assert word in str(caught.value), str(caught.value)
