"""The functions of `jaxcore.lax` for generators, barriers, composites and approximate extremes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.operand import axis_index, typed
from jaxcore.ops.hints import composite_p, optimization_barrier_p
from jaxcore.ops.random import rng_bit_generator_p, rng_uniform_p
from jaxcore.ops.sort import approx_top_k_p, sort_p
from jaxcore.trace import aval_of, bind, trace_program

__all__ = [
    "approx_max_k",
    "approx_min_k",
    "composite",
    "optimization_barrier",
    "rng_bit_generator",
    "rng_uniform",
    "sort_key_val",
]

Array = jax.Array


# --- sorting ------------------------------------------------------------------------------------


def sort_key_val(
    keys: Any, values: Any, dimension: int = -1, is_stable: bool = True
) -> tuple[Array, Array]:
    """`keys` sorted along `dimension`, and `values` moved as they were."""
    x, aval = typed("sort_key_val", keys)
    y, _ = typed("sort_key_val", values, 1)
    place = axis_index(dimension, len(aval.shape))
    k, v = bind(sort_p, x, y, dimension=place, is_stable=is_stable, num_keys=1)
    return k, v


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """About the `k` largest elements along an axis, and their indices; exactly on CPU and GPU.

    Args:
      operand: array of floats.
      k: how many.
      reduction_dimension: the axis.
      recall_target: the share of the `k` largest that is to be found, on TPU.
      reduction_input_size_override: the size of the axis that `recall_target` speaks of, where the
        array is a part of a larger one.
      aggregate_to_topk: return exactly `k` elements, in order.

    Chern et al., "TPU-KNN: K nearest neighbor search at peak FLOP/s", NeurIPS 2022.
    """
    return _approximate(
        operand,
        k,
        reduction_dimension,
        recall_target,
        True,
        reduction_input_size_override,
        aggregate_to_topk,
    )


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """About the `k` smallest elements along an axis, and their indices; see `approx_max_k`."""
    return _approximate(
        operand,
        k,
        reduction_dimension,
        recall_target,
        False,
        reduction_input_size_override,
        aggregate_to_topk,
    )


def _approximate(
    operand: Any, k: int, axis: int, recall: float, largest: bool, size: int, exactly: bool
) -> tuple[Array, Array]:
    x, aval = typed("approx_max_k" if largest else "approx_min_k", operand)
    if not aval.shape:
        raise TypeError(f"approx_top_k operand must have >= 1 dimension, got {aval}.")
    values, indices = bind(
        approx_top_k_p,
        x,
        k=index(k),
        reduction_dimension=axis_index(axis, len(aval.shape)),
        recall_target=float(recall),
        is_max_k=largest,
        reduction_input_size_override=index(size),
        aggregate_to_topk=bool(exactly),
    )
    return values, indices


# --- generators -----------------------------------------------------------------------------------


def rng_uniform(a: Any, b: Any, shape: Sequence[int]) -> Array:
    """Numbers in [a, b) of the platform's own generator, whose state nobody sees.

    Prefer `jaxcore.random.uniform`, whose samples depend on a key alone.
    """
    return bind(
        rng_uniform_p,
        typed("rng_uniform", a)[0],
        typed("rng_uniform", b, 1)[0],
        shape=tuple([index(n) for n in shape]),
    )


def rng_bit_generator(
    key: Any,
    shape: Sequence[int],
    dtype: Any = np.uint32,
    algorithm: Any = jax.lax.RandomAlgorithm.RNG_DEFAULT,
    *,
    out_sharding: Any = None,
) -> tuple[Array, Array]:
    """Random bits of the platform, and the key after them.

    Args:
      key: four words of uint32, or two of uint64.
      shape: shape of the bits.
      dtype: an unsigned integer dtype.
      algorithm: a `jax.lax.RandomAlgorithm`.
      out_sharding: left to JAX.

    Raises:
      TypeError: the dtype is no unsigned one.
    """
    kind = user_dtype(dtype)
    if np.dtype(kind).name not in ("uint8", "uint16", "uint32", "uint64"):
        raise TypeError(f"rng_bit_generator: unsupported dtype {kind}")
    if out_sharding is not None:
        return jax.lax.rng_bit_generator(key, shape, dtype, algorithm, out_sharding=out_sharding)
    after, bits = bind(
        rng_bit_generator_p,
        typed("rng_bit_generator", key)[0],
        shape=tuple([index(n) for n in shape]),
        dtype=np.dtype(kind),
        algorithm=algorithm,
    )
    return after, bits


# --- hints to the compiler ------------------------------------------------------------------------


def optimization_barrier(operand: Any, /) -> Any:
    """`operand`, a pytree, behind a barrier: the compiler moves nothing across it.

    No value behind the barrier is computed before all that go into it are.
    """
    leaves, tree = jax.tree.flatten(operand)
    values = [typed("optimization_barrier", x, i)[0] for i, x in enumerate(leaves)]
    return jax.tree.unflatten(tree, bind(optimization_barrier_p, *values) if values else ())


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """`decomposition` as one named operation, which a compiler may replace by its own.

    Args:
      decomposition: function of arrays; keyword arguments are attributes of the operation, Python
        constants.
      name: such as ``"my.norm"``.
      version: of the operation.

    Raises:
      UnexpectedTracerError: the function captures tracers.
      ValueError: it is differentiated.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> double = lax.composite(lambda x: x + x, "my.double")
      >>> print(jaxcore.jit(double)(jnp.ones(2)))
      [2. 2.]
      >>> "stablehlo.composite" in jaxcore.jit(double).lower(jnp.ones(2)).as_text()
      True
    """

    @wraps(decomposition)
    def call(*args: Any, **attributes: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        settings = [(k, *jax.tree.flatten(v)) for k, v in attributes.items()]
        plain = all(
            isinstance(x, bool | int | float | str) for _, found, _ in settings for x in found
        )
        if not plain:
            return jax.lax.composite(decomposition, name, version)(*args, **attributes)
        values = [typed(name, x, i)[0] for i, x in enumerate(leaves)]
        found: list[Any] = []

        def flat(*xs: Any) -> list[Any]:
            out, out_tree = jax.tree.flatten(
                decomposition(*jax.tree.unflatten(tree, xs), **attributes)
            )
            found.append(out_tree)
            return out

        program, captured = trace_program(flat, [aval_of(x) for x in values], name)
        if any(isinstance(x, backend.Tracer) for x in captured):
            raise jax.errors.UnexpectedTracerError(
                f"The decomposition of the composite op '{name}' closes over a value of a "
                "transformation. Fix: pass it as an argument."
            )
        outs = bind(
            composite_p,
            *captured,
            *values,
            program=program,
            name=name,
            version=index(version),
            attributes=tuple([(k, tuple(leaves), tree) for k, leaves, tree in settings]),
        )
        return jax.tree.unflatten(found[0], outs)

    return call
