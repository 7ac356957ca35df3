"""Functions applied along axes, over axes, and to every element."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any

import jax

from jaxcore.numpy.operand import as_array, axis_index
from jaxcore.numpy.promote import common_shape
from jaxcore.numpy.shapes import expand_dims, squeeze
from jaxcore.trace import aval_of

__all__ = ["apply_along_axis", "apply_over_axes", "vectorize"]

Array = jax.Array


def _vmap(function: Callable[..., Any], in_axes: Any, out_axes: int = 0) -> Callable[..., Any]:
    from jaxcore.transforms.vmap import vmap  # the transformations stand above this interface

    return vmap(function, in_axes, out_axes)


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Array:
    """`func1d` of every vector that lies along `axis`; the axes of its result take that place.

    Args:
      func1d: function of a vector.
      axis: axis of `arr`.
      arr: array.
      args, kwargs: handed to the function.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.apply_along_axis(jnp.sum, 1, jnp.ones((2, 3)))
      Array([3., 3.], dtype=float32)
    """
    x = as_array("apply_along_axis", arr, 2)
    at = axis_index(axis, x.ndim)
    function = lambda v: func1d(v, *args, **kwargs)
    for i in range(1, x.ndim - at):
        function = _vmap(function, i, -1)
    for _ in range(at):
        function = _vmap(function, 0)
    return function(x)


def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Sequence[int]) -> Array:
    """``func(a, axis)`` for one axis after the other; an axis that is lost comes back with size 1.

    Raises:
      ValueError: a result with another number of axes.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.apply_over_axes(jnp.sum, jnp.ones((2, 3)), [0, 1])
      Array([[6.]], dtype=float32)
    """
    x = as_array("apply_over_axes", a, 1)
    for axis in axes:
        out = func(x, axis)
        if out.ndim == x.ndim - 1:
            out = expand_dims(out, axis)
        elif out.ndim != x.ndim:
            raise ValueError(
                "function is not returning an array of the correct shape: from shape "
                f"{tuple(x.shape)} it made {tuple(out.shape)}."
            )
        x = out
    return x


# --- vectorize ----------------------------------------------------------------------------------

_ARGUMENT = r"\((?:\w+(?:,\w+)*)?\)"
_SIGNATURE = re.compile(f"^{_ARGUMENT}(?:,{_ARGUMENT})*->{_ARGUMENT}(?:,{_ARGUMENT})*$")

Core = tuple[str, ...]


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] = frozenset(),
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function of arrays that broadcasts its arguments and maps `pyfunc` over them.

    Args:
      pyfunc: function of scalars, or of what `signature` says.
      excluded: positions and names of arguments that are handed on as they are, as every argument
        by keyword is.
      signature: the axes that `pyfunc` itself takes and returns, such as ``"(n,m),(m)->(n)"``.

    Raises:
      TypeError: `excluded` holds something else, or another number of arguments or results.
      ValueError: an ill-formed `signature`, or sizes that do not agree.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> dot = jnp.vectorize(lambda a, b: jnp.sum(a * b), signature="(n),(n)->()")
      >>> dot(jnp.ones((2, 3)), jnp.ones((2, 3)))
      Array([3., 3.], dtype=float32)
    """
    if any(not isinstance(e, str | int) for e in excluded):
        raise TypeError(
            "jax.numpy.vectorize can only exclude integer or string arguments, but "
            f"excluded={excluded!r}"
        )
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise ValueError(f"excluded={excluded!r} contains negative numbers")
    where = f"on vectorized function with excluded={excluded!r} and signature={signature!r}"
    inputs, outputs = (None, None) if signature is None else _parse(signature)

    @wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mapped = [i for i, x in enumerate(args) if i not in excluded]
        cores = [()] * len(mapped) if inputs is None else inputs
        if len(cores) != len(mapped):
            raise TypeError(
                f"wrong number of positional arguments: expected {len(cores)}, got {len(mapped)} "
                f"{where}"
            )
        absent = [i for i in mapped if args[i] is None]
        if any(core for i, core in zip(mapped, cores, strict=True) if i in absent):
            raise ValueError(f"Cannot pass None at locations {absent} with signature={signature!r}")
        cores = [core for i, core in zip(mapped, cores, strict=True) if i not in absent]
        mapped = [i for i in mapped if i not in absent]

        def function(*values: Any) -> Any:
            full = list(args)
            for i, value in zip(mapped, values, strict=True):
                full[i] = value
            return pyfunc(*full, **kwargs)

        values = [as_array("vectorize", args[i], i) for i in mapped]
        sizes: dict[str, int] = {}
        for x, core in zip(values, cores, strict=True):
            _match(sizes, x.shape, core, where, is_input=True)
        checked = function if outputs is None else _checked(function, sizes, outputs, where)
        return _broadcast_and_map(checked, values, cores)

    return wrapped


def _parse(signature: str) -> tuple[list[Core], list[Core]]:
    if not _SIGNATURE.match(signature):
        raise ValueError(f"not a valid gufunc signature: {signature}")
    inputs, outputs = (
        [tuple(re.findall(r"\w+", argument)) for argument in re.findall(_ARGUMENT, side)]
        for side in signature.split("->")
    )
    return inputs, outputs


def _match(
    sizes: dict[str, int], shape: tuple[int, ...], core: Core, where: str, *, is_input: bool
) -> None:
    """Note the sizes of named axes, which must be the same wherever a name stands."""
    if is_input and len(shape) < len(core):
        raise ValueError(
            f"input with shape {tuple(shape)} does not have enough dimensions for all core "
            f"dimensions {core} {where}"
        )
    if not is_input and len(shape) != len(core):
        raise ValueError(
            f"output shape {tuple(shape)} does not match core dimensions {core} {where}"
        )
    for name, size in zip(core, shape[len(shape) - len(core) :], strict=True):
        if sizes.setdefault(name, size) != size:
            raise ValueError(
                f"inconsistent size for core dimension {name!r}: {size} vs {sizes[name]} {where}"
            )


def _checked(
    function: Callable[..., Any], sizes: dict[str, int], outputs: list[Core], where: str
) -> Callable[..., Any]:
    """`function`, whose results must have the axes that the signature says."""

    def call(*values: Any) -> Any:
        out = function(*values)
        if len(outputs) > 1 and not isinstance(out, tuple):
            raise TypeError(
                f"output must be a tuple when multiple outputs are expected, got: {out!r}\n{where}"
            )
        results = out if isinstance(out, tuple) else (out,)
        if len(results) != len(outputs):
            raise TypeError(
                f"wrong number of output arguments: expected {len(outputs)}, got {len(results)} "
                f"{where}"
            )
        known = dict(sizes)
        for result, core in zip(results, outputs, strict=True):
            _match(known, aval_of(result).shape, core, where, is_input=False)
        return out

    return call


def _broadcast_and_map(
    function: Callable[..., Any], values: Sequence[Any], cores: Sequence[Core]
) -> Any:
    """One vmap for each axis that is not of a core, over the arguments that have it."""
    shapes = tuple([x.shape[: x.ndim - len(core)] for x, core in zip(values, cores, strict=True)])
    rank = len(common_shape("vectorize", values, shapes)) if shapes else 0
    filled = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    squeezed = [
        squeeze(x, tuple([i for i, n in enumerate(shape) if n == 1]))
        for x, shape in zip(values, shapes, strict=True)
    ]
    absent = []
    for axis in reversed(range(rank)):
        has = tuple([None if shape[axis] == 1 else 0 for shape in filled])
        if all(h is None for h in has):
            absent.append(axis)
        else:
            function = _vmap(function, has)
    out = function(*squeezed)
    if not absent:
        return out
    if isinstance(out, tuple):
        return tuple([expand_dims(x, tuple(absent)) for x in out])
    return expand_dims(out, tuple(absent))
