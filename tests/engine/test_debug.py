"""``jax.debug_nans`` names the operation and the line that made the first NaN."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.debug import first_non_finite

X = np.array([1.0, -1.0, 2.0], np.float32)


def inner(x):
    return jnp.log(x) * 2.0  # here


def f(x):
    return jnp.sum(jaxcore.jit(inner)(x + 0.0))


LINE = inner.__code__.co_firstlineno + 1


def test_a_compiled_function_names_the_line():
    compiled = jaxcore.jit(f)
    compiled(X)
    compiled(X)  # on the fast path before anybody asks
    with jax.debug_nans(True):
        for _ in range(2):
            with pytest.raises(FloatingPointError) as caught:
                compiled(X)
            message = str(caught.value)
            assert "(nan)" in message and "Made by log of float32[3]" in message
            assert f"test_debug.py:{LINE}" in message and "# here" in message
        assert np.isfinite(compiled(np.abs(X)))


def test_an_operation_names_itself():
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"in log\n.*test_debug"):
        jnp.log(X)


def test_a_gradient_with_values():
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        jaxcore.grad(lambda x: jnp.sum(jnp.sqrt(x)))(X)


def test_infinities():
    made = pytest.raises(FloatingPointError, match=r"(?s)\(inf\).*Made by div")
    with jax.debug_infs(True), made:
        jaxcore.jit(lambda x: x / (x - x))(X)


def test_nothing_is_found_where_all_is_finite():
    program = jaxcore.make_jaxpr(f)(X)
    assert first_non_finite(program, [np.abs(X)]) is None
    assert first_non_finite(program, [X]).primitive.name == "log"


def test_donated_arguments_are_not_read_again():
    compiled = jaxcore.jit(lambda x: jnp.log(x), donate_argnums=0)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        compiled(jnp.asarray(X))
