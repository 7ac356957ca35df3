"""Modules, layers, losses and metrics.

- `Module`: `module`, made by `construct`; what surrounds a call: `scope`, `state`, `running`;
  `init`: `initialize`; equality: `equality`; arguments: `arrays`; what crosses `jit` and `grad`:
  `threaded`; compute dtypes: `dtypes`; `errors`
- layers: `linear`, `contraction`, `experts`; `convolution`, `separable`, `blocks`; `pooling`,
  `unpooling`, `adaptive_pooling`, `resizing`, `grids`, `shapes`; `normalization`,
  `group_normalization`, `stochastic`; `attention`, on `dot_product` and `fused`; `transformer`;
  `positions`; `recurrent` and `lstm` (cells), `rnn`; `containers`, `graph`; `reparametrization`
  and `parametrizations` (layers with other parameters than they have)
- whole models: `models`; their weights in files: `weights` (`load`, `save`); texts: `generation`,
  `beams`
- forms: `repeat` (`Repeat`: one block many times), `vmap` (`Vmap`: many copies side by side), both
  on `lift`; `remat` (`Remat`: computes a block again in the backward pass)
- functions: `activations`, `choices`; namespaces: `initializers`, `losses`, `metrics`,
  `constraints`, `boxes`
- parameter trees: `filters` (`partition`, `merge`), `stacking`, `sharding`; models taken apart:
  `surgery`; tables: `summary`, `display`; layers by the names of other libraries: `other_names`

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

from . import boxes, constraints, initializers, losses, metrics, models, weights
from . import threaded as _threaded  # noqa: F401 (registers itself)
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
from .adaptive_pooling import (
    adaptive_avg_pool,
    adaptive_max_pool,
    adaptive_pool,
    global_avg_pool,
    global_max_pool,
)
from .attention import MultiHeadAttention, MultiHeadDotProductAttention, SelfAttention
from .blocks import ConvNormAct
from .choices import activation, gumbel_softmax, multi_hot
from .containers import BatchApply, Parallel, Residual, Sequential
from .contraction import MLP, Bilinear, Einsum, GatedMLP, Maxout, PReLU, Scale
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
from .experts import MixtureOfExperts
from .filters import merge, partition
from .generation import generate
from .graph import Graph, Input, Lambda, Symbol
from .grids import affine_grid, grid_sample
from .group_normalization import GroupNorm, InstanceNorm, local_response_norm, normalize
from .intercept import intercept_methods
from .linear import Dense, DenseGeneral, Embed, EmbeddingBag
from .lstm import ConvLSTMCell, LSTMCell, OptimizedLSTMCell
from .module import Module
from .normalization import BatchNorm, LayerNorm, RMSNorm
from .other_names import name_here
from .parametrizations import Parametrized, orthogonal
from .pooling import avg_pool, lp_pool, max_pool, min_pool, pool, sum_pool
from .positions import RelativePositionBias, alibi_bias, alibi_slopes, rotary, sinusoidal_positions
from .recurrent import GRUCell, MGUCell, RNNCellBase, SimpleCell
from .remat import Remat
from .reparametrization import LoRA, SpectralNorm, WeightNorm
from .repeat import Repeat
from .resizing import (
    Upsample,
    channel_shuffle,
    depth_to_space,
    pixel_shuffle,
    pixel_unshuffle,
    resize,
    space_to_depth,
)
from .rnn import RNN, Bidirectional, StackedCells, flip_sequences
from .running import Variable
from .separable import ConvLocal, DepthwiseConv, SeparableConv
from .shapes import Flatten, Pad, Reshape, fold, unfold
from .sharding import shardings
from .stacking import stack_layers, unstack_layers
from .stochastic import AlphaDropout, Dropout, DropPath, GaussianDropout, GaussianNoise
from .surgery import (
    features,
    modules,
    parameter_bytes,
    parameter_count,
    replace,
    with_input_channels,
)
from .transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from .unpooling import max_pool_with_indices, max_unpool
from .vmap import Vmap
from .weights import load, save

__all__ = [
    "AlphaDropout",
    "BatchApply",
    "BatchNorm",
    "Bidirectional",
    "Bilinear",
    "Conv",
    "ConvLSTMCell",
    "ConvLocal",
    "ConvNormAct",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "DepthwiseConv",
    "DropPath",
    "Dropout",
    "Einsum",
    "Embed",
    "EmbeddingBag",
    "Flatten",
    "GRUCell",
    "GatedMLP",
    "GaussianDropout",
    "GaussianNoise",
    "Graph",
    "GroupNorm",
    "ImmutableVariableError",
    "Input",
    "InputError",
    "InstanceNorm",
    "LSTMCell",
    "Lambda",
    "LayerNorm",
    "LoRA",
    "MGUCell",
    "MLP",
    "Maxout",
    "MissingRngError",
    "MissingVariableError",
    "MixtureOfExperts",
    "Module",
    "ModuleError",
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "NameInUseError",
    "OptimizedLSTMCell",
    "PReLU",
    "Pad",
    "Parallel",
    "ParameterShapeError",
    "Parametrized",
    "RMSNorm",
    "RNN",
    "RNNCellBase",
    "RelativePositionBias",
    "Remat",
    "Repeat",
    "Reshape",
    "Residual",
    "Scale",
    "SelfAttention",
    "SeparableConv",
    "Sequential",
    "SimpleCell",
    "SpectralNorm",
    "StackedCells",
    "Symbol",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "UnboundModuleError",
    "Upsample",
    "Variable",
    "Vmap",
    "WeightNorm",
    "WeightsError",
    "activation",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "adaptive_pool",
    "affine_grid",
    "alibi_bias",
    "alibi_slopes",
    "avg_pool",
    "boxes",
    "celu",
    "channel_shuffle",
    "combine_masks",
    "constraints",
    "depth_to_space",
    "dot_product_attention",
    "dot_product_attention_weights",
    "elu",
    "features",
    "flip_sequences",
    "fold",
    "gelu",
    "generate",
    "global_avg_pool",
    "global_max_pool",
    "glu",
    "grid_sample",
    "gumbel_softmax",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "initializers",
    "intercept_methods",
    "leaky_relu",
    "load",
    "local_response_norm",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "losses",
    "lp_pool",
    "make_attention_mask",
    "make_causal_mask",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "merge",
    "metrics",
    "min_pool",
    "mish",
    "models",
    "modules",
    "multi_hot",
    "normalize",
    "one_hot",
    "orthogonal",
    "parameter_bytes",
    "parameter_count",
    "partition",
    "pixel_shuffle",
    "pixel_unshuffle",
    "pool",
    "relu",
    "relu6",
    "replace",
    "resize",
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
    "space_to_depth",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "stack_layers",
    "standardize",
    "sum_pool",
    "swish",
    "tanh",
    "unfold",
    "unstack_layers",
    "weights",
    "with_input_channels",
]


def __getattr__(name: str) -> Any:
    here = name_here(name)
    if here is not None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; write nn.{here}")
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
