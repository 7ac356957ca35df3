"""Linear functions: their transpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import run_program
from jaxcore.signature import function_name
from jaxcore.stages import shape_aval
from jaxcore.trace import aval_of, trace_program
from jaxcore.transforms.transpose import transpose_program

__all__ = ["linear_transpose"]


@errors.explained
def linear_transpose(fun: Callable[..., Any], *primals: Any, reduce_axes: Any = ()) -> Any:
    """The transpose of a linear function.

    Args:
      fun: linear function of pytrees of float or complex arrays. Values do not matter, so that an
        affine function is not found out.
      primals: an example of each argument: arrays, or `ShapeDtypeStruct`.
      reduce_axes: accepted as in JAX, and not used.

    Returns:
      A function from a cotangent of the output to the tuple of cotangents of the arguments.

    Raises:
      TypeError: an argument or the output is neither float nor complex, or all are integers, or
        the cotangent has another structure or type than the output.
      NotImplementedError: an operation of `fun` is not linear.

    Example:
      >>> import jax, jaxcore.numpy as jnp
      >>> back = linear_transpose(lambda x, y: 0.5 * x - 0.2 * y, 0.0, 0.0)
      >>> [float(x) for x in back(1.0)]
      [0.5, -0.20000000298023224]
    """
    name = f"linear_transpose of {function_name(fun)}"
    leaves, tree = jax.tree.flatten(primals)
    avals = [shape_aval(x) for x in leaves]
    out: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        results, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, values)))
        out[:] = [out_tree]
        return results

    program, consts = trace_program(flat, avals, function_name(fun))
    (out_tree,), out_avals = out, program.out_avals
    kinds = {_kind(a) for a in (*avals, *out_avals)}
    if kinds not in ({"inexact"}, {"integer"}, set()):
        raise TypeError(
            f"{name}: it takes functions from float or complex arrays to such, or from integers "
            f"to integers, but this one goes from {[str(a) for a in avals]} to "
            f"{[str(a) for a in out_avals]}."
        )

    @errors.explained
    def transposed(cotangent: Any) -> Any:
        tree_in: Any
        cts, tree_in = jax.tree.flatten(cotangent)
        if tree_in != out_tree:
            raise TypeError(
                f"{name}: the cotangent must have the structure of the output, {out_tree}; got "
                f"{tree_in}."
            )
        for ct, aval in zip(cts, out_avals, strict=True):
            got = aval_of(ct)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    f"{name}: the cotangent must have the type of the output, {aval}; got {got}."
                )
        linear = (False,) * len(consts) + (True,) * len(avals)
        back = transpose_program(program, linear, (True,) * len(cts))
        results = iter(run_program(back.program, [*back.consts, *consts, *cts]))
        found = [
            next(results) if there else zeros(a)
            for there, a in zip(back.present, avals, strict=True)
        ]
        return jax.tree.unflatten(tree, found)

    return transposed


def _kind(aval: Any) -> str:
    if backend.is_extended(aval.dtype) or aval.dtype == bool:
        return "other"
    return "inexact" if jax.numpy.issubdtype(aval.dtype, jax.numpy.inexact) else "integer"
