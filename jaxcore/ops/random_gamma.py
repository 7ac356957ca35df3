"""Samples of the gamma distribution, one for each element of its parameter.

The samples are JAX's (rejection, of Marsaglia and Tsang, "A simple method for generating gamma
variables", ACM TOMS 2000); the derivative by the parameter is that of Figurnov et al., "Implicit
reparameterization gradients", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import constant, div, mul
from jaxcore.ops.compare import eq, select
from jaxcore.ops.elementwise import exp_p
from jaxcore.ops.rules import accept, full
from jaxcore.ops.shape import batched_at
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["random_gamma_p"]


def _type(keys: ShapedArray, a: ShapedArray, *, log_space: bool) -> ShapedArray:
    """Keys take the leading dimensions of `a`, those of vmap."""
    accept("random_gamma", "f", 1, a.dtype)
    if a.shape[: len(keys.shape)] != keys.shape:
        raise TypeError(f"random_gamma needs a key for each leading index of {a}, got {keys}.")
    return a


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, log_space: bool) -> Any:
    from jaxcore.numpy.lax_special import random_gamma_grad

    keys, a = primals
    out = bind(random_gamma_p, keys, a, log_space=log_space)
    if tangents[1] is None:
        return out, None
    sample = out
    if log_space:  # d log(x) = dx / x, with the smallest float in place of 0
        aval = aval_of(out)
        sample = bind(exp_p, out)
        tiny = full(jax.numpy.finfo(aval.dtype).tiny, aval)
        sample = select(eq(sample, constant(sample, 0)), tiny, sample)
    slope = random_gamma_grad(a, sample)
    return out, mul(tangents[1], div(slope, sample) if log_space else slope)


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], *, log_space: bool) -> Any:
    keys, a = (batched_at(x, d, 0, size) for x, d in zip(args, dims, strict=True))
    return bind(random_gamma_p, keys, a, log_space=log_space), 0


random_gamma_p = Primitive(
    "random_gamma", _type, jvp=_jvp, batch=_batch, jax=jax.random.random_gamma_p
)
