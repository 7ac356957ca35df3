"""Convolutions over ``(..., *spatial, channels)``, one class for every number of spatial axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .dtypes import as_array, promote
from .errors import InputError, where
from .module import Module

Ints = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]


def _per_axis(module: Module, value: Ints | None, rank: int, option: str) -> tuple[int, ...]:
    values = (
        (1 if value is None else value,) * rank
        if value is None or isinstance(value, int)
        else tuple(value)
    )
    if len(values) != rank:
        raise InputError(
            f"{where(module.path, type(module).__name__)}: {option}={value} has {len(values)} "
            f"entries. Expected an integer or {rank}, one for each spatial axis."
        )
    return values


def _pads(module: Module, padding: Padding, rank: int) -> str | list[tuple[int, int]]:
    if isinstance(padding, str):
        name = padding.upper()
        if name not in ("SAME", "SAME_LOWER", "VALID", "CIRCULAR", "REFLECT", "CAUSAL"):
            raise InputError(
                f"{where(module.path, type(module).__name__)}: padding='{padding}'. Expected "
                "'SAME', 'VALID', 'CIRCULAR', 'REFLECT', 'CAUSAL', an integer or (low, high) pairs."
            )
        return name
    pads = [padding] * rank if isinstance(padding, int) else list(padding)
    if len(pads) != rank:
        raise InputError(
            f"{where(module.path, type(module).__name__)}: padding={padding} has {len(pads)} "
            f"entries. Expected {rank}, one for each spatial axis."
        )
    return [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in pads]


def _spatial_rank(module: Module, x: Any, kernel_size: Ints) -> tuple[Any, int]:
    x = as_array(x)
    rank = x.ndim - 2 if isinstance(kernel_size, int) else len(kernel_size)
    if rank < 1 or x.ndim < rank + 1:
        raise InputError(
            f"{where(module.path, type(module).__name__)}: the input has shape {x.shape} and "
            f"kernel_size={kernel_size}. Expected (batch, *spatial, channels) with one spatial "
            "axis for each entry of kernel_size; add a missing axis with x[..., None] or x[None]."
        )
    return x, rank


def _numbers(rank: int) -> lax.ConvDimensionNumbers:
    spatial = tuple(range(1, rank + 1))
    return lax.ConvDimensionNumbers(
        (0, rank + 1, *spatial), (rank + 1, rank, *range(rank)), (0, rank + 1, *spatial)
    )


class Conv(Module):
    """Convolution: ``(..., *spatial, in) -> (..., *spatial', features)``.

    The number of spatial axes is the length of `kernel_size`; an integer stands for the same size
    along every axis between the first and the last. Any number of batch axes, none included.

    Parameters: ``kernel (*kernel_size, in // groups, features)``, ``bias (features,)``.

    Args:
      strides, kernel_dilation, input_dilation: integers, or one for each spatial axis.
      padding: ``"SAME"``, ``"VALID"``, ``"CIRCULAR"`` (wraps around), ``"REFLECT"``, ``"CAUSAL"``
        (one spatial axis; no output sees a later input), an integer, or (low, high) pairs.
      feature_group_count: number of groups; the number of input channels for a depthwise one.
      mask: multiplied into the kernel, of its shape.
    """

    features: int
    kernel_size: Ints
    strides: Ints | None = 1
    padding: Padding = "SAME"
    input_dilation: Ints | None = 1
    kernel_dilation: Ints | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: Any = None
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x, rank = _spatial_rank(self, x, self.kernel_size)
        size = _per_axis(self, self.kernel_size, rank, "kernel_size")
        strides = _per_axis(self, self.strides, rank, "strides")
        dilation = _per_axis(self, self.kernel_dilation, rank, "kernel_dilation")
        channels, groups = x.shape[-1], self.feature_group_count
        if channels % groups or self.features % groups:
            raise InputError(
                f"{where(self.path, 'Conv')}: feature_group_count={groups} must divide the "
                f"{channels} input channels and features={self.features}."
            )
        shape = (*size, channels // groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        if self.mask is not None:
            if jnp.shape(self.mask) != shape:
                raise InputError(
                    f"{where(self.path, 'Conv')}: mask has shape {jnp.shape(self.mask)}. "
                    f"Expected the kernel's, {shape}."
                )
            kernel = kernel * self.mask
        lead = x.shape[: x.ndim - rank - 1]
        x = x.reshape(math.prod(lead), *x.shape[len(lead) :])
        x, pads = _apply_padding(self, x, _pads(self, self.padding, rank), size, dilation)
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = lax.conv_general_dilated(
            x,
            kernel,
            strides,
            pads,
            lhs_dilation=_per_axis(self, self.input_dilation, rank, "input_dilation"),
            rhs_dilation=dilation,
            dimension_numbers=_numbers(rank),
            feature_group_count=groups,
            precision=self.precision,
        )
        if bias is not None:
            y = y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return y.reshape(*lead, *y.shape[1:])


def _apply_padding(
    module: Module, x: Array, pads: Any, size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Array, Any]:
    """Pads `x` where XLA's convolution cannot; returns what is left for it to pad."""
    if pads not in ("CIRCULAR", "REFLECT", "CAUSAL"):
        return x, pads
    spans = [(k - 1) * d for k, d in zip(size, dilation, strict=True)]
    if pads == "CAUSAL":
        if len(size) != 1:
            raise InputError(
                f"{where(module.path, type(module).__name__)}: padding='CAUSAL' needs one spatial "
                f"axis, and kernel_size={size} has {len(size)}. Pad explicitly with (low, high) "
                "pairs."
            )
        return x, [(spans[0], 0)]
    around = [(0, 0), *((s // 2, s - s // 2) for s in spans), (0, 0)]
    return jnp.pad(x, around, mode="wrap" if pads == "CIRCULAR" else "reflect"), "VALID"


class ConvTranspose(Module):
    """Transposed convolution, which undoes a strided one's change of size.

    ``(..., *spatial, in) -> (..., *spatial', features)``; with ``"SAME"`` padding
    ``spatial' = spatial * strides``.

    Parameters: ``kernel (*kernel_size, in, features)``, or ``(*kernel_size, features, in)`` with
    `transpose_kernel` (the gradient of a `Conv` with that kernel); ``bias (features,)``.
    """

    features: int
    kernel_size: Ints
    strides: Ints | None = None
    padding: Padding = "SAME"
    kernel_dilation: Ints | None = None
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros
    transpose_kernel: bool = False

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x, rank = _spatial_rank(self, x, self.kernel_size)
        size = _per_axis(self, self.kernel_size, rank, "kernel_size")
        pads = _pads(self, self.padding, rank)
        if pads not in ("SAME", "VALID") and isinstance(pads, str):
            raise InputError(
                f"{where(self.path, 'ConvTranspose')}: padding='{self.padding}'. Expected 'SAME', "
                "'VALID', an integer or (low, high) pairs."
            )
        ends = (
            (self.features, x.shape[-1]) if self.transpose_kernel else (x.shape[-1], self.features)
        )
        kernel = self.param("kernel", self.kernel_init, (*size, *ends), self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        lead = x.shape[: x.ndim - rank - 1]
        x = x.reshape(math.prod(lead), *x.shape[len(lead) :])
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = lax.conv_transpose(
            x,
            kernel,
            _per_axis(self, self.strides, rank, "strides"),
            pads,
            rhs_dilation=_per_axis(self, self.kernel_dilation, rank, "kernel_dilation"),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
        )
        if bias is not None:
            y = y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return y.reshape(*lead, *y.shape[1:])
