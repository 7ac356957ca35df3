"""Cases of functions that only `lax` has: arrangement, scatter, folds, groups, hints."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

X = grid(-1, 2, (2, 3))
SQUARE = grid(-2, 3, (4, 3))
HALF = grid(-1, 2, (2, 3), jnp.bfloat16)
INTS = np.arange(6, dtype=np.int32).reshape(2, 3)
PLACES = np.array([[2], [0], [2]], np.int32)
OUTSIDE = np.array([[1], [4]], np.int32)
ROWS = jax.lax.ScatterDimensionNumbers((1,), (0,), (0,))
POINTS = jax.lax.ScatterDimensionNumbers((), (0,), (0,))


def arrangement(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.tile(x, (2, 1)), lax.tile(i, (0, 2)), lax.stack([x, x * 2], 1), lax.stack([half], -1),
        lax.unstack(x, 1), lax.unstack(i[:, :0], 1), lax.broadcast_like(x[:1], x),
        lax.broadcast_like(2.0, half), lax.broadcast_to_rank(x, 4), lax.empty((2, 0), np.int32),
        lax.index_take(x, [i[0], i[1]], (0, 1)),
        lax.index_take(x, [i[0] - 4], (1,)), lax.sort_key_val(x, i, 0),
    )  # fmt: skip


def of_jax(np_like: Any, x: Any) -> Any:
    """What JAX's own functions record becomes our operations."""
    parts = jax.lax.unstack(jax.lax.tile(x, (1, 2)), axis=1)
    total = jax.lax.reduce(x, np.float32(0), lambda a, b: a + b, (0,))
    biggest = jax.lax.reduce_window(
        x, np.float32(-9), lambda a, b: jax.lax.max(a, b), (2, 1), (1, 1), "VALID"
    )
    flipped = jax.lax.scatter_apply(x[0], PLACES, lambda v: -v, POINTS, update_shape=(3,))
    return jax.lax.stack(parts[::-1]), total, jax.lax.optimization_barrier(biggest), flipped


def writes(np_like: Any, x: Any, u: Any) -> Any:
    lax = lax_of(np_like)
    run = lambda name, **kw: getattr(lax, name)(x, PLACES[:2], u[:2], ROWS, **kw)
    return [
        run("scatter"), run("scatter_add"), run("scatter_sub"), run("scatter_max"),
        run("scatter_min"), run("scatter_mul", unique_indices=True), run("scatter", mode="clip"),
        lax.scatter_add(x, PLACES, u, ROWS), lax.scatter_add(x, OUTSIDE, u[:2], ROWS),
    ]  # fmt: skip


def applied(np_like: Any, x: Any, i: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.scatter_apply(x[:, 0], PLACES, lambda v: v * 2 + 1, POINTS, update_shape=(3,)),
        lax.scatter_apply(i, PLACES[:1] - 1, lambda v: -v, ROWS, update_shape=(1, 3)),
    )


def folds(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)
    farther = lambda a, b: np_like.where(abs(a) > abs(b), a, b)
    product = lambda a, b: (a[0] * b[0], a[1] + b[1])
    return (
        lax.reduce(x, 0.0, farther, (0,)), lax.reduce(x, 0.0, farther, (1, 0)),
        lax.reduce((x, x[::-1]), (1.0, 0.0), product, (1,)),
        lax.reduce(x[:0], 2.0, farther, (0,)),
        [lax.reduce(x, init, getattr(lax, f), (1,))
         for f, init in (("add", 0.0), ("mul", 1.0), ("max", -np.inf), ("min", np.inf))],
    )  # fmt: skip


def integer_folds(np_like: Any, i: Any, half: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.reduce(i, 0, lax.bitwise_or, (0,)), lax.reduce(i, -1, lax.bitwise_and, (1,)),
        lax.reduce(i, 3, lax.add, (1,)), lax.reduce(i, 1, lambda a, b: a * b, (0,)),
        lax.reduce(half, np.array(1, half.dtype)[()], lax.mul, (0,)),
        lax.reduce_window((i, i), (0, 1), lambda a, b: (a[0] + b[0], a[1] * b[1]), (1, 2)),
    )  # fmt: skip


def window_folds(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.reduce_window(x, 1.0, lax.mul, (2, 1), (1, 1), "SAME"),
        lax.reduce_window(x, 0.0, lambda a, b: a + b, (2, 2), None, ((1, 0), (0, 1)), (1, 2)),
    )


def window_slope(np_like: Any, x: Any) -> Any:
    """Forward mode, which is all that a general window has."""
    jvp = (jax if np_like is jnp else __import__("jaxcore")).jvp
    return jvp(lambda x: window_folds(np_like, x), (x,), (np_like.cos(x),))


def dots(np_like: Any, x: Any, half: Any) -> Any:
    lax = lax_of(np_like)
    cube = np_like.stack([x, x + 1])
    return (
        lax.dot(x, x.T), lax.dot(x[0], x[1]), lax.dot(x, x[0]), lax.dot(half, half.T),
        lax.dot(x, x, dimension_numbers=(((0,), (0,)), ((1,), (1,)))),
        lax.batch_matmul(cube, cube.mT), lax.batch_matmul(half, half.T),
    )  # fmt: skip


GROUPS = np.array([1, 0, 2], np.int32)
CONTRACTED = jax.lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), (0,), ())
BATCHED = jax.lax.RaggedDotDimensionNumbers((((2,), (2,)), ((0,), (0,))), (1,), (1,))


def ragged(np_like: Any, x: Any, y: Any, sizes: Any) -> Any:
    lax = lax_of(np_like)
    y2 = np_like.stack([y, y * 2])
    x2 = np_like.stack([x, x[::-1]])
    return (
        lax.ragged_dot(x, y, sizes),
        lax.ragged_dot(x, y, sizes, preferred_element_type=np.float32, precision="highest"),
        lax.ragged_dot_general(x2, y2, sizes, BATCHED),
    )


def ragged_rows(np_like: Any, x: Any, sizes: Any) -> Any:
    return lax_of(np_like).ragged_dot_general(x, x * 2, sizes, CONTRACTED)


def hints(np_like: Any, x: Any, i: Any) -> Any:
    lax = lax_of(np_like)
    a, b = lax.optimization_barrier((x * 2, {"b": i}))
    return a, b["b"], lax.optimization_barrier(()), [*lax.approx_max_k(x, 2)]


def least(np_like: Any, x: Any) -> Any:
    return [*lax_of(np_like).approx_min_k(x, 1, 0)], [*lax_of(np_like).approx_max_k(x, 2, -2)]


def named(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)

    @(lambda f: lax.composite(f, "my.scale", 2))
    def scale(x: Any, *, by: float, label: str = "a") -> Any:
        return x * by, np_like.sin(x)

    return scale(x, by=2.0)


def bits(np_like: Any, key: Any) -> Any:
    lax = lax_of(np_like)
    return lax.rng_bit_generator(key, (3,)), lax.rng_bit_generator(key, (2,), np.uint8)


def numbers(np_like: Any, x: Any, half: Any, i: Any) -> Any:
    lax = lax_of(np_like)
    big = i + 2**30
    return (
        lax.mulhi(big, big), lax.mulhi(big.astype(np.uint32), np.uint32(7)), lax.pow(x + 2, x),
        lax.pow(2.0, x), lax.pow(x, 2), lax.pow(half, half * 0 + 2),
        lax.bitcast_convert_type(x, np.int32), lax.top_k(x, 2),
    )  # fmt: skip


def other_sizes(np_like: Any, half: Any, i: Any) -> Any:
    """JAX does not batch these."""
    lax = lax_of(np_like)
    bits = lax.bitcast_convert_type
    return bits(half[:, :2], np.float32), bits(i, np.uint8), bits(half, np.int16)


def new_numbers(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.one_minus_square(x), lax.log2(x + 2),
        lax.polynomial(x, [1.0, 2, 0.5, 1.5]), lax.polynomial(x, [2.0]), lax.polynomial(x, []),
        lax.polynomial(2.0, [1.0, x, x[:1]]), jax.lax.polynomial(x, [x, x]),
    )  # fmt: skip


NEW = [Case("lax numbers of 0.12", new_numbers, (X,), second=True)]

CASES = [
    *(NEW if hasattr(jax.lax, "polynomial") else []),
    Case("lax bits of other sizes", other_sizes, (HALF, INTS), grad=False, vmap=False),
    Case("lax numbers", numbers, (X, HALF, INTS)),
    Case("lax arrangement", arrangement, (X, HALF, INTS)),
    Case("lax functions of JAX", of_jax, (X,), vmap=False, grad=False),
    Case("lax scatter", writes, (SQUARE, grid(-1.1, 3.3, (3, 3)))),
    Case("lax scatter_apply", applied, (SQUARE, INTS), grad=False),
    Case("lax reduce by a function", folds, (X,), second=True),
    Case("lax reduce of integers", integer_folds, (INTS, HALF), grad=False),
    Case("lax reduce_window by a function", window_folds, (SQUARE,), grad=False),
    Case("lax reduce_window, forward", window_slope, (SQUARE,), grad=False, vmap=False),
    Case("lax dot", dots, (X, HALF)),
    Case("lax ragged_dot", ragged, (grid(-1, 1, (4, 3)), grid(-1, 2, (3, 3, 2)), GROUPS),
         vmap=False),
    Case("lax ragged_dot by rows", ragged_rows, (grid(-1, 1, (4, 3)), GROUPS), grad=False,
         vmap=False),
    Case("lax approx_min_k", least, (X,)),
    Case("lax hints", hints, (X, INTS), second=True),
    Case("lax composite", named, (X,), grad=False, vmap=False),
    Case("lax rng_bit_generator", bits, (np.arange(4, dtype=np.uint32),)),
]  # fmt: skip
