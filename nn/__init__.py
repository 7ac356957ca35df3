"""Modules, layers, losses and metrics.

- `Module`: `module`; what surrounds a call: `scope`; `init`: `initialize`; equality: `identity`
- layers: `linear`, `convolution`, `pooling`, `normalization`, `stochastic`, `containers`
- functions: `activations`, `initializers`

Everything is exported flat: ``nn.Dense``, ``nn.relu``; ``nn.initializers`` is a namespace.
"""

if __name__ == "nn":
    raise ImportError(
        "this folder is the package jaxcore.nn and cannot be imported as 'nn'. Install the "
        "project (pip install -e .) and write: from jaxcore import nn"
    )

from . import initializers
from .activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    mish,
    one_hot,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softmax,
    softplus,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    standardize,
    swish,
    tanh,
)
from .containers import Sequential
from .convolution import Conv, ConvTranspose
from .errors import (
    ImmutableVariableError,
    InputError,
    MissingRngError,
    MissingVariableError,
    ModuleError,
    NameInUseError,
    ParameterShapeError,
    UnboundModuleError,
)
from .linear import Dense, DenseGeneral, Embed
from .module import Module
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from .pooling import avg_pool, max_pool, min_pool, pool
from .running import Variable
from .stochastic import Dropout
