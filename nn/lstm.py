"""Cells with a memory: `LSTMCell` and its convolutional form. The gates of other libraries stand in
`recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random

from . import initializers
from .activations import sigmoid, tanh
from .convolution import Conv, Ints, Padding
from .dtypes import promote
from .module import Module
from .recurrent import Carry, RNNCellBase, nowrap

Init = Callable[..., Any]


class _Kernel(Module):
    """Parameters as a `Dense` has them, for cells that put several side by side."""

    features: int
    use_bias: bool
    kernel_init: Init
    bias_init: Init
    param_dtype: Any

    inline: ClassVar[bool] = True
    uses_rng: ClassVar[bool] = False

    def __call__(self, inputs: int) -> tuple[Array, Array | None]:
        shape = (inputs, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", self.bias_init, (self.features,), self.param_dtype)


def _shifted(init: Init, shift: float) -> Init:
    """`init` plus a number."""
    if not shift:
        return init
    return lambda key, shape, dtype: init(key, shape, dtype) + jnp.asarray(shift, dtype)


class _Pair(RNNCellBase):
    """A cell whose carry is a pair of arrays."""

    @nowrap
    def initialize_carry(self, rng: Any, input_shape: Sequence[int]) -> Carry:
        """``(c, h)``, each ``(*batch, *spatial, features)``, by `carry_init`."""
        first, second = random.split(rng)
        one = super().initialize_carry
        return one(first, input_shape), one(second, input_shape)


class LSTMCell(_Pair):
    """Long short-term memory: ``(c, h), x -> (c', h'), h'``.

    With σ the `gate_fn` and tanh the `activation_fn`::

        i, f, o = σ(W_i? x + W_h? h + b_?)      g = tanh(W_ig x + W_hg h + b_g)
        c' = f · c + i · g                      h' = o · tanh(c')

    ``x (*batch, in)``, ``c`` and ``h (*batch, features)``.

    Parameters: ``ii, if, ig, io / kernel (in, features)`` and ``hi, hf, hg, ho / kernel (features,
    features), bias (features,)``. Input and state are multiplied with all gates' kernels at once.

    Args:
      forget_bias: added to the forget gate's initial bias: 0 in linen and PyTorch, 1 in Keras and
        Haiku. The order of gates elsewhere: `jaxcore.nn.recurrent`.

    Raises:
      InputError: carry and input of different batches.

    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; forget gate: Gers
    et al. 2000

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> cell, x = nn.LSTMCell(4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(random.key(1), carry, x)
    >>> y.shape, variables["params"]["if"]["kernel"].shape
    ((2, 4), (3, 4))
    """

    features: int
    gate_fn: Callable[..., Any] = sigmoid
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Init = initializers.lecun_normal()
    recurrent_kernel_init: Init = initializers.orthogonal()
    bias_init: Init = initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    carry_init: Init = initializers.zeros
    forget_bias: float = 0.0

    uses_rng: ClassVar[bool] = False

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        c, h = carry
        h, x = self._state(h, x)
        width = h.shape[-1]

        def side(letter: str, size: int, init: Init, bias: bool) -> list[tuple[Any, Any]]:
            return [
                _Kernel(
                    width,
                    bias,
                    init,
                    _shifted(self.bias_init, self.forget_bias if gate == "f" else 0.0),
                    self.param_dtype,
                    name=letter + gate,
                )(size)
                for gate in "ifgo"
            ]

        from_x = side("i", x.shape[-1], self.kernel_init, False)
        from_h = side("h", width, self.recurrent_kernel_init, True)
        w_x, w_h = (jnp.concatenate([k for k, _ in s], -1) for s in (from_x, from_h))
        bias = jnp.concatenate([b for _, b in from_h])
        x, h, w_x, w_h, bias = promote(self.compute_dtype, x, h, w_x, w_h, bias)
        last = (((x.ndim - 1,), (0,)), ((), ()))
        gates = lax.dot_general(x, w_x, last) + lax.dot_general(h, w_h, last)
        i, f, g, o = jnp.split(gates + bias.reshape((1,) * (x.ndim - 1) + (-1,)), 4, -1)
        c = self.gate_fn(f) * c + self.gate_fn(i) * self.activation_fn(g)
        h = self.gate_fn(o) * self.activation_fn(c)
        return (c, h), h


class OptimizedLSTMCell(LSTMCell):
    """linen's name for the `LSTMCell` that multiplies with all gates at once, as ours does anyway.

    >>> from jaxcore import nn
    >>> nn.OptimizedLSTMCell(4).features
    4
    """


class ConvLSTMCell(_Pair):
    """A `LSTMCell` whose products with matrices are convolutions: ``(c, h), x -> (c', h'), h'``.

    ``x (*batch, *spatial, in)``, ``c`` and ``h (*batch, *spatial, features)``; 1 is added to the
    forget gate. One spatial axis for each entry of `kernel_size`.

    Parameters: ``ih / kernel (*kernel_size, in, 4 · features), bias (4 · features,)`` and ``hh``
    likewise, with the gates in the order i, g, f, o. From Keras: ``ConvLSTM2D``, in the order i, f,
    g, o.

    Shi et al. 2015, https://arxiv.org/abs/1506.04214

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> cell, x = nn.ConvLSTMCell(4, (3, 3)), jnp.ones((2, 5, 5, 3))
    >>> carry = cell.initialize_carry(random.key(0), x.shape)
    >>> cell.init_with_output(random.key(1), carry, x)[0][1].shape
    (2, 5, 5, 4)
    """

    features: int
    kernel_size: Sequence[int]
    strides: Ints | None = None
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    carry_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    @property
    def num_feature_axes(self) -> int:
        return len(self.kernel_size) + 1

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        c, h = carry
        h, x = self._state(h, x)

        def conv(name: str) -> Conv:
            return Conv(
                4 * self.features,
                self.kernel_size,
                self.strides,
                self.padding,
                use_bias=self.use_bias,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        i, g, f, o = jnp.split(conv("ih")(x) + conv("hh")(h), 4, -1)
        c = sigmoid(f + 1) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (c, h), h
