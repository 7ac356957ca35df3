"""JAX's settings hold for our functions: each case does in both packages what it does in JAX."""

import jax
import numpy as np
import pytest

import jaxcore

X = np.arange(4, dtype=np.float32)


def without_jit(J):
    """Python sees values, also in control flow."""
    seen = []

    def f(x):
        seen.append(float(x))
        return x + 1

    with J.disable_jit():
        J.jit(f)(1.0)
        J.lax.scan(lambda carry, x: (f(carry), x), J.numpy.zeros(()), X[:2])
        J.lax.while_loop(lambda c: float(c) < 2, f, J.numpy.zeros(()))
        J.lax.cond(J.numpy.bool_(True), f, f, 5.0)
    return seen


def no_tracing(J):
    with J.no_tracing(True), pytest.raises(RuntimeError, match="no_tracing"):
        J.jit(lambda x: x)(1.0)


def matmul_precision(J):
    f = J.jit(lambda a: a @ a)
    with J.default_matmul_precision("highest"):
        inside = f.lower(np.ones((2, 2), np.float32)).as_text()
    outside = f.lower(np.ones((2, 2), np.float32)).as_text()
    return "HIGHEST" in inside, "HIGHEST" in outside


def random_bits(J):
    found = []
    for partitionable in (False, True):
        with J.threefry_partitionable(partitionable):
            found.append(np.asarray(J.random.bits(J.random.key(0), (3,))).tolist())
    assert found[0] != found[1]
    return found


def key_implementation(J):
    with J.default_prng_impl("rbg"):
        return J.random.key_data(J.random.key(0)).shape


def legacy_keys(J):
    with J.legacy_prng_key("error"), pytest.raises(ValueError, match="key"):
        J.random.uniform(J.random.PRNGKey(0))
    with J.enable_custom_prng():
        return str(J.random.PRNGKey(0).dtype)


def wide_types(J):
    with J.enable_x64(True):
        made = J.numpy.arange(3), J.numpy.ones(2), J.jit(lambda x: x + 1)(1.0)
        return [x.dtype for x in made]


def dtype_promotion(J):
    with (
        J.numpy_dtype_promotion("strict"),
        pytest.raises(J.dtypes.TypePromotionError, match="strict"),
    ):
        J.numpy.add(np.ones(2, np.int32), np.ones(2, np.float32))


def transfers(J):
    f = J.jit(lambda x: x + 1)
    y = f(X)
    with J.transfer_guard("disallow"):
        with pytest.raises(Exception, match="[Dd]isallowed"):
            f(X)
        return f(y).tolist()


def user_context(J):
    """A context of the user's is part of the key under which functions are traced."""
    context, traced = J.make_user_context(), []
    f = J.jit(lambda x: traced.append(1) or x)
    for value in ("a", "b", "a"):
        with context(value):
            f(1.0)
    return len(traced)


def cleared_caches(J):
    traced = []
    f = J.jit(lambda x: traced.append(1) or x)
    f(1.0), f(1.0)
    J.clear_caches()
    f(1.0)
    return len(traced)


def not_finite(J):
    with J.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        J.jit(J.numpy.log)(-1.0)


CASES = [
    without_jit,
    no_tracing,
    matmul_precision,
    random_bits,
    key_implementation,
    legacy_keys,
    wide_types,
    dtype_promotion,
    transfers,
    user_context,
    cleared_caches,
    not_finite,
]


@pytest.mark.parametrize("case", CASES)
def test_settings_hold_as_in_jax(case):
    assert case(jaxcore) == case(jax)


def test_names_of_scopes_are_recorded():
    @jaxcore.named_scope("outer")
    def f(x):
        return jaxcore.named_call(lambda x: x + 1.0, name="inner")(x) * 2.0

    equations = jaxcore.make_jaxpr(f)(1.0).equations
    assert [eq.source.path for eq in equations] == ["outer/inner", "outer"]


def test_compile_time_evaluation_leaves_what_is_traced():
    @jaxcore.jit
    def f(x):
        with jaxcore.ensure_compile_time_eval():
            known = jaxcore.numpy.sum(jaxcore.numpy.arange(4))
            assert not isinstance(known, jax.core.Tracer) and int(known) == 6
            traced = x * 2
        assert isinstance(traced, jax.core.Tracer)
        return traced + known

    assert f(1.0) == 8.0
    assert jaxcore.grad(f)(1.0) == 2.0
    np.testing.assert_allclose(jaxcore.vmap(f)(X), X * 2 + 6)
