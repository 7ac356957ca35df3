"""A program that differs in anything that counts is compiled; what cannot be told is, too."""

import jax
import jax.extend
import numpy as np
import pytest
from cache.helpers import X, base, counts, fresh, here, named

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import cache
from jaxcore.backend import mlir
from jaxcore.cache import environment

OTHERS = {
    "another operation": lambda: fresh(named(lambda x: jnp.cos(x) * 2.0))(X),
    "another literal": lambda: fresh(named(lambda x: jnp.sin(x) * 3.0))(X),
    "another sign of zero": lambda: fresh(named(lambda x: jnp.sin(x) * -0.0))(X),
    "another order": lambda: fresh(named(lambda x: 2.0 * jnp.sin(x) + 0 * x))(X),
    "another name": lambda: fresh(named(base, "other"))(X),
    "another shape": lambda: fresh(base)(X[:3]),
    "another dtype": lambda: fresh(base)(X.astype(np.float16)),
    "a weak type": lambda: fresh(base)(1.0),
    "donation": lambda: fresh(base, donate_argnums=0)(jnp.asarray(X)),
    "an option of the compiler": lambda: fresh(
        base, compiler_options={"xla_cpu_enable_fast_math": True}
    )(X),
    "unused inputs kept": lambda: fresh(base, keep_unused=True, out_shardings=here())(X),
    "a form of calls": lambda: fresh(base, blocks="outlined")(X),
    "committed to a device": lambda: fresh(base)(jax.device_put(X, jax.devices()[0])),
}


@pytest.mark.parametrize("other", OTHERS)
def test_anything_else_is_compiled(other):
    fresh(base)(X)
    assert counts() == (0, 1, 1)
    OTHERS[other]()
    assert counts() == (0, 2, 2)
    fresh(base)(X)
    assert counts() == (1, 2, 2)


def test_settings_of_jax_count():
    fresh(base)(X)
    with jax.default_matmul_precision("float32"):
        fresh(base)(X)
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        fresh(base)(X)
    assert counts() == (0, 3, 3)


@pytest.mark.parametrize("what", ["_library", "_cpu"])
def test_another_version_and_another_processor_count(what, monkeypatch):
    fresh(base)(X)
    monkeypatch.setattr(environment, what, lambda: "another")
    fresh(base)(X)
    assert counts() == (0, 2, 2)


@pytest.mark.parametrize("place", range(12))
def test_all_of_the_compiler_counts(place, monkeypatch):
    fresh(base)(X)
    now = jaxcore.backend.compile_environment()
    changed = (*now[:place], "another", *now[place + 1 :])
    monkeypatch.setattr(jaxcore.backend, "compile_environment", lambda: changed)
    fresh(base)(X)
    assert counts() == (0, 2, 2)
    assert len(now) == 12


def test_flags_of_xla_count(monkeypatch):
    before = environment.environment_text()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_min_max=true")
    assert environment.environment_text() != before


def test_files_that_changed_since_the_start_are_not_trusted(monkeypatch):
    monkeypatch.setattr(environment, "_started", 0.0)
    environment._library.cache_clear()
    try:
        assert fresh(base)(X) is not None
        assert counts() == (0, 0, 0) and cache.stats().uncached == 1
    finally:
        environment._library.cache_clear()


def test_callbacks_are_compiled_each_time():
    seen = []

    def printing(x):
        jax.debug.callback(seen.append, x)
        return x + 1

    def pure(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), np.float32), x)

    for f in (printing, pure):
        for _ in range(2):
            np.testing.assert_allclose(fresh(f)(np.float32(0.0)), f is printing)
    jax.effects_barrier()
    assert [float(x) for x in seen] == [0.0, 0.0]
    assert counts() == (0, 0, 0) and cache.stats().uncached == 4


def test_a_primitive_of_the_users_own_is_known_by_its_module():
    """Its lowering may be another in the next process, the module says what it is in this one."""
    for scale, hits in ((2.0, 0), (3.0, 0), (2.0, 1)):
        primitive = jax.extend.core.Primitive("mine")
        primitive.def_abstract_eval(lambda x: x)

        def lower(ctx, x, scale=scale):
            return mlir.lower_fun(
                lambda x: jax.lax.mul(x, np.float32(scale)), multiple_results=False
            )(ctx, x)

        mlir.register_lowering(primitive, lower)
        f = named(primitive.bind, "mine")
        np.testing.assert_array_equal(fresh(f)(X), X * np.float32(scale))
        assert cache.stats().hits == hits
    assert counts() == (1, 2, 2)
