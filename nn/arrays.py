"""Arguments of a call, taken apart into arrays and everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxcore import tree


def split_arrays(values: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays among the leaves of `values`, and the function that puts others in their place.

    Flags, numbers, strings and functions stay as they are, so that a module may decide on them
    while it is traced. `ShapeDtypeStruct`s count as arrays.

    >>> import jaxcore.numpy as jnp
    >>> arrays, join = split_arrays((jnp.ones(2), {"causal": True}))
    >>> len(arrays), join(["x"])
    (1, ('x', {'causal': True}))
    """
    leaves, treedef = tree.flatten(values)
    places = [i for i, v in enumerate(leaves) if hasattr(v, "shape") and hasattr(v, "dtype")]

    def join(arrays: list[Any]) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return tree.unflatten(treedef, filled)

    return [leaves[i] for i in places], join
