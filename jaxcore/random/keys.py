"""Keys: made of a seed, split, folded with data; and the bits that they stand for.

A typed key (``random.key(0)``) is a scalar of dtype ``key<fry>``; a raw one (``random.PRNGKey(0)``)
is its words, an array of uint32. Every function takes both and returns what it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, errors
from jaxcore.numpy.operand import as_array
from jaxcore.ops.random import (
    random_bits_p,
    random_clone_p,
    random_fold_in_p,
    random_seed_p,
    random_split_p,
    random_unwrap_p,
    random_wrap_p,
)
from jaxcore.trace import bind

__all__ = [
    "PRNGKey",
    "as_key",
    "bits",
    "clone",
    "fold_in",
    "key",
    "key_data",
    "raw_bits",
    "shape_of",
    "split",
    "wrap_key_data",
]

Array = jax.Array


def as_key(name: str, key: Any) -> tuple[Any, bool]:
    """`key` as a single typed key, and whether it was raw."""
    if isinstance(key, jax.Array) and isinstance(key.dtype, backend.KeyType) and key.shape == ():
        return key, False
    return _checked(name, key, batched=False)


def _checked(name: str, key: Any, batched: bool = True) -> tuple[Any, bool]:
    try:
        return backend.typed_key(name, key, batched)
    except (TypeError, ValueError) as error:
        raise errors.raised(error) from None


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of integers."""
    if type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape):
        return shape
    sizes = tuple(backend.canonicalize_shape(shape))
    if any(type(n) is int and n < 0 for n in sizes):
        raise ValueError(f"a shape has no negative sizes, got {sizes}")
    return sizes


def _new(name: str, seed: Any, impl: Any) -> Array:
    implementation = backend.key_implementation(impl)
    if isinstance(getattr(seed, "dtype", None), backend.KeyType):
        raise TypeError(f"{name} accepts a scalar seed, but was given a PRNG key.")
    if np.ndim(seed):
        raise TypeError(
            f"{name} accepts a scalar seed, but was given an array of shape {np.shape(seed)} != "
            "(). Use jax.vmap for batching"
        )
    if isinstance(seed, int):
        # Hashes are seeds too: with 32 bits the low ones count.
        seed = np.asarray(np.int64(seed)).astype(backend.canonicalize_dtype(np.int64))[()]
    else:
        seed = jnp.asarray(seed)
    offset = backend.flag("jax_random_seed_offset")
    return bind(random_seed_p, seed + offset if offset else seed, impl=implementation)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Array:
    """A typed random key.

    Args:
      seed: an integer, or a scalar integer array.
      impl, dtype: the generator by name (``"threefry2x32"``, ``"rbg"``) or by a key's dtype; the
        default is the one of ``jax_default_prng_impl``.

    Raises:
      TypeError: the seed is no scalar.
      ValueError: both `impl` and `dtype` are given, or the name is unknown.

    Example:
      >>> from jaxcore import random
      >>> random.split(random.key(0), 3).shape
      (3,)
    """
    return _new("key", seed, _one_of("key", impl, dtype))


def _one_of(name: str, impl: Any, dtype: Any) -> Any:
    if impl is not None and dtype is not None:
        raise ValueError(f"Cannot specify both `impl` and `dtype` arguments to jax.random.{name}")
    return impl if dtype is None else dtype


def PRNGKey(seed: Any, *, impl: Any = None) -> Array:
    """A raw random key: its words, an array of uint32. Prefer `key`."""
    return backend.key_words(True, _new("PRNGKey", seed, impl))


def split(key: Any, num: int | Sequence[int] = 2) -> Array:
    """`num` new keys of one, stacked along new leading axes of that shape.

    Example:
      >>> from jaxcore import random
      >>> a, b = random.split(random.key(0))
      >>> bool(a == b)
      False
    """
    typed, raw = as_key("split", key)
    shape = tuple(index(n) for n in num) if isinstance(num, Sequence) else (index(num),)
    return backend.key_words(raw, bind(random_split_p, typed, shape=shape))


def fold_in(key: Any, data: Any) -> Array:
    """A new key of a key and an integer, such as the number of a step or a layer.

    Args:
      key: a key.
      data: a scalar integer; its low 32 bits count.
    """
    typed, raw = as_key("fold_in", key)
    if np.ndim(data):
        raise TypeError(
            f"fold_in accepts a scalar, but was given an array of shape {np.shape(data)} != (). "
            "Use jax.vmap for batching."
        )
    if type(data) is int and 0 <= data < 2**32:
        data = np.uint32(data)
    else:
        data = jnp.asarray(data, dtype=np.uint32)
    return backend.key_words(raw, bind(random_fold_in_p, typed, data))


def key_data(keys: Any) -> Array:
    """The words of keys: an array of uint32 with the keys' shape and one more dimension.

    Args:
      keys: an array of typed keys, or of raw ones, which come back as they are.

    Example:
      >>> from jaxcore import random
      >>> random.key_data(random.key(7))
      Array([0, 7], dtype=uint32)
    """
    typed, _ = _checked("key_data", keys)
    return bind(random_unwrap_p, typed)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Array:
    """Typed keys of their words, as `key_data` gives them.

    Args:
      key_bits_array: array of uint32, whose last dimension holds the words of one key.
      impl, dtype: the generator, as for `key`.

    Raises:
      TypeError: the words are not uint32, or not as many as the generator's keys have.

    Example:
      >>> from jaxcore import random
      >>> key = random.key(7)
      >>> bool(random.wrap_key_data(random.key_data(key)) == key)
      True
    """
    implementation = backend.key_implementation(_one_of("wrap_key_data", impl, dtype))
    words = as_array("wrap_key_data", key_bits_array)
    return bind(random_wrap_p, words, impl=implementation)


def clone(key: Any) -> Array:
    """The same keys, which count as new ones where the reuse of keys is checked."""
    return bind(random_clone_p, key)


def raw_bits(key: Any, bit_width: int, shape: tuple[int, ...]) -> Array:
    """Uniform bits of a typed key, as unsigned integers of `bit_width`."""
    return bind(random_bits_p, key, bit_width=bit_width, shape=shape)


def bits(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Uniformly random bits, as unsigned integers (uint32 by default)."""
    if out_sharding is not None:
        return jax.random.bits(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("bits", key)
    if dtype is None:
        own = backend.canonicalize_dtype(np.dtype(np.uint64))
    else:
        own = backend.user_dtype(dtype)
    if not jax.dtypes.issubdtype(own, np.unsignedinteger):
        raise ValueError(f"dtype argument to `bits` must be an unsigned int dtype, got {own}")
    return raw_bits(typed, own.itemsize * 8, shape_of(shape))
