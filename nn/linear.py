"""Layers that contract with a kernel: `Dense`, `DenseGeneral`, and the lookup table `Embed`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random, vmap

from . import initializers
from .dtypes import as_array, promote
from .errors import InputError, where
from .module import Module

Init = Callable[..., Any]


def need_rank(module: Module, x: Any, rank: int, shape: str) -> Any:
    """`x` as an array; raises unless it has at least `rank` axes."""
    x = as_array(x)
    if x.ndim < rank:
        raise InputError(
            f"{where(module.path, type(module).__name__)}: the input has shape {x.shape}. "
            f"Expected {shape}, at least {rank} axes; add the missing ones with x[None] or "
            "x[..., None]."
        )
    return x


class Dense(Module):
    """``x @ kernel + bias`` over the last axis: ``(..., in) -> (..., features)``.

    Parameters: ``kernel (in, features)``, ``bias (features,)``.

    From PyTorch: ``Linear`` has the kernel transposed, and both begin uniform in ±1/√in:
    `initializers.torch_kernel`, `initializers.torch_bias`. From Keras: ``Dense`` begins with
    `initializers.glorot_uniform`.

    Raises:
      InputError: a scalar.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> variables = nn.Dense(4).init(random.key(0), jnp.ones((2, 3)))
    >>> variables["params"]["kernel"].shape
    (3, 4)
    """

    features: int
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x = need_rank(self, x, 1, "(..., features)")
        kernel = self.param(
            "kernel", self.kernel_init, (x.shape[-1], self.features), self.param_dtype
        )
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())), precision=self.precision)
        return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


class DenseGeneral(Module):
    """A linear map from the axes `axis` to new trailing axes `features`.

    With ``features=(heads, depth)`` and ``axis=-1``: ``(..., in) -> (..., heads, depth)``.
    Axes in `batch_dims` have a kernel each.

    Parameters: ``kernel (*batch, *in, *features)``, ``bias (*batch, *features)``.

    Raises:
      InputError: an axis that the input has not, or `batch_dims` that are not the first ones.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> heads = nn.DenseGeneral((2, 4))
    >>> heads.init_with_output(random.key(0), jnp.ones((5, 3)))[0].shape
    (5, 2, 4)
    """

    features: int | Sequence[int]
    axis: int | Sequence[int] = -1
    batch_dims: Sequence[int] = ()
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Init = initializers.lecun_normal()
    bias_init: Init = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x = as_array(x)
        features, axes, batch = _tuple(self.features), _tuple(self.axis), _tuple(self.batch_dims)
        if any(not -x.ndim <= a < x.ndim for a in (*axes, *batch)):
            raise InputError(
                f"{where(self.path, 'DenseGeneral')}: axis={self.axis}, batch_dims="
                f"{self.batch_dims} do not all exist in an input of shape {x.shape}. Expected "
                f"axes from {-x.ndim} to {x.ndim - 1}."
            )
        axes = tuple(a % x.ndim for a in axes)
        batch = tuple(a % x.ndim for a in batch)
        if batch != tuple(range(len(batch))):
            raise InputError(
                f"{where(self.path, 'DenseGeneral')}: batch_dims={self.batch_dims} must be the "
                "leading axes 0, 1, ... in order. Move them to the front with jnp.moveaxis."
            )
        sizes = tuple(x.shape[a] for a in batch)
        inputs = tuple(x.shape[a] for a in axes)
        kernel = self.param(
            "kernel",
            _flat_init(self.kernel_init, len(batch), len(inputs)),
            (*sizes, *inputs, *features),
            self.param_dtype,
        )
        bias = None
        if self.use_bias:
            bias = self.param(
                "bias",
                _flat_init(self.bias_init, len(batch), 0),
                (*sizes, *features),
                self.param_dtype,
            )
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        contract = tuple(range(len(batch), len(batch) + len(axes)))
        y = lax.dot_general(x, kernel, ((axes, contract), (batch, batch)), precision=self.precision)
        if bias is None:
            return y
        between = y.ndim - len(batch) - len(features)
        return y + bias.reshape(*sizes, *(1,) * between, *features)


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _flat_init(init: Init, batch: int, inputs: int) -> Init:
    """Initialises each batch entry as a matrix ``(prod(in), prod(features))``, for right fans."""
    if init in (initializers.zeros, initializers.ones):
        return init  # any shape will do, and `init` sees that no random numbers are needed

    def flat(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        lead, rest = shape[:batch], shape[batch:]
        features = math.prod(rest[inputs:])
        matrix = (math.prod(rest[:inputs]), features) if inputs else (features,)
        if not batch:
            return init(key, matrix, dtype).reshape(shape)
        keys = random.split(key, math.prod(lead))
        return vmap(lambda k: init(k, matrix, dtype))(keys).reshape(shape)

    return flat


class Embed(Module):
    """A table of vectors: integers ``(...) -> (..., features)``.

    `attend` uses the same table as an output layer: ``(..., features) -> (..., num_embeddings)``.

    Parameters: ``embedding (num_embeddings, features)``.

    From PyTorch: ``embedding_init=nn.initializers.normal(1.0)``. From Keras: uniform in ±0.05.

    Raises:
      InputError: indices that are not integers.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> words = nn.Embed(10, 4)
    >>> words.init_with_output(random.key(0), jnp.array([[1, 7, 7]]))[0].shape
    (1, 3, 4)
    """

    num_embeddings: int
    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32
    embedding_init: Init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)

    uses_rng: ClassVar[bool] = False

    def _table(self) -> Array:
        return self.param(
            "embedding",
            self.embedding_init,
            (self.num_embeddings, self.features),
            self.param_dtype,
        )

    def __call__(self, indices: Array) -> Array:
        return self._looked_up(indices)

    def _looked_up(self, indices: Any) -> Array:
        indices = as_array(indices)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise InputError(
                f"{where(self.path, type(self).__name__)}: the indices have dtype {indices.dtype}. "
                "Expected integers. Fix: x.astype(jnp.int32)."
            )
        (table,) = promote(self.compute_dtype, self._table())
        return jnp.take(table, indices, axis=0)

    def attend(self, query: Array) -> Array:
        """Scores of every entry of the table: ``query @ embedding.T``."""
        query, table = promote(self.compute_dtype, query, self._table())
        return lax.dot_general(query, table, (((query.ndim - 1,), (1,)), ((), ())))


class EmbeddingBag(Embed):
    """The vectors of several indices together: integers ``(..., n) -> (..., features)``.

    `mode` says how: "mean", "sum" or "max"; a bag without indices gives zeros. Parameters are those
    of `Embed`.

    Args:
      mode: above.
      padding_index: an index that stands for nothing.

    Of a call:
      weights: factors of the vectors, of the indices' shape, for "sum" (and "mean", where they are
        divided by the number of indices all the same).

    PyTorch's ``EmbeddingBag``, whose bags of different lengths are rows filled up with
    ``padding_idx``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> bag = nn.EmbeddingBag(10, 4, padding_index=0)
    >>> bag.init_with_output(random.key(0), jnp.array([[1, 7, 7], [2, 0, 0]]))[0].shape
    (2, 4)
    """

    mode: str = "mean"
    padding_index: int | None = None

    def __call__(self, indices: Array, weights: Array | None = None) -> Array:
        indices = need_rank(self, indices, 1, "(..., n)")
        if self.mode not in ("mean", "sum", "max"):
            raise InputError(
                f"{where(self.path, 'EmbeddingBag')}: mode={self.mode!r}. Expected 'mean', 'sum' "
                "or 'max'."
            )
        vectors = self._looked_up(indices)
        real = jnp.ones(indices.shape, bool)
        if self.padding_index is not None:
            real = indices != self.padding_index
        if self.mode == "max":
            best = jnp.where(real[..., None], vectors, -jnp.inf).max(-2, initial=-jnp.inf)
            return jnp.where(real.any(-1)[..., None], best, 0)
        factors = real.astype(vectors.dtype)
        if weights is not None:
            factors = factors * as_array(weights, vectors.dtype)
        total = jnp.einsum("...nf,...n->...f", vectors, factors)
        if self.mode == "sum":
            return total
        return total / jnp.maximum(real.sum(-1), 1)[..., None].astype(total.dtype)
