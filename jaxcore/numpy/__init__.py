"""NumPy's interface: JAX's names, arguments, defaults and dtypes.

The functions imported here record our primitives directly; every other name is JAX's function,
which runs on our tracers.

promote, operand      dtypes, shapes and kinds that operands take
factory, composite    functions made from a primitive; functions of many operations
ufuncs, elementwise   elementwise functions: one primitive each, and made of several
logic, rounding       truth, NaN and closeness; rounding
special, floats       logarithms, angles, parts of complex numbers; of floats; divisors
reductions, statistics, covariance, quantiles, nan_reductions, histograms
sorting, running, searching, distinct, sets
operators, methods    operators and methods of our tracers
shapes, rearrange     the shape of one array, and the order of its elements
joining, padding, editing, diagonals, choosing, positions
creation, ranges, windows, polynomials, differences, views
mapping               functions applied along axes
linalg_products, einsum
indexing, index_plan  ``x[...]``; picking: take; updates: ``x.at[...]``
lax_*                 what `jaxcore.lax` exports of all this
"""

# ruff: noqa: F401, I001 (names that are exported, in the order of their families)

from __future__ import annotations

from typing import Any

from jaxcore import namespaces

# fmt: off
from jaxcore.numpy.ufuncs import (
    acos, add, arccos, arcsin, arcsinh, arctan, arctan2, arctanh, asin, asinh, atan, atan2, atanh,
    bitwise_and, bitwise_invert, bitwise_not, bitwise_or, bitwise_xor, cbrt, cos, cosh, divide,
    equal, exp, exp2, expm1, float_power, invert, log, log1p, maximum, minimum, multiply, negative,
    nextafter, not_equal, sign, sin, sinh, sqrt, subtract, tan, tanh, true_divide,
)
from jaxcore.numpy.elementwise import (
    abs, absolute, astype, clip, divmod, fabs, floor_divide, greater, greater_equal, left_shift,
    less, less_equal, mod, positive, pow, power, reciprocal, remainder, right_shift, square, where,
)
from jaxcore.numpy.logic import (
    allclose, array_equal, array_equiv, isclose, isfinite, isinf, isnan, isneginf, isposinf,
    logical_and, logical_not, logical_or, logical_xor,
)
from jaxcore.numpy.rounding import around, ceil, floor, nan_to_num, rint, round, trunc
from jaxcore.numpy.special import (
    acosh, angle, arccosh, bitwise_count, conj, conjugate, copy, deg2rad, degrees, fmax, fmin, fmod,
    heaviside, hypot, imag, log10, log2, logaddexp, logaddexp2, modf, rad2deg, radians, real,
)
from jaxcore.numpy.reductions import (
    all, amax, amin, any, argmax, argmin, count_nonzero, max, min, prod, sum,
)
from jaxcore.numpy.statistics import mean, minmax, ptp, std, var
from jaxcore.numpy.nan_reductions import (
    nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar,
)
from jaxcore.numpy.running import (
    cumprod, cumsum, cumulative_prod, cumulative_sum, nancumprod, nancumsum,
)
from jaxcore.numpy.sorting import (
    argpartition, argsort, lexsort, partition, sort, sort_complex, top_k,
)
from jaxcore.numpy.floats import (
    bitwise_left_shift, bitwise_right_shift, copysign, frexp, gcd, i0, iscomplex, isreal, lcm,
    ldexp, signbit, sinc, spacing,
)
from jaxcore.numpy import operators as _operators

# --- shapes and indexing: names of the files on shapes, products and indexing ---
from jaxcore.numpy.creation import (
    arange, array, asarray, empty, empty_like, eye, full, full_like, identity, ones, ones_like, tri,
    tril, triu, zeros, zeros_like,
)
from jaxcore.numpy.einsum import einsum
from jaxcore.numpy.picking import take, take_along_axis
from jaxcore.numpy.joining import (
    append, array_split, block, column_stack, concat, concatenate, dsplit, dstack, hsplit, hstack,
    meshgrid, split, stack, unstack, vsplit, vstack,
)
from jaxcore.numpy.linalg_products import (
    cross, dot, inner, kron, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat,
)
from jaxcore.numpy.shapes import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_shapes, broadcast_to,
    expand_dims, matrix_transpose, moveaxis, permute_dims, ravel, reshape, rollaxis, squeeze,
    swapaxes, transpose,
)
from jaxcore.numpy.rearrange import flip, fliplr, flipud, repeat, roll, rot90, tile
from jaxcore.numpy.padding import pad
from jaxcore.numpy.ranges import fromfunction, geomspace, linspace, logspace, mgrid, ogrid, vander
from jaxcore.numpy.positions import indices, ix_, ravel_multi_index, unravel_index
from jaxcore.numpy.searching import (
    argwhere, compress, extract, flatnonzero, interp, nonzero, searchsorted,
)
from jaxcore.numpy.diagonals import (
    diag, diag_indices, diag_indices_from, diagflat, diagonal, fill_diagonal, mask_indices, trace,
    tril_indices, tril_indices_from, triu_indices, triu_indices_from,
)
from jaxcore.numpy.editing import (
    delete, insert, place, put, put_along_axis, resize, trim_zeros,
)
from jaxcore.numpy.mapping import apply_along_axis, apply_over_axes, vectorize
from jaxcore.numpy.choosing import choose, piecewise, select
from jaxcore.numpy.differences import diff, ediff1d, gradient, trapezoid, unwrap
from jaxcore.numpy.covariance import average, corrcoef, cov
from jaxcore.numpy.quantiles import (
    median, nanmedian, nanpercentile, nanquantile, percentile, quantile,
)
from jaxcore.numpy.histograms import (
    bincount, digitize, histogram, histogram2d, histogram_bin_edges, histogramdd,
)
from jaxcore.numpy.distinct import (
    unique, unique_all, unique_counts, unique_inverse, unique_values,
)
from jaxcore.numpy.sets import intersect1d, isin, setdiff1d, setxor1d, union1d
from jaxcore.numpy.windows import (
    bartlett, blackman, convolve, correlate, hamming, hanning, kaiser,
)
from jaxcore.numpy.views import packbits, unpackbits
from jaxcore.numpy.polynomials import (
    polyadd, polyder, polydiv, polyint, polymul, polysub, polyval,
)
from jaxcore.numpy import methods

# --- end of shapes and indexing ---
# fmt: on


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
