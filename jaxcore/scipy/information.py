"""x · log(y) and what is made of it: entropies, divergences and the Box-Cox transformation.

Derivatives are closed forms, which hold where a factor is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore.numpy.promote import inexact, operands
from jaxcore.ops.arithmetic import constant
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.trace import aval_of

__all__ = ["boxcox", "boxcox1p", "entr", "kl_div", "rel_entr", "xlog1py", "xlogy"]

Array = jax.Array


def _pair(name: str, x: Any, y: Any, real: bool = False) -> list[Any]:
    pair = operands(name, x, y, to_float=True)
    if real and kind_of(aval_of(pair[0]).dtype) == "c":
        raise ValueError(
            f"{name} does not support complex-valued inputs, got {aval_of(pair[0])}. Fix: pass the "
            "real parts."
        )
    return pair


# --- x log y ------------------------------------------------------------------------------------


def _product(name: str, log: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Any:
    """x · log(y), which is 0 where x is 0 and y is a number."""

    @jax.custom_jvp
    def function(x: Any, y: Any) -> Array:
        x, y = _pair(name, x, y)
        return jnp.where((x != 0) | jnp.isnan(y), x * log(y), jnp.zeros_like(x))

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (dx, dy) = primals, tangents
        out = function(x, y)
        return out, convert(dx * log(y) + dy * x / slope(y), aval_of(out).dtype)

    return function


_xlogy = _product("xlogy", jnp.log, lambda y: y)
_xlog1py = _product("xlog1py", jnp.log1p, lambda y: 1 + y)


def xlogy(x: Any, y: Any) -> Array:
    """x · log(y), which is 0 where x is 0 and y is a number.

    Example:
      >>> from jaxcore.scipy import special
      >>> print(special.xlogy(0.0, 0.0))
      0.0
    """
    return _xlogy(x, y)


def xlog1py(x: Any, y: Any) -> Array:
    """x · log(1 + y), which is 0 where x is 0 and y is a number."""
    return _xlog1py(x, y)


@jax.custom_jvp
def _xlogx(x: Any) -> Array:
    return _xlogy(x, x)


_xlogx.defjvps(lambda t, out, x: t * (jnp.log(x) + 1))


# --- entropy and divergence ---------------------------------------------------------------------


def entr(x: Any) -> Array:
    """-x · log(x): 0 at 0, -inf below."""
    x = inexact("entr", x)
    if kind_of(aval_of(x).dtype) == "c":
        raise ValueError(f"entr does not support complex-valued inputs, got {aval_of(x)}.")
    return jnp.where(x < 0, constant(x, -np.inf), -_xlogx(x))


def _log_ratio(p: Any, q: Any) -> tuple[Any, Any]:
    """log(p / q) of positive numbers and p / q, exact near 1 and where the quotient overflows."""
    ratio = p / q
    near = (ratio > 0.5) & (ratio < 2)
    fits = (ratio > constant(p, jnp.finfo(aval_of(p).dtype).tiny)) & (ratio < np.inf)
    p_near, q_near = jnp.where(near, p, 1), jnp.where(near, q, 1)
    apart = jnp.log(p) - jnp.log(q)
    plain = jnp.where(fits, jnp.log(jnp.where(fits, ratio, 1)), apart)
    return jnp.where(near, jnp.log1p((p_near - q_near) / q_near), plain), ratio


def _cases(p: Any, q: Any, inside: Any, edge: Any, outside: Any) -> Any:
    """`inside` where both are positive, `edge` where p is 0 and q is not negative, else `outside`;
    NaN where either is.
    """
    positive, at_edge = (p > 0) & (q > 0), (p == 0) & (q >= 0)
    nan = jnp.isnan(p) | jnp.isnan(q)
    value = jnp.where(positive, inside, jnp.where(at_edge, edge, outside))
    return jnp.where(nan, constant(p, np.nan), value)


def _safe(p: Any, q: Any) -> tuple[Any, Any]:
    positive = (p > 0) & (q > 0)
    return jnp.where(positive, p, 1), jnp.where(positive, q, 1)


@jax.custom_jvp
def _rel_entr(p: Any, q: Any) -> Array:
    safe_p, safe_q = _safe(p, q)
    inside = safe_p * _log_ratio(safe_p, safe_q)[0]
    return _cases(p, q, inside, constant(p, 0), constant(p, np.inf))


@_rel_entr.defjvp
def _rel_entr_jvp(primals: Any, tangents: Any) -> Any:
    (p, q), (dp, dq) = primals, tangents
    log, ratio = _log_ratio(*_safe(p, q))
    zero = constant(p, 0)
    slope = dp * _cases(p, q, log + 1, zero, zero) + dq * _cases(p, q, -ratio, zero, zero)
    out = _rel_entr(p, q)
    return out, convert(slope, aval_of(out).dtype)


@jax.custom_jvp
def _kl_div(p: Any, q: Any) -> Array:
    safe_p, safe_q = _safe(p, q)
    difference = safe_p - safe_q
    inside = safe_p * _log_ratio(safe_p, safe_q)[0] - difference
    # Near p = q the difference would cancel: (p - q) · (u/2 - u²/6 + u³/12 ...), u = (p - q) / q.
    near = jnp.abs(difference) < constant(p, 0.05) * safe_q
    u = jnp.where(near, difference / safe_q, 0)
    series = 1 / 2 - u * (1 / 6 - u * (1 / 12 - u * (1 / 20 - u / 30)))
    inside = jnp.where(near, difference * u * series, inside)
    return _cases(p, q, inside, q, constant(p, np.inf))


@_kl_div.defjvp
def _kl_div_jvp(primals: Any, tangents: Any) -> Any:
    (p, q), (dp, dq) = primals, tangents
    safe_p, safe_q = _safe(p, q)
    log, _ = _log_ratio(safe_p, safe_q)
    finite = safe_q < np.inf
    change = jnp.where(finite, (jnp.where(finite, safe_p, 1) - safe_q) / safe_q, -1)
    zero = constant(p, 0)
    slope = dp * _cases(p, q, log, zero, zero) + dq * _cases(p, q, -change, constant(p, 1), zero)
    out = _kl_div(p, q)
    return out, convert(slope, aval_of(out).dtype)


def rel_entr(p: Any, q: Any) -> Array:
    """p · log(p / q): 0 where p is 0 and q is not negative, inf where either is negative."""
    return _rel_entr(*_pair("rel_entr", p, q, real=True))


def kl_div(p: Any, q: Any) -> Array:
    """p · log(p / q) - p + q, the summand of the Kullback-Leibler divergence; never negative."""
    return _kl_div(*_pair("kl_div", p, q, real=True))


# --- Box-Cox ------------------------------------------------------------------------------------


def _power(log: Any, lmbda: Any) -> Array:
    """(exp(λ · log) - 1) / λ, and its limit `log` at λ = 0."""
    is_zero = lmbda == 0
    safe = jnp.where(is_zero, 1, lmbda)
    return jnp.where(is_zero, log, jnp.expm1(safe * log) / safe)


def boxcox(x: Any, lmbda: Any) -> Array:
    """The Box-Cox transformation (x^λ - 1) / λ; log(x) where λ is 0."""
    x, lmbda = _pair("boxcox", x, lmbda)
    return _power(jnp.log(x), lmbda)


def boxcox1p(x: Any, lmbda: Any) -> Array:
    """The Box-Cox transformation of 1 + x; log(1 + x) where λ is 0."""
    x, lmbda = _pair("boxcox1p", x, lmbda)
    return _power(jnp.log1p(x), lmbda)
