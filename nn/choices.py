"""Functions of classes: vectors of chosen classes, samples, activations by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random

from . import activations
from .activations import softmax
from .dtypes import as_array, at_least_float32
from .errors import InputError


def gumbel_softmax(
    key: Any, logits: Any, temperature: float = 1.0, *, hard: bool = False, axis: int = -1
) -> Array:
    """A sample of classes through which gradients go: ``softmax((logits + g) / temperature)``.

    ``g`` is Gumbel noise, ``-log(-log u)``; the lower the temperature, the nearer is the sample to
    a class. With `hard` the result is that class as a one-hot vector, with the gradient of the
    soft sample. PyTorch's ``F.gumbel_softmax``, where temperature is ``tau``.

    Jang et al. 2017, https://arxiv.org/abs/1611.01144; Maddison et al. 2017,
    https://arxiv.org/abs/1611.00712

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import random
    >>> sample = gumbel_softmax(random.key(0), jnp.zeros((4, 3)), hard=True)
    >>> sample.shape, sample.sum(-1).tolist()
    ((4, 3), [1.0, 1.0, 1.0, 1.0])
    """
    logits = as_array(logits)
    wide = at_least_float32(logits)
    noise = random.gumbel(key, wide.shape, wide.dtype)
    soft = softmax((wide + noise) / temperature, axis)
    if hard:
        best = jnp.argmax(soft, axis)
        chosen = activations.one_hot(best, soft.shape[axis], axis=axis, dtype=soft.dtype)
        soft = chosen + (soft - lax.stop_gradient(soft))
    return soft.astype(logits.dtype) if jnp.issubdtype(logits.dtype, jnp.inexact) else soft


def multi_hot(indices: Any, num_classes: int, *, dtype: Any = jnp.float32) -> Array:
    """1 at every class that occurs in a row: integers ``(..., n) -> (..., num_classes)``.

    Indices outside of the classes, such as -1 for padding, count for nothing. Keras's
    ``multi_hot``; for one class a row use `one_hot`.

    >>> import jaxcore.numpy as jnp
    >>> multi_hot(jnp.array([[0, 2, 2], [1, -1, -1]]), 3).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    indices = as_array(indices)
    if indices.ndim < 1 or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise InputError(
            f"multi_hot: the indices are {indices.dtype}{list(indices.shape)}. Expected integers "
            "(..., n), the classes of each row."
        )
    classes = lax.broadcasted_iota(indices.dtype, (*indices.shape, num_classes), indices.ndim)
    found = indices[..., None] == classes
    return found.any(-2).astype(dtype)


def _quick_gelu(x: Any) -> Array:
    return x * activations.sigmoid(1.702 * x)


def _squared_relu(x: Any) -> Array:
    return jnp.square(activations.relu(x))


_EXACT = functools.partial(activations.gelu, approximate=False)

#: Names of other libraries; those of the functions here are found by themselves.
_ALIASES: dict[str, Callable[..., Any]] = {
    "exact_gelu": _EXACT,
    "gelu_exact": _EXACT,
    "gelu_python": _EXACT,
    "gelu_fast": activations.gelu,
    "gelu_new": activations.gelu,
    "gelu_pytorch_tanh": activations.gelu,
    "gelu_tanh": activations.gelu,
    "hardsigmoid": activations.hard_sigmoid,
    "hardswish": activations.hard_silu,
    "hardtanh": activations.hard_tanh,
    "leakyrelu": activations.leaky_relu,
    "linear": activations.identity,
    "logsigmoid": activations.log_sigmoid,
    "quick_gelu": _quick_gelu,
    "relu2": _squared_relu,
    "softsign": activations.soft_sign,
}
_NO_ACTIVATIONS = {"log1mexp", "logmeanexp", "logsumexp", "one_hot", "standardize"}
_OF_THE_MODULE = set(activations.__all__) - _NO_ACTIVATIONS


def activation(name: str | Callable[..., Any]) -> Callable[..., Any]:
    """The activation that a configuration names, such as ``"relu"`` or ``"gelu_new"``.

    Names are those of the functions here, of Keras, and of Transformers (``ACT2FN``). ``"gelu"`` is
    ours, and JAX's, the approximation by tanh; PyTorch's, Keras's and Transformers' is exact:
    ``"gelu_exact"``. A function is returned as it is.

    Raises:
      InputError: an unknown name.

    >>> activation("swish").__name__, activation("linear").__name__
    ('silu', 'identity')
    """
    if callable(name):
        return name
    if name in _OF_THE_MODULE:
        return getattr(activations, name)  # type: ignore[no-any-return]
    found = _ALIASES.get(name)
    if found is None:
        raise InputError(
            f"activation: {name!r} is not known. Expected one of "
            f"{', '.join(sorted([*_OF_THE_MODULE, *_ALIASES]))}, or a function."
        )
    return found
