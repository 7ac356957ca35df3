"""Floating-point operations of primitives that are not one for each element of the result.

The primitives are JAX's, by name, and those of ours that carry no rule of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["COSTS"]

Cost = Callable[..., int]


def _operand(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[0].size


def _nothing(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return 0


def _dot_general(avals_in: Any, avals_out: Any, *, dimension_numbers: Any, **_: Any) -> int:
    (contract, _), _ = dimension_numbers
    return 2 * avals_out[0].size * math.prod(avals_in[0].shape[d] for d in contract)


def _conv(avals_in: Any, avals_out: Any, *, dimension_numbers: Any, **_: Any) -> int:
    """Each result sums a window over the input features of its group; padding counts as data."""
    features_out = dimension_numbers.rhs_spec[0]
    kernel = avals_in[1]
    return 2 * avals_out[0].size * (kernel.size // max(kernel.shape[features_out], 1))


def _window(avals_in: Any, avals_out: Any, *, window_dimensions: Sequence[int], **_: Any) -> int:
    return avals_out[0].size * math.prod(window_dimensions)


def _sort(avals_in: Any, avals_out: Any, *, dimension: int, **_: Any) -> int:
    """n·log₂ n comparisons along the sorted dimension."""
    return avals_in[0].size * _log2(avals_in[0].shape[dimension])


def _top_k(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[0].size * _log2(avals_out[0].shape[-1])


def _log2(n: int) -> int:
    return math.ceil(math.log2(max(n, 1)))


def _fft(avals_in: Any, avals_out: Any, *, fft_lengths: Sequence[int], **_: Any) -> int:
    """5·n·log₂ n for a transform of n points."""
    return 5 * max(avals_in[0].size, avals_out[0].size) * _log2(math.prod(fft_lengths))


def _cubic(factor: float) -> Cost:
    """``factor · m·n·min(m, n)`` for each matrix."""

    def rule(avals_in: Any, avals_out: Any, **_: Any) -> int:
        a = avals_in[0]
        return round(factor * a.size * min(a.shape[-2:])) if a.ndim >= 2 else a.size

    return rule


def _triangular_solve(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_out[0].size * avals_in[0].shape[-1]


def _scatter(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return avals_in[2].size


_MOVEMENT = """
    reshape transpose squeeze expand_dims broadcast_in_dim rev slice dynamic_slice
    dynamic_update_slice pad concatenate split tile gather scatter iota copy copy_p
    convert_element_type reduce_precision bitcast_convert_type optimization_barrier stop_gradient
    device_put random_wrap random_unwrap real imag complex sharding_constraint pvary empty
    create_token debug_callback debug_print unstack stack
"""
_REDUCTIONS = """
    reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor argmax argmin
    reduce select_and_scatter_add
"""
_SCATTERS = "scatter-add scatter_add scatter_sub scatter-mul scatter_mul scatter_min scatter_max"
_WINDOWS = """
    reduce_window reduce_window_sum reduce_window_max reduce_window_min select_and_gather_add
"""

# Operations of JAX's primitives (and of ours without a rule) that are not one for each result.
COSTS: dict[str, Cost] = {
    **dict.fromkeys(_MOVEMENT.split(), _nothing),
    **dict.fromkeys(_REDUCTIONS.split(), _operand),
    **dict.fromkeys(_SCATTERS.split(), _scatter),
    **dict.fromkeys(_WINDOWS.split(), _window),
    "dot_general": _dot_general,
    "conv_general_dilated": _conv,
    "sort": _sort,
    "top_k": _top_k,
    "fft": _fft,
    "triangular_solve": _triangular_solve,
    "cholesky": _cubic(1 / 3),
    "lu": _cubic(2 / 3),
    "geqrf": _cubic(4 / 3),
    "householder_product": _cubic(4 / 3),
    "eigh": _cubic(9),
    "svd": _cubic(12),
}
