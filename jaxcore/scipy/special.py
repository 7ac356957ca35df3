"""Special functions: JAX's names, arguments and dtypes.

The functions defined here record our primitives; every other name is JAX's function, which runs on
our tracers. Bool and integers are computed as floats; arguments of several functions are promoted
to one dtype and broadcast.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import lax, namespaces
from jaxcore.numpy.promote import inexact, operands
from jaxcore.ops.arithmetic import constant
from jaxcore.ops.convert import convert
from jaxcore.ops.elementwise import erf_inv_p, erf_p, erfc_p, logistic_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.special import (
    bessel_i0e_p,
    bessel_i1e_p,
    digamma_p,
    igamma_p,
    igammac_p,
    lgamma_p,
    polygamma_p,
    regularized_incomplete_beta_p,
)
from jaxcore.scipy import exponentials
from jaxcore.scipy.exponentials import logsumexp
from jaxcore.scipy.information import boxcox, boxcox1p, entr, kl_div, rel_entr, xlog1py, xlogy
from jaxcore.trace import aval_of, bind

__all__ = [
    "beta",
    "betainc",
    "boxcox",
    "boxcox1p",
    "comb",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "expit",
    "factorial",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "polygamma",
    "rel_entr",
    "softmax",
    "xlog1py",
    "xlogy",
]

Array = jax.Array
Axis = int | Sequence[int] | None


def _real(name: str, x: Any) -> Any:
    """`x` as floats; complex numbers are refused."""
    x = inexact(name, x)
    if kind_of(aval_of(x).dtype) == "c":
        raise ValueError(
            f"{name} does not support complex-valued inputs, got {aval_of(x)}. Fix: pass the real "
            "part."
        )
    return x


# --- error functions and the normal distribution ------------------------------------------------


def erf(x: Any) -> Array:
    """The error function.

    Example:
      >>> from jaxcore.scipy import special
      >>> print(special.erf(0.0), special.erf(10.0))
      0.0 1.0
    """
    return bind(erf_p, inexact("erf", x))


def erfc(x: Any) -> Array:
    """1 - erf(x), exact where erf(x) is near 1."""
    return bind(erfc_p, inexact("erfc", x))


def erfinv(x: Any) -> Array:
    """The inverse of the error function."""
    return bind(erf_inv_p, inexact("erfinv", x))


def _need_wide(name: str, x: Any) -> Any:
    x = jnp.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name}: x.dtype={x.dtype} is not supported. Fix: convert to float32 or float64."
        )
    return convert(x, x.dtype)


def ndtr(x: Any) -> Array:
    """The distribution function of the standard normal distribution, of float32 or float64."""
    x = _need_wide("ndtr", x)
    scaled = x * constant(x, math.sqrt(0.5))
    size = jnp.abs(scaled)
    tail = lax.erfc(size)
    far = jnp.where(scaled > 0, 2 - tail, tail)
    return constant(x, 0.5) * jnp.where(
        size < constant(x, math.sqrt(0.5)), 1 + lax.erf(scaled), far
    )


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_ndtr(x: Any, series_order: int) -> Array:
    low, high = (constant(x, v) for v in ((-20, 8) if x.dtype == np.float64 else (-10, 5)))
    above = x > high
    middle = ndtr(jnp.where(above, -x, jnp.maximum(x, low)))
    below = _log_tail(jnp.minimum(x, low), series_order)
    return jnp.where(above, -middle, jnp.where(x > low, jnp.log(middle), below))


@_log_ndtr.defjvp
def _log_ndtr_jvp(series_order: int, primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = _log_ndtr(x, series_order)
    log_density = constant(x, -0.5) * x * x - constant(x, 0.5 * math.log(2 * math.pi))
    return out, t * jnp.exp(log_density - out)


def _log_tail(x: Any, order: int) -> Array:
    """log Φ(x) for x << 0: φ(x) / |x| · (1 - 1/x² + 3/x⁴ - 15/x⁶ ...)."""
    square = x * x
    total, term = jnp.ones_like(x), jnp.ones_like(x)
    for n in range(1, order + 1):
        term = term * (constant(x, -(2 * n - 1)) / square)
        total = total + term
    scale = constant(x, -0.5) * square - jnp.log(-x) - constant(x, 0.5 * math.log(2 * math.pi))
    return scale + jnp.log(total)


def log_ndtr(x: Any, series_order: int = 3) -> Array:
    """log(ndtr(x)), exact for large negative x.

    Args:
      x: array of float32 or float64.
      series_order: how many terms of the asymptotic series are used below -10 (or -20).

    Raises:
      TypeError: another dtype, or `series_order` is no integer.
      ValueError: `series_order` is not in [0, 30].
    """
    if not isinstance(series_order, int):
        raise TypeError(f"series_order must be a Python integer, got {type(series_order)}.")
    if not 0 <= series_order <= 30:
        raise ValueError(f"series_order must be non-negative and at most 30, got {series_order}.")
    return _log_ndtr(_need_wide("log_ndtr", x), series_order)


# --- sigmoids and sums of exponentials ----------------------------------------------------------


def expit(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return bind(logistic_p, inexact("expit", x))


@jax.custom_jvp
def _logit(x: Any) -> Array:
    return jnp.log(x / (constant(x, 1) - x))


_logit.defjvps(lambda t, out, x: t / (x * (constant(x, 1) - x)))


def logit(x: Any) -> Array:
    """log(x / (1 - x)), the inverse of `expit`."""
    return _logit(inexact("logit", x))


def softmax(x: Any, /, *, axis: Axis = None) -> Array:
    """exp(x) / Σ exp(x), over all axes by default."""
    return exponentials.softmax(x, axis)


def log_softmax(x: Any, /, *, axis: Axis = None) -> Array:
    """log(softmax(x)) without underflow, over all axes by default."""
    return exponentials.log_softmax(x, axis)


# --- gamma and beta -----------------------------------------------------------------------------


def gammaln(x: Any) -> Array:
    """log |Γ(x)|."""
    return bind(lgamma_p, inexact("gammaln", x))


def loggamma(x: Any) -> Array:
    """log Γ(x); NaN where x is not positive, so that the logarithm would be complex."""
    x = inexact("loggamma", x)
    if kind_of(aval_of(x).dtype) == "c":
        return jax.scipy.special.loggamma(x)
    return jnp.where(x > 0, bind(lgamma_p, x), np.nan)


def gammasgn(x: Any) -> Array:
    """The sign of Γ(x); NaN at the negative whole numbers."""
    x = _real("gammasgn", x)
    whole = jnp.floor(x)
    odd = (x < 0) & (whole % 2 != 0)
    minus = odd | ((x == 0) & jnp.signbit(x))
    one, nan = (np.asarray(v, aval_of(x).dtype)[()] for v in (1, np.nan))
    sign = jnp.where(minus, -one, one)
    return jnp.where(((x < 0) & (x == whole)) | jnp.isnan(x), nan, sign)


def gamma(x: Any) -> Array:
    """The gamma function, (x - 1)! of whole numbers.

    Example:
      >>> from jaxcore.scipy import special
      >>> special.gamma(5.0).astype(int).item()
      24
    """
    x = inexact("gamma", x)
    if kind_of(aval_of(x).dtype) == "c":
        return jax.scipy.special.gamma(x)
    return gammasgn(x) * jnp.exp(bind(lgamma_p, x))


def factorial(n: Any, exact: bool = False) -> Array:
    """Γ(n + 1); 0 of negative numbers."""
    if exact:
        raise NotImplementedError("factorial with exact=True. Fix: use math.factorial.")
    n = inexact("factorial", n)
    return jnp.where(n < 0, 0, jnp.exp(bind(lgamma_p, n + 1)))


def comb(N: Any, k: Any, *, repetition: bool = False) -> Array:
    """In how many ways `k` of `N` things are chosen; with `repetition`, each as often as wanted."""
    N, k = operands("comb", N, k, to_float=True)
    if repetition:
        return jnp.where((k == 0) & (N >= 0), 1.0, comb(N + k - 1, k))
    possible = (k <= N) & (N >= 0) & (k >= 0)
    N, k = jnp.where(possible, N, 0.0), jnp.where(possible, k, 0.0)
    count = jnp.exp(gammaln(N + 1) - gammaln(k + 1) - gammaln(N + 1 - k))
    return jnp.where(possible, count, 0.0)


def beta(a: Any, b: Any) -> Array:
    """The beta function Γ(a) · Γ(b) / Γ(a + b)."""
    a, b = (_real("beta", x) for x in operands("beta", a, b, to_float=True))
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * jnp.exp(jax.scipy.special.betaln(a, b))


def digamma(x: Any) -> Array:
    """The derivative of `gammaln`."""
    return bind(digamma_p, inexact("digamma", x))


def polygamma(n: Any, x: Any) -> Array:
    """The n-th derivative of digamma.

    Raises:
      ValueError: `n` is not of an integer dtype, or `x` is complex.
    """
    if kind_of(aval_of(n).dtype) not in "iu":
        raise ValueError(
            f"Argument `n` to polygamma must be of integer type. Got dtype {aval_of(n).dtype}."
        )
    n, x = operands("polygamma", n, x, to_float=True)
    return bind(polygamma_p, n, _real("polygamma", x))


def multigammaln(a: Any, d: Any) -> Array:
    """The logarithm of the gamma function of `d` dimensions.

    Args:
      a: array.
      d: a Python integer.
    """
    count = operator.index(d)
    a = inexact("multigammaln", a)
    dtype = aval_of(a).dtype
    steps = jnp.arange(count, dtype=dtype) / np.asarray(2, dtype)[()]
    rank = len(aval_of(a).shape)
    each = jnp.expand_dims(a, -1) - jnp.expand_dims(steps, tuple(range(rank)))
    start = np.asarray(0.25 * count * (count - 1) * math.log(math.pi), dtype)[()]
    return jnp.sum(gammaln(each), axis=-1) + start


def gammainc(a: Any, x: Any) -> Array:
    """The regularised lower incomplete gamma function."""
    return bind(igamma_p, *operands("gammainc", a, x, to_float=True))


def gammaincc(a: Any, x: Any) -> Array:
    """The regularised upper incomplete gamma function."""
    return bind(igammac_p, *operands("gammaincc", a, x, to_float=True))


def betainc(a: Any, b: Any, x: Any) -> Array:
    """The regularised incomplete beta function; it has a derivative by `x` alone."""
    a, b, x = (_real("betainc", v) for v in operands("betainc", a, b, x, to_float=True))
    return bind(regularized_incomplete_beta_p, a, b, x)


# --- Bessel functions ---------------------------------------------------------------------------


def i0e(x: Any) -> Array:
    """exp(-|x|) · I₀(x), with the modified Bessel function of order 0."""
    return bind(bessel_i0e_p, inexact("i0e", x))


def i1e(x: Any) -> Array:
    """exp(-|x|) · I₁(x), with the modified Bessel function of order 1."""
    return bind(bessel_i1e_p, inexact("i1e", x))


@jax.custom_jvp
def _i0(x: Any) -> Array:
    return jnp.exp(jnp.abs(x)) * bind(bessel_i0e_p, x)


_i0.defjvps(lambda t, out, x: t * i1(x))


def i0(x: Any) -> Array:
    """The modified Bessel function of order 0."""
    return _i0(_real("i0", x))


def i1(x: Any) -> Array:
    """The modified Bessel function of order 1."""
    x = _real("i1", x)
    return jnp.exp(jnp.abs(x)) * bind(bessel_i1e_p, x)


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
