"""Which arguments are filled up, what the function is told, how results are cut, and mistakes."""

import inspect
import logging

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Bucket


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, logger="jaxcore.recompile")


def compiled(fun):
    return [c for c in jaxcore.cache.log() if c.function == fun.__name__]


def traced(fun):
    """`fun`, and the shapes that it is traced with."""
    seen = []

    def wrapper(x, **kwargs):
        seen.append(jax.tree.map(lambda v: v.shape, x))
        return fun(x, **kwargs)

    wrapper.__signature__ = inspect.signature(fun)
    return wrapper, seen


@pytest.mark.parametrize(
    ("sizes", "n", "filled"),
    [(None, 0, 1), (None, 1, 1), (None, 2, 2), (None, 3, 4), (None, 512, 512), (None, 513, 1024)]
    + [((8, 3), 0, 3), ((8, 3), 3, 3), ((8, 3), 4, 8)],
)
def test_sizes_are_rounded_up(sizes, n, filled):
    fun, seen = traced(lambda x: jnp.sum(x))
    jitted = jaxcore.jit(fun, bucket={"x": Bucket({0: "n"}, sizes=sizes)})
    assert float(jitted(np.ones(n, np.float32))) == n
    assert seen == [(filled,)]


def test_one_executable_serves_a_bucket_and_calls_of_every_kind():
    @jaxcore.jit(bucket={"x": {0: "n"}})
    def one_bucket(x, *, n):
        return jnp.sum(x) / n

    for x in (np.ones(5, np.float32), jnp.ones(6), jnp.ones(8), np.ones(7)):
        assert float(one_bucket(x)) == 1.0
    assert float(one_bucket(x=np.ones(5, np.float32))) == 1.0  # by name: another executable
    assert len(compiled(one_bucket)) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool, jnp.bfloat16, np.complex64])
def test_padding_has_the_dtype_and_stands_at_the_end(dtype):
    jitted = jaxcore.jit(lambda x: x + x, bucket={"x": Bucket({0: "n"}, sizes=[6], pad=1)})
    full = jaxcore.jit(lambda x: (x[:3], x[3:]), bucket={"x": Bucket({0: "n"}, sizes=[6], pad=1)})
    for x in (np.arange(3).astype(dtype), jnp.arange(3).astype(dtype)):
        got = jitted(x)
        assert got.dtype == x.dtype and isinstance(got, jax.Array)
        np.testing.assert_array_equal(got, x + x)
        np.testing.assert_array_equal(full(x)[0], x)


def test_the_function_sees_the_padding_it_was_promised():
    jitted = jaxcore.jit(lambda x: jnp.sum(x), bucket={"x": Bucket({0: "n"}, pad=-1)})
    assert float(jitted(np.zeros(5, np.float32))) == -3
    nan = jaxcore.jit(lambda x: jnp.isnan(x).sum(), bucket={"x": Bucket({-1: "n"}, pad=np.nan)})
    assert int(nan(np.zeros((1, 3), np.float32))) == 1


def test_two_dimensions_are_rounded_by_themselves():
    def pair(x, y, *, rows, columns):
        return x @ y, jnp.sum(x) / (rows * columns), x.T

    jitted = jaxcore.jit(pair, bucket={"x": {0: "rows", 1: "columns"}, "y": {0: "columns"}})
    for rows, columns in [(3, 5), (2, 5), (3, 4), (4, 8)]:
        x, y = np.ones((rows, columns), np.float32), np.ones((columns, 2), np.float32)
        product, mean, turned = jitted(x, y)
        np.testing.assert_array_equal(product, x @ y)
        assert float(mean) == 1 and turned.shape == (columns, rows)


def test_paths_inside_an_argument():
    def total(batch, scale):
        return jax.tree.map(lambda x: x * scale, batch)

    one = jaxcore.jit(total, bucket={"batch['a']": {0: "n"}})
    got = one({"a": np.ones(3, np.float32), "b": np.ones(3, np.float32)}, 2.0)
    assert got["a"].shape == got["b"].shape == (3,)
    every = {"batch": {0: "n"}, "batch['b']": Bucket({0: "m"}, pad=7)}
    both = jaxcore.jit(total, bucket=every)
    got = both({"a": [np.ones(3), np.ones(3)], "b": np.ones(5)}, 2.0)
    assert [x.shape for x in jax.tree.leaves(got)] == [(3,), (3,), (5,)]


def test_results_are_cut_where_they_grow():
    def results(x, w):
        return {
            "same": x,
            "shorter": x[2:],
            "fixed": jnp.zeros(8) + w.sum(),  # of the bucket's size by chance
            "scalar": x.sum(),
            "matrix": x[:, None] * x[None, :],
            "half": w,
        }

    jitted = jaxcore.jit(results, bucket={"x": {0: "n"}})
    for n in (1, 5, 8):
        x = np.arange(n, dtype=np.float32)
        got = jitted(x, np.ones(2, np.float32))
        shapes = {name: value.shape for name, value in got.items()}
        assert shapes.pop("matrix") == (n, n) and shapes.pop("shorter") == (max(0, n - 2),)
        assert shapes == {"same": (n,), "fixed": (8,), "scalar": (), "half": (2,)}
        np.testing.assert_array_equal(got["same"], x)


def test_results_keep_weak_types_placements_and_donation():
    device = jax.devices()[0]
    jitted = jaxcore.jit(lambda x, s: (x * s, x + 1), bucket={"x": {0: "n"}}, donate_argnums=0)
    x = jax.device_put(np.ones(3, np.float32), device)
    product, plus = jitted(x, 2.0)
    assert product._committed and product.shape == plus.shape == (3,)
    weak = jnp.broadcast_to(jnp.asarray(1.0), (3,))
    assert jaxcore.jit(lambda x: x * 2, bucket={"x": {0: "n"}})(weak).weak_type == weak.weak_type


def test_inside_another_function_sizes_stay():
    fun, seen = traced(lambda x, *, n: jnp.sum(x) / n)
    jitted = jaxcore.jit(fun, bucket={"x": {0: "n"}})
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(jaxcore.vmap(jitted)(x), [1, 1])
    np.testing.assert_allclose(jaxcore.grad(jitted)(x[0]), np.full(3, 1 / 3))
    np.testing.assert_array_equal(jaxcore.jit(jitted)(x[0]), 1)
    assert set(seen) == {(3,)}


def test_ahead_of_time_and_types():
    def scaled(x, *, n):
        return x / n

    jitted = jaxcore.jit(scaled, bucket={"x": {0: "n"}})
    x = jax.ShapeDtypeStruct((5,), np.float32)
    assert jitted.eval_shape(x).shape == (5,)
    assert jitted.trace(x).out_info.shape == (8,)
    assert jitted.lower(np.ones(5)).in_avals[0][0].shape == (8,)
    assert jitted.__name__ == "scaled" and "scaled" in repr(jitted)
    np.testing.assert_array_equal(jitted(np.ones(2, np.float32)), [0.5, 0.5])
    jitted.clear_cache()
    np.testing.assert_array_equal(jitted(np.ones(2, np.float32)), [0.5, 0.5])


def test_methods_static_and_optional_arguments():
    class Scale:
        @jaxcore.jit(static_argnums=(0, 2), bucket={"x": {0: "n"}, "y": {0: "n"}})
        def by(self, x, times, y=None):
            out = x * times
            return out if y is None else jnp.concatenate([out[None], y[None]], axis=times - 2)

    scale, x = Scale(), np.ones(3, np.float32)
    np.testing.assert_array_equal(scale.by(x, 2), [2, 2, 2])
    assert scale.by(x, 2, x).shape == (2, 3)
    with pytest.raises(ValueError, match=r"axis 1 of the result is 8 where 'n' is 4, and 16"):
        scale.by(x, 3, x)


def ident(x, y=None, *, n=None, static=None):
    return x


WRONG_RULES = {
    "no dict": ([1], TypeError, r"bucket=\[1\] is not a dict. Fix: name the argument"),
    "no axes": ({"x": 1}, TypeError, r"bucket\['x'\] is 1"),
    "axis": ({"x": {"0": "n"}}, ValueError, r"calls axis '0' 'n', expected a number"),
    "dimension": ({"x": {0: "the n"}}, ValueError, r"calls axis 0 'the n'"),
    "argument": ({"z": {0: "n"}}, ValueError, r"'z', and there is no argument 'z'; its arguments"),
    "sizes": ({"x": Bucket({0: "n"}, sizes=())}, ValueError, r"sizes=\(\), expected numbers"),
    "zero": ({"x": Bucket({0: "n"}, sizes=(0, 2))}, ValueError, r"expected numbers of at least 1"),
    "two lists": (
        {"x": Bucket({0: "n"}, sizes=(2,)), "y": {0: "n"}},
        ValueError,
        r"dimension 'n' has the sizes \(2,\) and, in bucket\['y'\], None",
    ),
    "static": ({"static": {0: "n"}}, ValueError, r"'static' is static and in bucket"),
}


@pytest.mark.parametrize("case", WRONG_RULES)
def test_rules_that_are_wrong(case):
    rules, kind, message = WRONG_RULES[case]
    with pytest.raises(kind, match=message) as caught:
        jaxcore.jit(ident, bucket=rules, static_argnames="static")
    assert "jit of ident" in str(caught.value) and "Fix:" in str(caught.value)


WRONG_CALLS = {
    "rank": ({"x": {1: "n"}}, (np.ones(3),), {}, r"x has the shape \(3,\), and no axis 1 to be"),
    "sizes differ": (
        {"x": {0: "n"}, "y": {0: "n"}},
        (np.ones(3), np.ones(4)),
        {},
        r"x has 3 in dimension 'n', y has 4 \(axis 0 of \(4,\)\)",
    ),
    "too large": (
        {"x": Bucket({0: "n"}, sizes=(2, 4))},
        (np.ones(5),),
        {},
        r"dimension 'n' is 5, and the sizes of its bucket end at 4. Fix: add a size",
    ),
    "path": (
        {"x['tokns']": {0: "n"}},
        ({"tokens": np.ones(3)},),
        {},
        r"bucket names \"x\['tokns'\]\", and the call has x\['tokens'\]",
    ),
    "pad": (
        {"x": Bucket({0: "n"}, pad=-1)},
        (np.ones(3, np.uint8),),
        {},
        r"x cannot be filled up with -1",
    ),
    "keys": ({"x": {0: "n"}}, (jax.random.split(jax.random.key(0), 3),), {}, r"random keys"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_calls_that_are_wrong(case):
    rules, args, kwargs, message = WRONG_CALLS[case]
    with pytest.raises(ValueError, match=message) as caught:
        jaxcore.jit(ident, bucket=rules)(*args, **kwargs)
    assert "jit of ident" in str(caught.value) and "Fix:" in str(caught.value)


def test_a_size_that_is_told_is_not_passed():
    with pytest.raises(TypeError, match="'n' was passed, and bucket gives it"):
        jaxcore.jit(ident, bucket={"x": {0: "n"}})(np.ones(3), n=3)

    def positional(x, n, /):
        return x

    with pytest.raises(ValueError, match="Fix: write it behind a star"):
        jaxcore.jit(positional, bucket={"x": {0: "n"}})


@pytest.mark.parametrize("fun", [lambda x: jnp.concatenate([x, x]), lambda x: jnp.append(x, 1.0)])
def test_results_with_no_way_back(fun):
    with pytest.raises(ValueError, match="cannot be cut back to the true size. Fix: return"):
        jaxcore.jit(fun, bucket={"x": {0: "n"}})(np.ones(3, np.float32))
