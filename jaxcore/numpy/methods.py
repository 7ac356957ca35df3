"""Methods of our tracers for shape, products and indexing: x.reshape, x @ y, x[...], x.at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxcore.numpy import linalg_products as products
from jaxcore.numpy import rearrange, shapes
from jaxcore.numpy.indexing import index_array
from jaxcore.numpy.joining import unstack
from jaxcore.numpy.operators import _forward, _reflected, attach
from jaxcore.numpy.picking import take
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


attach(
    {
        "__format__": _format,
        "__getitem__": index_array,
        "__iter__": _iterate,
        "__len__": _length,
        "__matmul__": _forward(products.matmul),
        "__rmatmul__": _reflected(products.matmul),
        "dot": lambda self, b, *, precision=None, preferred_element_type=None: products.dot(
            self, b, precision=precision, preferred_element_type=preferred_element_type
        ),
        "flatten": lambda self, order="C": shapes.ravel(self, order),
        "ravel": lambda self, order="C": shapes.ravel(self, order),
        "repeat": rearrange.repeat,
        "reshape": _reshape,
        "squeeze": shapes.squeeze,
        "swapaxes": shapes.swapaxes,
        "take": take,
        "transpose": _transpose,
    },
    {
        "T": shapes.transpose,
        "at": IndexUpdateHelper,
        "mT": shapes.matrix_transpose,
        "ndim": lambda self: len(self.aval.shape),
    },
)
