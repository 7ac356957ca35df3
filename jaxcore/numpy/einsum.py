"""Einstein summation: a plan of pairwise contractions, worked out once for each set of shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as _jnp
import numpy as np
import opt_einsum

from jaxcore.backend import ShapedArray
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.lax_dot import resolve_precision
from jaxcore.numpy.linalg_products import contraction
from jaxcore.numpy.operand import as_value, typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.ops.compare import eq, select
from jaxcore.ops.convert import convert
from jaxcore.ops.dot import dot_general_p
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import full
from jaxcore.ops.shape import broadcast_in_dim_p, iota_p, squeeze_p, transpose_p
from jaxcore.trace import aval_of, bind

__all__ = ["einsum"]

Array = jax.Array


class Step(NamedTuple):
    """One contraction of the plan: which operands, the names of their axes, and of the result's."""

    operands: tuple[int, ...]
    inputs: tuple[str, ...]
    output: str


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    _dot_general: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Sums of products over named axes.

    Args:
      subscripts: such as ``"bqd,bkd->bqk"``: axes with one name are multiplied element by element
        and summed over where the result lacks the name. ``...`` stands for further axes.
      operands: arrays (or, NumPy's other form, arrays and lists of axes in turn).
      out: not supported.
      optimize: order of the contractions: "auto", "optimal", False (left to right) or another
        setting of opt_einsum.
      precision: see `jaxcore.lax.dot_general`.
      preferred_element_type: dtype to accumulate in and return.
      out_sharding: left to JAX.

    Raises:
      ValueError: names that do not fit the operands.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.einsum("ij,kj->ik", jnp.ones((2, 3)), jnp.ones((4, 3))).shape
      (2, 4)
    """
    simple = isinstance(subscripts, str) and out is None and out_sharding is None
    if (
        not simple
        or _dot_general is not None
        or not operands
        or not isinstance(optimize, bool | str)
    ):
        kwargs = {} if _dot_general is None else {"_dot_general": _dot_general}
        if out_sharding is not None:
            kwargs["out_sharding"] = out_sharding
        return _jnp.einsum(
            subscripts,
            *operands,
            out=out,
            optimize=optimize,
            precision=precision,
            preferred_element_type=preferred_element_type,
            **kwargs,
        )
    pairs = [typed("einsum", x, i) for i, x in enumerate(operands)]
    steps = _plan(subscripts, tuple([tuple(t.shape) for _, t in pairs]), optimize)
    first = pairs[0][1]
    values = [x for x, _ in pairs]
    weak = False
    if preferred_element_type is not None:
        result = user_dtype(preferred_element_type)
        dtype = promoted(*values)[0]
    elif all(t.dtype == first.dtype and not t.weak_type for _, t in pairs):
        dtype = result = first.dtype
    else:
        dtype, weak = promoted(*values)
        result = dtype
    values = [to_dtype(x, dtype) if aval_of(x).dtype != dtype else x for x in values]
    precise = resolve_precision(precision)
    for step in steps:
        chosen = [values[i] for i in step.operands]
        for i in sorted(step.operands, reverse=True):
            del values[i]
        values.append(_contract(step, chosen, precise, result))
    return convert(values[0], result, weak)


# --- the plan -----------------------------------------------------------------------------------


@lru_cache(4096)
def _plan(subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Step]:
    if optimize is True or optimize == "auto":
        optimize = "optimal" if len(shapes) < 5 else "auto"
    shown = [np.broadcast_to(np.zeros(()), s) for s in shapes]
    names, target, _ = opt_einsum.parser.parse_einsum_input((subscripts, *shown))
    inputs = names.split(",")
    if len(inputs) != len(shapes):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands, got {len(shapes)}.")
    sizes: dict[str, int] = {}
    for i, (letters, shape) in enumerate(zip(inputs, shapes, strict=True)):
        if len(letters) != len(shape):
            raise ValueError(
                f"einsum: operand {i} of {subscripts!r} has {len(letters)} names for shape {shape}."
            )
        for name, n in zip(letters, shape, strict=True):
            known = sizes.setdefault(name, n)
            if known == 1:
                sizes[name] = n
            elif n not in (1, known):
                raise ValueError(
                    f"Size of label '{name}' for operand {i} ({known}) does not match previous "
                    f"terms ({n}). In einsum {subscripts!r} with shapes {shapes}."
                )
    if optimize is False:
        path: list[tuple[int, ...]] = (
            [tuple(range(len(shapes)))]
            if len(shapes) <= 2
            else [(0, 1), *[(0, n - 1) for n in range(len(shapes) - 1, 1, -1)]]
        )
    else:
        path, _info = opt_einsum.contract_path(subscripts, *shown, optimize=optimize)
    steps = []
    for number, where in enumerate(path):
        where = tuple(sorted(where))
        taken = tuple([inputs[i] for i in where])
        rest = [s for i, s in enumerate(inputs) if i not in where]
        last = number == len(path) - 1
        if len(taken) > 2:
            raise NotImplementedError(f"einsum: a path with {len(taken)} operands in a step.")
        needed = set(target).union(*rest)
        made = (
            target if last else "".join(dict.fromkeys(c for s in taken for c in s if c in needed))
        )
        steps.append(Step(where, taken, made))
        inputs = [*rest, made]
    return steps


# --- one step -----------------------------------------------------------------------------------


def _contract(step: Step, values: Sequence[Any], precision: Any, dtype: Any) -> Any:
    named = [_unrepeated(x, names) for x, names in zip(values, step.inputs, strict=True)]
    if len(named) == 1:
        x, names = named[0]
        x, names = _summed(x, names, [n for n in names if n not in step.output])
        return _ordered(x, names, step.output)
    (x, xs), (y, ys) = named
    # Names of one operand only that the result lacks are summed first; so are axes of size 1
    # that stand for a longer one of the other operand.
    x, xs = _summed(x, xs, [n for n in xs if n not in ys and n not in step.output])
    y, ys = _summed(y, ys, [n for n in ys if n not in xs and n not in step.output])
    x, xs, y, ys = _aligned(x, xs, y, ys)
    x, xs = _summed(x, xs, [n for n in xs if n not in ys and n not in step.output])
    y, ys = _summed(y, ys, [n for n in ys if n not in xs and n not in step.output])
    dims, permutation = contraction(list(xs), list(ys), list(step.output))
    out = bind(
        dot_general_p,
        x,
        y,
        dimension_numbers=dims,
        precision=precision,
        preferred_element_type=dtype,
    )
    return out if permutation is None else bind(transpose_p, out, permutation=permutation)


def _unrepeated(x: Any, names: str) -> tuple[Any, str]:
    """The diagonal of axes that share a name."""
    for name, count in Counter(names).items():
        while count > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            shape = aval_of(x).shape
            if shape[first] != shape[second]:  # one of them has size 1
                drop = first if shape[first] == 1 else second
                x = bind(squeeze_p, x, dimensions=(drop,))
                names = names[:drop] + names[drop + 1 :]
            else:
                x = _diagonal(x, first, second)
                names = names[:first] + names[first + 1 :]
            count -= 1
    return x, names


def _diagonal(x: Any, first: int, second: int) -> Any:
    """The elements where two axes of one size have equal positions; the first axis is gone."""
    aval = aval_of(x)
    n = aval.shape[first]
    kind = np.dtype(np.int32)
    row = bind(iota_p, dtype=kind, shape=(n, n), dimension=0)
    column = bind(iota_p, dtype=kind, shape=(n, n), dimension=1)
    mask = bind(
        broadcast_in_dim_p, eq(row, column), shape=aval.shape, broadcast_dimensions=(first, second)
    )
    zero = full(0, ShapedArray(aval.shape, aval.dtype))
    return bind(reduce_sum_p, select(mask, x, zero), axes=(first,))


def _summed(x: Any, names: str, gone: Sequence[str]) -> tuple[Any, str]:
    if not gone:
        return x, names
    axes = tuple([i for i, n in enumerate(names) if n in gone])
    return bind(reduce_sum_p, x, axes=axes), "".join(n for n in names if n not in gone)


def _aligned(x: Any, xs: str, y: Any, ys: str) -> tuple[Any, str, Any, str]:
    """Without the axes of size 1 that meet a longer axis of the same name."""
    sx = dict(zip(xs, aval_of(x).shape, strict=True))
    sy = dict(zip(ys, aval_of(y).shape, strict=True))
    drop_x = [n for n in xs if n in sy and sx[n] == 1 and sy[n] != 1]
    drop_y = [n for n in ys if n in sx and sy[n] == 1 and sx[n] != 1]
    if drop_x:
        x = bind(squeeze_p, x, dimensions=tuple([xs.index(n) for n in drop_x]))
        xs = "".join(n for n in xs if n not in drop_x)
    if drop_y:
        y = bind(squeeze_p, y, dimensions=tuple([ys.index(n) for n in drop_y]))
        ys = "".join(n for n in ys if n not in drop_y)
    return x, xs, y, ys


def _ordered(x: Any, names: str, output: str) -> Any:
    if names == output:
        return as_value(x)
    return bind(transpose_p, x, permutation=tuple([names.index(n) for n in output]))
