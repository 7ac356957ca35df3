"""Cases of NumPy's indexing, updates through `.at`, and functions that pick elements."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

X = grid(-2, 2, (4, 5, 3))
I = np.array([0, 2, -1], np.int32)  # noqa: E741
J = np.array([1, 0, 2], np.int32)
K = np.array([[0], [3]], np.int32)
S = np.array(-2, np.int32)
INTS = np.arange(20, dtype=np.int32).reshape(4, 5)
BOOLS = INTS % 3 == 0
HALF = grid(-1, 1, (4, 5), jnp.bfloat16)
MASK = np.array([True, False, True, True])


def static(np_like: Any, x: Any, i: Any, b: Any, half: Any) -> Any:
    return (
        x[0], x[-1], x[1:3], x[::-1], x[::2, ::-2], x[None], x[..., 0], x[0, ..., None], x[3:1],
        x[-2:, None, 0], x[:, 9:], x[3], i[1, 2], b[:, 1:], half[::3, -1], x[()], x[:, :0],
        x[np.int64(1), : np.int64(2)], x[..., ::-1, :], i[2:0:-1],
    )  # fmt: skip


def scalars(np_like: Any, x: Any, s: Any, i: Any) -> Any:
    u = s.astype(np.uint8)
    return (
        x[s], x[s, 1:3], x[:, s], x[..., s], x[s, None, s], i[s, s], x[s, ::2], x[::-1, s],
        x[s + 9], x[u * 0],
    )  # fmt: skip


def arrays(np_like: Any, x: Any, i: Any, j: Any, k: Any, n: Any, b: Any) -> Any:
    return (
        x[i], x[i, j], x[i, :, j], x[i, None, j], x[:, k, j], x[0, :, j], x[i, ..., 0],
        x[i, ::-1], x[1:3, i], n[i], b[i, j], n[i + 9], x[i[:0]], n[k, ::2],
    )  # fmt: skip


def masks(np_like: Any, x: Any, n: Any) -> Any:
    return (
        x[MASK], x[:, np.array([True, False, True, True, False])], n[np.asarray(BOOLS)],
        x[MASK, 0], x[np.array([1, 2])], x[np.zeros(0, int)], x[True], x[np.array(False)],
    )  # fmt: skip


def gets(np_like: Any, x: Any, i: Any, n: Any, b: Any) -> Any:
    wide = i * 5
    fill = lambda a: np_like.nan_to_num(a, nan=7.0)
    return (
        fill(x.at[wide].get(mode="fill")), x.at[wide].get(mode="clip"),
        x.at[wide].get(mode="fill", fill_value=3.0), n.at[wide].get(mode="fill"),
        b.at[wide].get(mode="fill"), x.at[i].get(), x.at[wide, 0].get(mode="clip"),
        x.at[1:3].get(), n.at[i].get(mode="fill", fill_value=-1),
    )  # fmt: skip


def updates(np_like: Any, x: Any, i: Any, v: Any, s: Any, n: Any) -> Any:
    return (
        x.at[i].set(v), x.at[:, 1].set(v[0, 0, 0]), x.at[s].set(v[0]), x.at[1:3].add(v[:2]),
        x.at[::2, ::-1].set(0), x.at[i, 0].add(v[:, 0]), x.at[s].divide(2),
        x.at[i[:2]].max(v[:2]), x.at[MASK].set(0), n.at[i, i].add(2), x.at[i].subtract(v),
        n.at[i].multiply(3), x.at[None, 0].set(3.0), x.at[0, i[:2]].power(2.0),
        x.at[i[:0]].set(0),
    )  # fmt: skip


def repeated(np_like: Any, x: Any, v: Any) -> Any:
    """Positions that occur more than once."""
    i = np_like.array([1, 1, 0])
    return x.at[i].add(v), x.at[i].max(v), x.at[i].min(v), x.at[i].multiply(2.0)


def update_modes(np_like: Any, x: Any, i: Any, v: Any) -> Any:
    wide = i * 5
    return (
        x.at[wide].set(v), x.at[wide].add(v, mode="drop"), x.at[wide].add(v, mode="clip"),
        x.at[wide, 0].set(1, mode="clip"),
        x.at[i].set(v, unique_indices=True, indices_are_sorted=False),
        x.at[i].multiply(v, unique_indices=True),
        x.at[i].add(v, wrap_negative_indices=False),
    )  # fmt: skip


def picked(np_like: Any, x: Any, i: Any, k: Any) -> Any:
    fill = lambda a: np_like.nan_to_num(a, nan=7.0)
    along = np_like.take_along_axis
    return (
        np_like.take(x, i, 0), np_like.take(x, k, 1), fill(np_like.take(x, i * 5, 0)),
        np_like.take(x, i * 40, mode="clip"), np_like.take(x, i, -1, mode="wrap"), x.take(i, 1),
        fill(along(x, k[..., None], 0)), along(x[:, :, 0], i[None], 1),
        along(x, x.argsort(1), 1), along(x[:1], k[..., None], 1), fill(along(x[:, :, 0], k * 2, 0)),
        along(x, i[:, None, None], 0, mode="clip"), np_like.take(x, 1, 1),
    )  # fmt: skip


def cross_entropy(np_like: Any, logits: Any, targets: Any) -> Any:
    """The loss of a language model: pick one log-probability for each position."""
    z = logits - logits.max(-1, keepdims=True)
    logp = z - np_like.log(np_like.exp(z).sum(-1, keepdims=True))
    return -np_like.take_along_axis(logp, targets[..., None], -1).mean()


def embedding(np_like: Any, table: Any, tokens: Any) -> Any:
    return np_like.tanh(table[tokens]).sum(1)


def lax_dynamic(np_like: Any, x: Any, s: Any, v: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.dynamic_slice(x, (s, 0, 1), (2, 5, 2)), lax.dynamic_slice(x, (9, s, 0), (2, 2, 3)),
        lax.dynamic_slice_in_dim(x, s, 2, 1), lax.dynamic_index_in_dim(x, s, 1, keepdims=False),
        lax.dynamic_update_slice(x, v, (s, 0, 0)),
        lax.dynamic_update_slice_in_dim(x, v[:, :2], s, 1),
        lax.dynamic_update_index_in_dim(x, v[0], s, 0),
        lax.dynamic_slice(x, (s, 0, 1), (2, 5, 2), allow_negative_indices=False),
    )  # fmt: skip


def lax_gather(np_like: Any, x: Any, k: Any) -> Any:
    lax = lax_of(np_like)
    dims = jax.lax.GatherDimensionNumbers((1,), (0,), (0,))
    one = lambda mode: lax.gather(x[:, :, 0], k, dims, (1, 3), mode=mode, fill_value=2.0)
    return one(None), one("clip"), one("fill")


CASES = [
    Case("static index", static, (X, INTS, BOOLS, HALF)),
    Case("scalar index", scalars, (X, S, INTS)),
    Case("array index", arrays, (X, I, J, K, INTS, BOOLS)),
    Case("mask index", masks, (X, INTS)),
    Case("at.get", gets, (X, I, INTS, BOOLS)),
    Case("at updates", updates, (X, I, grid(-3, 3, (3, 5, 3)), S, INTS)),
    Case("at repeated positions", repeated, (grid(-2, 2, (3, 2)), grid(-3, 3, (3, 2)))),
    Case("at modes", update_modes, (X, I, grid(-3, 3, (3, 5, 3)))),
    Case("take", picked, (X, I, K)),
    Case("cross entropy", cross_entropy, (grid(-2, 2, (2, 3, 5)), np.array([[0, 4, 2], [1, 1, 3]])),
         second=True),
    Case("embedding", embedding, (grid(-1, 1, (6, 4)), np.array([[0, 5], [2, 2]])), second=True),
    Case("lax dynamic slices", lax_dynamic, (X, S, grid(-1, 1, (2, 5, 3)))),
    Case("lax.gather", lax_gather, (X, K)),
]  # fmt: skip
