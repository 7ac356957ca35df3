"""Initialisers, ``init(key, shape, dtype) -> array``.

`standard`: JAX's names, arguments, defaults and bits. `foreign`: what other libraries begin with,
and initialisers of theirs that JAX has not. `made`: they are values, which compare
and pickle.
"""

from .foreign import dirac, gain, identity, torch_bias, torch_kernel
from .standard import (
    Initializer,
    constant,
    delta_orthogonal,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    ones_init,
    orthogonal,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
    zeros,
    zeros_init,
)

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "dirac",
    "gain",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "torch_bias",
    "torch_kernel",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]
