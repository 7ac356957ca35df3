"""Cases of what functions of the array interface take beside the common arguments."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid
from ops.harness import Case

X = grid(-2, 3, (3, 4))
HALF = grid(-1, 1, (2, 3), jnp.bfloat16)
INTS = np.array([[3, -1, 2], [0, 6, -4]], np.int32)
SMALL = np.array([3, 1, 2], np.uint8)
BOOLS = np.array([[True, False, True], [False, False, True]])
Z = np.array([1 + 2j, 3j, 0.1 - 4j], np.complex64)
S = np.array(2, np.int32)


def powers(np_like: Any, i: Any, u: Any, b: Any) -> Any:
    power = np_like.power
    return (
        power(i, i % 5), power(u, u), power(2, i), power(b, u[None]), power(i, u[None]),
        power(u, 2), i**u[None], 2**u,
    )  # fmt: skip


def complexes(np_like: Any, z: Any, x: Any, i: Any) -> Any:
    return (
        np_like.logaddexp(z, z[::-1]), np_like.logaddexp2(z, 1.0), np_like.angle(z, deg=True),
        np_like.angle(x), np_like.angle(i), np_like.angle(-1.5), np_like.nanmax(z),
        np_like.round(z, 1), z.round(), np_like.std(z), np_like.logaddexp(z, x[0, :3]),
    )  # fmt: skip


def rounded(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    return (
        np_like.round(x, 1), np_like.round(x * 10, -1), np_like.round(half, 2), np_like.round(i, 3),
        np_like.round(x.astype("float16"), 1), np_like.round(half, 60), round(x[0, 0]),
        round(x, 1), np_like.round(1.26, 1), np_like.around(x, 2),
    )  # fmt: skip


def converted(np_like: Any, x: Any, z: Any, i: Any) -> Any:
    return (
        np_like.astype(z, bool), np_like.astype(i, "float16", copy=True), np_like.astype(2, float),
        np_like.positive(2), np_like.absolute(True), np_like.copy(1.5), np_like.astype(x, int),
        np_like.astype(x, None), np_like.conj(2.0), x.astype(bool),
    )  # fmt: skip


def moved(np_like: Any, x: Any, i: Any, s: Any, u: Any) -> Any:
    roll, repeat = np_like.roll, np_like.repeat
    return (
        roll(x, s), roll(x, s, 1), roll(x, -s, (0, 1)), roll(i, u[:2], (1, 0)), roll(x, u, 0),
        roll(x, (1, 2), 1), roll(x[:0], s, 0), repeat(x, np.array([2, 0, 1]), 0),
        repeat(i, np.array([1, 3]), 0), repeat(x, u, 0, total_repeat_length=8),
        repeat(x, np.array([2]), 1),
        repeat(i, u, 1, total_repeat_length=4), repeat(x, s, 1, total_repeat_length=8),
        repeat(x, 0), repeat(x[0, 0], 3), repeat(i[0], np.zeros(3, int)),
    )  # fmt: skip


def picked(np_like: Any, x: Any, i: Any, u: Any) -> Any:
    take, along = np_like.take, np_like.take_along_axis
    fill = lambda a: np_like.nan_to_num(a, nan=7.0)
    return (
        take(x, i, 1, mode="wrap"), take(x, u, mode="wrap"), take(x[:, :0], u[:2], 0),
        take(x, i[:, :0], 0), fill(take(x, i * 3, 1)), along(x, i[0], None),
        along(x, i[:1], 1), along(x, i[:1], 1, wrap_negative_indices=False, mode="clip"),
        fill(along(x, i[:1] - 9, 1)), along(x, i[:1] % 4, 1, mode="promise_in_bounds"),
        along(x, i[:1, :0], 1),
        take(i, 1, 0, fill_value=3), take(x, -1, 1),
    )  # fmt: skip


def methods(np_like: Any, x: Any, i: Any, u: Any, half: Any, b: Any, z: Any) -> Any:
    return (
        x.diagonal(1), x.trace(), x.argpartition(2, axis=0), i.choose([i, -i], mode="clip"),
        x[:, :3].compress(b[0], axis=1, size=2), i.nonzero(size=4), x[0].searchsorted(x),
        round(x[0, 0]), round(x, 1), x + x.nbytes + x.itemsize, half.view("int16"), u.view("int8"),
        x.view("uint8"), x.view("int16").view("float32"), z.view("float32"), b.view("uint8"),
        x[:, :2].view("complex64"), i.byteswap(), z.byteswap().byteswap(), u.byteswap(),
    )  # fmt: skip


def packed(np_like: Any, b: Any, i: Any, u: Any) -> Any:
    packbits, unpackbits = np_like.packbits, np_like.unpackbits
    return (
        packbits(b), packbits(b, axis=0), packbits(i, axis=-1, bitorder="little"), unpackbits(u),
        unpackbits(u[None], axis=1, count=5), unpackbits(u, count=30, bitorder="little"),
        unpackbits(packbits(b, 1), 1, count=3), packbits(i[:, :0], 1),
    )  # fmt: skip


def polynomials(np_like: Any, x: Any, v: Any, i: Any) -> Any:
    return (
        np_like.polyval(v, x), np_like.polyval(i[0], i), np_like.polyval(v[:, None, None], x),
        np_like.polyadd(v, x[0]), np_like.polysub(x[0], v), np_like.polymul(v, x[0]),
        np_like.polymul(i[0], i[1]), np_like.polydiv(v, x[2, :2]), np_like.polydiv(x[2, :2], v),
        np_like.polyder(v), np_like.polyder(v, 2), np_like.polyder(i[0], 0), np_like.polyint(v),
        np_like.polyint(i[0], 2, k=v[:2]), np_like.polyint(v, 3, k=1.5), np_like.polyval(v[:0], x),
    )  # fmt: skip


def sums(np_like: Any, x: Any, i: Any, half: Any) -> Any:
    einsum, y = np_like.einsum, x[:, :3]
    path = np_like.einsum_path("ij,jk,kl->il", x.T, y, y)[0]
    return (
        einsum(x, [0, 1], y, [0, 2], [1, 2]), einsum(i, [0, 1], half, [0, 1]),
        einsum("ij,jk,kl,l->i", x.T, y, y, y[0], optimize=[(1, 2), (0, 2), (0, 1)]),
        einsum("ij,jk,kl->il", x.T, y, y, optimize=path), np_like.cross(y, y[::-1]),
        np_like.cross(i[0], y[0]), np_like.cross(y, y * y, axisa=0, axisb=0, axisc=0),
    )  # fmt: skip


CASES = [
    Case("einsum in other forms", sums, (X, INTS, HALF), tol=1e-4),
    Case("methods of arrays", methods, (X, INTS, SMALL, HALF, BOOLS, Z), grad=False, native=False),
    Case("packed bits", packed, (BOOLS, INTS, SMALL)),
    Case("polynomials", polynomials, (X, grid(-1, 2.5, (5,)), INTS), tol=1e-4, rank_promotion=True),
    Case("integer powers of arrays", powers, (INTS, SMALL, BOOLS)),
    Case("complex numbers", complexes, (Z, X, INTS), tol=1e-4, native=False),
    Case("rounded", rounded, (X, HALF, INTS)),
    Case("astype and copy", converted, (X, Z, INTS), grad=False),
    Case("roll and repeat", moved, (X, INTS, S, SMALL)),
    Case("take and along", picked, (X, INTS, SMALL)),
]
