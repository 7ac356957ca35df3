"""Cases of functions that lay elements out anew, join them, cut them, or make new arrays."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

X = grid(-2, 2, (2, 3, 4))
Y = grid(1, 3, (2, 3, 4))
HALF = grid(-1, 1, (2, 3), jnp.bfloat16)
INTS = np.arange(6, dtype=np.int32).reshape(2, 3)
BOOLS = np.array([[True, False, True], [False, False, True]])
EMPTY = np.zeros((0, 3), np.float32)
ONES = grid(1, 2, (1, 3, 1))


def reshape(np_like: Any, x: Any, half: Any, i: Any, b: Any, empty: Any) -> Any:
    return (
        x.reshape(6, 4), np_like.reshape(x, (-1, 2)), np_like.ravel(half), i.reshape((3, 2)),
        b.reshape(-1), np_like.reshape(empty, (3, 0)), x.flatten(), np_like.reshape(x, -1),
        np_like.reshape(x, (4, 6), order="F"), x.reshape(2, 3, 4),
    )  # fmt: skip


def transpose(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    return (
        x.transpose(2, 0, 1), x.T, np_like.transpose(half), np_like.swapaxes(x, 0, -1),
        np_like.moveaxis(x, 0, -1), np_like.moveaxis(x, (0, 1), (2, 0)), i.T, x.mT,
        np_like.rollaxis(x, 2), np_like.permute_dims(x, (1, 0, 2)), np_like.matrix_transpose(x),
    )  # fmt: skip


def unit_axes(np_like: Any, x: Any, ones: Any, i: Any) -> Any:
    return (
        np_like.expand_dims(x, 1), np_like.expand_dims(i, (0, -1)), np_like.squeeze(ones),
        ones.squeeze(0), np_like.squeeze(ones, (0, -1)), np_like.atleast_3d(i),
        np_like.atleast_2d(x[0, 0]), np_like.atleast_1d(x[0, 0, 0]), np_like.atleast_3d(x[0, 0]),
    )  # fmt: skip


def broadcasts(np_like: Any, ones: Any, half: Any, b: Any) -> Any:
    a, c = np_like.broadcast_arrays(ones[0], np_like.zeros((2, 1, 4)))
    return (
        np_like.broadcast_to(ones, (2, 1, 3, 4)), np_like.broadcast_to(half, (4, 2, 3)),
        np_like.broadcast_to(b, (1, 2, 3)), a, c, np_like.broadcast_to(ones, (1, 3, 0)),
        np_like.broadcast_to(2.0, (3,)),
    )  # fmt: skip


def rearranged(np_like: Any, x: Any, i: Any) -> Any:
    return (
        np_like.flip(x), np_like.flip(i, 1), np_like.flip(x, (0, 2)), np_like.fliplr(i),
        np_like.flipud(i), np_like.rot90(i), np_like.rot90(i, 2), np_like.rot90(x, 3, (1, 2)),
        np_like.roll(x, 1), np_like.roll(x, -1, 1), np_like.roll(x, (1, 5), (0, 2)),
        np_like.repeat(x, 2, 1), np_like.repeat(i, 3), np_like.tile(i, 2), np_like.tile(x, (2, 1)),
        np_like.tile(i, (2, 1, 2)), np_like.repeat(x[0, 0, 0], 2),
    )  # fmt: skip


def joined(np_like: Any, x: Any, y: Any, half: Any, i: Any, empty: Any) -> Any:
    return (
        np_like.concatenate([x, y], 1), np_like.concatenate([half, i], 0),
        np_like.concatenate([i, half], axis=None), np_like.concatenate([empty, half]),
        np_like.concatenate(x), np_like.concatenate([i, i], dtype=np.float32),
        np_like.append(i, i), np_like.concatenate([i, i, i], -1),
    )  # fmt: skip


def stacked(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    v = x[0, 0]
    return (
        np_like.stack([x, x * 2], 1), np_like.stack([half, i], -1), np_like.vstack([v, v]),
        np_like.hstack([v, v]), np_like.hstack([i, i]), np_like.dstack([i, i]),
        np_like.column_stack([v, v]), np_like.stack([x[0, 0, 0], 1.0]), np_like.unstack(i),
        np_like.unstack(x, axis=2),
    )  # fmt: skip


def cut(np_like: Any, x: Any, i: Any, half: Any) -> Any:
    return (
        np_like.split(x, 2, -1), np_like.split(i, [1], 1), np_like.array_split(x, 3, 2),
        np_like.split(half, [1, 2], 1), np_like.hsplit(i, 3), np_like.vsplit(x, 2),
        np_like.dsplit(x, 2), np_like.split(x, [1, 1], 1),
    )  # fmt: skip


def partly_used_split(np_like: Any, x: Any) -> Any:
    a, _, c, d = np_like.split(x, 4, -1)
    return a * c + 0 * d


def padded(np_like: Any, x: Any, i: Any, half: Any) -> Any:
    return (
        np_like.pad(x, 1), np_like.pad(i, ((0, 1), (2, 0)), constant_values=7),
        np_like.pad(half, (1, 2)), np_like.pad(x, ((0, 0), (2, 1), (1, 3)), mode="edge"),
        np_like.pad(x, ((1, 0), (2, 1), (1, 3)), mode="reflect"), np_like.pad(i, 2, mode="wrap"),
        np_like.pad(i, 2, mode="symmetric"), np_like.pad(i, ((1, 0), (0, 0))),
    )  # fmt: skip


def lax_pad(np_like: Any, x: Any, value: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.pad(x, value, [(1, 0, 1), (0, 2, 0), (-1, 1, 2)]),
        lax.pad(x, value, [(-1, 0, 0), (0, -2, 0), (1, -2, 1)]),
        lax.pad(x[:, :0], value, [(0, 0, 0), (1, 1, 0), (0, 0, 0)]),
    )


def lax_shapes(np_like: Any, x: Any, ones: Any, half: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.reshape(x, (4, 6), (2, 0, 1)), lax.broadcast_in_dim(half, (2, 5, 3), (0, 2)),
        lax.broadcast(half, (2,)), lax.squeeze(ones, (0, 2)), lax.rev(x, (0, 2)),
        lax.collapse(x, 1), lax.slice(x, (0, 1, 0), (2, 3, 4), (1, 1, 3)),
        lax.slice_in_dim(x, 1, -1, axis=2), lax.index_in_dim(x, -1, 1, keepdims=False),
        lax.split(x, (1, 2), 1), lax.concatenate([half, half], 1), lax.expand_dims(half, (0, 2)),
        lax.transpose(x, (1, 2, 0)), lax.full_like(x, 2), lax.full((2,), 3, np.int32),
    )  # fmt: skip


def made(np_like: Any, x: Any, i: Any) -> Any:
    lax = lax_of(np_like)
    zero = (x.sum() * 0).astype(np.float32)
    return (
        np_like.zeros((2, 3)), np_like.ones(3, np.int32), np_like.full((2,), zero),
        np_like.full((2, 2), 7), np_like.zeros_like(x), np_like.ones_like(i), np_like.empty((1,)),
        np_like.full_like(i, 2.7), np_like.full_like(x, zero, shape=(2,)), np_like.arange(5),
        np_like.arange(2.0, 3.0, 0.25), np_like.arange(1, 9, 3), np_like.arange(5, 0, -2),
        np_like.arange(3, dtype=jnp.bfloat16), np_like.eye(3), np_like.eye(2, 4, 1, np.int32),
        np_like.identity(2), np_like.tri(3, 4, -1), np_like.linspace(0.0, 1.0, 5),
        lax.iota(np.int32, 4), lax.broadcasted_iota(np.float32, (2, 3), 1),
        np_like.zeros((0, 2), bool),
    )  # fmt: skip


def converted(np_like: Any, x: Any, i: Any) -> Any:
    s = x[0, 0, 0]
    return (
        np_like.array([s, 1.0, i[0, 0]]), np_like.array([[s, s], [2, 3]]),
        np_like.array(i, ndmin=3),
        np_like.asarray(x, jnp.bfloat16), np_like.array([1, 2, 3]), np_like.array(2.5),
        np_like.asarray(3), np_like.array([x, x]), np_like.asarray(np.arange(3.0)),
    )  # fmt: skip


def triangles(np_like: Any, x: Any, i: Any) -> Any:
    return (
        np_like.tril(x), np_like.triu(x, 1), np_like.tril(i, -1), np_like.triu(i),
        np_like.trace(i), np_like.diagonal(x, axis1=1, axis2=2), np_like.diag(x[0, 0]),
        np_like.tril(i == 1),
    )  # fmt: skip


def grids(np_like: Any, x: Any, i: Any) -> Any:
    a, b = x[0, 0], i[0]
    return (
        *np_like.meshgrid(a, b), *np_like.meshgrid(a, b, indexing="ij", sparse=True),
        *np_like.meshgrid(a), np_like.kron(i, x[0]), *np_like.meshgrid(a, b, a),
    )  # fmt: skip


def iterated(np_like: Any, x: Any) -> Any:
    first, second = x
    return sum(row for row in first) + len(x) * second[0]


CASES = [
    Case("reshape", reshape, (X, HALF, INTS, BOOLS, EMPTY)),
    Case("transpose", transpose, (X, HALF, INTS)),
    Case("unit axes", unit_axes, (X, ONES, INTS)),
    Case("broadcasts", broadcasts, (ONES, HALF, BOOLS), rank_promotion=True),
    Case("rearranged", rearranged, (X, INTS)),
    Case("joined", joined, (X, Y, HALF, INTS, EMPTY)),
    Case("stacked", stacked, (X, HALF, INTS)),
    Case("cut", cut, (X, INTS, HALF)),
    Case("partly used split", partly_used_split, (X,), second=True),
    Case("padded", padded, (X, INTS, HALF)),
    Case("lax.pad", lax_pad, (X, np.float32(0.5))),
    Case("lax.pad of a batched value", lax_pad, (X, np.asarray(0.5, np.float32))),
    Case("lax shapes", lax_shapes, (X, ONES, HALF)),
    Case("made", made, (X, INTS)),
    Case("converted", converted, (X, INTS)),
    Case("triangles", triangles, (X, INTS)),
    Case("grids", grids, (X, INTS)),
    Case("iterated", iterated, (X,)),
]
