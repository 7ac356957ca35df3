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

#: Paddings that XLA's convolution does not know, by the mode of `numpy.pad` that does them.
_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect", "REPLICATE": "edge"}


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
        if name not in ("SAME", "SAME_LOWER", "VALID", "CAUSAL", *_MODES):
            raise InputError(
                f"{where(module.path, type(module).__name__)}: padding='{padding}'. Expected "
                "'SAME', 'VALID', 'CIRCULAR', 'REFLECT', 'REPLICATE', 'CAUSAL', an integer or "
                "(low, high) pairs."
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


def _masked(module: Any, kernel: Array) -> Array:
    mask = getattr(module, "mask", None)
    if mask is None:
        return kernel
    if jnp.shape(mask) != kernel.shape:
        raise InputError(
            f"{where(module.path, type(module).__name__)}: mask has shape {jnp.shape(mask)}. "
            f"Expected the kernel's, {kernel.shape}."
        )
    return kernel * jnp.asarray(mask, kernel.dtype)


def _numbers(rank: int) -> lax.ConvDimensionNumbers:
    spatial = tuple(range(1, rank + 1))
    return lax.ConvDimensionNumbers(
        (0, rank + 1, *spatial), (rank + 1, rank, *range(rank)), (0, rank + 1, *spatial)
    )


class Conv(Module):
    """Convolution: ``(..., *spatial, in) -> (..., *spatial', features)``.

    The number of spatial axes is the length of `kernel_size`; an integer stands for the same size
    along every axis between the first and the last. Any number of batch axes, none included.

    ``y[p, f] = bias[f] + Σ_{q, c} x[p · strides + q · dilation, c] · kernel[q, c, f]``, a
    cross-correlation, as in every library here.

    Parameters: ``kernel (*kernel_size, in // groups, features)``, ``bias (features,)``.

    Args:
      strides, kernel_dilation, input_dilation: integers, or one for each spatial axis.
      padding: ``"SAME"``, ``"VALID"``, ``"CIRCULAR"`` (wraps around), ``"REFLECT"``,
        ``"REPLICATE"`` (repeats the border), ``"CAUSAL"`` (one spatial axis; no output sees a
        later input), an integer, or (low, high) pairs.
      feature_group_count: number of groups; the number of input channels for a depthwise one.
      mask: multiplied into the kernel, of its shape.

    Raises:
      InputError: too few axes, groups that do not divide the channels, an unknown padding.

    From PyTorch: ``Conv2d(i, o, k, stride, padding=p)`` is ``Conv(o, (k, k), stride, padding=p)``
    on channels-last images, with the kernel transposed from ``(o, i, h, w)`` to ``(h, w, i, o)``.
    Its default padding is 0, and with strides ``"SAME"`` pads less at the low end than PyTorch's
    ``k // 2``. From Keras: ``padding="valid"`` is the default there.

    LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> images = jnp.ones((2, 8, 8, 3))
    >>> y, variables = nn.Conv(4, (3, 3), strides=2).init_with_output(random.key(0), images)
    >>> y.shape, variables["params"]["kernel"].shape
    ((2, 4, 4, 4), (3, 3, 3, 4))
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
        groups, channels = self.feature_group_count, jnp.shape(x)[-1] if jnp.ndim(x) else 0
        if channels % groups or self.features % groups:
            raise InputError(
                f"{where(self.path, 'Conv')}: feature_group_count={groups} must divide the "
                f"{channels} input channels and features={self.features}."
            )
        return convolve(self, x, self.features, groups, self.input_dilation)


def convolve(
    module: Any, x: Any, features: int, groups: int, input_dilation: Ints | None = 1
) -> Array:
    """The convolution that `module` describes, with its parameters ``kernel`` and ``bias``."""
    x, rank = _spatial_rank(module, x, module.kernel_size)
    size = _per_axis(module, module.kernel_size, rank, "kernel_size")
    dilation = _per_axis(module, module.kernel_dilation, rank, "kernel_dilation")
    shape = (*size, x.shape[-1] // groups, features)
    kernel = module.param("kernel", module.kernel_init, shape, module.param_dtype)
    bias = None
    if module.use_bias:
        bias = module.param("bias", module.bias_init, (features,), module.param_dtype)
    kernel = _masked(module, kernel)
    lead = x.shape[: x.ndim - rank - 1]
    x = x.reshape(math.prod(lead), *x.shape[len(lead) :])
    x, pads = _apply_padding(module, x, _pads(module, module.padding, rank), size, dilation)
    x, kernel, bias = promote(module.compute_dtype, x, kernel, bias)
    y = lax.conv_general_dilated(
        x,
        kernel,
        _per_axis(module, module.strides, rank, "strides"),
        pads,
        lhs_dilation=_per_axis(module, input_dilation, rank, "input_dilation"),
        rhs_dilation=dilation,
        dimension_numbers=_numbers(rank),
        feature_group_count=groups,
        precision=module.precision,
    )
    if bias is not None:
        y = y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
    return y.reshape(*lead, *y.shape[1:])


def _apply_padding(
    module: Module, x: Array, pads: Any, size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Array, Any]:
    """Pads `x` where XLA's convolution cannot; returns what is left for it to pad."""
    if not isinstance(pads, str) or pads not in ("CAUSAL", *_MODES):
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
    return jnp.pad(x, around, mode=_MODES[pads]), "VALID"


class ConvTranspose(Module):
    """Transposed convolution, which undoes a strided one's change of size.

    ``(..., *spatial, in) -> (..., *spatial', features)``; with ``"SAME"`` and ``"CIRCULAR"``
    padding ``spatial' = spatial * strides``.

    Parameters: ``kernel (*kernel_size, in, features)``, or ``(*kernel_size, features, in)`` with
    `transpose_kernel` (the gradient of a `Conv` with that kernel); ``bias (features,)``.

    Args:
      padding: ``"SAME"``, ``"VALID"``, ``"CIRCULAR"`` (what hangs over one end is added at the
        other), an integer, or (low, high) pairs, which pad the input spread by the strides.
      mask: multiplied into the kernel, of its shape.

    Raises:
      InputError: too few axes, an unknown padding, a mask of another shape.

    From PyTorch: ``ConvTranspose2d(i, o, k, s, padding=p, output_padding=q)`` is
    ``ConvTranspose(o, (k, k), (s, s), padding=[(k - 1 - p, k - 1 - p + q)] * 2,
    transpose_kernel=True)`` with the kernel transposed from ``(i, o, h, w)`` to ``(h, w, o, i)``.
    From Keras: ``Conv2DTranspose`` has the kernel ``(h, w, o, i)``; use `transpose_kernel`.

    Zeiler et al. 2010, https://doi.org/10.1109/CVPR.2010.5539957

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> up = nn.ConvTranspose(4, (3, 3), strides=(2, 2))
    >>> up.init_with_output(random.key(0), jnp.ones((1, 5, 5, 3)))[0].shape
    (1, 10, 10, 4)
    """

    features: int
    kernel_size: Ints
    strides: Ints | None = None
    padding: Padding = "SAME"
    kernel_dilation: Ints | None = None
    use_bias: bool = True
    mask: Any = None
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
        strides = _per_axis(self, self.strides, rank, "strides")
        pads = _pads(self, self.padding, rank)
        if isinstance(pads, str) and pads not in ("SAME", "VALID", "CIRCULAR"):
            raise InputError(
                f"{where(self.path, 'ConvTranspose')}: padding='{self.padding}'. Expected 'SAME', "
                "'VALID', 'CIRCULAR', an integer or (low, high) pairs."
            )
        ends = (
            (self.features, x.shape[-1]) if self.transpose_kernel else (x.shape[-1], self.features)
        )
        kernel = self.param("kernel", self.kernel_init, (*size, *ends), self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        kernel = _masked(self, kernel)
        lead = x.shape[: x.ndim - rank - 1]
        x = x.reshape(math.prod(lead), *x.shape[len(lead) :])
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = lax.conv_transpose(
            x,
            kernel,
            strides,
            "VALID" if pads == "CIRCULAR" else pads,
            rhs_dilation=_per_axis(self, self.kernel_dilation, rank, "kernel_dilation"),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
        )
        if pads == "CIRCULAR":
            y = self._wrap(y, [n * s for n, s in zip(x.shape[1:-1], strides, strict=True)])
        if bias is not None:
            y = y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return y.reshape(*lead, *y.shape[1:])

    def _wrap(self, y: Array, sizes: list[int]) -> Array:
        """Adds up the periods of `y`, which the kernel spread over more than one of them."""
        for axis, size in enumerate(sizes, 1):
            missing = -(y.shape[axis] - size) % (2 * size) if size else 0
            pads = [(0, 0)] * y.ndim
            low = missing // 2 if self.transpose_kernel else (missing + 1) // 2
            pads[axis] = (low, missing - low)
            y = jnp.pad(y, pads)
            periods = y.shape[axis] // size if size else 1
            y = y.reshape(*y.shape[:axis], periods, size, *y.shape[axis + 1 :]).sum(axis)
        return y
