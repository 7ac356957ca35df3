"""`associative_scan`: running results of an associative operation, in logarithmic depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore.signature import function_name
from jaxcore.trace import aval_of

__all__ = ["associative_scan"]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Running results of ``fn`` along an axis: element k combines elements 0 to k.

    Neighbours are combined in pairs, the half as long sequence is scanned, and the elements between
    follow from it: about 2 n applications in 2 log2(n) rounds, each round one call of `fn`.

    Args:
      fn: associative function of two pytrees like `elems` to a third one, elementwise along the
        axis; it is called with any number of elements at a time.
      elems: pytree of arrays of one size along `axis`.
      reverse: combine from the last element to the first.
      axis: the axis to scan.

    Returns:
      A pytree like `elems`.

    Raises:
      TypeError: `fn` is no function, or changes the structure or the types.
      ValueError: sizes differ, or `axis` does not exist.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> associative_scan(jnp.add, jnp.arange(4))
      Array([0, 1, 3, 6], dtype=int32)

    Blelloch 1990, "Prefix Sums and Their Applications"
    """
    from jaxcore.numpy.lax_shapes import rev

    if not callable(fn):
        raise TypeError(
            f"associative_scan: fn must be a function, got {fn!r} of type {type(fn).__name__}."
        )
    name = f"associative_scan of {function_name(fn)}"
    tree: Any  # JAX's stubs know no comparison of treedefs
    leaves, tree = jax.tree.flatten(elems)
    leaves, axis = _checked(name, leaves, axis)
    if reverse:
        leaves = [rev(x, [axis]) for x in leaves]

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        out, out_tree = jax.tree.flatten(
            fn(jax.tree.unflatten(tree, a), jax.tree.unflatten(tree, b))
        )
        if out_tree != tree:
            raise TypeError(
                f"{name}: fn must return the structure of elems, {tree}; got {out_tree}."
            )
        for x, y in zip(a, out, strict=True):
            if aval_of(x).shape != aval_of(y).shape or aval_of(x).dtype != aval_of(y).dtype:
                raise TypeError(
                    f"{name}: fn must return the types it gets, but made {aval_of(y)} of "
                    f"{aval_of(x)}.\nFix: convert the result, or elems, to one type. fn gets "
                    "several elements at a time along the axis, so it must not mix or sum them."
                )
        return out

    results = _scan(combine, leaves, axis)
    return jax.tree.unflatten(tree, [rev(x, [axis]) for x in results] if reverse else results)


def _checked(name: str, leaves: Sequence[Any], axis: int) -> tuple[list[Any], int]:
    """Arrays of one size along the axis, whose number is made positive."""
    import jaxcore.numpy as jnp

    arrays = [jnp.asarray(x) for x in leaves]
    if not arrays:
        raise ValueError(f"{name}: elems has no arrays.")
    ndim = len(aval_of(arrays[0]).shape)
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis {axis} is out of bounds for {aval_of(arrays[0])}.")
    axis %= ndim
    shapes = [aval_of(x).shape for x in arrays]
    if any(len(s) <= axis or s[axis] != shapes[0][axis] for s in shapes):
        raise ValueError(
            f"{name}: elems must have one size along axis {axis}, got the shapes {shapes}."
        )
    return arrays, axis


def _scan(combine: Callable[..., list[Any]], elems: Sequence[Any], axis: int) -> list[Any]:
    from jaxcore.numpy.lax_shapes import concatenate

    size = aval_of(elems[0]).shape[axis]
    if size < 2:
        return list(elems)
    pairs = combine(_every_second(elems, 0, size - 1, axis), _every_second(elems, 1, size, axis))
    odd = _scan(combine, pairs, axis)  # results at 1, 3, 5, ...
    before = [_cut(x, 0, (size - 1) // 2, 1, axis) for x in odd]
    even = combine(before, _every_second(elems, 2, size, axis))  # results at 2, 4, 6, ...
    even = [
        concatenate([_cut(x, 0, 1, 1, axis), y], axis) for x, y in zip(elems, even, strict=True)
    ]
    return [_interleave(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _every_second(elems: Sequence[Any], start: int, stop: int, axis: int) -> list[Any]:
    return [_cut(x, start, stop, 2, axis) for x in elems]


def _cut(x: Any, start: int, stop: int, stride: int, axis: int) -> Any:
    from jaxcore.numpy.lax_shapes import slice_in_dim

    return slice_in_dim(x, start, stop, stride, axis)


def _interleave(even: Any, odd: Any, axis: int) -> Any:
    """Elements of both in turn, beginning with `even`, which may have one more."""
    from jaxcore.numpy.lax_shapes import concatenate, expand_dims, reshape

    shape = aval_of(odd).shape
    size = shape[axis]
    paired = [expand_dims(x, [axis + 1]) for x in (_cut(even, 0, size, 1, axis), odd)]
    merged = reshape(concatenate(paired, axis + 1), (*shape[:axis], 2 * size, *shape[axis + 1 :]))
    if aval_of(even).shape[axis] == size:
        return merged
    return concatenate([merged, _cut(even, size, size + 1, 1, axis)], axis)
