"""What the tables of cases cannot say of numpy: sizes from values, messages, interop, speed."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.array([[3.0, 0.0, 2.0], [0.0, 5.0, 5.0]], np.float32)
V = np.array([3, 1, 2, 3, 1], np.int32)
W = np.array([2, 7, 1], np.int32)


@pytest.mark.parametrize(
    "function",
    [
        lambda lib: lib.nonzero(X),
        lambda lib: lib.where(X > 2),
        lambda lib: lib.argwhere(X),
        lambda lib: lib.flatnonzero(V > 1),
        lambda lib: lib.extract(X > 2, X),
        lambda lib: lib.compress(V[:3] > 1, X, axis=1),
        lambda lib: lib.unique(V, True, True, True),
        lambda lib: lib.unique(X, axis=1, return_inverse=True),
        lambda lib: tuple(lib.unique_all(V)),
        lambda lib: lib.union1d(V, W),
        lambda lib: lib.intersect1d(V, W, return_indices=True),
        lambda lib: lib.setdiff1d(V, W),
        lambda lib: lib.setxor1d(V, W),
        lambda lib: lib.bincount(V, minlength=6),
        lambda lib: lib.trim_zeros(np.array([0, 0, 1, 0, 2, 0])),
        lambda lib: lib.trim_zeros(np.array([[0, 0], [0, 4]]), "f", axis=1),
        lambda lib: lib.choose(V % 2, [V, -V]),
        lambda lib: lib.ravel_multi_index((V[:2] % 2, W[:2] % 3), (2, 3)),
        lambda lib: lib.delete(V, W[:1]),
        lambda lib: lib.repeat(V, V),
        lambda lib: lib.nonzero(np.zeros((0, 3))),
        lambda lib: lib.unique(np.zeros((0,))),
    ],
)
def test_sizes_that_depend_on_values(function):
    got, want = function(jnp), function(jax.numpy)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_interp_of_a_period_is_numpys():
    xp, fp = np.array([-1.0, 0.5, 2.0, 4.0]), np.array([0.0, 3.0, 1.0, 2.0])
    x = np.linspace(-7, 9, 9)
    got = jaxcore.jit(lambda x: jnp.interp(x, xp, fp, period=6.0))(x)
    np.testing.assert_allclose(got, np.interp(x, xp, fp, period=6.0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        (lambda x: jnp.nonzero(x), jax.errors.ConcretizationTypeError, ["size", "jnp.nonzero"]),
        (lambda x: jnp.unique(x), jax.errors.ConcretizationTypeError, ["size argument"]),
        (lambda x: jnp.bincount(x.astype(int)[0]), jax.errors.ConcretizationTypeError, ["length"]),
        (lambda x: jnp.bincount(x[0]), TypeError, ["integer", "float32"]),
        (lambda x: jnp.take(x, x), TypeError, ["integer", "Fix:"]),
        (lambda x: jnp.take(x[:0], np.array([0]), 0), IndexError, ["empty axis"]),
        (lambda x: jnp.pad(x, -1), ValueError, ["negative"]),
        (lambda x: jnp.pad(x, 1, "nope"), NotImplementedError, ["'nope'", "reflect"]),
        (lambda x: jnp.pad(x, 1, "edge", stat_length=1), ValueError, ["stat_length"]),
        (lambda x: jnp.pad(x[:0], 1, "wrap"), ValueError, ["wrap", "empty axis"]),
        (lambda x: jnp.diag(x[None]), ValueError, ["1d or 2d", "(1, 2, 3)"]),
        (lambda x: jnp.trace(x, axis1=1, axis2=-1), ValueError, ["axis1=1 and axis2=-1"]),
        (lambda x: jnp.quantile(x, 0.5, method="no"), ValueError, ["'no'", "inverted_cdf"]),
        (lambda x: jnp.median(x[:0]), ValueError, ["non-empty", "(0, 3)"]),
        (lambda x: jnp.cov(x[None]), ValueError, ["more than 2 dimensions"]),
        (lambda x: jnp.average(x, weights=x[0]), ValueError, ["Axis must be specified"]),
        (lambda x: jnp.interp(x, x[0], x[1, :2]), ValueError, ["(3,) and (2,)"]),
        (lambda x: jnp.searchsorted(x, 1.0), ValueError, ["1-dimensional", "(2, 3)"]),
        (lambda x: jnp.gcd(x, 2), ValueError, ["integers", "float32"]),
        (lambda x: jnp.gradient(x[:1], axis=0), ValueError, ["at least 2", "(1, 3)"]),
        (lambda x: jnp.linspace(0, x, -1), ValueError, ["-1", "non-negative"]),
        (lambda x: jnp.cross(x, x[:, :2]), ValueError, ["3 and 2"]),
        (lambda x: jnp.block([[x], x]), ValueError, ["depths"]),
        (lambda x: jnp.block((x, x)), ValueError, ["tuples", "Fix:"]),
        (lambda x: jnp.select([x > 0], [x, x]), ValueError, ["1 vs 2"]),
        (lambda x: jnp.piecewise(x, [x > 0], [1, 2, 3]), ValueError, ["got 3"]),
        (lambda x: jnp.put(x, np.array([0]), 1.0), ValueError, ["inplace=False"]),
        (lambda x: jnp.insert(x, x[0], 1), ValueError, ["integer typed"]),
        (lambda x: jnp.repeat(x, np.array([1, -1]), 0), ValueError, ["[1, -1]"]),
        (lambda x: jnp.vectorize(lambda a: a, signature="(n)->(m")(x), ValueError, ["signature"]),
        (lambda x: jnp.vectorize(lambda a: a, signature="(a,b,c)->()")(x), ValueError, ["core"]),
        (lambda x: jnp.convolve(x, x), ValueError, ["1-dimensional", "(2, 3)"]),
        (lambda x: jnp.histogram(x, "auto"), NotImplementedError, ["'auto'", "Fix:"]),
        (lambda x: jnp.isin(x, x, method="no"), ValueError, ["'no'", "binary_search"]),
        (lambda x: jnp.median([1.0]), TypeError, ["list", "Fix:"]),
        (lambda x: jnp.median(x, out=x), ValueError, ["out"]),
        (lambda x: jnp.trace(x, out=x), NotImplementedError, ["'out'", "jnp.trace"]),
        (lambda x: 3.0 in x, ValueError, ["one-dimensional", "(2, 3)"]),
    ],
)
def test_mistakes_say_what_is_wrong(mistake, error, words):
    with pytest.raises(error) as caught:
        jaxcore.jit(mistake)(X)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize("name", ["nanvar", "quantile", "take"])
def test_out_is_refused_outside_jit_too(name):
    arguments = {"nanvar": (), "quantile": (0.5,), "take": (V,)}[name]
    with pytest.raises((NotImplementedError, ValueError), match="out"):
        getattr(jnp, name)(X, *arguments, out=jnp.zeros(()))


class Wrapped:
    """An object that is an array when asked."""

    def __init__(self, value):
        self.value = value

    def __jax_array__(self):
        return jax.numpy.asarray(self.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda lib, x: lib.median(x, axis=1),
        lambda lib, x: lib.nonzero(x, size=3),
        lambda lib, x: lib.pad(x, 1),
        lambda lib, x: lib.diff(x),
        lambda lib, x: lib.average(x, weights=x),
        lambda lib, x: lib.select([X > 1], [x]),
        lambda lib, x: lib.take(x, W % 2, 0),
    ],
)
def test_an_object_that_is_an_array_when_asked(function):
    want = function(jax.numpy, X)
    traced = jaxcore.jit(lambda: function(jnp, Wrapped(X)))()
    for got in (function(jnp, Wrapped(X)), traced):
        jax.tree.map(np.testing.assert_allclose, got, want)


def test_sizes_are_known_where_values_are():
    """Outside `jit` a derivative sees values, so sizes may depend on them."""
    gradient = jaxcore.grad(lambda x: jnp.compress(np.array([True, False]), x * 2, 0).sum())(X)
    np.testing.assert_array_equal(gradient, [[2, 2, 2], [0, 0, 0]])
    gradient = jaxcore.grad(lambda x: (x.ravel()[jnp.nonzero(x.ravel())[0]] ** 2).sum())(X)
    np.testing.assert_allclose(gradient, 2 * X)


def test_every_method_of_an_array_is_ours_on_a_tracer():
    """Methods that compute are attached to our tracers, so that none goes through JAX's."""
    from jaxcore.trace import JaxcoreTracer

    placement = {"addressable_data", "to_device", "copy_to_host_async", "item", "flat"}
    described = {"dtype", "shape", "size", "device", "sharding", "committed"}
    named = {n for n in dir(jax.Array) if not n.startswith("_")} - placement - described
    named -= {n for n in named if "addressable" in n or "shards" in n or "replicated" in n}
    assert named - set(vars(JaxcoreTracer)) == set()


def test_a_function_of_many_operations_is_one_executable(monkeypatch):
    from jaxcore import eager

    jnp.nanmedian(X)  # compiled
    monkeypatch.setattr(eager, "run", None)
    assert jnp.nanmedian(X) == 2.5


UFUNCS = sorted(k for k in dir(jax.numpy) if isinstance(getattr(jax.numpy, k), jax.numpy.ufunc))
METHODS = {
    "reduce": lambda m, f, x: f.reduce(x, axis=1),
    "accumulate": lambda m, f, x: f.accumulate(x),
    "outer": lambda m, f, x: f.outer(x[0], x[1]),
    "at": lambda m, f, x: f.at(x, m.numpy.array([0, 2, 0]), x[:3], inplace=False),
    "reduceat": lambda m, f, x: f.reduceat(x, m.numpy.array([0, 2])),
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_ufuncs(method):
    """As in JAX, also where the operands are traced, mapped and differentiated."""
    x = np.array([[1.5, -2.0], [0.5, 3.0], [2.5, 0.25]], np.float32)
    run = METHODS[method]
    names = [k for k in UFUNCS if getattr(jax.numpy, k).nin == 2]
    assert len(names) == 13
    signed = [k for k in names if not k.startswith(("bitwise", "logical"))]

    def everything(m):
        def f(name, x):
            return run(m, getattr(m.numpy, name), x)

        out = {k: f(k, x if k in signed else x > 1) for k in names}
        out["mapped"] = m.vmap(lambda x: f("add", x))(np.stack([x, x + 1]))
        out["slope"] = m.grad(lambda x: (f("add", x) ** 2).sum())(x)
        return out

    wanted = jax.jit(lambda: everything(jax))()
    for got in (everything(jaxcore), jaxcore.jit(lambda: everything(jaxcore))()):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, wanted)
