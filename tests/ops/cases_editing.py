"""Cases of functions that edit arrays: padding, inserting, diagonals, positions, choices."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid
from ops.harness import Case

X = grid(-2, 2, (3, 4))
CUBE = grid(-1, 3, (2, 3, 3))
V = grid(-1, 2, (5,))
HALF = grid(-1, 1, (2, 3), jnp.bfloat16)
INTS = np.array([[3, -1, 2], [0, 5, 5]], np.int32)
BOOLS = np.array([[True, False, True], [False, False, True]])
EMPTY = np.zeros((0, 3), np.float32)
AT = np.array([2, 0, -1], np.int32)


def padded_by_position(np_like: Any, x: Any, i: Any, b: Any) -> Any:
    pad = np_like.pad
    return (
        pad(x, ((3, 5), (0, 9)), mode="wrap"), pad(i, (4, 3), mode="reflect"),
        pad(x, 5, mode="symmetric"), pad(i, ((1, 2), (0, 0)), mode="edge"), pad(b, 1),
        pad(x, (2, 3), mode="reflect", reflect_type="odd"),
        pad(i[:, :1], ((0, 0), (2, 3)), mode="symmetric", reflect_type="odd"),
        pad(x, ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))), pad(i, 1, constant_values=(7,)),
        pad(x[:1], ((2, 1), (0, 0)), mode="reflect"), pad(x[0, 0], 3), pad(b, 1, mode="wrap"),
    )  # fmt: skip


def padded_by_value(np_like: Any, x: Any, i: Any, half: Any) -> Any:
    pad = np_like.pad
    return (
        pad(x, 2, mode="linear_ramp"), pad(x, (1, 2), mode="linear_ramp", end_values=(5, -1)),
        pad(i, 2, mode="linear_ramp", end_values=9), pad(x, ((1, 2), (0, 3)), mode="maximum"),
        pad(i, 1, mode="mean"), pad(x, 1, mode="median", stat_length=2),
        pad(half, (1, 2), mode="minimum", stat_length=((1, 2), (2, 1))), pad(i, 1, mode="empty"),
        pad(x, 1, lambda v, width, axis, settings: v.at[0].set(axis), value=1),
    )  # fmt: skip


def diagonals(np_like: Any, x: Any, cube: Any, v: Any, i: Any, b: Any, half: Any) -> Any:
    return (
        np_like.diagonal(x), np_like.diagonal(x, 2), np_like.diagonal(x, -2),
        np_like.diagonal(cube, 1, -1, 0), np_like.diagonal(x, 7), np_like.diagonal(b),
        np_like.diag(v), np_like.diag(v, -2), np_like.diag(i[0], 1), np_like.diag(half, 1),
        np_like.diag(v[:0], 2), np_like.diag(b[0]), np_like.diagflat(x, -1), np_like.diagflat(v[0]),
        np_like.trace(x), np_like.trace(i, 1), np_like.trace(cube, 0, 1, 2), np_like.trace(b),
        np_like.trace(half), np_like.trace(cube, -1, 2, 1, dtype="float16"),
        np_like.trace(cube, np_like.argmax(v) - 3, 1, 2), x.diagonal(1), cube.trace(),
        np_like.fill_diagonal(x, 9.0, inplace=False), np_like.fill_diagonal(i, i[0], inplace=False),
        np_like.fill_diagonal(cube[:, :2, :2], np_like.zeros(2), inplace=False),
    )  # fmt: skip


def positions_of_diagonals(np_like: Any, x: Any) -> Any:
    return (
        np_like.diag_indices(3), np_like.diag_indices(2, 3), np_like.diag_indices_from(x[:, :3]),
        np_like.tril_indices(3), np_like.tril_indices(3, -1, 4), np_like.tril_indices(2, 1, 1),
        np_like.triu_indices(3, 1), np_like.triu_indices(4, -2, 2), np_like.triu_indices(0),
        np_like.tril_indices_from(x), np_like.triu_indices_from(x, 2),
        np_like.mask_indices(3, np_like.triu, 1, size=4), x[np_like.triu_indices(3, 1, 4)],
    )  # fmt: skip


def positions(np_like: Any, i: Any, at: Any, u: Any) -> Any:
    flat = np_like.ravel_multi_index
    return (
        flat((at, at), (3, 4), mode="clip"), flat((at, 1), (3, 4), mode="wrap", order="F"),
        flat((at, at), (3, 4), mode="ignore", dtype="int16"), flat((u, u), (3, 4), mode="clip"),
        np_like.unravel_index(i, (2, 3)), np_like.unravel_index(at, 3),
        np_like.unravel_index(u, (1, 2)), np_like.indices((2, 3)), np_like.indices(()),
        np_like.indices((2, 1), dtype="float32", sparse=True), np_like.ix_(at, u, at[:0]),
        np_like.indices((0, 2)),
    )  # fmt: skip


def inserted(np_like: Any, x: Any, i: Any, at: Any, v: Any) -> Any:
    insert, delete = np_like.insert, np_like.delete
    return (
        insert(x, 1, 9.0), insert(x, at, v[:3], axis=1), insert(x, at, v[:3, None], axis=0),
        insert(i, slice(None, None, 2), 7, axis=1), insert(x, np.array([1]), v[:4], axis=0),
        insert(i, -1, v[:2], axis=1), insert(v, at, 0), insert(v[:0], 0, 3.0),
        delete(x, 1, 0), delete(x, slice(None, None, 2), 1), delete(v, np.array([0, 0, -1])),
        delete(x, np.array([True, False, True]), 0), delete(i, 4), delete(v, -2),
        delete(x, at, 1, assume_unique_indices=True), delete(v, np.zeros(0, int)),
    )  # fmt: skip


def written(np_like: Any, x: Any, i: Any, at: Any, v: Any) -> Any:
    put = np_like.put
    return (
        put(x, at, v, inplace=False), put(x, at * 9, 1.0, mode="wrap", inplace=False),
        put(i, at + 4, i[0, :2], mode="clip", inplace=False), put(i, at * 9, 5, inplace=False),
        np_like.place(x, x > 0, v, inplace=False),
        np_like.place(i, x[:2, :3] > 0, 7, inplace=False),
        np_like.put_along_axis(x, at[None], v[0], 1, inplace=False),
        np_like.put_along_axis(i, at[:2, None], i[:, :1], -1, inplace=False, mode="clip"),
        np_like.put_along_axis(x, at, v[:3], None, inplace=False),
        np_like.resize(x, (2, 3)), np_like.resize(i, (3, 3)), np_like.resize(v, 7),
        np_like.resize(v[:0], (2, 2)), np_like.resize(x[0, 0], 3),
    )  # fmt: skip


def blocks(np_like: Any, x: Any, i: Any, half: Any) -> Any:
    return (
        np_like.block([[x, x[:, :1]], [x[:2], i[:, :1]]]), np_like.block([i[0], 2, half[0]]),
        np_like.block(half), np_like.block([[[x[:1, :1], 1.0]]]), np_like.block([[1, 2], [3, 4]]),
    )  # fmt: skip


def choices(np_like: Any, x: Any, i: Any, half: Any, w: Any, b: Any) -> Any:
    y = x[:2, :3]
    return (
        np_like.select([y > 1, i > 2, b], [y, i, half], 7), np_like.select([b, w], [1, y]),
        np_like.select([b[0]], [i]), np_like.select([b, b], [half, half * 2], 1.5),
        np_like.choose(w, [y, i, half], mode="clip"), np_like.choose(w, (i, -i), mode="wrap"),
        np_like.choose(w, x[:, :3], mode="clip"), w.choose([y, i], mode="clip"),
        np_like.piecewise(y, [y < 0, y > 1], [lambda v: v * v, 3, np_like.exp]),
        np_like.piecewise(i, [b], [lambda v, c: v + c], 2),
        np_like.piecewise(y, np_like.stack([b, ~b]), [1, lambda v: v.sum()]),
    )  # fmt: skip


def mapped(np_like: Any, x: Any, cube: Any, v: Any) -> Any:
    outer = np_like.vectorize(lambda a, b: a[:, None] * b, signature="(n),(m)->(n,m)")
    two = np_like.vectorize(lambda a, b: (a.sum() + b, a), signature="(n),()->(),(n)")
    return (
        np_like.apply_along_axis(lambda a: a / a.sum(), 1, x), cube.sum(),
        np_like.apply_along_axis(np_like.diag, 0, x),
        np_like.apply_along_axis(np_like.sum, -2, cube),
        np_like.apply_along_axis(lambda a, c, k: a[:k] + c, 1, cube, 2.0, k=1),
        np_like.apply_over_axes(np_like.sum, cube, (0, -1)), outer(x, v[:3]), outer(v, cube[:, 0]),
        np_like.vectorize(lambda a, b: a * b + 1)(x, 2), two(x, v[:3]),
        np_like.vectorize(lambda a, b, c: a if c else b, excluded={2})(x, x[:, :1], True),
        np_like.vectorize(lambda a, b: a if b is None else a + b)(x, None),
        np_like.vectorize(lambda a, b: a * b)(x[:1], v[:1]), np_like.fromfunction(
            lambda a, b: a * 10 + b, (2, 3), dtype="int32"),
        np_like.fromfunction(lambda a: np_like.stack([a, 2 * a]), (3,)),
    )  # fmt: skip


CASES = [
    Case("pad by position", padded_by_position, (X, INTS, BOOLS)),
    Case("pad by value", padded_by_value, (X, INTS, HALF), native=False),
    Case("diagonals", diagonals, (X, CUBE, V, INTS, BOOLS, HALF)),
    Case("positions of diagonals", positions_of_diagonals, (X,)),
    Case("positions", positions, (INTS, AT, AT.astype(np.uint8) % 3), vmap=False),
    Case("insert and delete", inserted, (X, INTS, AT, V), vmap=False),
    Case("put and resize", written, (X, INTS, AT, V)),
    Case("block", blocks, (X, INTS, HALF), weak=False),
    Case("choices by index", choices, (X, INTS, HALF, INTS % 2, BOOLS)),
    Case("mapped functions", mapped, (X, CUBE, V), rank_promotion=True),
]  # fmt: skip
