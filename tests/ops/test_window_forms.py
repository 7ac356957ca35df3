"""On the CPU, the elements that windows choose are those that XLA's own operations choose."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

NAN = math.nan

# shape, window, strides, padding
CASES = {
    "2 of 2": ((2, 4, 6, 3), (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    "3 of 2, padded": ((2, 5, 6, 3), (1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
    "3 of 1": ((1, 5, 4, 2), (1, 3, 2, 1), (1, 1, 1, 1), "VALID"),
    "gaps and a rest": ((9, 8), (2, 3), (4, 3), ((0, 1), (2, 0))),
    "a line": ((11,), (4,), (3,), ((1, 2),)),
    "a volume": ((4, 5, 4), (2, 3, 2), (2, 1, 3), "SAME"),
    "all of it": ((3, 4), (3, 4), (1, 1), "VALID"),
    "too much padding": ((3,), (2,), (2,), ((3, 4),)),
}


def ties(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).integers(-2, 3, shape), dtype)


def pool(x: Any, window: Any, strides: Any, padding: Any, least: bool = False) -> Any:
    info = (jnp.iinfo if jnp.issubdtype(x.dtype, jnp.integer) else jnp.finfo)(x.dtype)
    low, high = (info.min, info.max) if info.dtype.kind == "i" else (-np.inf, np.inf)
    start, combine = (high, jax.lax.min) if least else (low, jax.lax.max)
    start = np.asarray(start, x.dtype)[()]
    return jax.lax.reduce_window(x, start, combine, window, strides, padding)


def gradient(lib: Any, x: Any, ct: Any, settings: Any, least: bool = False) -> Any:
    return lib.vjp(lambda x: pool(x, *settings, least), x)[1](ct)[0]


def of_both(fn: Any, *args: Any) -> tuple[Any, Any, str]:
    """What `fn` gives over ours and over JAX, and our program's text."""
    ours = jaxcore.jit(functools.partial(fn, jaxcore))
    return ours(*args), jax.jit(functools.partial(fn, jax))(*args), ours.lower(*args).as_text()


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_xla_to_the_bit(name: str, least: bool) -> None:
    shape, *settings = CASES[name]
    x = ties(*shape)
    made = jax.eval_shape(lambda x: pool(x, *settings), x).shape
    ct = jnp.asarray(np.random.default_rng(1).normal(size=made), np.float32)
    fn = lambda lib, x, ct: gradient(lib, x, ct, settings, least)
    got, want, text = of_both(fn, x, ct)
    assert "select_and_scatter" not in text
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_dtypes(dtype: str) -> None:
    with jax.enable_x64(True):
        settings = ((2, 2), (2, 2), "SAME")  # an element lies in one window: nothing is rounded
        x, ct = ties(5, 4, dtype=dtype), jnp.arange(1.0, 7.0, dtype=dtype).reshape(3, 2)
        got, want, text = of_both(lambda lib, x, ct: gradient(lib, x, ct, settings), x, ct)
        assert "select_and_scatter" not in text
        assert got.dtype == want.dtype == dtype
        np.testing.assert_array_equal(got, want)


def test_nan_is_passed_on_as_by_xla() -> None:
    """It does not stay, unless it is the last of its window."""
    x = jnp.array([[NAN, 1, 5, 2], [5, 3, NAN, 4], [1, NAN, 2, NAN], [-np.inf] * 4, [-np.inf] * 4])
    ct = jnp.arange(1.0, 13.0).reshape(4, 3)
    settings = ((2, 2), (1, 1), "VALID")
    got, want, _ = of_both(lambda lib, x, ct: gradient(lib, x, ct, settings), x, ct)
    np.testing.assert_array_equal(got, want)


def test_second_order_and_batches() -> None:
    """Of the sine of a maximum, for each of two images."""
    x = ties(2, 5, 4)
    loss = lambda x: jnp.sum(jnp.sin(pool(x, (3, 2), (2, 1), "SAME")))
    fn = lambda lib, x: lib.vmap(lib.hessian(loss))(x)
    got, want, text = of_both(fn, x)
    assert "select_and_scatter" not in text
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_windows_of_many_places_are_left_to_xla() -> None:
    x, ct = ties(12, 12), ties(1, 1)
    settings = ((12, 12), (1, 1), "VALID")
    got, want, text = of_both(lambda lib, x, ct: gradient(lib, x, ct, settings), x, ct)
    assert "select_and_scatter" in text
    np.testing.assert_array_equal(got, want)


def test_other_platforms_are_left_to_xla() -> None:
    settings = ((2, 2), (2, 2), "VALID")
    step = jaxcore.jit(lambda x, ct: gradient(jaxcore, x, ct, settings))
    text = step.trace(ties(4, 4), ties(2, 2)).lower(lowering_platforms=("cuda",)).as_text()
    assert "select_and_scatter" in text
