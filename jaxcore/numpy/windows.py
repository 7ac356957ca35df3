"""Windows that fade a signal out at both ends, and the convolution of signals."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, ones
from jaxcore.numpy.elementwise import absolute, square
from jaxcore.numpy.floats import i0
from jaxcore.numpy.lax_conv import conv_general_dilated
from jaxcore.numpy.operand import arrays, as_array, concrete
from jaxcore.numpy.rearrange import flip
from jaxcore.numpy.special import conj

__all__ = ["bartlett", "blackman", "convolve", "correlate", "hamming", "hanning", "kaiser"]

Array = jax.Array


# --- windows ------------------------------------------------------------------------------------


def _size(name: str, M: Any) -> int:
    return int(concrete(M, f"M argument of jnp.{name}"))


def _cosines(name: str, M: int, *weights: float) -> Array:
    """Σ (-1)ᵏ wₖ cos(2πk n / (M - 1)) at the positions n."""
    size = _size(name, M)
    if size <= 1:
        return ones(max(size, 0))
    return _sum_of_cosines(size, weights)


@composite("size", "weights")
def _sum_of_cosines(size: int, weights: tuple[float, ...]) -> Array:
    n = arange(size, dtype=float)
    total: Any = weights[0]
    for k, weight in enumerate(weights[1:], 1):
        wave = u.cos(u.divide(u.multiply(2 * k * np.pi, n), size - 1))
        total = u.add(total, u.multiply((-1) ** k * weight, wave))
    return total


def hanning(M: int) -> Array:
    """The Hann window of `M` points: one period of a raised cosine.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.hanning(5).round(2)
      Array([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)
    """
    return _cosines("hanning", M, 0.5, 0.5)


def hamming(M: int) -> Array:
    """The Hamming window of `M` points: a raised cosine that does not reach 0."""
    return _cosines("hamming", M, 0.54, 0.46)


def blackman(M: int) -> Array:
    """The Blackman window of `M` points: a sum of two cosines."""
    return _cosines("blackman", M, 0.42, 0.5, 0.08)


def bartlett(M: int) -> Array:
    """The Bartlett window of `M` points: a triangle."""
    size = _size("bartlett", M)
    if size <= 1:
        return ones(max(size, 0))
    return _triangle(size)


@composite("size")
def _triangle(size: int) -> Array:
    n = arange(size, dtype=float)
    rest = absolute(u.subtract(u.add(u.multiply(2, n), 1), size))
    return u.subtract(1, u.divide(rest, size - 1))


def kaiser(M: int, beta: Any) -> Array:
    """The Kaiser window of `M` points, wider for a smaller `beta`.

    J. F. Kaiser, "Digital filters", in System Analysis by Digital Computer, 1966.
    """
    size = _size("kaiser", M)
    if size <= 1:
        return ones(max(size, 0))
    return _kaiser(size, as_array("kaiser", beta, 1))


@composite("size")
def _kaiser(size: int, beta: Any) -> Array:
    middle = 0.5 * (size - 1)
    n = arange(size, dtype=float)
    place = square(u.divide(u.subtract(n, middle), middle))
    return u.divide(i0(u.multiply(beta, u.sqrt(u.subtract(1, place)))), i0(beta))


# --- convolution --------------------------------------------------------------------------------


def convolve(
    a: Any,
    v: Any,
    mode: str = "full",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The convolution of two vectors.

    Args:
      a, v: vectors.
      mode: "full" (every overlap), "same" (as many as the longer has) or "valid" (full overlap).
      precision, preferred_element_type: see `jaxcore.lax.conv_general_dilated`.

    Raises:
      ValueError: an operand is empty or no vector, or an unknown `mode`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 1.0]))
      Array([1., 3., 5., 3.], dtype=float32)
    """
    return _conv("convolve", a, v, mode, precision, preferred_element_type)


def correlate(
    a: Any,
    v: Any,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The correlation of two vectors, the second conjugated; arguments as of `convolve`."""
    return _conv("correlate", a, v, mode, precision, preferred_element_type)


@composite("name", "mode", "precision", "preferred")
def _conv(name: str, a: Any, v: Any, mode: str, precision: Any, preferred: Any) -> Array:
    x, y = arrays(name, a, v, to_float=preferred is None)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(
            f"{name}() only support 1-dimensional inputs, got shapes {tuple(x.shape)} and "
            f"{tuple(y.shape)}."
        )
    if not x.shape[0] or not y.shape[0]:
        raise ValueError(
            f"{name}: inputs cannot be empty, got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if name == "correlate":
        y = conj(y)
    swapped = x.shape[0] < y.shape[0]
    if swapped:
        x, y = y, x
    if name == "convolve":
        y = flip(y)
    n = y.shape[0]
    padding = {
        "valid": (0, 0),
        "same": (n // 2, n - n // 2 - 1),
        "full": (n - 1, n - 1),
    }.get(mode)
    if padding is None:
        raise ValueError(f"mode must be one of ['full', 'same', 'valid'], got {mode!r}.")
    out = conv_general_dilated(
        x[None, None],
        y[None, None],
        (1,),
        [padding],
        precision=precision,
        preferred_element_type=preferred,
    )[0, 0]
    return flip(out) if swapped and name == "correlate" else out
