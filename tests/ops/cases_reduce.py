"""Cases of reductions, running totals and sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
from ops.cases_elementwise import BF16, BOOLS, COMPLEX, INTS, SMALL, TIES, grid, lax_of
from ops.harness import Case

CUBE = np.array(
    [[[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]], [[3.0, -2.0, 1.0], [-0.75, 1.25, 0.1]]], np.float32
)
HOLES = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]], np.float32)


def forms(name: str, **options: Any) -> Case:
    """All axes, one, several, none of them; keepdims; in half precision."""

    def fn(np_like: Any, x: Any, half: Any) -> Any:
        f = getattr(np_like, name)
        return (f(x), f(x, axis=1), f(x, axis=(0, -1), keepdims=True), f(half, axis=-1),
                f(x, axis=()))  # fmt: skip

    return Case(name, fn, (CUBE, grid(0.5, 2, dtype=BF16)), **options)


REDUCTIONS = [
    forms("sum"),
    forms("prod", second=True, tol=1e-4),
    forms("max"),
    forms("min"),
    forms("mean"),
    forms("var", tol=1e-4),
    forms("ptp"),
    forms("all"),
    forms("any"),
    forms("count_nonzero"),
    forms("nansum"),
    forms("nanprod"),
    forms("nanmax"),
    forms("nanmin"),
    forms("nanmean"),
    Case(
        "std",
        lambda np, x: (np.std(x), np.std(x, axis=1), np.var(x, axis=0, ddof=1), x.std(-1)),
        (CUBE,),
        tol=1e-4,
    ),
    Case(
        "masked",
        lambda np, x, m: (
            np.sum(x, axis=1, where=m), np.prod(x, where=m), np.mean(x, axis=0, where=m),
            np.max(x, axis=1, where=m, initial=-9.0), np.min(x, where=m, initial=9.0),
            np.any(m, axis=0, where=m), np.all(x > 0, where=m), np.var(x, where=m),
        ),
        (grid(0.5, 2), BOOLS),
    ),
    Case(
        "initial",
        lambda np, x, i: (np.sum(x, initial=2.0), np.prod(x, axis=0, initial=3.0),
                          np.max(x, initial=1.5), np.sum(i, initial=1), np.min(i, initial=-2)),
        (grid(0.5, 2), INTS),
    ),
    Case(
        "dtypes of reductions",
        lambda np, i, u, b, h: [
            f(v) for v in (i, u, b) for f in (np.sum, np.prod, np.max, np.mean, np.any, np.var)
        ] + [np.sum(h, dtype="float32"), np.sum(u, dtype="int16"), np.mean(i, dtype="float16"),
             np.sum(u, promote_integers=False), np.cumsum(u), np.cumsum(b), np.max(b), np.min(b)],
        (INTS, SMALL, BOOLS, grid(0.5, 2, dtype=BF16)),
    ),
    Case(
        "sums of complex numbers",
        lambda np, z: (np.sum(z), np.mean(z, axis=0), np.prod(z, axis=1), np.var(z), np.any(z),
                       np.cumsum(z, axis=1)),
        (COMPLEX,),
        tol=1e-4,
    ),
    Case(
        "ties of extrema",
        lambda np, x: (np.max(x), np.min(x, axis=1), np.max(x, axis=0), np.sort(x), np.ptp(x)),
        (TIES,),
    ),
    Case(
        "holes",
        lambda np, x: (np.nansum(x, axis=1), np.nanprod(x), np.nanmean(x, axis=0), np.max(x),
                       np.sum(x, axis=0), np.nanmean(x, axis=1), np.argmax(x, axis=1),
                       np.argmin(x, axis=0), np.sort(x, axis=1), np.argsort(x, axis=1)),
        (HOLES,),
        grad=False,
    ),
    Case(
        "all holes",
        lambda np, x: (np.nanmax(x, axis=1), np.nanmin(x, axis=0)),
        (HOLES,),
        grad=False,
    ),
    Case(
        "places",
        lambda np, x, i, b: [
            f(v, axis=a, keepdims=k)
            for f in (np.argmax, np.argmin) for v in (x, i, b) for a, k in ((None, None), (1, True))
        ],
        (TIES, INTS, BOOLS),
    ),
    Case(
        "reductions of empty axes",
        lambda np, x: (np.sum(x, axis=0), np.prod(x, axis=0), np.all(x), np.any(x, axis=0),
                       np.max(x, axis=1), np.sum(x, axis=1)),
        (np.zeros((0, 3), np.float32),),
        grad=False,
    ),
    Case(
        "methods",
        lambda np, x: (x.sum(), x.mean(0), x.max(axis=1), x.min(), x.prod(0), x.var(), x.std(1),
                       x.any(), x.all(1), x.argmax(), x.argmin(1), x.cumsum(0), x.cumprod(1),
                       x.round(), x.clip(0, 1), x.astype("int32"), x.sort(0), x.argsort(1), x.ptp(),
                       x.conj(), x.real, x.imag, x.copy(), -x, +x, abs(x), x // 2, x % 2,
                       x**2, 1 / x,
                       2 - x, 2**x),
        (grid(0.5, 2),),
        tol=1e-4,
    ),
    Case(
        "lax reductions",
        lambda np, x, i: (
            [getattr(lax_of(np), f"reduce_{n}")(x, (0,)) for n in ("sum", "prod", "max", "min")]
            + [getattr(lax_of(np), f"reduce_{n}")(i, (1,)) for n in ("and", "or", "xor")]
            + [lax_of(np).argmax(x, 1, "int32"), lax_of(np).argmin(i, 0, "uint8")]
        ),
        (grid(0.5, 2), INTS),
    ),
]  # fmt: skip

RUNNING = [
    Case(
        "running totals",
        lambda np, x: (np.cumsum(x, axis=0), np.cumsum(x), np.cumsum(x, axis=-1, dtype="int32")),
        (CUBE,),
    ),
    Case("running products", lambda np, x: np.cumprod(x, axis=1), (grid(0.5, 2),), native=False),
    Case(
        "lax running",
        lambda np, x: [
            getattr(lax_of(np), f"cum{n}")(x, axis=1, reverse=r)
            for n in ("sum", "max", "min") for r in (False, True)
        ] + [lax_of(np).cumlogsumexp(x, 1)],
        (grid(2, -1),),
        native=False,
    ),
]  # fmt: skip

KEYS = np.array([[3, 1, 2], [2, 2, 1]], np.int32)

SORTING = [
    Case(
        "sort",
        lambda np, x, i: (np.sort(x), np.sort(x, axis=0), np.sort(x, axis=None), np.sort(i),
                          np.argsort(x), np.argsort(i, axis=None), np.argsort(i, stable=False)),
        (CUBE, KEYS),
        native=False,
    ),
    Case(
        "sort by keys",
        lambda np, i, x: (lax_of(np).sort((i, x), num_keys=1), lax_of(np).sort((i, x), num_keys=2),
                          lax_of(np).sort((i, x), dimension=0, num_keys=1)),
        (KEYS, grid(-1, 1)),
        native=False,
    ),
    Case(
        "sort dtypes",
        lambda np, h, u, b, z: (np.sort(h), np.sort(u), np.sort(b), np.sort(z)),
        (grid(1, -1, dtype=BF16), SMALL[:, ::-1], BOOLS, COMPLEX[:, ::-1]),
        grad=False,
    ),
    Case(
        "top_k",
        lambda np, x: tuple(lax_of(np).top_k(x, 2)),
        (CUBE,),
        native=False,
    ),
]  # fmt: skip


CASES = [*REDUCTIONS, *RUNNING, *SORTING]
