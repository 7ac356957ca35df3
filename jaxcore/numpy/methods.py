"""Methods of our tracers for shape, products and indexing: x.reshape, x @ y, x[...], x.at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jaxcore.numpy import choosing, diagonals, rearrange, searching, shapes, sorting, views
from jaxcore.numpy import linalg_products as products
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.indexing import index_array
from jaxcore.numpy.joining import unstack
from jaxcore.numpy.operand import as_array
from jaxcore.numpy.operators import _forward, _reflected, attach
from jaxcore.numpy.picking import take
from jaxcore.numpy.reductions import any as some
from jaxcore.numpy.rounding import round
from jaxcore.numpy.special import copy
from jaxcore.numpy.updates import IndexUpdateHelper

__all__: list[str] = []


def _reshape(
    self: Any, *args: Any, order: str = "C", copy: bool | None = None, out_sharding: Any = None
) -> Any:
    return shapes.reshape(
        self, _one_or_many("reshape", args), order, copy=copy, out_sharding=out_sharding
    )


def _one_or_many(name: str, args: tuple[Any, ...]) -> Any:
    """``x.reshape(2, 3)`` and ``x.reshape((2, 3))`` mean the same."""
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        return tuple(args[0]) if args[0] is not None else None
    return args


def _transpose(self: Any, *args: Any) -> Any:
    return shapes.transpose(self, _one_or_many("transpose", args) if args else None)


def _length(self: Any) -> int:
    shape = self.aval.shape
    if not shape:
        raise TypeError("len() of unsized object: the traced value is a scalar.")
    return shape[0]


def _iterate(self: Any) -> Iterator[Any]:
    if not self.aval.shape:
        raise TypeError("iteration over a 0-d array: the traced value is a scalar.")
    return iter(unstack(self))


def _format(self: Any, spec: str) -> str:
    if not spec:
        return str(self)
    raise TypeError(
        f"unsupported format string {spec!r} for a traced array: its value is not known yet. Fix: "
        'print it when the program runs, with jax.debug.print("{x:' + spec + '}", x=x).'
    )


def _contains(self: Any, other: Any) -> Any:
    """Whether a vector holds a number."""
    if other is None or isinstance(other, str):
        raise TypeError(f"Array.__contains__: unsupported operand type {type(other)}.")
    query = as_array("Array.__contains__", other)
    if self.ndim != 1 or query.ndim:
        raise ValueError(
            "Array.__contains__: search array must be one-dimensional and the query a scalar, got "
            f"shapes {tuple(self.shape)} and {tuple(query.shape)}."
        )
    return some(u.equal(self, query))


def _rounded(self: Any, ndigits: int | None = None) -> Any:
    out = round(self, ndigits or 0)
    return out.astype(int) if ndigits is None else out


def _compressed(
    self: Any,
    condition: Any,
    axis: int | None = None,
    *,
    out: None = None,
    size: int | None = None,
    fill_value: Any = 0,
) -> Any:
    return searching.compress(condition, self, axis, size=size, fill_value=fill_value, out=out)


attach(
    {
        "__contains__": _contains,
        "__copy__": copy,
        "__deepcopy__": lambda self, memo: copy(self),
        "__format__": _format,
        "__getitem__": index_array,
        "__iter__": _iterate,
        "__len__": _length,
        "__matmul__": _forward(products.matmul),
        "__rmatmul__": _reflected(products.matmul),
        "__round__": _rounded,
        "argpartition": sorting.argpartition,
        "byteswap": views.byteswap,
        "choose": choosing.choose,
        "compress": _compressed,
        "diagonal": diagonals.diagonal,
        "dot": lambda self, b, *, precision=None, preferred_element_type=None: products.dot(
            self, b, precision=precision, preferred_element_type=preferred_element_type
        ),
        "flatten": lambda self, order="C": shapes.ravel(self, order),
        "nonzero": searching.nonzero,
        "ravel": lambda self, order="C": shapes.ravel(self, order),
        "repeat": rearrange.repeat,
        "reshape": _reshape,
        "searchsorted": searching.searchsorted,
        "squeeze": shapes.squeeze,
        "swapaxes": shapes.swapaxes,
        "take": take,
        "trace": diagonals.trace,
        "transpose": _transpose,
        "view": views.view,
    },
    {
        "T": shapes.transpose,
        "at": IndexUpdateHelper,
        "itemsize": lambda self: self.aval.dtype.itemsize,
        "mT": shapes.matrix_transpose,
        "nbytes": lambda self: math.prod(self.aval.shape) * self.aval.dtype.itemsize,
        "ndim": lambda self: len(self.aval.shape),
    },
)
