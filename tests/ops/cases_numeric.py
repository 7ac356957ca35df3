"""Cases of numeric functions made of many operations: parts of numbers, differences, ranges,
windows, interpolation."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid
from ops.harness import Case

X = grid(-2, 3, (3, 4))
V = grid(-1, 2.5, (5,))
HALF = grid(-1, 1, (2, 3), jnp.bfloat16)
F16 = grid(0.1, 9, (3,), np.float16)
INTS = np.array([[3, -1, 2], [0, 6, -4]], np.int32)
SMALL = np.array([6, 4, 9], np.uint8)
BOOLS = np.array([[True, False, True], [False, False, True]])
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3e38, -1e-30], np.float32)
EMPTY = np.zeros((0,), np.float32)
Z = np.array([1 + 2j, 3j, 0.1 - 0.2j], np.complex64)
RISING = np.array([-1.0, 0.5, 0.75, 2.0, 4.0], np.float32)


def parts(np_like: Any, x: Any, half: Any, f16: Any, i: Any, n: Any, b: Any) -> Any:
    return (
        np_like.frexp(x), np_like.frexp(half), np_like.frexp(f16), np_like.frexp(i),
        np_like.ldexp(x, 3), np_like.ldexp(half, n[None]), np_like.ldexp(i, n[None]),
        np_like.ldexp(f16, -2),
        np_like.ldexp(2.0, i), np_like.ldexp(x, -130), np_like.signbit(x), np_like.signbit(i),
        np_like.signbit(b), np_like.signbit(half), np_like.copysign(x, -1.0),
        np_like.copysign(i, x[:1, :3]), np_like.copysign(half, i), np_like.iscomplex(x),
        np_like.isreal(i), np_like.bitwise_left_shift(i, 2), np_like.bitwise_right_shift(n, 1),
    )  # fmt: skip


def odd_parts(np_like: Any, x: Any, z: Any, half: Any, i: Any) -> Any:
    mantissa, exponent = np_like.frexp(x)
    return (
        mantissa, exponent, np_like.ldexp(x, 2), np_like.ldexp(x, -90), np_like.signbit(x),
        np_like.copysign(1.0, x), np_like.copysign(x, 1.0), np_like.iscomplex(z), np_like.isreal(z),
        np_like.spacing(x), np_like.spacing(half), np_like.spacing(half.astype("float16")),
        np_like.spacing(i), np_like.ldexp(x, 10**6), np_like.ldexp(x, -(10**6)), np_like.sinc(z),
    )  # fmt: skip


def divisors(np_like: Any, i: Any, u: Any) -> Any:
    return (
        np_like.gcd(i, 4), np_like.gcd(i, i[:, :1]), np_like.gcd(u, np_like.uint8(3)),
        np_like.lcm(i, 6), np_like.lcm(u, u[::-1]), np_like.gcd(i, 0), np_like.lcm(i, 0),
        np_like.gcd(-12, 18), np_like.gcd(i[:, :0], 2),
    )  # fmt: skip


def bessel(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    return (
        np_like.i0(x), np_like.i0(half), np_like.i0(i), np_like.i0(0.0), np_like.kaiser(5, 2.5),
        np_like.sinc(half),
    )  # fmt: skip


def sincs(np_like: Any, x: Any) -> Any:
    return (
        np_like.sinc(x), np_like.sinc(x * 0), np_like.sinc(x * 0.01),
        np_like.sinc(np_like.round(x)), np_like.sinc(x[0, 0] + 1.5),
    )  # fmt: skip


def differences(np_like: Any, x: Any, v: Any, i: Any, b: Any, half: Any) -> Any:
    diff = np_like.diff
    return (
        diff(x), diff(x, 2, 0), diff(i, axis=0, prepend=5), diff(b), diff(half, append=1.0),
        diff(x, prepend=x[:, :1], append=x[:, :2]), diff(v, 0), diff(v, 9), diff(v[:1]),
        np_like.ediff1d(x), np_like.ediff1d(i, 7, v[0]), np_like.ediff1d(half, to_end=half[0]),
    )  # fmt: skip


def slopes(np_like: Any, x: Any, v: Any, rising: Any, i: Any, half: Any) -> Any:
    gradient, trapezoid = np_like.gradient, np_like.trapezoid
    return (
        gradient(x), gradient(v, rising), gradient(x, 2.0, axis=0), gradient(i),
        gradient(x, 0.5, rising[1:], axis=(0, 1)), gradient(half, axis=-1), gradient(x[:2], axis=0),
        trapezoid(x), trapezoid(v, rising), trapezoid(x, dx=0.5, axis=0), trapezoid(i),
        trapezoid(x, rising[:4]), trapezoid(x, x + 1, axis=0), trapezoid(half), trapezoid(v[:1]),
        trapezoid(x, dx=rising[None, :3]),
    )  # fmt: skip


def unwrapped(np_like: Any, x: Any, i: Any) -> Any:
    return (
        np_like.unwrap(x * 4), np_like.unwrap(x * 4, axis=0), np_like.unwrap(i * 3, period=8),
        np_like.unwrap(x * 4, discont=5.0), np_like.unwrap(x[:, :0]), np_like.unwrap(i, period=5),
    )  # fmt: skip


def spaced(np_like: Any, x: Any, i: Any, s: Any, half: Any) -> Any:
    linspace = np_like.linspace
    return (
        linspace(0, 1, 4), linspace(s, 5.0, 5, endpoint=False), linspace(x[0], x[1], 3, axis=-1),
        linspace(0, 7, 4, dtype="int32"), linspace(i[0], 9, 3), linspace(half[0, 0], 1, 3),
        linspace(1.0, 2.0, 1, retstep=True), linspace(1.0, 2.0, 3, retstep=True),
        linspace(1.0, 2.0, 0), linspace(0, 1j, 3), linspace(-3, 3, 4, dtype="int8"),
        np_like.logspace(0, s, 3), np_like.logspace(0, 3, 4, base=2, dtype="int32"),
        np_like.geomspace(1, 8.0, 4), np_like.geomspace(-1.0, s - 3, 3),
        np_like.geomspace(x[2] + 3, 9.0, 3, axis=1), np_like.vander(x[0]), np_like.vander(i[0], 2),
        np_like.vander(half[0], 4, increasing=True), np_like.vander(x[0, :0]),
    )  # fmt: skip


def gridded(np_like: Any, x: Any) -> Any:
    return (
        np_like.mgrid[:2, 1:6:2], list(np_like.ogrid[0:1:3j, :2]), np_like.mgrid[2:0:-1],
        np_like.ogrid[:3], np_like.mgrid[0:1:2j], x * np_like.mgrid[:3, :4][0],
        np_like.hamming(5), np_like.hanning(4), np_like.blackman(6), np_like.bartlett(5),
        np_like.bartlett(1), np_like.hanning(0), np_like.hamming(1),
    )  # fmt: skip


def convolved(np_like: Any, v: Any, w: Any, i: Any, z: Any, half: Any) -> Any:
    convolve, correlate = np_like.convolve, np_like.correlate
    return (
        convolve(v, w), convolve(w, v, "same"), convolve(v, w, "valid"), convolve(i[0], i[1]),
        convolve(half[0], w), correlate(v, w), correlate(w, v, "full"), correlate(v, w, "same"),
        correlate(z, v), convolve(z, z), correlate(i[0], w[:1]), convolve(v[:1], w),
    )  # fmt: skip


def interpolated(np_like: Any, x: Any, xp: Any, fp: Any, i: Any, half: Any) -> Any:
    interp = np_like.interp
    return (
        interp(x, xp, fp, left=-9.0), interp(0.6, xp, fp), interp(i, xp, fp, right=7),
        interp(x, xp, fp, left="extrapolate", right="extrapolate"), interp(half, xp[:1], fp[:1]),
        interp(x[0], xp * 0, fp),
    )  # fmt: skip


def running(np_like: Any, x: Any, i: Any, b: Any, u: Any, half: Any) -> Any:
    holes = np_like.where(x > 1, np_like.nan, x)
    return (
        np_like.cumulative_sum(x, axis=0), np_like.cumulative_sum(u, include_initial=True),
        np_like.cumulative_sum(b, axis=-1), np_like.cumulative_prod(x, axis=1),
        np_like.cumulative_prod(i, axis=0, include_initial=True), np_like.cumulative_prod(u),
        np_like.cumulative_sum(half, axis=1, dtype="float32", include_initial=True),
        np_like.nancumsum(holes, axis=1), np_like.nancumprod(holes), np_like.nancumsum(i, 0),
        np_like.cumsum(b), np_like.cumsum(x > 1, dtype=bool), np_like.cumprod(i, dtype=bool),
        np_like.cumsum(x[0, 0]), np_like.cumprod(b, axis=0), np_like.nancumsum(half),
    )  # fmt: skip


CASES = [
    Case("parts of numbers", parts, (np.abs(X) + 0.1, HALF, F16, INTS, INTS[0], BOOLS)),
    Case("parts of odd numbers", odd_parts, (ODD, Z, HALF, INTS), grad=False, vmap=False),
    Case("divisors", divisors, (INTS, SMALL)),
    Case("bessel", bessel, (X, HALF, INTS), vmap=False, tol=1e-4),
    Case("sinc", sincs, (X + 0.01,), tol=1e-4, second=True),
    Case("differences", differences, (X, V, INTS, BOOLS, HALF)),
    Case("slopes and areas", slopes, (X, V, RISING, INTS, HALF), rank_promotion=True),
    Case("unwrap", unwrapped, (X, INTS)),
    Case("spaced", spaced, (X, INTS, np.float32(2.5).reshape(()), HALF), tol=1e-4,
         rank_promotion=True),
    Case("grids and windows", gridded, (X,)),
    Case("convolved", convolved, (V, V[:3] * 2, INTS, Z, HALF), tol=1e-4),
    Case("interp", interpolated, (X + 0.013, RISING, V, INTS, HALF), tol=1e-4),
    Case("cumulative", running, (X, INTS, BOOLS, SMALL, HALF), native=False, tol=1e-4),
]  # fmt: skip
