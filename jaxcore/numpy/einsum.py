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

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.lax_dot import resolve_precision
from jaxcore.numpy.linalg_products import contraction
from jaxcore.numpy.operand import as_value, no_out, typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.ops.compare import eq, select
from jaxcore.ops.convert import convert
from jaxcore.ops.dot import Dims, dot_general_p
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import full
from jaxcore.ops.shape import broadcast_in_dim_p, iota_p, squeeze_p, transpose_p
from jaxcore.trace import aval_of, bind

__all__ = ["einsum"]

Array = jax.Array


class Step(NamedTuple):
    """One contraction of the plan.

    Attributes:
      operands: which of the values it takes.
      prepare: for each of them, what is done before: (operation, axes) in order.
      dims: dimension numbers of the product; None for a single operand.
      permutation: of the result, None where it is in order.
    """

    operands: tuple[int, ...]
    prepare: tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]
    dims: Dims | None
    permutation: tuple[int, ...] | None


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
    no_out("einsum", out)
    if not isinstance(subscripts, str):  # arrays and lists of axes in turn
        names, operands = opt_einsum.parser.convert_interleaved_input([subscripts, *operands])
        subscripts, operands = names, tuple(operands)
    if not isinstance(optimize, bool | str):  # a path of contractions
        optimize = tuple([step if isinstance(step, str) else tuple(step) for step in optimize])
    if out_sharding is not None or _dot_general is not None or not operands:
        kwargs = {} if _dot_general is None else {"_dot_general": _dot_general}
        if out_sharding is not None:
            kwargs["out_sharding"] = out_sharding
        return _jnp.einsum(
            subscripts,
            *operands,
            optimize=optimize if isinstance(optimize, bool | str) else list(optimize),
            precision=precision,
            preferred_element_type=preferred_element_type,
            **kwargs,
        )
    pairs = [typed("einsum", x, i) for i, x in enumerate(operands)]
    if any(backend.is_symbolic(t.shape) for _, t in pairs):
        settings = {"precision": precision, "preferred_element_type": preferred_element_type}
        return _jnp.einsum(subscripts, *operands, optimize=optimize, **settings)
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
        for i in reversed(step.operands):
            del values[i]
        values.append(_run(step, chosen, precise, result))
    return as_value(convert(values[0], result, weak))


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
        given = (
            optimize if isinstance(optimize, str) else [p for p in optimize if p != "einsum_path"]
        )
        path, _info = opt_einsum.contract_path(subscripts, *shown, optimize=given)
    steps = []
    shapes_now = list(shapes)
    for number, where in enumerate(path):
        where = tuple(sorted(where))
        taken = tuple([inputs[i] for i in where])
        rest = [s for i, s in enumerate(inputs) if i not in where]
        last = number == len(path) - 1
        if len(taken) > 2:
            raise NotImplementedError(
                "jax.numpy.einsum does not support simultaneous contraction of 3 or more "
                f"operands, got {len(taken)} in step {number} of the path. Fix: contract two "
                "at a time."
            )
        needed = set(target).union(*rest)
        made = (
            target if last else "".join(dict.fromkeys(c for s in taken for c in s if c in needed))
        )
        steps.append(_step(where, taken, [shapes_now[i] for i in where], made))
        inputs = [*rest, made]
        size: dict[str, int] = {}
        for letters, shape in zip(taken, [shapes_now[i] for i in where], strict=True):
            for name, n in zip(letters, shape, strict=True):
                size[name] = n if size.get(name, 1) == 1 else size[name]
        kept = [shape for i, shape in enumerate(shapes_now) if i not in where]
        shapes_now = [*kept, tuple([size[name] for name in made])]
    return steps


# --- one step -----------------------------------------------------------------------------------


class _Operand:
    """An operand while its preparation is worked out: names and sizes of its axes."""

    def __init__(self, names: str, shape: Sequence[int]) -> None:
        self.names = list(names)
        self.sizes = list(shape)
        self.actions: list[tuple[str, tuple[int, ...]]] = []

    def remove(self, action: str, axes: Sequence[int]) -> None:
        """Record that `action` takes away `axes`."""
        if axes:
            self.actions.append((action, tuple(axes)))
            for i in sorted(axes, reverse=True):
                del self.names[i], self.sizes[i]

    def take_diagonals(self) -> None:
        """Leave one axis of each name."""
        for name in [n for n, count in Counter(self.names).items() if count > 1]:
            while self.names.count(name) > 1:
                first = self.names.index(name)
                second = self.names.index(name, first + 1)
                if self.sizes[first] == self.sizes[second]:
                    self.actions.append(("diagonal", (first, second)))
                    del self.names[first], self.sizes[first]
                else:  # an axis of size 1 is repeated along the other
                    self.remove("squeeze", [first if self.sizes[first] == 1 else second])

    def drop(self, action: str, names: Sequence[str]) -> None:
        """Take away the axes of `names`."""
        self.remove(action, [i for i, n in enumerate(self.names) if n in names])


def _step(
    where: tuple[int, ...], names: Sequence[str], shapes: Sequence[Sequence[int]], output: str
) -> Step:
    """How the operands called `names` are contracted to `output`."""
    parts = [_Operand(n, s) for n, s in zip(names, shapes, strict=True)]
    for part in parts:
        part.take_diagonals()
    if len(parts) == 1:
        (x,) = parts
        x.drop("sum", [n for n in x.names if n not in output])
        order = tuple([x.names.index(n) for n in output])
        return Step(
            where, (tuple(x.actions),), None, None if order == tuple(range(len(order))) else order
        )
    for x, y in (parts, parts[::-1]):
        # Names that only one operand has, and the result lacks, are summed first.
        x.drop("sum", [n for n in x.names if n not in y.names and n not in output])
    x, y = parts
    longer = {
        n
        for n in x.names
        if n in y.names and x.sizes[x.names.index(n)] != y.sizes[y.names.index(n)]
    }
    for part in parts:  # an axis of size 1 that meets a longer one multiplies all of it
        part.drop(
            "squeeze",
            [
                n
                for n, size in zip(part.names, part.sizes, strict=True)
                if n in longer and size == 1
            ],
        )
    for a, b in (parts, parts[::-1]):
        a.drop("sum", [n for n in a.names if n not in b.names and n not in output])
    dims, permutation = contraction(x.names, y.names, list(output))
    return Step(where, (tuple(x.actions), tuple(y.actions)), dims, permutation)


def _run(step: Step, values: Sequence[Any], precision: Any, dtype: Any) -> Any:
    ready = []
    for x, actions in zip(values, step.prepare, strict=True):
        for action, axes in actions:
            if action == "sum":
                x = bind(reduce_sum_p, x, axes=axes)
            elif action == "squeeze":
                x = bind(squeeze_p, x, dimensions=axes)
            else:
                x = _diagonal(x, *axes)
        ready.append(x)
    out = ready[0]
    if step.dims is not None:
        out = bind(
            dot_general_p,
            *ready,
            dimension_numbers=step.dims,
            precision=precision,
            preferred_element_type=dtype,
        )
    return out if step.permutation is None else bind(transpose_p, out, permutation=step.permutation)


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
