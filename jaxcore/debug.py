"""Finding where a NaN comes from: what ``jax.debug_nans`` and ``jax.debug_infs`` report of ours.

JAX's runtime notices that a result is not finite; the program is then run once more, equation by
equation, until the first one that made such a value of operands without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors, namespaces
from jaxcore.effects import callback
from jaxcore.ir import Equation, Program, Var
from jaxcore.ops.call import call_p
from jaxcore.source import current_source
from jaxcore.trace import bind_with, literal_value

__all__ = ["callback", "first_non_finite", "non_finite_call", "non_finite_operation"]


def non_finite_operation(error: Exception, name: str) -> FloatingPointError:
    """The error for one operation outside `jit`."""
    return FloatingPointError(
        f"invalid value ({_kind(error)}) encountered in {name}\n"
        f"  Your line: {errors.describe_source(current_source())}"
    )


def non_finite_call(
    error: Exception, name: str, program: Program, args: Sequence[Any]
) -> FloatingPointError:
    """The error for a compiled function, with the equation that made the value if it is found."""
    message = f"invalid value ({_kind(error)}) encountered in {name}"
    if not any(_is_deleted(x) for x in args):
        eq = first_non_finite(program, args, _kind(error))
        if eq is not None:
            operands = ", ".join(errors.format_aval(x.aval) for x in eq.inputs)
            message += (
                f"\n  Made by {eq.primitive.name} of {operands}"
                f"\n  Your line: {errors.describe_source(eq.source)}"
            )
    return FloatingPointError(message)


def first_non_finite(program: Program, args: Sequence[Any], kind: str = "nan") -> Equation | None:
    """The first equation whose result has a NaN (or, with `kind` "inf", an infinity).

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program = jaxcore.make_jaxpr(lambda x: jnp.log(x - 2.0) + 1.0)(1.0)
      >>> first_non_finite(program, [1.0])
      Equation(log, 1 in, 1 out)
    """
    test = np.isnan if kind == "nan" else np.isinf
    with jax.debug_nans(False), jax.debug_infs(False):
        return _search(program, args, test)


def _search(program: Program, args: Sequence[Any], test: Any) -> Equation | None:
    env: dict[Var, Any] = dict(zip(program.inputs, args, strict=True))
    for eq in program.equations:
        values = [env[x] if type(x) is Var else literal_value(x) for x in eq.inputs]  # type: ignore
        results = bind_with(backend.eval_trace, eq.primitive, values, eq.params)
        if any(_holds(x, test) for x in results):
            inside = _search(eq.params["program"], values, test) if eq.primitive is call_p else None
            return inside or eq
        env.update(zip(eq.outputs, results, strict=True))
    return None


def _holds(x: Any, test: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, np.inexact) and bool(test(np.asarray(x)).any())


def _is_deleted(x: Any) -> bool:
    return isinstance(x, jax.Array) and x.is_deleted()


def _kind(error: Exception) -> str:
    return str(getattr(error, "ty", "nan"))


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
