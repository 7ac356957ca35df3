"""Initialisers of PyTorch and Keras that JAX has not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, random

from ..errors import InputError
from .made import Rule, as_values
from .standard import Initializer, variance_scaling


def torch_kernel() -> Initializer:
    """Uniform in ±1/√fan_in: what PyTorch's ``Linear`` and ``Conv`` begin with.

    There it is written ``kaiming_uniform_(weight, a=√5)``.

    >>> from jaxcore import nn, random
    >>> kernel = torch_kernel()(random.key(0), (100, 50))
    >>> float(abs(kernel).max()) <= 0.1
    True
    """
    return variance_scaling(1 / 3, "fan_in", "uniform")


@as_values
def torch_bias(fan_in: int) -> Rule:
    """Uniform in ±1/√fan_in: the biases of PyTorch's ``Linear`` and ``Conv``.

    A bias does not know its kernel, so say how many inputs an output has: ``in_features``, or
    kernel places times input channels. For PyTorch's recurrent cells give the number of hidden
    units, for biases and kernels both.

    >>> from jaxcore import nn, random
    >>> dense = nn.Dense(
    ...     5, kernel_init=nn.initializers.torch_kernel(), bias_init=nn.initializers.torch_bias(100)
    ... )
    >>> float(abs(dense.bias_init(random.key(0), (5,))).max()) <= 0.1
    True
    """
    limit = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = jnp.result_type(float) if dtype is None else dtype
        return random.uniform(key, shape, kind, -limit, limit, out_sharding=out_sharding)

    return init


@as_values
def identity(scale: float = 1.0) -> Rule:
    """`scale` on the diagonal of a matrix, which need not be square, else zeros.

    Raises:
      ValueError: the shape is not that of a matrix, when the initialiser is called.

    >>> from jaxcore import random
    >>> print(identity()(random.key(0), (2, 3)))
    [[1. 0. 0.]
     [0. 1. 0.]]
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        if len(shape) != 2:
            raise InputError(
                f"identity: the shape is {tuple(shape)}. Expected a matrix; for the kernel of a "
                "convolution use dirac()."
            )
        kind = jnp.result_type(float) if dtype is None else dtype
        return scale * jnp.eye(shape[0], shape[1], dtype=kind)

    return init


@as_values
def dirac(groups: int = 1) -> Rule:
    """Kernels of convolutions ``(*size, in, out)`` that hand channels on as they are.

    The middle of each kernel is the identity, for each of `groups` groups of outputs.

    Raises:
      ValueError: fewer than three axes, or outputs that the groups do not divide; when called.

    >>> from jaxcore import random
    >>> print(dirac()(random.key(0), (3, 1, 1)).ravel())
    [0. 1. 0.]
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        if len(shape) < 3 or shape[-1] % groups:
            raise InputError(
                f"dirac: the shape is {tuple(shape)} and groups={groups}. Expected (*kernel_size, "
                "in, out) with a number of outputs that the groups divide."
            )
        kind = jnp.result_type(float) if dtype is None else dtype
        one = jnp.eye(shape[-2], shape[-1] // groups, dtype=kind)
        middle = tuple(n // 2 for n in shape[:-2])
        return jnp.zeros(shape, kind).at[middle].set(jnp.tile(one, (1, groups)))

    return init


_GAINS = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_EVEN = ("linear", "identity", "sigmoid", "conv1d", "conv2d", "conv3d")


def gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """By how much weights before a nonlinearity are to be larger: PyTorch's ``calculate_gain``.

    ``variance_scaling(gain("tanh") ** 2, "fan_avg", "uniform")`` is a Glorot initialiser for tanh.

    Raises:
      ValueError: an unknown name.

    >>> round(gain("relu"), 3)
    1.414
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + negative_slope**2))
    if nonlinearity in _EVEN:
        return 1.0
    if nonlinearity not in _GAINS:
        raise InputError(
            f"gain: nonlinearity={nonlinearity!r}. Expected one of "
            f"{[*_EVEN, *_GAINS, 'leaky_relu']}."
        )
    return _GAINS[nonlinearity]
