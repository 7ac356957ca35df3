"""JAX's lax names: operations without promotion, on operands of one dtype.

The names imported here record our primitives directly; every other name is JAX's function, which
runs on our tracers.
"""

# ruff: noqa: F401, I001 (names that are exported, in the order of their families)

from __future__ import annotations

from typing import Any

from jaxcore import namespaces

__path__: list[str] = []  # jaxcore.lax.linalg is imported from here

# fmt: off
from jaxcore.numpy.lax_functions import (
    abs, acos, acosh, add, argmax, argmin, asin, asinh, atan, atan2, atanh, bitcast_convert_type,
    bitwise_and, bitwise_not, bitwise_or, bitwise_xor, cbrt, ceil, clamp, clz, complex, conj,
    convert_element_type, cos, cosh, cumlogsumexp, cummax, cummin, cumprod, cumsum, div,
    eq, erf, erf_inv, erfc, exp, exp2, expm1, floor, ge, gt, imag, integer_pow, is_finite, le,
    log, log1p, log2, logistic, lt, max, min, mul, mulhi, ne, neg, nextafter, one_minus_square,
    population_count, pow, real, reciprocal, reduce_and, reduce_max, reduce_min, reduce_or,
    reduce_precision, reduce_prod, reduce_sum, reduce_xor, rem, round, rsqrt, select, select_n,
    shift_left, shift_right_arithmetic, shift_right_logical, sign, sin, sinh, sort, sqrt, square,
    stop_gradient, sub, tan, tanh, top_k,
)
from jaxcore.numpy.lax_special import (
    bessel_i0e, bessel_i1e, betainc, digamma, igamma, igamma_grad_a, igammac, lgamma, polygamma,
    polynomial, random_gamma_grad, zeta,
)

# --- collectives ---
from jaxcore.collectives import (
    all_gather, all_to_all, pbroadcast, pmax, pmean, pmin, ppermute, pshuffle, psum, psum_scatter,
    pswapaxes,
)
from jaxcore.ops import exchange as _exchange
from jaxcore.ops import custom_batch as _custom_batch  # for JAX's own, as the next
from jaxcore.ops import hi as _hi
from jaxcore.ops import sharding as _sharding

# --- control flow ---
from jaxcore.associative import associative_scan
from jaxcore.branch import cond, platform_dependent, switch
from jaxcore.control import map, scan
from jaxcore.implicit import custom_linear_solve, custom_root
from jaxcore.loops import fori_loop, while_loop

# --- shapes and indexing: names of the files on shapes, products and indexing ---
from jaxcore.numpy.indexing import gather
from jaxcore.numpy.lax_arrange import (
    broadcast_like, broadcast_to_rank, empty, index_take, stack, tile, unstack,
)
from jaxcore.numpy.lax_conv import (
    conv, conv_general_dilated, conv_general_dilated_local, conv_general_dilated_patches,
    conv_transpose, conv_with_general_padding,
)
from jaxcore.numpy.lax_dot import batch_matmul, dot, dot_general, ragged_dot, ragged_dot_general
from jaxcore.numpy.lax_dynamic import (
    dynamic_index_in_dim, dynamic_slice, dynamic_slice_in_dim, dynamic_update_index_in_dim,
    dynamic_update_slice, dynamic_update_slice_in_dim,
)
from jaxcore.numpy.lax_misc import (
    approx_max_k, approx_min_k, composite, optimization_barrier, rng_bit_generator, rng_uniform,
    sort_key_val,
)
from jaxcore.numpy.lax_reduce import reduce, reduce_window
from jaxcore.numpy.lax_scatter import (
    scatter, scatter_add, scatter_apply, scatter_max, scatter_min, scatter_mul, scatter_sub,
)
from jaxcore.numpy.lax_shapes import (
    broadcast, broadcast_in_dim, broadcasted_iota, collapse, concatenate, expand_dims, full,
    full_like, index_in_dim, iota, pad, reshape, rev, slice, slice_in_dim, split, squeeze,
    transpose,
)

# --- end of shapes and indexing ---
# fmt: on


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
