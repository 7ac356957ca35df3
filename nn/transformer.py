"""Encoder and decoder layers of the Transformer, and stacks of them, with PyTorch's options.

Whole models that load published weights are in `models`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from . import initializers
from .activations import relu
from .attention import MultiHeadAttention
from .linear import Dense
from .module import Module
from .normalization import LayerNorm
from .stochastic import Dropout


class _Layer(Module):
    """What both layers are made of."""

    num_heads: int
    mlp_features: int = 2048
    dropout_rate: float = 0.1
    activation: Callable[..., Any] = relu
    norm_first: bool = False
    epsilon: float = 1e-5
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Callable[..., Any] = initializers.glorot_uniform()

    def _attention(self, name: str, causal: bool) -> MultiHeadAttention:
        return MultiHeadAttention(
            self.num_heads,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            broadcast_dropout=False,
            dropout_rate=self.dropout_rate,
            kernel_init=self.kernel_init,
            use_bias=self.use_bias,
            is_causal=causal,
            name=name,
        )

    def _added(self, number: int, x: Array, part: Callable[[Array], Array]) -> Array:
        """``x + part(x)``, with the norm before the part, or behind the sum."""
        norm = LayerNorm(
            self.epsilon,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            use_bias=self.use_bias,
            name=f"norm{number}",
        )
        dropout = Dropout(self.dropout_rate)
        if self.norm_first:
            return x + dropout(part(norm(x)))
        return norm(x + dropout(part(x)))

    def _mlp(self, x: Array) -> Array:
        options: dict[str, Any] = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "kernel_init": self.kernel_init,
        }
        hidden = self.activation(Dense(self.mlp_features, name="fc", **options)(x))
        return Dense(x.shape[-1], name="proj", **options)(Dropout(self.dropout_rate)(hidden))


class TransformerEncoderLayer(_Layer):
    """Attention to itself and an MLP, each beside a residual: ``(..., length, features)``.

    ``x = norm(x + attention(x))``, ``x = norm(x + mlp(x))``; with `norm_first`
    ``x = x + attention(norm(x))`` and likewise.

    Parameters: ``self_attention`` (`MultiHeadAttention`), ``norm1``, ``fc``, ``proj`` (`Dense`),
    ``norm2``. PyTorch's ``TransformerEncoderLayer`` has them as ``self_attn``, ``norm1``,
    ``linear1``, ``linear2``, ``norm2``.

    Args:
      num_heads: of the attention.
      mlp_features: width between the two dense layers.
      dropout_rate: of attention weights, hidden values and of what is added; needs the stream
        ``dropout`` in training.
      norm_first: norms before instead of behind.
      use_bias: biases of all layers and norms.

    Of a call:
      mask: True where a query may see a key, broadcasts to ``(..., heads, length, length)``; of
        padding it is ``real[:, None, None, :]``.
      is_causal: let no position see a later one.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; norms first: Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.TransformerEncoderLayer(2, mlp_features=8), jnp.ones((2, 3, 4))
    >>> y, variables = layer.init_with_output(random.key(0), x, is_causal=True)
    >>> y.shape, sorted(variables["params"])
    ((2, 3, 4), ['fc', 'norm1', 'norm2', 'proj', 'self_attention'])
    """

    def __call__(self, x: Array, *, mask: Array | None = None, is_causal: bool = False) -> Array:
        attention = self._attention("self_attention", is_causal)
        x = self._added(1, x, lambda x: attention(x, mask=mask))
        return self._added(2, x, self._mlp)


class TransformerDecoderLayer(_Layer):
    """Causal attention to itself, attention to an encoder's output, and an MLP.

    ``(..., length, features), (..., source, width) -> (..., length, features)``.

    Parameters and arguments are those of `TransformerEncoderLayer`, with ``cross_attention`` and
    ``norm2`` for it, and ``norm3`` for the MLP. PyTorch's ``TransformerDecoderLayer``, whose
    ``multihead_attn`` is ``cross_attention``.

    Of a call:
      memory: what the encoder returned.
      mask, memory_mask: as there; the second for ``(..., heads, length, source)``.
      is_causal: True here, as PyTorch's user has to say by a mask.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.TransformerDecoderLayer(2, mlp_features=8)
    >>> x, memory = jnp.ones((2, 3, 4)), jnp.ones((2, 5, 4))
    >>> layer.init_with_output(random.key(0), x, memory)[0].shape
    (2, 3, 4)
    """

    def __call__(
        self,
        x: Array,
        memory: Array,
        *,
        mask: Array | None = None,
        memory_mask: Array | None = None,
        is_causal: bool = True,
    ) -> Array:
        attention = self._attention("self_attention", is_causal)
        cross = self._attention("cross_attention", False)
        x = self._added(1, x, lambda x: attention(x, mask=mask))
        x = self._added(2, x, lambda x: cross(x, memory, mask=memory_mask))
        return self._added(3, x, self._mlp)


class TransformerEncoder(Module):
    """`num_layers` layers like `layer`, one after the other, and a norm behind them.

    Parameters: ``layers_0``, ``layers_1``, ...; ``norm``, where one is given. Arguments of a call
    are the layer's. With many layers `Repeat` is quicker to compile.

    PyTorch's ``TransformerEncoder``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(2, 8), 3, norm=nn.LayerNorm())
    >>> sorted(model.init(random.key(0), jnp.ones((1, 3, 4)))["params"])
    ['layers_0', 'layers_1', 'layers_2', 'norm']
    """

    layer: Module
    num_layers: int
    norm: Module | None = None

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        for i in range(self.num_layers):
            x = dataclasses.replace(self.layer, name=f"layers_{i}")(x, *args, **kwargs)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(TransformerEncoder):
    """The same of decoder layers: ``model(x, memory)``. PyTorch's ``TransformerDecoder``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.TransformerDecoder(nn.TransformerDecoderLayer(2, 8), 2)
    >>> x, memory = jnp.ones((1, 3, 4)), jnp.ones((1, 5, 4))
    >>> model.init_with_output(random.key(0), x, memory)[0].shape
    (1, 3, 4)
    """
