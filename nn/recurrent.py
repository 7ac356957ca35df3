"""Recurrent cells: one step of a sequence, ``cell(carry, x) -> (carry, y)``. `RNN` runs them.

Cells keep linen's parameter trees, one kernel for each gate, input (``i?``) and state (``h?``)
apart; elsewhere the gates stand side by side in one kernel:

============ ================================ ==================================================
PyTorch      ``weight_ih (4 · h, in)``: rows  ``ii, if, ig, io``; GRU: ``ir, iz, in``; transposed
             of gates i, f, g, o; GRU: r, z,  here. Both libraries' LSTMs have two biases, which
             n                                add up; linen's is in ``h?``.
Keras        ``kernel (in, 4 · h)``: columns  The same columns: ``ii, if, ig, io``. Keras starts
             i, f, g (called c), o; GRU:      the forget gate's bias at 1: ``forget_bias=1.0``.
             z, r, n (called h)
Haiku        ``w (in + h, 4 · h)``: columns   Adds 1 to the forget gate at every step; `forget_bias`
             i, g, f, o                       has that in the bias. GRU: ``reset_after=False``.
============ ================================ ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from . import initializers
from .activations import sigmoid, tanh
from .dtypes import as_array
from .errors import InputError, where
from .linear import Dense
from .module import Module

Carry = Any
Init = Callable[..., Any]


def nowrap(method: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a method that computes without parameters, so that it works outside of a call too."""
    method._entry_point = method  # type: ignore[attr-defined]
    return method


class RNNCellBase(Module):
    """Base of recurrent cells: ``__call__(carry, x) -> (carry, y)`` and the carry to begin with.

    A subclass defines `__call__`, and where they differ `initialize_carry` and `num_feature_axes`.

    >>> from jaxcore import nn, random
    >>> nn.GRUCell(4).initialize_carry(random.key(0), (2, 3)).shape
    (2, 4)
    """

    @property
    def num_feature_axes(self) -> int:
        """How many axes at the end of an input are features; those before are the batch's."""
        return 1

    @nowrap
    def initialize_carry(self, rng: Any, input_shape: Sequence[int]) -> Carry:
        """The carry before the first step, for inputs of shape ``(*batch, *features)``.

        Here one array ``(*batch, self.features)``, by `self.carry_init`.
        """
        cell: Any = self
        return cell.carry_init(rng, (*input_shape[:-1], cell.features), cell.param_dtype)

    def _state(self, h: Any, x: Any) -> tuple[Array, Array]:
        """State and input as arrays, of the same batch."""
        h, x = as_array(h), as_array(x)
        n = self.num_feature_axes
        if x.ndim < n or h.shape[: h.ndim - n] != x.shape[: x.ndim - n]:
            raise InputError(
                f"{where(self.path, type(self).__name__)}: the carry has shape {h.shape} and the "
                f"input {x.shape}. Expected the same axes before the last {n}; make the carry with "
                "cell.initialize_carry(rng, x.shape)."
            )
        return h, x


class _Gates(RNNCellBase):
    """What cells made of `Dense` layers share: one layer for each gate and side."""

    uses_rng: ClassVar[bool] = False

    def _dense(self, name: str, width: int, bias: bool, bias_init: Init) -> Dense:
        cell: Any = self
        init = cell.kernel_init if name[0] == "i" else cell.recurrent_kernel_init
        return Dense(
            width,
            use_bias=bias,
            dtype=cell.dtype,
            param_dtype=cell.param_dtype,
            kernel_init=init,
            bias_init=bias_init,
            name=name,
        )


class SimpleCell(_Gates):
    """Elman's cell: ``h' = tanh(W_i x + b + W_h h)``, with `residual` also ``+ h`` inside.

    Parameters: ``i / kernel (in, features), bias (features,)``, ``h / kernel (features,
    features)``.

    Args:
      activation_fn: tanh above.

    Elman 1990, https://doi.org/10.1207/s15516709cog1402_1

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> cell, x = nn.SimpleCell(4), jnp.ones((2, 3))
    >>> h = cell.initialize_carry(random.key(0), x.shape)
    >>> sorted(cell.init(random.key(1), h, x)["params"])
    ['h', 'i']
    """

    features: int
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Init = initializers.lecun_normal()
    recurrent_kernel_init: Init = initializers.orthogonal()
    bias_init: Init = initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    carry_init: Init = initializers.zeros
    residual: bool = False

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        h, x = self._state(carry, x)
        width = h.shape[-1]
        new = self._dense("i", width, True, self.bias_init)(x)
        new = new + self._dense("h", width, False, self.bias_init)(h)
        new = self.activation_fn(new + h if self.residual else new)
        return new, new


class GRUCell(_Gates):
    """Gated recurrent unit: ``h, x -> h', h'``.

    With σ the `gate_fn` and tanh the `activation_fn`::

        r, z = σ(W_i? x + b_i? + W_h? h)
        n = tanh(W_in x + b_in + r · (W_hn h + b_hn))
        h' = (1 - z) · n + z · h

    Parameters: ``ir, iz, in / kernel (in, features), bias (features,)``, ``hr, hz, hn / kernel
    (features, features)``, ``hn / bias (features,)``.

    Args:
      reset_after: r multiplies behind the matrix, as above (linen, PyTorch, Keras); otherwise
        before it, ``W_hn (r · h) + b_hn``, as in the paper, Haiku and Chainer. Haiku's z is 1 - z
        here.

    Cho et al. 2014, https://arxiv.org/abs/1406.1078

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> cell, x = nn.GRUCell(4), jnp.ones((2, 3))
    >>> h = cell.initialize_carry(random.key(0), x.shape)
    >>> sorted(cell.init(random.key(1), h, x)["params"])
    ['hn', 'hr', 'hz', 'in', 'ir', 'iz']
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
    reset_after: bool = True

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        h, x = self._state(carry, x)
        width, bias = h.shape[-1], self.bias_init
        both = lambda gate: (
            self._dense("i" + gate, width, True, bias)(x)
            + self._dense("h" + gate, width, False, bias)(h)
        )
        r, z = self.gate_fn(both("r")), self.gate_fn(both("z"))
        state = self._dense("hn", width, True, bias)
        reset = r * state(h) if self.reset_after else state(r * h)
        n = self.activation_fn(self._dense("in", width, True, bias)(x) + reset)
        new = (1.0 - z) * n + z * h
        return new, new


class MGUCell(_Gates):
    """Minimal gated unit: ``h, x -> h', h'`` with one gate::

        f = σ(W_if x + b_if + W_hf h)
        n = tanh(W_in x + b_in + f · (W_hn h + b_hn))
        h' = (1 - f) · n + f · h

    Parameters: ``if, in / kernel (in, features), bias (features,)``, ``hf, hn / kernel (features,
    features)``, ``hn / bias (features,)``.

    Args:
      reset_gate: without it n takes ``W_hn h`` as it is, and b_hn is left out.

    Zhou et al. 2016, https://arxiv.org/abs/1603.09420

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> cell, x = nn.MGUCell(4), jnp.ones((2, 3))
    >>> h = cell.initialize_carry(random.key(0), x.shape)
    >>> sorted(cell.init(random.key(1), h, x)["params"])
    ['hf', 'hn', 'if', 'in']
    """

    features: int
    gate_fn: Callable[..., Any] = sigmoid
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Init = initializers.lecun_normal()
    recurrent_kernel_init: Init = initializers.orthogonal()
    forget_bias_init: Init = initializers.ones
    activation_bias_init: Init = initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    carry_init: Init = initializers.zeros
    reset_gate: bool = True

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        h, x = self._state(carry, x)
        width, bias = h.shape[-1], self.activation_bias_init
        f = self._dense("if", width, True, self.forget_bias_init)(x)
        f = self.gate_fn(f + self._dense("hf", width, False, bias)(h))
        state = self._dense("hn", width, self.reset_gate, bias)(h)
        n = self._dense("in", width, True, bias)(x) + (f * state if self.reset_gate else state)
        new = (1.0 - f) * self.activation_fn(n) + f * h
        return new, new
