"""The functions of `jaxcore.lax` for convolution and sliding windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.lax_dot import resolve_precision
from jaxcore.numpy.operand import typed
from jaxcore.ops.conv import ConvDims, conv_general_dilated_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.window import (
    extreme_identity,
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_sum_p,
)
from jaxcore.trace import bind

__all__ = ["conv", "conv_general_dilated", "conv_with_general_padding", "reduce_window"]

Array = jax.Array


def _ints(values: Any) -> tuple[int, ...]:
    return tuple([index(v) for v in values])


def _explicit_padding(
    sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int], padding: Any
) -> tuple[tuple[int, int], ...]:
    """(before, after) along each axis, from pairs or from "SAME", "SAME_LOWER", "VALID"."""
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(sizes, windows, strides, padding)
    return tuple([_ints(p) for p in padding])  # type: ignore[misc]


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Convolution (in the sense of correlation) with strides, dilation and groups.

    Args:
      lhs: the input: batch, features and spatial axes.
      rhs: the kernel: output features, input features per group and spatial axes.
      window_strides: step of the window along each spatial axis.
      padding: "SAME", "VALID", "SAME_LOWER", or (before, after) for each spatial axis.
      lhs_dilation: distance between neighbours of the input (fractional strides).
      rhs_dilation: distance between neighbours of the kernel ("atrous").
      dimension_numbers: None (batch, features, space...), a `ConvDimensionNumbers`, or strings such
        as ``("NHWC", "HWIO", "NHWC")``.
      feature_group_count: into how many groups features are divided.
      batch_group_count: into how many groups the batch is divided.
      precision: see `dot_general`.
      preferred_element_type: dtype to accumulate in and return.
      out_sharding: left to JAX.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> image, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
      >>> lax.conv_general_dilated(
      ...     image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
      ... ).shape
      (1, 4, 4, 16)
    """
    x, tx = typed("conv_general_dilated", lhs)
    y, ty = typed("conv_general_dilated", rhs, 1)
    precise = resolve_precision(precision)
    plain = precise is None or isinstance(precise, tuple)
    if out_sharding is not None or not plain or len(tx.shape) != len(ty.shape):
        return jax.lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
            **({} if out_sharding is None else {"out_sharding": out_sharding}),
        )
    dims = jax.lax.conv_dimension_numbers(tx.shape, ty.shape, dimension_numbers)
    rank = len(tx.shape) - 2
    strides = _ints(window_strides)
    big = (1,) * rank if lhs_dilation is None else _ints(lhs_dilation)
    atrous = (1,) * rank if rhs_dilation is None else _ints(rhs_dilation)
    if isinstance(padding, str):
        windows = [
            max((ty.shape[i] - 1) * d + 1, 0)
            for i, d in zip(dims.rhs_spec[2:], atrous, strict=True)
        ]
        padding = _explicit_padding(
            [tx.shape[i] for i in dims.lhs_spec[2:]], windows, strides, padding
        )
    return bind(
        conv_general_dilated_p,
        x,
        y,
        window_strides=strides,
        padding=tuple([_ints(p) for p in padding]),
        lhs_dilation=big,
        rhs_dilation=atrous,
        dimension_numbers=ConvDims(*[tuple(s) for s in dims]),
        feature_group_count=index(feature_group_count),
        batch_group_count=index(batch_group_count),
        precision=precise,
        preferred_element_type=None
        if preferred_element_type is None
        else user_dtype(preferred_element_type),
    )


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """`conv_general_dilated` without dilation and groups, batch and features in front."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """`conv_general_dilated` without groups, batch and features in front."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _kind_of_window(computation: Any) -> str | None:
    """Which reduction a combining function is; None for another."""
    from jaxcore import lax as ours

    for name in ("add", "max", "min"):
        if computation is getattr(jax.lax, name) or computation is getattr(ours, name):
            return name
    return None


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None,
    padding: Any,
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """`computation` over the elements of each window that slides over `operand`.

    Args:
      operand: array, or a pytree of them.
      init_value: where each window begins, and the value of padding.
      computation: function of two values; `lax.add`, `lax.max` and `lax.min` with their neutral
        `init_value` have derivatives.
      window_dimensions: size of the window along each axis.
      window_strides: step of the window along each axis.
      padding: "SAME", "VALID", or (before, after) for each axis.
      base_dilation: distance between neighbours of the operand.
      window_dilation: distance between neighbours inside the window.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> lax.reduce_window(jnp.arange(6.0), 0.0, lax.add, (2,), (2,), "VALID")
      Array([1., 5., 9.], dtype=float32)
    """
    kind = _kind_of_window(computation)
    concrete = isinstance(init_value, int | float | np.generic | np.ndarray) or (
        isinstance(init_value, jax.Array) and not isinstance(init_value, backend.Tracer)
    )
    single = isinstance(operand, jax.Array | np.ndarray)
    if kind is None or not single or not concrete or np.ndim(init_value):
        same = getattr(jax.lax, kind) if kind is not None else computation
        return jax.lax.reduce_window(
            operand,
            init_value,
            same,
            window_dimensions,
            window_strides,
            padding,
            base_dilation,
            window_dilation,
        )
    x, aval = typed("reduce_window", operand)
    value = float(init_value) if kind_of(aval.dtype) == "f" else init_value
    neutral = (
        0
        if kind == "add"
        else (
            extreme_identity(aval.dtype, kind == "max")
            if kind_of(aval.dtype) in "biuf"
            else math.nan
        )
    )
    if value != neutral or (kind == "add" and kind_of(aval.dtype) == "b"):
        return jax.lax.reduce_window(
            operand,
            init_value,
            getattr(jax.lax, kind),
            window_dimensions,
            window_strides,
            padding,
            base_dilation,
            window_dilation,
        )
    rank = len(aval.shape)
    window = _ints(window_dimensions)
    strides = (1,) * rank if window_strides is None else _ints(window_strides)
    base = (1,) * rank if base_dilation is None else _ints(base_dilation)
    inner = (1,) * rank if window_dilation is None else _ints(window_dilation)
    if isinstance(padding, str):
        dilated = [max((n - 1) * d + 1, 0) for n, d in zip(window, inner, strict=True)]
        padding = _explicit_padding(aval.shape, dilated, strides, padding)
    primitive = {
        "add": reduce_window_sum_p,
        "max": reduce_window_max_p,
        "min": reduce_window_min_p,
    }[kind]
    return bind(
        primitive,
        x,
        window_dimensions=window,
        window_strides=strides,
        padding=tuple([_ints(p) for p in padding]),
        base_dilation=base,
        window_dilation=inner,
    )
