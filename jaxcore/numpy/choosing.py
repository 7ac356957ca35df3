"""One of several arrays for each element: select, choose, piecewise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import asarray
from jaxcore.numpy.elementwise import clip, remainder, where
from jaxcore.numpy.joining import unstack
from jaxcore.numpy.mapping import vectorize
from jaxcore.numpy.operand import arrays, as_array, concrete, no_out
from jaxcore.numpy.shapes import broadcast_arrays, broadcast_shapes, broadcast_to
from jaxcore.ops.compare import select_n_p
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.trace import bind

__all__ = ["choose", "piecewise", "select"]

Array = jax.Array


@composite()
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """For each element, the choice of the first condition that holds, or `default`.

    Args:
      condlist: conditions, which broadcast.
      choicelist: as many arrays.
      default: where no condition holds.

    Raises:
      ValueError: no conditions, or not as many choices.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> x = jnp.arange(4)
      >>> jnp.select([x < 1, x > 2], [x - 10, x + 10])
      Array([-10,   0,   0,  13], dtype=int32)
    """
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"condlist must have length equal to choicelist ({len(condlist)} vs {len(choicelist)})"
        )
    if not len(condlist):
        raise ValueError("condlist must be non-empty")
    out, *choices = arrays("select", default, *choicelist)
    masks = [convert(as_array("select", c, i), np.dtype(bool)) for i, c in enumerate(condlist)]
    out, *rest = broadcast_arrays(out, *choices, *masks)
    for choice, mask in reversed(
        list(zip(rest[: len(choices)], rest[len(choices) :], strict=True))
    ):
        out = where(mask, choice, out)
    return out


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """For each element, that of the choice whose number `a` gives there.

    Args:
      a: integers.
      choices: arrays, or one array that holds them along its first axis.
      out: not supported.
      mode: what becomes of a number outside: "raise" (not under `jit`), "clip" or "wrap".

    Raises:
      ValueError: `a` holds no integers, a number outside with "raise", or an unknown `mode`.
      ConcretizationTypeError: `a` is traced with "raise".

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.choose(jnp.array([1, 0]), [jnp.array([1, 2]), jnp.array([10, 20])])
      Array([10,  2], dtype=int32)
    """
    no_out("choose", out)
    which = as_array("choose", a)
    if kind_of(which.dtype) not in "iu":
        raise ValueError(f"`a` array must be integer typed, got {which.dtype}.")
    given = choices if isinstance(choices, list | tuple) else unstack(choices)
    n = len(given)
    if mode == "raise":
        known = concrete(
            a,
            "The error occurred because jnp.choose was jit-compiled with mode='raise'. Use "
            "mode='wrap' or mode='clip' instead.",
        )
        if ((known < 0) | (known >= n)).any():
            raise ValueError(f"invalid entry in choice array: not in [0, {n}).")
    elif mode == "wrap":
        which = remainder(which, n)
    elif mode == "clip":
        which = clip(which, 0, n - 1)
    else:
        raise ValueError(f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'")
    which, *cases = broadcast_arrays(which, *arrays("choose", *given))
    return bind(select_n_p, convert(which, np.dtype(np.int32)), *cases)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Array:
    """A function defined piece by piece: where a condition holds, that of its function.

    Args:
      x: array.
      condlist: conditions; where several hold, the last one counts.
      funclist: for each condition a function of a scalar, or a constant; one more is the default
        (0).
      args, kw: handed to the functions.

    Raises:
      ValueError: neither as many functions as conditions nor one more.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> x = jnp.array([-1.0, 2.0])
      >>> jnp.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v**2])
      Array([1., 4.], dtype=float32)
    """
    value = as_array("piecewise", x)
    conditions, pieces = len(condlist), list(funclist)
    if len(pieces) == conditions:
        pieces.append(0)
    elif len(pieces) != conditions + 1:
        raise ValueError(
            f"with {conditions} condition(s), either {conditions} or {conditions + 1} functions "
            f"are expected; got {len(pieces)}"
        )

    def of(piece: Callable[..., Any] | Any) -> Any:
        if not callable(piece):
            return asarray(piece, value.dtype)
        return convert(vectorize(lambda v: piece(v, *args, **kw))(value), value.dtype)

    masks = [asarray(c, bool) for c in condlist]
    shape = broadcast_shapes(value.shape, *[m.shape for m in masks])
    out = broadcast_to(of(pieces[-1]), shape)
    for mask, piece in zip(masks, pieces[:-1], strict=True):
        out = where(mask, of(piece), out)
    return out
