"""Random keys: their type, their primitives, JAX's checks."""

from __future__ import annotations

from typing import Any

from jax._src import core, dtypes
from jax._src.random import core as _random
from jax._src.random import prng, threefry2x32

KeyType = prng.KeyTy
random_bits_p = prng.random_bits_p
random_clone_p = _random.random_clone_p
random_fold_in_p = prng.random_fold_in_p
random_seed_p = prng.random_seed_p
random_split_p = prng.random_split_p
random_unwrap_p = prng.random_unwrap_p
random_wrap_p = prng.random_wrap_p
threefry2x32_p = threefry2x32.threefry2x32_p
key_implementation = _random.resolve_prng_impl
key_words = _random._return_prng_keys
canonicalize_shape = core.canonicalize_shape
safe_to_cast = dtypes.safe_to_cast
user_dtype = dtypes.check_and_canonicalize_user_dtype


def typed_key(name: str, key: Any, allow_batched: bool = False) -> tuple[Any, bool]:
    """`key` as a typed key, and whether it was raw words; JAX's checks and settings for the raw."""
    return _random._check_prng_key(name, key, allow_batched=allow_batched)
