"""Layers near `Dense`: other contractions, blocks of several, learned slopes and scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from . import initializers
from .activations import relu, silu
from .dtypes import promote
from .errors import InputError, where
from .linear import Dense, need_rank
from .module import Module
from .stochastic import Dropout

Init = Callable[..., Any]


class Einsum(Module):
    """``einsum(einsum_str, x, kernel) + bias``: any contraction with a learned kernel.

    The bias has the output's axes that come from the kernel. From Keras: ``EinsumDense``, which has
    no bias by default.

    Parameters: ``kernel (*shape)``, ``bias``.

    Args:
      shape: the kernel's.
      einsum_str: such as ``"...d,dhk->...hk"``; here or in the call.

    Raises:
      InputError: an equation without ``->``, or not of two operands, or another number of letters
        than the kernel has axes.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.Einsum((3, 2, 4), "bd,dhk->bhk")
    >>> y, variables = layer.init_with_output(random.key(0), jnp.ones((5, 3)))
    >>> y.shape, variables["params"]["bias"].shape
    ((5, 2, 4), (2, 4))
    """

    shape: Sequence[int]
    einsum_str: str | None = None
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array, einsum_str: str | None = None) -> Array:
        place = where(self.path, "Einsum")
        if (einsum_str is None) == (self.einsum_str is None):
            raise InputError(
                f"{place}: einsum_str={self.einsum_str!r}, and {einsum_str!r} in the call. "
                "Expected the equation in one of the two places."
            )
        equation = (einsum_str or self.einsum_str or "").replace(" ", "")
        left, arrow, result = equation.partition("->")
        operands = left.split(",")
        if not arrow or len(operands) != 2 or len(operands[1]) != len(self.shape):
            raise InputError(
                f"{place}: einsum_str='{equation}' for a kernel of shape {tuple(self.shape)}. "
                "Expected two operands and a result, 'input,kernel->output', with one letter for "
                "each axis of the kernel."
            )
        kernel = self.param("kernel", self.kernel_init, tuple(self.shape), self.param_dtype)
        sizes = dict(zip(operands[1], self.shape, strict=True))
        bias = None
        if self.use_bias:
            shape = tuple(sizes[letter] for letter in result if letter in sizes)
            bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = jnp.einsum(equation, x, kernel, precision=self.precision)
        if bias is None:
            return y
        head, dots, tail = result.partition("...")
        axes = [sizes.get(letter, 1) for letter in head + tail]
        if dots:
            axes[len(head) : len(head)] = [1] * (y.ndim - len(head) - len(tail))
        return y + bias.reshape(axes)


class Bilinear(Module):
    """``y_f = Σ_ij a_i · kernel[i, j, f] · b_j + bias_f``.

    ``(..., n), (..., m) -> (..., features)``.

    Parameters: ``kernel (n, m, features)``, ``bias (features,)``. PyTorch's weight is ``(features,
    n, m)``, and its initial values are uniform in ±1/√n.

    Raises:
      InputError: `a` and `b` differ in their leading axes.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> a, b = jnp.ones((2, 3)), jnp.ones((2, 5))
    >>> nn.Bilinear(4).init_with_output(random.key(0), a, b)[0].shape
    (2, 4)
    """

    features: int
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Init = initializers.lecun_normal(in_axis=(0, 1))
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, a: Array, b: Array) -> Array:
        a, b = (need_rank(self, x, 1, "(..., features)") for x in (a, b))
        if a.shape[:-1] != b.shape[:-1]:
            raise InputError(
                f"{where(self.path, 'Bilinear')}: the inputs have shapes {a.shape} and {b.shape}. "
                "Expected equal axes before the last."
            )
        shape = (a.shape[-1], b.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        a, b, kernel, bias = promote(self.compute_dtype, a, b, kernel, bias)
        y = jnp.einsum("...i,...j,ijf->...f", a, b, kernel, precision=self.precision)
        return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


class MLP(Module):
    """Dense layers with an activation between them: ``(..., in) -> (..., widths[-1])``.

    Parameters: ``Dense_0``, ``Dense_1``, ... From Haiku: ``hk.nets.MLP``.

    Args:
      widths: output sizes of the layers.
      activate_final: an activation and dropout behind the last layer, too.
      dropout_rate: of the dropout behind every activation.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> nn.MLP((8, 2)).init_with_output(random.key(0), jnp.ones((3, 4)))[0].shape
    (3, 2)
    """

    widths: Sequence[int]
    activation: Callable[..., Any] = relu
    use_bias: bool = True
    activate_final: bool = False
    dropout_rate: float = 0.0
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    def __call__(self, x: Array) -> Array:
        for i, width in enumerate(self.widths, 1):
            x = Dense(
                width,
                self.use_bias,
                self.dtype,
                self.param_dtype,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
            )(x)
            if i < len(self.widths) or self.activate_final:
                x = Dropout(self.dropout_rate)(self.activation(x))
        return x


class GatedMLP(Module):
    """``down(activation(gate(x)) · up(x))``: the feed-forward block of Llama and its relatives.

    `silu` gives SwiGLU, `gelu` GEGLU, `relu` ReGLU, `sigmoid` the original GLU.

    Parameters: ``gate``, ``up``, ``down``, as `Dense`; no biases by default. In Hugging Face's
    Llama: ``gate_proj``, ``up_proj``, ``down_proj``.

    Args:
      hidden: width of gate and up.
      features: output width; the input's by default.

    Shazeer 2020, https://arxiv.org/abs/2002.05202

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y, variables = nn.GatedMLP(16).init_with_output(random.key(0), jnp.ones((2, 4)))
    >>> y.shape, variables["params"]["up"]["kernel"].shape
    ((2, 4), (4, 16))
    """

    hidden: int
    features: int | None = None
    activation: Callable[..., Any] = silu
    use_bias: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x = need_rank(self, x, 1, "(..., features)")

        def dense(name: str, width: int) -> Dense:
            return Dense(
                width,
                self.use_bias,
                self.dtype,
                self.param_dtype,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                name=name,
            )

        width = x.shape[-1] if self.features is None else self.features
        hidden = self.activation(dense("gate", self.hidden)(x)) * dense("up", self.hidden)(x)
        return dense("down", width)(hidden)


class Maxout(Module):
    """The largest of `pieces` linear maps, feature by feature: ``(..., in) -> (..., features)``.

    Parameters: ``Dense_0 / kernel (in, features · pieces)``, ``bias``, a feature's pieces adjacent.

    Goodfellow et al. 2013, https://arxiv.org/abs/1302.4389

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> nn.Maxout(4, pieces=3).init_with_output(random.key(0), jnp.ones((2, 5)))[0].shape
    (2, 4)
    """

    features: int
    pieces: int = 2
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        y = Dense(
            self.features * self.pieces,
            self.use_bias,
            self.dtype,
            self.param_dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
        )(x)
        return jnp.max(y.reshape(*y.shape[:-1], self.features, self.pieces), -1)


class PReLU(Module):
    """x where it is not negative, else a learned slope times x.

    Parameters: ``negative_slope``, a scalar as in linen; with `axes`, one for each entry of these
    axes (``-1``: PyTorch's ``num_parameters=channels``; all but the batch: Keras's).

    He et al. 2015, https://arxiv.org/abs/1502.01852

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> x = jnp.array([-1.0, 2.0])
    >>> print(nn.PReLU().init_with_output(random.key(0), x)[0])
    [-0.01  2.  ]
    """

    param_dtype: Any = jnp.float32
    negative_slope_init: float = 0.01
    axes: int | Sequence[int] = ()

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        axes = (self.axes,) if isinstance(self.axes, int) else self.axes
        x = need_rank(self, x, max((a + 1 if a >= 0 else -a for a in axes), default=0), "(...)")
        kept = sorted(a % x.ndim for a in axes)
        slope = self.param(
            "negative_slope",
            initializers.constant(self.negative_slope_init),
            tuple(x.shape[a] for a in kept),
            self.param_dtype,
        )
        slope = slope.reshape([x.shape[a] if a in kept else 1 for a in range(x.ndim)])
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


class Scale(Module):
    """``x · scale + bias`` with learned vectors along the last axis; one of them can be left out.

    ``Scale(scale_init=nn.initializers.constant(1e-6), use_bias=False)`` is LayerScale (Touvron et
    al. 2021, https://arxiv.org/abs/2103.17239), ``Scale(use_scale=False)`` a learned bias alone.

    Parameters: ``scale (features,)``, ``bias (features,)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> sorted(nn.Scale().init(random.key(0), jnp.ones((2, 3)))["params"])
    ['bias', 'scale']
    """

    use_scale: bool = True
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    scale_init: Init = initializers.ones
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x = need_rank(self, x, 1, "(..., features)")
        shape, scale, bias = x.shape[-1:], None, None
        if self.use_scale:
            scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        x, scale, bias = promote(self.compute_dtype, x, scale, bias)
        wide = (1,) * (x.ndim - 1) + (-1,)
        x = x if scale is None else x * scale.reshape(wide)
        return x if bias is None else x + bias.reshape(wide)
