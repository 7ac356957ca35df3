"""Random keys and bits: counters hashed by the key's generator (threefry2x32 unless chosen).

A key is a scalar of an extended dtype, ``key<fry>[]``; hidden behind it are the words that the
generator works on. Results depend on nothing but the key, so nothing here has a derivative. The
generators themselves are JAX's, and so are their bits.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.indexing import dynamic_update_slice_p
from jaxcore.ops.pieces import slice_p
from jaxcore.ops.rules import move_dim, reshape
from jaxcore.ops.shape import dropping
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "random_bits_p",
    "random_clone_p",
    "random_fold_in_p",
    "random_seed_p",
    "random_split_p",
    "random_unwrap_p",
    "random_wrap_p",
    "rng_bit_generator_p",
    "rng_uniform_p",
    "threefry2x32_p",
]

Shape = tuple[int, ...]
_UINT32 = np.dtype(np.uint32)


def _words(impl: Any) -> Shape:
    """The hidden dimensions of a key."""
    return tuple(impl.key_shape)


def _check_key(name: str, aval: ShapedArray) -> None:
    if not isinstance(aval.dtype, backend.KeyType):
        raise TypeError(
            f"{name} expects random keys, such as those of random.key(0), got {aval}. Fix: make "
            "typed keys of raw ones with random.wrap_key_data."
        )


def _free(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return 0


def _hashes(avals_in: Any, avals_out: Any, **_: Any) -> int:
    """About 110 integer operations make two words (threefry's 20 rounds)."""
    return 55 * sum(a.size * max(a.dtype.itemsize // 4, 1) for a in avals_out)


def _along(box: list[Primitive]) -> Any:
    """Batch an operation on each element that only adds dimensions at the end."""

    def rule(size: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
        return bind(box[0], args[0], **params), dims[0]

    return rule


def _per_key(name: str, type: Any, theirs: Any, cost: Any) -> Primitive:
    """A record of an operation on each element of one operand."""
    box: list[Primitive] = []
    record = Primitive(name, type, batch=_along(box), cost=cost, jax=theirs)
    box.append(record)
    return record


def _seed_type(seeds: ShapedArray, *, impl: Any) -> ShapedArray:
    return ShapedArray(seeds.shape, backend.KeyType(impl))


def _split_type(keys: ShapedArray, *, shape: Shape) -> ShapedArray:
    _check_key("random_split", keys)
    return ShapedArray((*keys.shape, *shape), keys.dtype)


def _bits_type(keys: ShapedArray, *, bit_width: int, shape: Shape) -> ShapedArray:
    _check_key("random_bits", keys)
    return ShapedArray((*keys.shape, *shape), np.dtype(f"uint{bit_width}"))


random_seed_p = _per_key("random_seed", _seed_type, backend.random_seed_p, _free)
random_clone_p = _per_key("random_clone", lambda keys: keys, backend.random_clone_p, _free)
random_split_p = _per_key("random_split", _split_type, backend.random_split_p, _hashes)
random_bits_p = _per_key("random_bits", _bits_type, backend.random_bits_p, _hashes)


def _fold_in_type(keys: ShapedArray, data: ShapedArray) -> ShapedArray:
    _check_key("random_fold_in", keys)
    if data.dtype != _UINT32:
        raise TypeError(f"random_fold_in expects data of dtype uint32, got {data}.")
    return ShapedArray(np.broadcast_shapes(keys.shape, data.shape), keys.dtype)


def _elementwise_batch(box: list[Primitive]) -> Any:
    """Operands of one example are scalars or of one rank; ranks are made equal by leading ones."""

    def rule(size: int, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
        ranks = [len(aval_of(x).shape) - (d is not None) for x, d in zip(args, dims, strict=True)]
        rank = max(ranks)
        operands = []
        for x, d in zip(args, dims, strict=True):
            shape = aval_of(x).shape
            if d is not None:
                x, one = move_dim(x, d, 0), (*shape[:d], *shape[d + 1 :])
                shape = (size, *(1,) * (rank - len(one)), *one)
            elif shape:
                shape = (1, *(1,) * (rank - len(shape)), *shape)
            operands.append(x if aval_of(x).shape == shape else reshape(x, shape))
        out = bind(box[0], *operands)
        return out, [0] * len(out) if box[0].multiple_results else 0

    return rule


_fold_in: list[Primitive] = []
random_fold_in_p = Primitive(
    "random_fold_in",
    _fold_in_type,
    batch=_elementwise_batch(_fold_in),
    cost=_hashes,
    jax=backend.random_fold_in_p,
)
_fold_in.append(random_fold_in_p)


def _threefry_type(*words: ShapedArray) -> list[ShapedArray]:
    """Two words of key and two of counter hash to two words."""
    for word in words:
        if word.dtype != _UINT32:
            raise TypeError(f"threefry2x32 expects operands of dtype uint32, got {word}.")
    shape = np.broadcast_shapes(*[w.shape for w in words])
    return [ShapedArray(shape, _UINT32)] * 2


_threefry: list[Primitive] = []
threefry2x32_p = Primitive(
    "threefry2x32",
    _threefry_type,
    batch=_elementwise_batch(_threefry),
    cost=_hashes,
    jax=backend.threefry2x32_p,
    multiple_results=True,
)
_threefry.append(threefry2x32_p)


# --- keys and their words -----------------------------------------------------------------------


def _wrap_type(words: ShapedArray, *, impl: Any) -> ShapedArray:
    hidden = _words(impl)
    rank = len(words.shape) - len(hidden)
    if words.dtype != _UINT32 or rank < 0 or words.shape[rank:] != hidden:
        raise TypeError(f"random_wrap expects uint32 words of shape (..., {hidden}), got {words}.")
    return ShapedArray(words.shape[:rank], backend.KeyType(impl))


def _wrap_batch(size: int, args: Sequence[Any], dims: Sequence[int], *, impl: Any) -> Any:
    x, d = args[0], dims[0]
    if d >= len(aval_of(x).shape) - len(_words(impl)):
        x, d = move_dim(x, d, 0), 0
    return bind(random_wrap_p, x, impl=impl), d


def _unwrap_type(keys: ShapedArray) -> ShapedArray:
    _check_key("random_unwrap", keys)
    return ShapedArray((*keys.shape, *_words(keys.dtype._impl)), _UINT32)


random_wrap_p = Primitive(
    "random_wrap", _wrap_type, batch=_wrap_batch, cost=_free, jax=backend.random_wrap_p
)
random_unwrap_p = _per_key("random_unwrap", _unwrap_type, backend.random_unwrap_p, _free)


# --- the platform's own generators --------------------------------------------------------------


def _rng_uniform_type(low: ShapedArray, high: ShapedArray, *, shape: Shape) -> ShapedArray:
    if low.dtype != high.dtype:
        raise ValueError(
            f"Arguments to rng_uniform must have identical dtypes, got {low.dtype} and "
            f"{high.dtype}."
        )
    if low.shape or high.shape:
        raise ValueError(
            f"Arguments to rng_uniform must be scalars; got shapes {tuple(low.shape)} and "
            f"{tuple(high.shape)}."
        )
    return ShapedArray(shape, low.dtype, weak_type=low.weak_type and high.weak_type)


def _no_derivative(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    raise NotImplementedError(
        "Differentiation rule for 'rng_uniform' not implemented. Fix: scale samples of (0, 1)."
    )


rng_uniform_p = Primitive(
    "rng_uniform", _rng_uniform_type, jvp=_no_derivative, cost=_free, jax=jax.lax.rng_uniform_p
)


def _generator_type(
    key: ShapedArray, *, shape: Shape, dtype: Any, algorithm: Any
) -> list[ShapedArray]:
    return [key, ShapedArray(shape, dtype)]


def _generator_batch(
    size: int, args: Sequence[Any], dims: Sequence[int], *, shape: Shape, **params: Any
) -> Any:
    """The first key makes the bits of all examples, as in JAX; the other keys stay as they are."""
    keys = move_dim(args[0], dims[0], 0)
    rest = aval_of(keys).shape[1:]
    first = bind(
        slice_p, keys, start_indices=(0,) * (1 + len(rest)), limit_indices=(1, *rest), strides=None
    )
    key, bits = bind(rng_bit_generator_p, reshape(first, rest), shape=(size, *shape), **params)
    starts = [np.int32(0)] * (1 + len(rest))
    return [bind(dynamic_update_slice_p, keys, reshape(key, (1, *rest)), *starts), bits], [0, 0]


rng_bit_generator_p = Primitive(
    "rng_bit_generator",
    _generator_type,
    batch=_generator_batch,
    cost=_hashes,
    jax=jax.lax.rng_bit_generator_p,
    from_jax=dropping({"out_sharding": None}),
    to_jax=lambda params: {**params, "out_sharding": None},
    multiple_results=True,
)
