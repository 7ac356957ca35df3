"""Modules, layers, losses and metrics.

- `Module`: `module`; what surrounds a call: `scope`, `state`; `init`: `initialize`;
  equality: `equality`; arguments: `arrays`
- layers: `linear`, `convolution`, `pooling`, `normalization`, `stochastic`, `attention`,
  `positions`, `containers` (`Sequential`)
- whole models: `models`; their weights in files: `weights` (`load`, `save`); texts: `generation`,
  `beams`
- forms: `repeat` (`Repeat`: one block many times), `vmap` (`Vmap`: many copies side by side), both
  on `lift`; `remat` (`Remat`: computes a block again in the backward pass)
- functions: `activations`; namespaces: `initializers`, `losses`, `metrics`
- parameter trees: `filters` (`partition`, `merge`), `sharding`; models taken apart: `surgery`;
  tables: `summary`, `display`

Layers and functions are exported flat: ``nn.Dense``, ``nn.relu``; the namespaces are used as
``nn.losses.softmax_cross_entropy``.
"""

if __name__ == "nn":
    raise ImportError(
        "this folder is the package jaxcore.nn and cannot be imported as 'nn'. Install the "
        "project (pip install -e .) and write: from jaxcore import nn"
    )

from typing import Any

from jaxcore import namespaces

from . import initializers, losses, metrics, models, threaded, weights  # noqa: F401 (threaded registers itself)
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
    log1mexp,
    log_sigmoid,
    log_softmax,
    logmeanexp,
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
from .attention import MultiHeadAttention, MultiHeadDotProductAttention, SelfAttention
from .containers import Sequential
from .convolution import Conv, ConvTranspose
from .dot_product import (
    combine_masks,
    dot_product_attention,
    dot_product_attention_weights,
    make_attention_mask,
    make_causal_mask,
)
from .errors import (
    ImmutableVariableError,
    InputError,
    MissingRngError,
    MissingVariableError,
    ModuleError,
    NameInUseError,
    ParameterShapeError,
    UnboundModuleError,
    WeightsError,
)
from .filters import merge, partition
from .generation import generate
from .linear import Dense, DenseGeneral, Embed
from .module import Module
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from .pooling import avg_pool, max_pool, min_pool, pool
from .positions import (
    RelativePositionBias,
    alibi_bias,
    alibi_slopes,
    rotary,
    sinusoidal_positions,
)
from .remat import Remat
from .repeat import Repeat
from .running import Variable
from .sharding import shardings
from .stochastic import Dropout
from .surgery import features, replace, with_input_channels
from .vmap import Vmap
from .weights import load, save

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "Dropout",
    "Embed",
    "GroupNorm",
    "ImmutableVariableError",
    "InputError",
    "InstanceNorm",
    "LayerNorm",
    "MissingRngError",
    "MissingVariableError",
    "Module",
    "ModuleError",
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "NameInUseError",
    "ParameterShapeError",
    "RMSNorm",
    "RelativePositionBias",
    "Remat",
    "Repeat",
    "SelfAttention",
    "Sequential",
    "UnboundModuleError",
    "Variable",
    "Vmap",
    "WeightsError",
    "alibi_bias",
    "alibi_slopes",
    "avg_pool",
    "celu",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
    "elu",
    "features",
    "gelu",
    "generate",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "initializers",
    "leaky_relu",
    "load",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "losses",
    "make_attention_mask",
    "make_causal_mask",
    "max_pool",
    "merge",
    "metrics",
    "min_pool",
    "mish",
    "models",
    "one_hot",
    "partition",
    "pool",
    "relu",
    "relu6",
    "replace",
    "rotary",
    "save",
    "selu",
    "shardings",
    "sigmoid",
    "silu",
    "sinusoidal_positions",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
    "weights",
    "with_input_channels",
]


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
