"""What `check` looks for in single operations: positions, keys, integers that wrap around."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.debug.running import Operation
from jaxcore.errors.frames import expression
from jaxcore.ops.indexing import Mode, dynamic_slice_p, dynamic_update_slice_p, gather_p
from jaxcore.ops.scatter import (
    scatter_add_p,
    scatter_max_p,
    scatter_min_p,
    scatter_mul_p,
    scatter_p,
    scatter_sub_p,
)
from jaxcore.ops.scatter_apply import scatter_apply_p
from jaxcore.primitive import Primitive

__all__ = [
    "INDEX_OPERANDS",
    "consumed_keys",
    "divides_by_zero",
    "is_explicit",
    "narrowed",
    "outside",
    "wraps",
]

_SCATTERS = (
    scatter_p,
    scatter_add_p,
    scatter_sub_p,
    scatter_mul_p,
    scatter_min_p,
    scatter_max_p,
    scatter_apply_p,
)
# Where the positions stand among the operands of a primitive that reads or writes at them.
INDEX_OPERANDS: dict[Primitive, slice] = {
    gather_p: slice(1, 2),
    dynamic_slice_p: slice(1, None),
    dynamic_update_slice_p: slice(2, None),
    **dict.fromkeys(_SCATTERS, slice(1, 2)),
}

# Functions for which a position outside is part of the meaning.
_OUTSIDE_IS_MEANT = (
    "bincount",
    "histogram",
    "histogram2d",
    "histogramdd",
    "nonzero",
    "argwhere",
    "flatnonzero",
    "unique",
    "compress",
    "segment_sum",
    "segment_prod",
    "segment_max",
    "segment_min",
)


def outside(op: Operation) -> str:
    """What is wrong with the positions of an operation that reads or writes at them; or empty."""
    primitive, operands, params = op.primitive, op.operands, op.params
    if primitive is dynamic_slice_p:
        return _outside_window(operands[1:], np.shape(operands[0]), params["slice_sizes"])
    if primitive is dynamic_update_slice_p:
        return _outside_window(operands[2:], np.shape(operands[0]), np.shape(operands[1]))
    if primitive not in INDEX_OPERANDS or params["mode"] == Mode.CLIP:
        return ""
    numbers = params["dimension_numbers"]
    if primitive is gather_p:
        axes, sizes = numbers.start_index_map, params["slice_sizes"]
    else:
        axes = numbers.scatter_dims_to_operand_dims
        sizes = _update_sizes(np.ndim(operands[0]), np.shape(operands[2]), numbers)
    positions = np.asarray(operands[1])
    for column, axis in enumerate(axes):
        found = _first_outside(positions[..., column], np.shape(operands[0])[axis], sizes[axis])
        if found is not None:
            return _message(found, axis, np.shape(operands[0])[axis])
    return ""


def _update_sizes(rank: int, updates: Sequence[int], numbers: Any) -> list[int]:
    """The window of a scatter in each dimension of the operand."""
    window = iter([updates[d] for d in numbers.update_window_dims])
    dropped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return [1 if d in dropped else next(window) for d in range(rank)]


def _outside_window(starts: Sequence[Any], shape: Sequence[int], sizes: Sequence[int]) -> str:
    for axis, (start, size, window) in enumerate(zip(starts, shape, sizes, strict=True)):
        found = _first_outside(np.asarray(start), size, window)
        if found is not None:
            fit = f", where a window of {window} has to fit" if window > 1 else ""
            return f"{_message(found, axis, size)}{fit}"
    return ""


def _first_outside(positions: np.ndarray, size: int, window: int) -> int | None:
    wrong = (positions < 0) | (positions > size - window)
    return int(positions[wrong].flat[0]) if wrong.any() else None


def _message(position: int, axis: int, size: int) -> str:
    """Negative positions have been counted from the front before they get here."""
    given = f"{position - size} ({position} from the front)" if position < 0 else position
    return f"index {given} is out of bounds for axis {axis} of size {size}"


def is_explicit(op: Operation) -> bool:
    """True where the user's expression says itself what happens outside (``mode=``), or calls a
    function that means it.
    """
    if op.source.code is None:
        return False
    node = expression(op.source.code, op.source.instruction)
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _OUTSIDE_IS_MEANT or any(k.arg in ("mode", None) for k in node.keywords)


# --- keys -----------------------------------------------------------------------------------------


def consumed_keys(op: Operation) -> Iterator[bytes]:
    """The words of each key that an operation draws from."""
    if op.primitive.name not in ("random_bits", "random_split", "random_gamma"):
        return
    keys = op.operands[0]
    if isinstance(keys.dtype, backend.KeyType):
        words = np.asarray(jax.random.key_data(keys))
        implementation = str(keys.dtype).encode()
        for row in words.reshape(-1, *words.shape[keys.ndim :]):
            yield implementation + row.tobytes()


# --- numbers --------------------------------------------------------------------------------------


def narrowed(x: Any) -> str:
    """What a NumPy array would lose on becoming an array of JAX; empty where nothing."""
    if not isinstance(x, np.ndarray) or not x.ndim or x.dtype.kind not in "iufc":
        return ""
    dtype = backend.canonicalize_dtype(x.dtype)
    if dtype == x.dtype:
        return ""
    if x.dtype.kind in "iu":
        fits = not x.size or (np.iinfo(dtype).min <= x.min() and x.max() <= np.iinfo(dtype).max)
        return "" if fits else f"{x.dtype} with values that {dtype} cannot hold"
    return f"{x.dtype}, which becomes {dtype}"


def divides_by_zero(op: Operation) -> bool:
    """True for a division of integers with a zero among the divisors."""
    if op.primitive.name not in ("div", "rem"):
        return False
    divisor = np.asarray(op.operands[1])
    return divisor.dtype.kind in "iu" and bool((divisor == 0).any())


_EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda xs, params: xs[0] + xs[1],
    "sub": lambda xs, params: xs[0] - xs[1],
    "mul": lambda xs, params: xs[0] * xs[1],
    "neg": lambda xs, params: -xs[0],
    "shift_left": lambda xs, params: xs[0] << np.clip(xs[1], 0, 32),
    "integer_pow": lambda xs, params: xs[0].astype(float) ** params["y"],
    "reduce_sum": lambda xs, params: xs[0].sum(axis=tuple(params["axes"])),
    "cumsum": lambda xs, params: _cumulated(xs[0], params),
}


def _cumulated(x: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    axis = params["axis"]
    if params["reverse"]:
        return np.flip(np.cumsum(np.flip(x, axis), axis), axis)
    return np.cumsum(x, axis)


def wraps(op: Operation, result: Any) -> bool:
    """True where a result of signed integers is not the true one, which has more bits."""
    dtype = getattr(result, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind != "i" or dtype.itemsize > 4:
        return False
    if op.primitive.name == "convert_element_type":
        given = np.asarray(op.operands[0])
        info = np.iinfo(dtype)
        if given.dtype.kind not in "iuf" or not given.size:
            return False
        return bool((given < info.min).any() or (given > info.max).any())
    exact = _EXACT.get(op.primitive.name)
    if exact is None:
        return False
    true = exact([np.asarray(x).astype(np.int64) for x in op.operands], op.params)
    return bool((np.asarray(result) != true).any())
