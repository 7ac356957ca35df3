"""Collectives under `vmap(axis_name=...)`: values, derivatives and nesting are JAX's."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import lax

import jaxcore
import jaxcore.numpy as jnp

SIZE = 4


def stack(x):
    return jnp.stack([x] * SIZE)


# Functions of one example of shape (3, 2) that speak of the axis "i".
DIFFERENTIABLE = {
    "psum": lambda x: lax.psum(x, "i"),
    "normalise": lambda x: x / lax.psum(x, "i"),
    "pmean": lambda x: lax.pmean(jnp.sin(x), "i"),
    "axis_index": lambda x: x * lax.axis_index("i"),
    "axis_size": lambda x: x * lax.axis_size("i") + lax.psum(1, "i"),
    "all_gather": lambda x: lax.all_gather(x, "i", axis=-1) * x.sum(),
    "all_gather_tiled": lambda x: lax.all_gather(x, "i", axis=1, tiled=True),
    "psum_scatter": lambda x: lax.psum_scatter(stack(x) * lax.axis_index("i"), "i"),
    "psum_scatter_tiled": lambda x: lax.psum_scatter(jnp.concatenate([x] * SIZE), "i", tiled=True),
    "ppermute": lambda x: lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 3), (3, 0)]),
    "pshuffle": lambda x: lax.pshuffle(x, "i", [2, 3, 0, 1]),
    "pswapaxes": lambda x: lax.pswapaxes(jnp.concatenate([x, x], 1), "i", 1),
    "all_to_all": lambda x: lax.all_to_all(
        jnp.concatenate([x] * SIZE, 1) * lax.axis_index("i"), "i", 1, 0, tiled=True
    ),
    "in a scan": lambda x: lax.scan(
        lambda c, y: (c + lax.psum(y, "i"), c * lax.axis_index("i")), x[0], x
    ),
    "in a branch": lambda x: lax.cond(
        x[0, 0] > 3, lambda y: y * 2, lambda y: -y, lax.pmean(x, "i")
    ),
}
OTHERS = {
    "pmax": lambda x: lax.pmax(x, "i"),
    "pmin": lambda x: x * lax.pmin(x, "i"),
    "of an integer": lambda x: lax.psum(x > 4, "i"),
    "of a tree": lambda x: lax.psum({"a": x, "b": (x, x[0])}, "i"),
    "index alone": lambda x: lax.axis_index("i"),
    "pbroadcast": lambda x: lax.pbroadcast(x, "i", 2),
    "key for each position": lambda x: jax.random.normal(
        jax.random.fold_in(jax.random.key(0), lax.axis_index("i")), (2,)
    ),
    "in a loop": lambda x: lax.while_loop(
        lambda c: lax.psum(c.sum(), "i") < 1000.0, lambda c: c * 2, x
    ),
}


@pytest.fixture
def x():
    return np.arange(SIZE * 6, dtype=np.float32).reshape(SIZE, 3, 2) + 1


def close(got, want, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-4, **tolerance}
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, *OTHERS])
@pytest.mark.rank_promotion
def test_values_are_those_of_jax(name, x):
    f = {**DIFFERENTIABLE, **OTHERS}[name]
    want = jax.vmap(f, axis_name="i")(x)
    close(jaxcore.vmap(f, axis_name="i")(x), want)
    close(jaxcore.jit(jaxcore.vmap(f, axis_name="i"))(x), want)
    close(jaxcore.vmap(jaxcore.jit(f), axis_name="i")(x), want)
    close(jax.vmap(jaxcore.jit(f), axis_name="i")(x), want)


def loss(vmap, f, x, w):
    leaves = jax.tree.leaves(vmap(lambda y: f(y * w), axis_name="i")(x))
    return sum(jnp.sum(jnp.cos(y) * jnp.arange(y.size).reshape(y.shape)) for y in leaves)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.rank_promotion
def test_derivatives_through_the_mapped_function(name, x):
    f, w = DIFFERENTIABLE[name], np.array([0.5, 2.0], np.float32)
    want = jax.grad(partial(loss, jax.vmap, f), argnums=(0, 1))(x, w)
    ours = jaxcore.grad(partial(loss, jaxcore.vmap, f), argnums=(0, 1))
    close(jaxcore.jit(ours)(x, w), want, rtol=1e-3)
    _, moved = jaxcore.jvp(partial(loss, jaxcore.vmap, f), (x, w), (x * 0, w))
    np.testing.assert_allclose(moved, np.sum(want[1] * w), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["normalise", "all_gather", "psum_scatter", "in a scan"])
@pytest.mark.rank_promotion
def test_derivatives_inside_the_mapped_function(name, x):
    f, w = DIFFERENTIABLE[name], np.array([0.5, 2.0], np.float32)

    def inside(vmap, grad):
        def one(y):
            return grad(lambda w: sum(jnp.sum(jnp.cos(z)) for z in jax.tree.leaves(f(y * w))))(w)

        return vmap(one, axis_name="i")(x)

    want = inside(jax.vmap, jax.grad)
    close(inside(jaxcore.vmap, jaxcore.grad), want)
    close(jaxcore.jit(lambda: inside(jaxcore.vmap, jaxcore.grad))(), want)


def test_second_derivative(x):
    def second(vmap, grad):
        def f(w):
            return vmap(lambda y: y * w / lax.pmean(y * w**2, "i"), axis_name="i")(x).sum()

        return grad(lambda w: grad(f)(w) ** 2)(1.5)

    close(second(jaxcore.vmap, jaxcore.grad), second(jax.vmap, jax.grad), rtol=1e-3)


NESTED = {
    "psum over both": lambda x: lax.psum(x, ("i", "j")),
    "one after the other": lambda x: lax.psum(x, "j") - lax.psum(x, "i"),
    "indices": lambda x: lax.axis_index("i") * 10 + lax.axis_index("j"),
    "index of both": lambda x: lax.axis_index(("i", "j")),
    "gather": lambda x: lax.all_gather(x, "i") + lax.all_gather(x, "j").sum(),
    "exchange": lambda x: lax.all_to_all(stack(x) * lax.axis_index("j"), "i", 0, 0),
    "scatter": lambda x: lax.psum_scatter(lax.all_gather(x, "i"), "i") * lax.axis_index("j"),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("axes", [(0, 0), (1, 1), (1, 0)])
@pytest.mark.rank_promotion
def test_two_names(name, axes, x):
    def mapped(vmap):
        inner = vmap(NESTED[name], axis_name="j")
        return vmap(inner, axis_name="i", in_axes=axes[0], out_axes=axes[1])

    given = np.moveaxis(x, 0, axes[0])
    close(mapped(jaxcore.vmap)(given), mapped(jax.vmap)(given))


def test_batch_normalisation(x):
    def normalise(y):
        mean, square = lax.pmean(y, "batch"), lax.pmean(y**2, "batch")
        return (y - mean) / jnp.sqrt(square - mean**2 + 1e-3)

    got = jaxcore.jit(jaxcore.vmap(normalise, axis_name="batch"))(x)
    np.testing.assert_allclose(got, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), rtol=1e-4)


def test_groups_of_positions(x):
    groups = [[0, 2], [1, 3]]
    got = jaxcore.vmap(lambda y: lax.psum(y, "i", axis_index_groups=groups), axis_name="i")(x)
    np.testing.assert_array_equal(got, (x + x[[2, 3, 0, 1]]))


def test_permutation_fills_with_zeros(x):
    got = jaxcore.vmap(lambda y: lax.ppermute(y, "i", [(0, 1), (1, 3)]), axis_name="i")(x)
    np.testing.assert_array_equal(got, np.stack([x[0] * 0, x[0], x[0] * 0, x[1]]))


def test_axis_size_without_mapped_arguments():
    got = jaxcore.vmap(lambda: lax.axis_index("i"), axis_name="i", axis_size=3)()
    np.testing.assert_array_equal(got, [0, 1, 2])
    got = jaxcore.vmap(
        lambda y: jaxcore.jit(lambda: lax.axis_index("i"))() + y,
        in_axes=None,
        axis_name="i",
        axis_size=3,
    )(1)
    np.testing.assert_array_equal(got, [1, 2, 3])


def test_a_jitted_function_is_traced_for_each_axis():
    f = jaxcore.jit(lambda y: lax.psum(y, "i"))
    assert jaxcore.vmap(f, axis_name="i")(jnp.ones(2)).tolist() == [2, 2]
    assert jaxcore.vmap(f, axis_name="i")(jnp.ones(3)).tolist() == [3, 3, 3]
    with pytest.raises(NameError, match="unbound axis name: i"):
        f(jnp.ones(2))


def test_the_same_name_inside_hides_the_outer_one():
    def sums(vmap):
        return vmap(
            lambda y: vmap(lambda z: lax.psum(z, "i"), axis_name="i")(y) + lax.psum(y, "i"),
            axis_name="i",
        )

    given = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    close(sums(jaxcore.vmap)(given), sums(jax.vmap)(given))


def test_what_has_no_derivative_says_so(x):
    with pytest.raises(NotImplementedError, match=r"(?s)pmax.*stop_gradient"):
        jaxcore.vmap(jaxcore.grad(lambda y: lax.pmax(y, "i").sum()), axis_name="i")(x)


@pytest.mark.parametrize("names", [("i", "j"), ("j", "i")])
@pytest.mark.parametrize("tiled", [False, True])
def test_several_mapped_axes_are_one(names, tiled, rng):
    """Their positions are numbered with the last name fastest."""
    x = rng.standard_normal((2, 4, 16, 3), np.float32)
    order = (0, 1) if names == ("i", "j") else (1, 0)
    rows = np.moveaxis(x, order, (0, 1)).reshape(8, 16, 3)

    def both(lib, f, x=x):
        return lib.jit(lib.vmap(lib.vmap(f, axis_name="j"), axis_name="i"))(x)

    def gather(x):
        return lax.all_gather(x, names, axis=1, tiled=tiled)

    gathered = np.concatenate(rows, 1) if tiled else np.stack(rows, 1)
    want = np.broadcast_to(gathered, (2, 4, *gathered.shape))
    close(both(jaxcore, gather), want)
    close(jaxcore.grad(lambda x: (both(jaxcore, gather, x) ** 2).sum())(x), 16 * x)

    def scatter(x):
        return lax.psum_scatter(x if tiled else x[::2], names, tiled=tiled)

    total = rows.sum(0).reshape(8, 2, 3) if tiled else rows.sum(0)[::2]
    want = total.reshape(*(x.shape[i] for i in order), *total.shape[1:])
    close(both(jaxcore, scatter), np.moveaxis(want, (0, 1), order))

    def exchange(x):
        return lax.all_to_all(x if tiled else x[:8], names, 0, 1, tiled=tiled)

    close(both(jaxcore, exchange), both(jax, exchange))


def test_several_axes_at_once_say_what_to_do(x):
    def f(y):
        return lax.ppermute(y, ("i", "j"), [(0, 1)])

    with pytest.raises(NotImplementedError, match=r"(?s)ppermute.*one axis after the other"):
        jaxcore.vmap(jaxcore.vmap(f, axis_name="j"), axis_name="i")(x)


def test_results_are_summed_on_request(x):
    def f(vmap):
        return vmap(lambda y: (y * 2, y[0]), out_axes=(None, 0), sum_match=True)(x)

    close(f(jaxcore.vmap), f(jax.vmap))
