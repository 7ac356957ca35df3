"""Cases of statistics, quantiles, histograms, sorting, searching and sets."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.harness import Case

X = np.array([[3.0, -1.5, 0.25, 2.0], [0.5, 4.0, -2.0, 1.0], [7.0, 6.0, 5.5, -3.0]], np.float32)
HOLES = np.where(np.abs(X) < 0.6, np.nan, X).astype(np.float32)
HALF = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]], jnp.bfloat16)
INTS = np.array([[3, 1, 2, 3], [0, 5, 5, 1], [2, 2, 7, 0]], np.int32)
SMALL = np.array([6, 4, 9, 4], np.uint8)
BOOLS = INTS > 1
Z = np.array([[1 + 2j, 3j, 0.1], [2.0, 1 + 1j, 1 - 1j]], np.complex64)
EDGES = np.array([-1.0, 0.0, 0.5, 2.0, 6.0], np.float32)
Q = np.array([0.0, 0.3, 1.0], np.float32)
ODD = np.array([2.0, np.nan, -0.0, 0.0, np.inf, -np.inf, np.nan], np.float32)


def holes(np_like: Any, x: Any, i: Any, b: Any, half: Any) -> Any:
    nan = np_like.nan
    half = np_like.where(half > 1, nan, half)
    return (
        np_like.nanvar(x, axis=1), np_like.nanstd(x, ddof=1), np_like.nanvar(i, axis=0),
        np_like.nanstd(half, axis=1, keepdims=True), np_like.nanvar(x, 1, mean=x[:, :1] * 0),
        np_like.nanvar(x[:, :2], axis=1, ddof=1), np_like.nanmean(x, axis=0, where=b),
        np_like.nanvar(x, axis=1, where=b), np_like.nanmax(x, axis=1), np_like.nanmin(x),
        np_like.nanmax(x, axis=0, initial=5.0), np_like.nanmin(i, axis=1), np_like.nanmax(half),
        np_like.nansum(x, axis=1), np_like.nanprod(x, axis=0), np_like.nanmean(i),
    )  # fmt: skip


def hole_places(np_like: Any, x: Any, i: Any) -> Any:
    return (
        np_like.nanargmax(x, axis=1), np_like.nanargmin(x), np_like.nanargmax(x * np_like.nan, 1),
        np_like.nanargmin(x, axis=0, keepdims=True), np_like.nanargmax(i, axis=1),
        np_like.nanvar(x * np_like.nan, axis=0), np_like.nanmean(x * np_like.nan),
        np_like.nanmin(x * np_like.nan, axis=1), np_like.nanmedian(x * np_like.nan, axis=1),
        np_like.nanmax(x[0] * 1j + 2), np_like.quantile(x, 0.3, axis=1),
    )  # fmt: skip


def averages(np_like: Any, x: Any, w: Any, i: Any, half: Any, z: Any) -> Any:
    average = np_like.average
    return (
        average(x), average(x, axis=1), average(x, 1, w[0]), average(x, weights=x * x + 1),
        average(x, 0, returned=True),
        average(i, 0, w[0, :3], returned=True), average(half, 1, keepdims=True), average(z),
        average(x, (1, 0), w, returned=True, keepdims=True), average(i),
        np_like.var(x, mean=x[:, :1]), np_like.std(z), np_like.var(z, axis=1, dtype="complex64"),
    )  # fmt: skip


def covariances(np_like: Any, x: Any, w: Any, i: Any, half: Any, z: Any) -> Any:
    cov = np_like.cov
    return (
        cov(x), cov(x, rowvar=False, bias=True), cov(x[0]), cov(x[0], x[1]), cov(i), cov(z),
        cov(x, fweights=i[0] + 1), cov(x, aweights=w[0], ddof=0), cov(half),
        cov(x, x[:1], fweights=i[1] + 1, aweights=w[0]), np_like.corrcoef(x),
        np_like.corrcoef(x[0], x[1]), np_like.corrcoef(i, rowvar=False), np_like.corrcoef(z),
        np_like.corrcoef(x[0]), cov(x[:, :1]), cov(x[:0]), cov(x[:, :0]),
    )  # fmt: skip


def quantiles(np_like: Any, x: Any, q: Any, i: Any, half: Any) -> Any:
    quantile = np_like.quantile
    return (
        quantile(x, q), quantile(x, q, axis=0, keepdims=True), quantile(half, q[:1], 0),
        quantile(x, q, (0, 1), method="lower"), quantile(x, 0.6, 0, method="higher"),
        quantile(i, q, 1, method="nearest"), np_like.percentile(x, 30, axis=-1),
        np_like.median(x[:, :3], axis=1), np_like.median(i, (0, 1), keepdims=True),
    )  # fmt: skip


def weighted_quantiles(np_like: Any, x: Any, q: Any, w: Any, holes: Any) -> Any:
    quantile, nanquantile = np_like.quantile, np_like.nanquantile
    kw = {"method": "inverted_cdf"}
    return (
        nanquantile(holes, q, axis=1), np_like.nanmedian(holes, 0), quantile(x, q, 1, **kw),
        nanquantile(holes, 0.4, (0, 1), keepdims=True), np_like.nanpercentile(holes, 20, 1),
        quantile(x, q, 1, weights=w[0], keepdims=True, **kw),
        nanquantile(holes, 0.6, 0, weights=w, **kw), quantile(x, q, 0, weights=-w, **kw),
    )  # fmt: skip


def counted(np_like: Any, x: Any, i: Any, u: Any, edges: Any, b: Any) -> Any:
    bincount, digitize = np_like.bincount, np_like.digitize
    return (
        bincount(i.ravel(), length=6), bincount(u, length=9), bincount(i[0], x[0], length=4),
        bincount(b[0], length=3), bincount(i[0] - 2, length=2), digitize(x, edges),
        digitize(x, edges[::-1], right=True), digitize(i, edges, True), digitize(x, edges[:0]),
        digitize(x, edges, method="sort"), np_like.histogram_bin_edges(x, 3),
        np_like.histogram_bin_edges(i, edges), np_like.histogram_bin_edges(x * 0, 2),
        np_like.histogram_bin_edges(x, 2, (0, 4)),
    )  # fmt: skip


def histograms(np_like: Any, x: Any, w: Any, i: Any, edges: Any) -> Any:
    histogram = np_like.histogram
    return (
        histogram(x, 4), histogram(x, edges, density=True), histogram(i, 3, weights=w),
        histogram(x, 3, range=(-1, 2), density=True), np_like.histogram2d(x[0], x[1], 2),
        np_like.histogram2d(x[0], x[1], [2, edges], weights=w[0], density=True),
        np_like.histogram2d(x[0], x[1], edges), np_like.histogramdd(x, (2, 3, 2, 2), None, w[:, 0]),
        np_like.histogramdd(x[:, :2], 2, ((0, 4), None)),
    )  # fmt: skip


def placed(np_like: Any, edges: Any, x: Any, i: Any, z: Any, odd: Any, order: Any) -> Any:
    searchsorted = np_like.searchsorted
    ascending = np_like.sort(odd)
    return (
        searchsorted(edges, x), searchsorted(edges, x, side="right"), searchsorted(edges, 0.5),
        searchsorted(edges, i, method="scan_unrolled"), searchsorted(edges, x, method="sort"),
        searchsorted(edges, x, side="right", method="sort"), searchsorted(edges[:0], x),
        searchsorted(edges, x, "right", method="compare_all"), edges.searchsorted(x[0]),
        searchsorted(ascending, odd), searchsorted(ascending, odd, "right", method="compare_all"),
        searchsorted(edges[order], x, sorter=np_like.argsort(order)), searchsorted(edges, x[:0]),
    )  # fmt: skip


def found(np_like: Any, x: Any, i: Any, b: Any) -> Any:
    return (
        np_like.nonzero(i, size=5), np_like.nonzero(x, size=20, fill_value=(7, -1)),
        np_like.flatnonzero(b, size=4), np_like.argwhere(b, size=9, fill_value=-5),
        np_like.where(b, size=3), i.nonzero(size=2), np_like.argwhere(x[0, 0], size=1),
        np_like.extract(b, x, size=6), np_like.extract(b, i, size=12, fill_value=9),
        np_like.compress(b[0], x, axis=1, size=2), np_like.compress(b[0, :3], i, 0, size=3),
        np_like.compress(b[0], x, 1, size=4, fill_value=x[0, 0]), np_like.nonzero(x[:0], size=2),
        np_like.nonzero(b, size=0), x.compress(b[0], axis=1, size=4),
    )  # fmt: skip


def sorted_in_part(np_like: Any, x: Any, i: Any, u: Any, b: Any, half: Any) -> Any:
    return (
        np_like.sort(x, descending=True), np_like.sort(i, axis=0, descending=True, stable=False),
        np_like.argsort(i, axis=1, descending=True), np_like.argsort(x, dtype="int16"),
        np_like.argsort(i, descending=True, stable=False), np_like.partition(x, 1),
        np_like.partition(i, 2, axis=0), np_like.argpartition(x, 2, axis=0),
        np_like.argpartition(i, -2), x.argpartition(1), np_like.partition(half, 0),
        np_like.lexsort((x[0], i[0])), np_like.lexsort(i), np_like.lexsort([i, x], axis=0),
        np_like.lexsort(i[:, 0]), np_like.sort_complex(x), np_like.sort_complex(i),
        np_like.partition(i[0], 1), np_like.sort_complex(half),
    )  # fmt: skip


def distinct(np_like: Any, i: Any, odd: Any, z: Any, b: Any) -> Any:
    unique = np_like.unique
    every = {"return_index": True, "return_inverse": True, "return_counts": True}
    return (
        unique(i, size=3, **every), unique(i, size=9, fill_value=-1, **every),
        unique(i, axis=1, size=4, **every), unique(b, size=2, axis=0),
        unique(odd, size=6, return_counts=True), unique(z, size=4),
        unique(i[:0], size=2, fill_value=3), tuple(np_like.unique_all(odd, size=7)),
    )  # fmt: skip


def two_sets(np_like: Any, i: Any, u: Any, x: Any, odd: Any) -> Any:
    isin, row, other = np_like.isin, i[0], i[1:]
    intersect, xor, minus = np_like.intersect1d, np_like.setxor1d, np_like.setdiff1d
    return (
        isin(i, u, invert=True), isin(odd, odd, method="binary_search"), isin(i, u[:0]),
        np_like.union1d(row, x, size=3), minus(i, row, size=9, fill_value=-1),
        minus(u[:3], row, assume_unique=True, size=2), intersect(i, u, size=3),
        intersect(row, other, size=4, return_indices=True), xor(row, other, size=7),
        intersect(u[:3], u[1:3], True, True, size=3, fill_value=1), xor(i, u, size=3),
    )  # fmt: skip


CASES = [
    Case("statistics of holes", holes, (HOLES, INTS, BOOLS, HALF), tol=1e-4, rank_promotion=True),
    Case("places of holes", hole_places, (HOLES, INTS), grad=False),
    Case("averages", averages, (X, np.abs(X) + 0.5, INTS, HALF, Z), tol=1e-4),
    Case("covariances", covariances, (X, np.abs(X) + 0.5, INTS, HALF, Z), tol=3e-4),
    Case("quantiles", quantiles, (X, Q, INTS, HALF), tol=1e-4),
    Case("weighted quantiles", weighted_quantiles, (X, Q, np.abs(X) + 0.5, HOLES), vmap=False,
         tol=1e-4),
    Case("counts", counted, (X, INTS, SMALL, EDGES, BOOLS), grad=False),
    Case("histograms", histograms, (X, np.abs(X), INTS, EDGES), vmap=False, tol=1e-4),
    Case("searchsorted", placed, (EDGES, X, INTS, Z, ODD, np.array([2, 0, 1, 4, 3])), grad=False),
    Case("nonzero", found, (X, INTS, BOOLS)),
    Case("distinct", distinct, (INTS, ODD, Z, BOOLS), grad=False, vmap=False),
    Case("two sets", two_sets, (INTS, SMALL, X, ODD), grad=False, vmap=False),
    Case("sorted in part", sorted_in_part, (X, INTS, SMALL, BOOLS, HALF), native=False),
]  # fmt: skip
