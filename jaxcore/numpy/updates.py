"""``x.at[index].set(values)`` and its kin on our tracers."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.creation import ones_like
from jaxcore.numpy.index_plan import Unusual, gather_plan
from jaxcore.numpy.indexing import gather_items, index_array
from jaxcore.numpy.operand import typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.numpy.shapes import broadcast_to
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import Mode
from jaxcore.ops.rules import kind_of
from jaxcore.ops.scatter import (
    ScatterDims,
    scatter_add_p,
    scatter_max_p,
    scatter_min_p,
    scatter_mul_p,
    scatter_p,
    scatter_sub_p,
)
from jaxcore.ops.shape import rev_p, squeeze_p
from jaxcore.trace import aval_of, bind

__all__ = ["IndexUpdateHelper", "IndexUpdateRef"]

Array = jax.Array


class IndexUpdateHelper:
    """``x.at``."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdateRef:
        return IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"IndexUpdateHelper({self.array!r})"


class IndexUpdateRef:
    """``x.at[index]``: each method returns a new array in which those elements are changed.

    Methods take the values and, by keyword, `indices_are_sorted`, `unique_indices` (promises),
    `mode` ("drop", the default: positions outside are left alone; "clip", "promise_in_bounds") and
    `wrap_negative_indices`.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any) -> None:
        self.array = array
        self.index = index

    def _jax(self) -> Any:
        """JAX's own helper, for what is rare."""
        return jax.core.Tracer.at.fget(self.array)[self.index]  # type: ignore[attr-defined]

    def _update(
        self, name: str, primitive: Any, values: Any, settings: dict[str, Any], array: Any = None
    ) -> Array:
        x = self.array if array is None else array
        items = self.index if type(self.index) is tuple else (self.index,)
        try:
            return _scatter(primitive, x, items, values, **settings)
        except Unusual:
            if array is not None:
                name = "multiply"
                return jax.core.Tracer.at.fget(x)[self.index].multiply(  # type: ignore
                    values, **settings
                )
            return getattr(self._jax(), name)(values, **settings)

    def get(
        self, *, fill_value: Any = None, wrap_negative_indices: bool = True, **settings: Any
    ) -> Array:
        """``x[index]`` with a `mode` for positions outside and a `fill_value`."""
        items = self.index if type(self.index) is tuple else (self.index,)
        if (
            settings.get("mode") is None
            and fill_value is None
            and wrap_negative_indices
            and (settings.get("out_sharding") is None)
        ):
            return index_array(self.array, self.index)
        plain = not set(settings) - {"mode", "indices_are_sorted", "unique_indices"}
        scalar = isinstance(fill_value, int | float | np.generic | type(None))
        try:
            if (
                not plain
                or not scalar
                or any(isinstance(i, slice | np.integer | int) for i in items)
            ):
                raise Unusual
            return gather_items(
                self.array,
                aval_of(self.array).shape,
                items,
                {**settings, "fill_value": fill_value, "normalize": wrap_negative_indices},
            )
        except Unusual:
            return self._jax().get(
                fill_value=fill_value, wrap_negative_indices=wrap_negative_indices, **settings
            )

    def set(self, values: Any, **settings: Any) -> Array:
        """``x[index] = values``."""
        return self._update("set", scatter_p, values, settings)

    def add(self, values: Any, **settings: Any) -> Array:
        """``x[index] += values``; a position that occurs twice gets both."""
        return self._update("add", scatter_add_p, values, settings)

    def subtract(self, values: Any, **settings: Any) -> Array:
        """``x[index] -= values``."""
        return self._update("subtract", scatter_sub_p, values, settings)

    def multiply(self, values: Any, **settings: Any) -> Array:
        """``x[index] *= values``."""
        return self._update("multiply", scatter_mul_p, values, settings)

    mul = multiply

    def divide(self, values: Any, **settings: Any) -> Array:
        """``x[index] /= values``."""
        factors = self._update("divide", scatter_mul_p, values, settings, ones_like(self.array))
        from jaxcore.numpy import divide

        return divide(self.array, factors)

    def power(self, values: Any, **settings: Any) -> Array:
        """``x[index] **= values``."""
        powers = self._update("power", scatter_mul_p, values, settings, ones_like(self.array))
        from jaxcore.numpy import power

        return power(self.array, powers)

    def min(self, values: Any, **settings: Any) -> Array:
        """``x[index] = minimum(x[index], values)``."""
        return self._update("min", scatter_min_p, values, settings)

    def max(self, values: Any, **settings: Any) -> Array:
        """``x[index] = maximum(x[index], values)``."""
        return self._update("max", scatter_max_p, values, settings)

    def apply(self, func: Any, **settings: Any) -> Array:
        """``x[index] = func(x[index])``, once for each time that a position occurs."""
        return self._jax().apply(func, **settings)

    def __repr__(self) -> str:
        return f"IndexUpdateRef({self.array!r}, {self.index!r})"


def _scatter(
    primitive: Any,
    x: Any,
    items: tuple[Any, ...],
    values: Any,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    out_sharding: Any = None,
    wrap_negative_indices: bool = True,
) -> Array:
    x, aval = typed("scatter", x)
    y, given = typed("scatter", values, 1)
    extremum = primitive in (scatter_min_p, scatter_max_p)
    kind = kind_of(aval.dtype)
    if (
        out_sharding is not None
        or kind == "k"
        or (kind == "c" and extremum)
        or (kind == "b" and primitive is not scatter_p)
    ):
        raise Unusual
    if given.dtype != aval.dtype:
        if (
            type(values) is int
            and kind in "iu"
            and (_jnp.iinfo(aval.dtype).min <= values <= _jnp.iinfo(aval.dtype).max)
        ):
            y = to_dtype(values, aval.dtype)
        elif promoted(x, y)[0] != aval.dtype:
            warnings.warn(
                "scatter inputs have incompatible types: cannot safely cast value from dtype="
                f"{given.dtype} to dtype={aval.dtype} with jax_numpy_dtype_promotion="
                f"{backend.flag('jax_numpy_dtype_promotion')}. In future JAX releases this will "
                "result in an error.",
                FutureWarning,
                stacklevel=4,
            )
    plan = gather_plan(aval.shape, items, wrap_negative_indices, mode is None)
    if 0 in plan.slice_shape:
        return x
    common = promoted(x, y)[0] if aval_of(y).dtype != aval.dtype else aval.dtype
    x, y = to_dtype(x, common), to_dtype(y, common)
    y = broadcast_to(y, plan.slice_shape)
    if plan.new_axes:
        y = bind(squeeze_p, y, dimensions=plan.new_axes)
    if plan.rev:
        y = bind(rev_p, y, dimensions=plan.rev)
    d = plan.dims
    out = bind(
        primitive,
        x,
        plan.indices,
        y,
        dimension_numbers=ScatterDims(d.offset_dims, d.collapsed_slice_dims, d.start_index_map),
        indices_are_sorted=bool(plan.unique or indices_are_sorted),
        unique_indices=bool(plan.unique or unique_indices),
        mode=Mode.FILL_OR_DROP if mode is None else Mode.from_any(mode),
    )
    return convert(out, aval.dtype, aval.weak_type)
