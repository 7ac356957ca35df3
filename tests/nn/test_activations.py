"""What the table of operations cannot say of activations and initialisers: slopes at odd values,
what a derivative keeps, bits, and mistakes.
"""

import jax
import jax.nn
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 6.0, 1.0, -1.0], np.float32)
KINKED = "relu relu6 elu leaky_relu celu selu hard_tanh hard_sigmoid hard_silu sparse_plus"
OTHERS = "softplus log_sigmoid silu sparse_sigmoid log1mexp soft_sign squareplus gelu"


@pytest.mark.parametrize("name", f"{KINKED} {OTHERS}".split())
def test_slopes_at_kinks_and_of_no_number(name):
    """JAX's relu has slope 0 at 0 and at NaN; others have what their formula gives."""
    ours, theirs = getattr(nn, name), getattr(jax.nn, name)
    slope = lambda lib, f: lib.vmap(lib.grad(f))
    want = jax.jit(slope(jax, theirs))(ODD)
    np.testing.assert_allclose(jaxcore.jit(slope(jaxcore, ours))(ODD), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jit(slope(jax, ours))(ODD), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "kept"), [("relu", 1), ("softmax", 1), ("log_softmax", 1)])
def test_a_derivative_keeps_the_result_alone(name, kept):
    """The backward pass reads the result, and nothing else of its size."""
    f = getattr(nn, name)
    program = jaxcore.make_jaxpr(lambda x: jaxcore.linearize(f, x)[0])(np.ones((4, 8), "f"))
    assert len(program.equations) == kept, str(program)
    _, linear = jaxcore.vjp(f, np.ones((4, 8), np.float32))
    sizes = [np.size(x) for x in jax.tree.leaves(linear) if np.ndim(x)]
    assert sum(n == 32 for n in sizes) <= 1, sizes


def test_softmax_of_half_precision_is_summed_in_single():
    x = np.zeros(1000, jax.numpy.bfloat16)
    np.testing.assert_allclose(nn.softmax(x).astype(float).sum(), 1, rtol=1e-2)
    assert nn.softmax(x).dtype == jax.numpy.bfloat16


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: nn.glu(jnp.ones((2, 3))), ["(2, 3)", "-1"]),
        (lambda: nn.standardize(jnp.ones(3), algorithm="slow"), ["slow", "'stable'"]),
        (lambda: nn.softmax(jnp.ones(3), axis=1), ["axis 1"]),
        (lambda: nn.initializers.lecun_normal()(random.key(0), (3,)), ["1-dimensional", "in_axis"]),
        (lambda: _scaled("fan", "normal"), ["fan_avg"]),
        (lambda: _scaled("fan_in", "cauchy"), ["cauchy", "'normal'"]),
        (lambda: nn.initializers.orthogonal()(random.key(0), (3,)), ["(3,)"]),
        (lambda: nn.initializers.delta_orthogonal()(random.key(0), (3, 3)), ["(3, 3)"]),
        (lambda: nn.initializers.delta_orthogonal()(random.key(0), (3, 3, 2)), ["(3, 3, 2)"]),
    ],
)
def test_mistakes_say_what_is_wrong(mistake, words):
    with pytest.raises(ValueError) as caught:
        mistake()
    for word in words:
        assert word in str(caught.value)


def _scaled(mode, distribution):
    return nn.initializers.variance_scaling(1.0, mode, distribution)(random.key(0), (2, 3))


# --- initialisers ---------------------------------------------------------------------------------

FACTORIES = "uniform normal truncated_normal glorot_uniform glorot_normal lecun_uniform"
FACTORIES += " lecun_normal he_uniform he_normal orthogonal delta_orthogonal"


def same_bits(ours, theirs):
    assert jax.typeof(ours) == jax.typeof(theirs)
    np.testing.assert_array_equal(ours, theirs)


REAL = ("uniform", "truncated_normal")  # distributions of real numbers
BITS = [(name, None) for name in FACTORIES.split()]
BITS += [(name, jax.numpy.bfloat16) for name in FACTORIES.split() if "orthogonal" not in name]
BITS += [(name, np.complex64) for name in FACTORIES.split() if name not in REAL]


@pytest.mark.parametrize(("name", "dtype"), BITS, ids=str)
def test_initialisers_have_the_bits_of_jax(name, dtype):
    key, shape = jax.random.key(3), (2, 3, 4)
    args = () if dtype is None else (dtype,)
    ours, theirs = (getattr(lib.initializers, name)() for lib in (nn, jax.nn))
    same_bits(ours(key, shape, *args), theirs(key, shape, *args))


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
def test_fans(mode):
    key, axes = jax.random.key(1), {"in_axis": (0, 1), "out_axis": -1, "batch_axis": 2}
    for distribution in ("truncated_normal", "normal", "uniform"):
        ours, theirs = (
            lib.initializers.variance_scaling(1.5, mode, distribution, **axes)(key, (2, 3, 4, 5))
            for lib in (nn, jax.nn)
        )
        same_bits(ours, theirs)


def test_constants_and_columns():
    key = jax.random.key(0)
    for draw in (
        lambda i: i.zeros(key, (2, 3)),
        lambda i: i.ones(key, (2,), jax.numpy.bfloat16),
        lambda i: i.constant(np.arange(3.0, dtype=np.float32))(key, (2, 3)),
        lambda i: i.orthogonal(2.0, 0)(key, (3, 5)),
        lambda i: i.orthogonal()(key, (0, 3)),
        lambda i: i.delta_orthogonal(column_axis=-2)(key, (3, 3, 2, 4)),
    ):
        same_bits(draw(nn.initializers), draw(jax.nn.initializers))


def test_initialisers_are_batched():
    keys = jax.random.split(jax.random.key(0), 3)
    init = nn.initializers.lecun_normal()
    both = jaxcore.vmap(lambda key: init(key, (4, 5)))(keys)
    for i in range(3):
        np.testing.assert_array_equal(both[i], init(keys[i], (4, 5)))


def test_names_of_jax_are_all_there():
    for ours, theirs in ((nn, jax.nn), (nn.initializers, jax.nn.initializers)):
        public = {n for n in dir(theirs) if not n.startswith("_")}
        assert public <= set(dir(ours)), public - set(dir(ours))
