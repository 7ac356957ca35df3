"""JAX's namespaces, reached through jaxcore: what they compute inside our transformations, and over
functions that those made, is what they compute in JAX.

Each case is written once for both packages, as a user's code is that changes its import.
"""

import importlib
import operator

import chex
import jax
import numpy as np
import pytest

import jaxcore
from jaxcore.namespaces import NAMESPACES

pytestmark = pytest.mark.rank_promotion  # JAX's functions broadcast as they like

for space in NAMESPACES:
    importlib.import_module(f"jax.{space}")

RNG = np.random.default_rng(0)
V = RNG.standard_normal(4).astype(np.float32)
P = np.abs(V) + np.float32(0.5)
M = RNG.standard_normal((4, 4)).astype(np.float32)
SPD = (M @ M.T + 4 * np.eye(4)).astype(np.float32)
SIGNAL = RNG.standard_normal(32).astype(np.float32)
TIMES = np.linspace(0, 1, 3, dtype=np.float32)
PLACES = np.array([[0, 1], [1, 2], [2, 2], [3, 0]])


def minimum(J, x):
    rosenbrock = J.jit(lambda y: J.numpy.sum(100 * (y[1:] - y[:-1] ** 2) ** 2 + (1 - y[:-1]) ** 2))
    return J.scipy.optimize.minimize(rosenbrock, x[:2], method="BFGS", tol=1e-2).fun


def orbit(J, x):
    """The field closes over `x`, and is itself a gradient."""
    force = J.jit(J.grad(lambda y: -J.numpy.sum(x[:2] * y**2)))
    return J.experimental.ode.odeint(lambda y, t: force(y) * J.numpy.cos(t), x[:2], TIMES)


def interpolated(J, x):
    grid = (np.arange(4.0, dtype=np.float32),) * 2
    points = J.numpy.stack([x, x[::-1]], -1)
    interpolate = J.scipy.interpolate.RegularGridInterpolator(grid, M, bounds_error=False)
    return interpolate(J.numpy.clip(points, 0.1, 2.9))


def checked(J, x):
    checkify = J.experimental.checkify

    @J.jit
    def f(x):
        checkify.check(J.numpy.all(x > 0), "not positive: {x}", x=x[0])
        step = lambda total, v: (total + J.numpy.log(v), J.lax.cond(v > 1, J.numpy.sin, abs, v))
        return J.lax.scan(step, J.numpy.zeros((), x.dtype), x)

    error, out = checkify.checkify(f, errors=checkify.all_checks)(x)
    return out, error.get() is None if isinstance(x, np.ndarray) else None


def taylor(J, x):
    series = (np.ones(4, np.float32), np.zeros(4, np.float32))
    f = J.jit(lambda y: J.numpy.sin(y) * J.jit(J.numpy.exp)(y))
    return J.experimental.jet.jet(f, (x,), (series,))


def sparse(J, x):
    return J.experimental.sparse.BCOO((x, PLACES), shape=(4, 4))


def sparse_gradient(J, x):
    f = J.jit(lambda a: J.numpy.sum((a @ M) ** 2))
    return J.experimental.sparse.grad(f)(sparse(J, x)).data


def own_gradient(J, x):
    @J.custom_gradient
    def f(x):
        y = J.numpy.sin(x)
        return y * x, lambda g: (g * y * 3,)

    return f(x)


def own_batch(J, x):
    @J.custom_batching.custom_vmap
    def f(x):
        return J.numpy.sin(x)

    @f.def_vmap
    def rule(size, batched, x):
        return J.numpy.cos(x), batched[0]

    return f(x), J.vmap(f)(x)


def converted(J, x):
    f, hoisted = J.closure_convert(J.jit(lambda y: J.numpy.sin(y) * x), x)
    return f(x * 2, *hoisted)


def at_compile_time(J, x):
    with J.ensure_compile_time_eval():
        n = int(J.numpy.sum(J.numpy.arange(3)))
    return x * n


def root(J, x):
    newton = lambda f, y: J.lax.fori_loop(0, 8, lambda i, y: y - f(y) / (2 * y), y)
    return J.lax.custom_root(lambda y: y**2 - x, x, newton, lambda g, y: y / g(np.ones_like(P)))


def raveled(J, x):
    flat, unravel = J.flatten_util.ravel_pytree({"a": x, "b": (x[:2] ** 2, x[0])})
    return unravel(flat * flat)


def rotated(J, x):
    rotation = J.scipy.spatial.transform.Rotation.from_quat(x)
    return rotation.apply(V[:3]), rotation.as_matrix()


def conjugate_gradient(J, x):
    gradient = J.grad(lambda v: 0.5 * v @ x @ v)
    return J.scipy.sparse.linalg.cg(gradient, V, tol=1e-6)[0]


def sample(J, x):
    return J.random.beta(J.random.key(0), x[:2], np.float32(2.0))


# name: (function of the package and an argument, the argument, whether to differentiate; None: to
# differentiate and not to batch)
CASES = {
    "special.exp1": (lambda J, x: J.scipy.special.exp1(x), P, False),
    "special.betainc": (lambda J, x: J.scipy.special.betainc(P, P + 1, x / 4), P, True),
    "linalg.expm": (lambda J, x: J.scipy.linalg.expm(x / 4), M, None),
    "linalg.lu": (lambda J, x: J.scipy.linalg.lu_solve(J.scipy.linalg.lu_factor(x), V), SPD, True),
    "linalg.polar": (lambda J, x: J.scipy.linalg.polar(x), SPD, False),
    "linalg.eigvals": (lambda J, x: J.numpy.real(J.numpy.linalg.eigvals(x)).sum(), SPD, True),
    "linalg.pinv": (lambda J, x: J.numpy.linalg.pinv(x), M, True),
    "lax.linalg": (lambda J, x: J.lax.linalg.eigh(x, sort_eigenvalues=True)[1], SPD, True),
    "stats": (lambda J, x: J.scipy.stats.multivariate_normal.logpdf(V, V * 0, x), SPD, True),
    "stats.mode": (lambda J, x: J.scipy.stats.mode(J.numpy.round(x)), V, False),
    "stats.kde": (lambda J, x: J.scipy.stats.gaussian_kde(x)(P), V, True),
    "signal": (lambda J, x: J.scipy.signal.welch(x, nperseg=16)[1], SIGNAL, True),
    "fft": (lambda J, x: J.scipy.fft.dctn(x) + J.numpy.fft.irfft(x, 4), M, True),
    "ndimage": (lambda J, x: J.scipy.ndimage.map_coordinates(M, [x, x], 1), P, True),
    "image": (lambda J, x: J.image.resize(x, (6, 3), "cubic"), M, True),
    "segment_sum": (lambda J, x: J.ops.segment_sum(x, np.array([0, 0, 2, 1]), 3), V, True),
    "segment_max": (lambda J, x: J.ops.segment_max(x, np.array([0, 0, 2, 1]), 3), V, True),
    "interpolate": (interpolated, P, True),
    "spatial": (rotated, P, True),
    "cluster": (lambda J, x: J.scipy.cluster.vq.vq(x, x[:2])[1], M, True),
    "cg": (conjugate_gradient, SPD, True),
    "gmres": (lambda J, x: J.scipy.sparse.linalg.gmres(J.jit(lambda v: x @ v), V)[0], SPD, None),
    "minimize": (minimum, P, False),
    "odeint": (orbit, P, True),
    "trapezoid": (lambda J, x: J.scipy.integrate.trapezoid(x, dx=0.5), V, True),
    "checkify": (checked, P, True),
    "jet": (taylor, P, True),
    "bcoo": (lambda J, x: sparse(J, x) @ M, V, True),
    "sparsify": (
        lambda J, x: J.experimental.sparse.sparsify(J.jit(lambda a: (a @ M) * 2))(sparse(J, x)),
        V,
        True,
    ),
    "sparse.grad": (sparse_gradient, V, True),
    "custom_gradient": (own_gradient, V, True),
    "custom_vmap": (own_batch, V, False),
    "linear_call": (
        lambda J, x: J.custom_derivatives.linear_call(operator.mul, lambda r, t: r * t, P, x),
        V,
        None,
    ),
    "closure_convert": (converted, V, True),
    "linear_transpose": (lambda J, x: J.linear_transpose(J.jit(lambda y: y * x), x)(x)[0], V, True),
    "custom_root": (root, P, True),
    "compile_time": (at_compile_time, V, True),
    "flatten_util": (raveled, V, True),
    "partial": (
        lambda J, x: J.jit(lambda f, y: f(y))(J.tree_util.Partial(J.lax.mul, P), x),
        V,
        True,
    ),
    "vectorize": (
        lambda J, x: J.numpy.vectorize(J.jit(J.numpy.dot), signature="(n),(n)->()")(x, V),
        M,
        True,
    ),
    "random": (sample, P, None),
    "pmap": (lambda J, x: J.pmap(lambda y: J.lax.psum(y**2, "i"), axis_name="i")(x[None]), V, True),
}


def scalar(J, f):
    """A scalar function in which every result of `f` counts differently."""

    def g(x):
        total = 0.0
        for y in J.tree.leaves(f(J, x)):
            if J.numpy.issubdtype(J.numpy.result_type(y), np.floating):
                total += J.numpy.sum(y * np.cos(np.arange(np.size(y))).reshape(np.shape(y)))
        return total

    return g


def everything(J, f, x, differentiated):
    """Value, gradient and batch by the transformations of `J`, in one program."""
    xs = np.stack([x, x * np.float32(1.1)])

    @J.jit
    def run(x, xs):
        found = {"value": f(J, x)}
        if differentiated is not None:
            found["vmap"] = J.vmap(lambda x: f(J, x))(xs)
        if differentiated is not False:
            found["grad"] = J.grad(scalar(J, f))(x)
        return found

    return run(x, xs)


@pytest.mark.parametrize("name", CASES)
def test_inside_our_transformations(name):
    f, x, differentiated = CASES[name]
    ours, theirs = everything(jaxcore, f, x, differentiated), everything(jax, f, x, differentiated)
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["odeint", "cg", "jet", "custom_gradient", "sparse.grad"])
def test_gradients_with_values(name):
    f, x, _ = CASES[name]
    ours, theirs = jaxcore.grad(scalar(jaxcore, f))(x), jax.grad(scalar(jax, f))(x)
    chex.assert_trees_all_close(ours, theirs, rtol=2e-3, atol=2e-3)


# --- checkify: what it finds --------------------------------------------------------------------


def fails_in_scan(J, x):
    return J.lax.scan(lambda total, v: (total + J.numpy.log(v), None), J.numpy.zeros(()), x)[0]


def fails_in_branch(J, x):
    return J.lax.cond(x[0] > 0, lambda y: y / 0.0, abs, x)


def fails_outside(J, x):
    return x[J.numpy.asarray(x[0] + 7, "int32")]


def fails_in_a_derivative(J, x):
    return J.grad(lambda x: J.numpy.sum(J.numpy.sqrt(x) * J.numpy.log(x - 3)))(x)


@pytest.mark.parametrize(
    "f", [fails_in_scan, fails_in_branch, fails_outside, fails_in_a_derivative, None]
)
def test_checkify_looks_into_our_programs(f):
    def found(J):
        checkify = J.experimental.checkify
        inner = J.jit(lambda x: x * 2 if f is None else f(J, x))
        checked = checkify.checkify(J.jit(lambda x: inner(x - 0.5)), errors=checkify.all_checks)
        return checked(np.array([1.0, -2.0], np.float32))[0].get()

    ours, theirs = found(jaxcore), found(jax)
    assert (ours is None) == (theirs is None) == (f is None)
    if f is not None:
        assert ours.split()[0] == theirs.split()[0]  # nan, division, out-of-bounds


# --- what cannot be in a program ----------------------------------------------------------------


def test_mutable_references_are_refused():
    def f(x):
        ref = jax.new_ref(x)
        ref[0] = 1.0
        return ref[...]

    assert jax.jit(f)(V)[0] == 1.0
    for transformed in (jaxcore.jit(f), jaxcore.vmap(f), jaxcore.grad(lambda x: f(x).sum())):
        with pytest.raises((NotImplementedError, TypeError), match="jax.Ref|immutable"):
            transformed(np.stack([V, V]))
