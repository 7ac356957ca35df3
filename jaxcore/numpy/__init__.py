"""NumPy's interface: JAX's names, arguments, defaults and dtypes.

The functions imported here record our primitives directly; every other name is JAX's function,
which runs on our tracers.

promote, factory      dtypes and shapes that operands take; functions made from a primitive
ufuncs, elementwise   elementwise functions: one primitive each, and made of several
logic, rounding       truth, NaN and closeness; rounding
special               logarithms, angles, parts of complex numbers
reductions, statistics, sorting
operators             operators and methods of our tracers
shapes, rearrange     the shape of one array, and the order of its elements
joining, creation     several arrays into one and back; new arrays
linalg_products, einsum
indexing, index_plan  ``x[...]``; picking: take; updates: ``x.at[...]``
methods               their methods on our tracers
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
from jaxcore.numpy.statistics import (
    mean, nanmax, nanmean, nanmin, nanprod, nansum, ptp, std, var,
)
from jaxcore.numpy.sorting import argsort, cumprod, cumsum, sort
from jaxcore.numpy import operators as _operators

# --- shapes and indexing: names of the files on shapes, products and indexing ---
from jaxcore.numpy.creation import (
    arange, array, asarray, empty, empty_like, eye, full, full_like, identity, ones, ones_like, tri,
    tril, triu, zeros, zeros_like,
)
from jaxcore.numpy.einsum import einsum
from jaxcore.numpy.picking import take, take_along_axis
from jaxcore.numpy.joining import (
    append, array_split, column_stack, concat, concatenate, dsplit, dstack, hsplit, hstack,
    meshgrid, pad, split, stack, unstack, vsplit, vstack,
)
from jaxcore.numpy.linalg_products import (
    dot, inner, kron, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat,
)
from jaxcore.numpy.shapes import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_shapes, broadcast_to,
    expand_dims, matrix_transpose, moveaxis, permute_dims, ravel, reshape, rollaxis, squeeze,
    swapaxes, transpose,
)
from jaxcore.numpy.rearrange import flip, fliplr, flipud, repeat, roll, rot90, tile
from jaxcore.numpy import methods

# --- end of shapes and indexing ---
# fmt: on


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
