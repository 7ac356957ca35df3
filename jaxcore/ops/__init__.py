"""Primitives, a family a file; each record holds its result type and its derivative, batching and
lowering rules.

basic      literals, zeros, conversions the transformations themselves need
call       calls of shared functions
custom     custom_jvp; custom_vjp, custom_batch, custom_jax (JAX's own) in files of theirs
checkpoint functions whose derivative computes again instead of keeping values
avals      result types made once
shape      reshape, transpose, squeeze, broadcast, rev, iota; pieces: slice, split, concatenate, pad
dot, conv  contraction and convolution; window: sums and extrema over sliding windows
indexing   gather and dynamic slices; scatter: the ways to write
collective sums, gathers and their like over a named axis; exchange: those that move values
sharding   where a value lies; shard_map: a program that every device runs on its part
foreign    JAX primitives without a record of ours, by JAX's own rules

The names of ``jax.ops``, such as `segment_sum`, are handed out here as well.
"""

from typing import Any

from jaxcore import namespaces


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
