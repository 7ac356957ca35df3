"""The functions of `jaxcore.lax` for convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.lax_dot import dot_general, resolve_precision
from jaxcore.numpy.operand import typed
from jaxcore.ops.compare import eq
from jaxcore.ops.conv import ConvDims, conv_general_dilated_p
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import broadcast_in_dim, reshape, transpose
from jaxcore.ops.shape import inverse, rev_p
from jaxcore.trace import aval_of, bind

__all__ = [
    "conv",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
]

Array = jax.Array


def _ints(values: Any) -> tuple[int, ...]:
    return tuple([index(v) for v in values])


def explicit_padding(
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
        padding = explicit_padding(
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


# --- transposed -----------------------------------------------------------------------------------

_DEFAULT_LAYOUTS = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Any,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Array:
    """The transpose of a convolution: the input is spread by `strides`, then convolved.

    Args:
      lhs: the input.
      rhs: the kernel.
      strides: by how much each spatial axis grows.
      padding: "SAME", "VALID", or (before, after) for each spatial axis: of the spread input, or
        with `use_consistent_padding` of the convolution that this is the transpose of.
      rhs_dilation: distance between neighbours of the kernel.
      dimension_numbers: see `conv_general_dilated`; by default channels come last.
      transpose_kernel: turn the kernel round and exchange its feature axes, so that this is the
        transpose of the convolution with the same kernel.
      precision: see `dot_general`.
      preferred_element_type: dtype to accumulate in and return.
      use_consistent_padding: see `padding`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> lax.conv_transpose(jnp.ones((1, 4, 4, 3)), jnp.ones((2, 2, 3, 8)), (2, 2), "SAME").shape
      (1, 8, 8, 8)
    """
    _, tx = typed("conv_transpose", lhs)
    y, ty = typed("conv_transpose", rhs, 1)
    rank = len(tx.shape)
    if rank != len(ty.shape) or rank < 2:
        raise TypeError(
            "conv_transpose needs an input and a kernel of one rank of 2 or more, got shapes "
            f"{tuple(tx.shape)} and {tuple(ty.shape)}."
        )
    if dimension_numbers is None:
        if rank not in _DEFAULT_LAYOUTS:
            raise ValueError(
                f"conv_transpose has no default dimension_numbers for rank {rank}. Fix: pass them."
            )
        dimension_numbers = _DEFAULT_LAYOUTS[rank]
    dims = jax.lax.conv_dimension_numbers(tx.shape, ty.shape, dimension_numbers)
    atrous = (1,) * (rank - 2) if rhs_dilation is None else _ints(rhs_dilation)
    if use_consistent_padding or padding in ("SAME", "VALID"):
        each = [padding] * (rank - 2) if isinstance(padding, str) else padding
        sizes = [(ty.shape[i] - 1) * d + 1 for i, d in zip(dims.rhs_spec[2:], atrous, strict=True)]
        padding = [_spread_padding(*of) for of in zip(sizes, strides, each, strict=True)]
    if transpose_kernel:
        y = bind(rev_p, y, dimensions=tuple(dims.rhs_spec[2:]))
        order = list(range(rank))
        out, into = dims.rhs_spec[:2]
        order[out], order[into] = into, out
        y = transpose(y, order)
    return conv_general_dilated(
        lhs,
        y,
        (1,) * (rank - 2),
        padding,
        strides,
        atrous,
        dims,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _spread_padding(size: int, stride: int, padding: Any) -> tuple[int, int]:
    """Padding of the spread input that undoes `padding` of a convolution by a window of `size`."""
    if padding == "SAME":
        total = size + stride - 2
        before = size - 1 if stride > size - 1 else -(-total // 2)
    elif padding == "VALID":
        total = size + stride - 2 + max(size - stride, 0)
        before = size - 1
    elif isinstance(padding, Sequence) and not isinstance(padding, str):
        before, after = (size - 1 - p for p in padding)
        return before, after
    else:
        raise ValueError(f"conv_transpose: invalid padding {padding!r}.")
    return before, total - before


# --- patches --------------------------------------------------------------------------------------


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The windows that a convolution looks at, each laid out along the feature axis.

    Args:
      lhs: the input: batch, features and spatial axes.
      filter_shape: size of the window.
      window_strides, padding, lhs_dilation, rhs_dilation: see `conv_general_dilated`.
      dimension_numbers: see `conv_general_dilated`; the kernel's part says nothing here.
      precision: of the input.
      preferred_element_type: dtype to return.

    Returns:
      An array whose feature axis has features × window elements, features outermost.
    """
    _, tx = typed("conv_general_dilated_patches", lhs)
    window = _ints(filter_shape)
    dims = jax.lax.conv_dimension_numbers(tx.shape, (1, 1, *window), dimension_numbers)
    size, features = math.prod(window), tx.shape[dims.lhs_spec[1]]
    # One output feature for each place in the window: a kernel that is 1 there and 0 elsewhere.
    places = ShapedArray((size, size), np.dtype(np.int32))
    row, column = (
        broadcast_in_dim(np.arange(size, dtype=np.int32), places.shape, (i,)) for i in (0, 1)
    )
    kernel = convert(eq(row, column), tx.dtype)
    kernel = broadcast_in_dim(kernel, (features, size, size), (1, 2))
    kernel = reshape(kernel, (features * size, 1, *window))
    kernel = transpose(kernel, inverse(dims.rhs_spec))
    return conv_general_dilated(
        lhs,
        kernel,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dims,
        feature_group_count=features,
        precision=None if precision is None else (precision, jax.lax.Precision.DEFAULT),
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Array:
    """A convolution whose kernel differs from place to place.

    Args:
      lhs: the input: batch, features and spatial axes.
      rhs: the kernels: output features, features × window elements (features outermost), and one
        spatial axis for each of the output.
      window_strides, padding: see `conv_general_dilated`.
      filter_shape: size of the window.
      lhs_dilation, rhs_dilation, dimension_numbers: see `conv_general_dilated`.
      precision: see `dot_general`.
    """
    resolved = resolve_precision(precision)
    if resolved is not None and not isinstance(resolved, tuple):
        raise ValueError(
            f"Unsupported precision for conv_general_dilated_local: {precision}. Fix: pass a "
            "lax.Precision, or a pair of them."
        )
    patches = conv_general_dilated_patches(
        lhs,
        filter_shape,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        precision=None if resolved is None else resolved[0],
    )
    shape = aval_of(typed("conv_general_dilated_local", lhs)[0]).shape
    dims = jax.lax.conv_dimension_numbers(shape, (1, 1, *filter_shape), dimension_numbers)
    places = sorted(zip(dims.out_spec[2:], dims.rhs_spec[2:], strict=True))
    batch = tuple([a for a, _ in places]), tuple([b for _, b in places])
    contract = (dims.out_spec[1],), (dims.rhs_spec[1],)
    out = dot_general(patches, rhs, (contract, batch), precision=precision)
    # What comes out is the places, the batch, the output features.
    order = [*dims.out_spec[:2]]
    last = len(shape) - 2
    source = iter(range(last))
    return transpose(
        out,
        [last + order.index(i) if i in order else next(source) for i in range(len(shape))],
    )
