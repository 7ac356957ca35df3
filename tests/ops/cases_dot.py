"""Cases of products: matmul and its kin, dot_general, einsum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

A = grid(-1, 1, (2, 3))
B = grid(-1, 2, (3, 4))
V = grid(-1, 1, (3,))
BATCH = grid(-1, 1, (5, 2, 3))
HALF = grid(-1, 1, (2, 3), jnp.bfloat16)
INTS = np.arange(6, dtype=np.int32).reshape(2, 3)
BYTES = np.arange(12, dtype=np.int8).reshape(3, 4)


def matmul(np_like: Any, a: Any, b: Any, v: Any, batch: Any) -> Any:
    return (
        a @ b, a @ v, v @ b, v @ v, batch @ b, np_like.matmul(a, batch.mT),
        np_like.matmul(batch[:, None], b[None, None]), np_like.matmul(batch[:1], batch.mT),
        np_like.matmul(batch, batch[0].mT), np_like.matmul(v, batch.mT),
    )  # fmt: skip


def matmul_types(np_like: Any, a: Any, half: Any, i: Any, b: Any) -> Any:
    return (
        half @ half.T, a @ half.T, i @ i.T, i @ a.T, i @ b,
        np_like.matmul(half, half.T, preferred_element_type=np.float32),
        np_like.matmul(a, a.T, precision="highest"), b.T @ b,
        np_like.matmul(b.T, b, preferred_element_type=np.int32),
    )  # fmt: skip


def empty(np_like: Any, x: Any) -> Any:
    return x @ x.T, x.T @ x, np_like.dot(x.T, x)


def products(np_like: Any, a: Any, b: Any, v: Any, batch: Any) -> Any:
    return (
        np_like.dot(a, b), np_like.dot(batch, b), np_like.dot(v, v), np_like.dot(2.0, a),
        a.dot(b), np_like.inner(a, a), np_like.outer(v, v), np_like.vdot(a, a),
        np_like.tensordot(batch, b, 1), np_like.tensordot(batch, batch, ((0, 2), (0, 2))),
        np_like.tensordot(a, v, (1, 0)), np_like.kron(a, b), np_like.vecdot(a, v),
        np_like.matvec(batch, v), np_like.vecmat(v, b), np_like.tensordot(a, v, 0),
    )  # fmt: skip


def complex_products(np_like: Any, a: Any) -> Any:
    z = a + 1j * a[::-1]
    return z @ z.T, np_like.vdot(z, z), np_like.vecdot(z, z), np_like.einsum("ij,kj->ik", z, z)


def dot_general(np_like: Any, a: Any, b: Any) -> Any:
    dot = lax_of(np_like).dot_general
    return (
        dot(a, b, (((2,), (2,)), ((0,), (1,)))),
        dot(a, b, (((), ()), ((0,), (1,)))),
        dot(a, b, (((2, 1), (2, 3)), ((), ()))),
        dot(a, b, (((2, 1), (2, 3)), ((0,), (1,))), precision=jax.lax.Precision.HIGHEST),
        dot(a, b, (((), ()), ((), ()))),
    )  # fmt: skip


def einsum(np_like: Any, a: Any, b: Any, v: Any, batch: Any) -> Any:
    f = np_like.einsum
    return (
        f("ij,jk->ik", a, b), f("ij,jk", a, b), f("bij,jk->bki", batch, b), f("ij->ji", a),
        f("ij->", a), f("bij,bkj->bik", batch, batch), f("i,j->ij", v, v), f("ij,ij->ij", a, a),
        f("...ij,jk->...ik", batch, b), f("bij,j->i", batch, v), f("ij,jk,lk->il", a, b, b),
        f("bii->bi", batch[:, :, :2]), f("bii", batch[:, :, :2]), f("ij,ij->", a[:1], a),
        f("ij,kj,lj,j->ikl", a, a, a, v), f("bij,kj->bik", batch, a, optimize=False),
        f("iji->j", b[:, :, None] * v),
    )  # fmt: skip


def einsum_types(np_like: Any, half: Any, i: Any, a: Any) -> Any:
    f = np_like.einsum
    return (
        f("ij,kj->ik", half, half), f("ij,kj->ik", half, a), f("ij,kj->ik", i, i),
        f("ij,kj->ik", half, half, preferred_element_type=np.float32), f("ij->j", half),
        f(i, [0, 1], i, [2, 1], [0, 2]), f(",ij->ij", 2.0, i),
    )  # fmt: skip


def attention(np_like: Any, q: Any, k: Any, v: Any) -> Any:
    """The products of a causal attention head, with a mask from equations alone."""
    scores = np_like.einsum("bqd,bkd->bqk", q, k) / 2.0
    mask = np_like.tril(np_like.ones(scores.shape[-2:], bool))
    scores = np_like.where(mask[None], scores, -1e9)
    weights = np_like.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)) @ v


CASES = [
    Case("matmul", matmul, (A, B, V, BATCH), rank_promotion=True),
    Case("matmul of other types", matmul_types, (A, HALF, INTS, BYTES)),
    Case("matmul of nothing", empty, (np.zeros((2, 0), np.float32),)),
    Case("products", products, (A, B, V, BATCH), rank_promotion=True),
    Case("complex products", complex_products, (A,)),
    Case("dot_general", dot_general, (grid(-1, 1, (2, 3, 4)), grid(-1, 1, (2, 2, 4, 3))), tol=3e-5),
    Case("einsum", einsum, (A, B, V, BATCH), rank_promotion=True),
    Case("einsum of other types", einsum_types, (HALF, INTS, A)),
    Case("second derivative of a product", lambda np_like, a, b: np_like.sin(a @ b), (A, B),
         second=True),
    Case("attention", attention, tuple(grid(-1, n, (2, 3, 4)) for n in (1, 2, 3)), tol=3e-5),
]  # fmt: skip
