"""New arrays: from values, filled with a constant, ranges, and the masks of matrices.

At the top level these are JAX's functions. While a function is traced they record equations over
literals, so that no constant array is captured by the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.composite import composite
from jaxcore.numpy.operand import listeners, typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.ops.arithmetic import add, mul
from jaxcore.ops.compare import eq, ge, select
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import concatenate_p
from jaxcore.ops.shape import broadcast_in_dim_p, iota_p
from jaxcore.trace import JaxcoreTrace, aval_of, bind

__all__ = [
    "arange",
    "array",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "identity",
    "ones",
    "ones_like",
    "tri",
    "tril",
    "triu",
    "user_dtype",
    "zeros",
    "zeros_like",
]

Array = jax.Array
Shape = int | Sequence[int]
_PYTHON = (bool, int, float, complex)


_user_dtypes: dict[Any, Any] = {}


def user_dtype(dtype: Any) -> Any:
    """The dtype that a user's `dtype` means: 64 bits become 32 (with JAX's warning) without x64."""
    key = (type(dtype), dtype, backend.flag("jax_enable_x64"))
    found = _user_dtypes.get(key)
    if found is not None:
        return found
    if dtype in _PYTHON:
        found = backend.canonicalize_dtype(dtype)
    else:
        try:
            found = np.dtype(dtype)
        except TypeError:
            return dtype if backend.is_extended(dtype) else _jnp.dtype(dtype)
        if found.itemsize >= 8 and backend.canonicalize_dtype(found) != found:
            with backend.set_current_trace(backend.eval_trace):
                return _jnp.zeros((), dtype).dtype  # JAX warns here, each time
    _user_dtypes[key] = found
    return found


def _sizes(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, Sequence | np.ndarray):
        return tuple([backend.as_size(n) for n in shape])
    return (backend.as_size(shape),)


def _filled(value: Any, shape: tuple[int, ...]) -> Array:
    return bind(broadcast_in_dim_p, value, shape=shape, broadcast_dimensions=())


# --- constants ----------------------------------------------------------------------------------


def _constant(name: str, value: int, shape: Any, dtype: Any, device: Any, sharding: Any) -> Array:
    if device is not None or sharding is not None:
        extra = {} if sharding is None else {"out_sharding": sharding}
        return getattr(_jnp, name)(shape, dtype, device=device, **extra)
    kind = user_dtype(float if dtype is None else dtype)
    if backend.is_extended(kind):
        return getattr(_jnp, name)(shape, dtype)
    return _filled(np.asarray(value, kind)[()], _sizes(shape))


def zeros(
    shape: Shape, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """Zeros of `shape`, float32 unless `dtype` says otherwise.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> print(jaxcore.make_jaxpr(lambda x: x + jnp.zeros(3))(jnp.ones(3)).equations[0])
      Equation(broadcast_in_dim, 1 in, 1 out)
    """
    return _constant("zeros", 0, shape, dtype, device, out_sharding)


def ones(shape: Shape, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Array:
    """Ones of `shape`, float32 unless `dtype` says otherwise."""
    return _constant("ones", 1, shape, dtype, device, out_sharding)


def empty(
    shape: Shape, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """Zeros: arrays without a defined value do not exist here."""
    return _constant("zeros", 0, shape, dtype, device, out_sharding)


def full(
    shape: Shape,
    fill_value: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`fill_value` repeated to `shape`."""
    value, aval = typed("full", fill_value, 1)
    placed = device is not None or out_sharding is not None
    if placed or (backend.at_top_level() and not isinstance(value, backend.Tracer)):
        extra = {} if out_sharding is None else {"out_sharding": out_sharding}
        return _jnp.full(shape, fill_value, dtype, device=device, **extra)
    kind, weak = (aval.dtype, aval.weak_type) if dtype is None else (user_dtype(dtype), False)
    value = to_dtype(value, kind, weak)
    if not aval.shape:
        return _filled(value, _sizes(shape))
    from jaxcore.numpy.shapes import broadcast_to

    return broadcast_to(value, _sizes(shape))


def _like(
    name: str, value: Any, a: Any, dtype: Any, shape: Any, device: Any, sharding: Any = None
) -> Array:
    a, aval = typed(name, a)
    placed = device is not None or sharding is not None
    top = backend.at_top_level() and not isinstance(value, backend.Tracer)
    if placed or top or backend.is_extended(aval.dtype):
        extra = {} if sharding is None else {"out_sharding": sharding}
        if name == "full_like":
            return _jnp.full_like(a, value, dtype, shape, device=device, **extra)
        return getattr(_jnp, name)(a, dtype, shape, device=device, **extra)
    kind, weak = (aval.dtype, aval.weak_type) if dtype is None else (user_dtype(dtype), False)
    sizes = aval.shape if shape is None else _sizes(shape)
    if np.ndim(value):
        from jaxcore.numpy.shapes import broadcast_to

        return broadcast_to(to_dtype(value, kind), sizes)
    return _filled(to_dtype(value, kind, weak), sizes)


def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """Zeros of the shape and dtype of `a`, unless given."""
    return _like("zeros_like", 0, a, dtype, shape, device, out_sharding)


def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """Ones of the shape and dtype of `a`, unless given."""
    return _like("ones_like", 1, a, dtype, shape, device, out_sharding)


def empty_like(
    prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None
) -> Array:
    """Zeros of the shape and dtype of `prototype`, unless given."""
    return _like("zeros_like", 0, prototype, dtype, shape, device)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`fill_value` repeated to the shape of `a`, in its dtype, unless given."""
    return _like("full_like", fill_value, a, dtype, shape, device, out_sharding)


# --- from values --------------------------------------------------------------------------------


def array(
    object: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """An array of the values in `object`: a scalar, nested sequences, or an array.

    Args:
      object: the values; arrays inside sequences are stacked.
      dtype: of the result; by default what the values promote to.
      copy: arrays are immutable, so nothing depends on it while tracing.
      order: "C" or "K".
      ndmin: axes of size 1 are put in front until there are as many.
      device: where the array lives (top level).
      out_sharding: how it is laid out (top level).
    """
    trace = backend.trace_ctx.trace
    if (
        device is not None
        or out_sharding is not None
        or order not in ("K", "C", None)
        or (not isinstance(trace, JaxcoreTrace))
    ):
        kwargs = {} if out_sharding is None else {"out_sharding": out_sharding}
        return _jnp.array(
            object, dtype, copy=copy, order=order, ndmin=ndmin, device=device, **kwargs
        )
    out = _traced_array(object, None if dtype is None else user_dtype(dtype))
    missing = ndmin - len(aval_of(out).shape)
    if missing > 0:
        from jaxcore.numpy.shapes import expand_dims

        return expand_dims(out, tuple(range(missing)))
    return out


def _traced_array(x: Any, dtype: Any) -> Any:
    if not isinstance(x, backend.Tracer | jax.Array) and hasattr(x, "__jax_array__"):
        x = x.__jax_array__()
    if isinstance(x, backend.Tracer | jax.Array):
        return x if dtype is None else convert(x, dtype)
    kind = type(x)
    if kind in _PYTHON or (
        isinstance(x, np.ndarray | np.generic) and x.ndim == 0 and x.dtype.kind in "biufcV"
    ):
        # A scalar is a literal of the program.
        return _filled(x if dtype is None else np.asarray(x).astype(dtype)[()], ())
    if isinstance(x, list | tuple) and any(
        isinstance(leaf, backend.Tracer) for leaf in jax.tree.leaves(x)
    ):
        if dtype is None:
            dtype = promoted(*jax.tree.leaves(x))[0]
        parts = [_traced_array(item, dtype) for item in x]
        shape = aval_of(parts[0]).shape
        if any(aval_of(p).shape != shape for p in parts):
            raise TypeError(
                "Error interpreting argument to array as an abstract array: the items of a "
                f"sequence have shapes {[tuple(aval_of(p).shape) for p in parts]}, which differ. "
                "Fix: make them of one shape."
            )
        dims = tuple(range(1, len(shape) + 1))
        rows = [
            bind(broadcast_in_dim_p, p, shape=(1, *shape), broadcast_dimensions=dims) for p in parts
        ]
        return rows[0] if len(rows) == 1 else bind(concatenate_p, *rows, dimension=0)
    if listeners.received is not None and type(x) is np.ndarray and dtype is None:
        listeners.received(x)
    with backend.set_current_trace(backend.eval_trace):
        return _jnp.array(x, dtype)


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`a` as an array; an array of that dtype is returned as it is."""
    kept = isinstance(a, backend.Tracer) and device is None and out_sharding is None and not copy
    if kept and (dtype is None or (user_dtype(dtype) == a.aval.dtype and not a.aval.weak_type)):
        return a
    if not isinstance(backend.trace_ctx.trace, JaxcoreTrace):
        kwargs = {} if out_sharding is None else {"out_sharding": out_sharding}
        return _jnp.asarray(a, dtype, order, copy=copy, device=device, **kwargs)
    return array(a, dtype, bool(copy), order, device=device, out_sharding=out_sharding)


# --- ranges and masks ---------------------------------------------------------------------------


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Numbers from `start` up to `stop`, exclusive, in steps of `step`; one argument is `stop`.

    Raises:
      ConcretizationTypeError: a bound is traced, so that the length is unknown.
    """
    bounds = (start, stop, step)
    plain = all(
        b is None or type(b) in (int, float) or isinstance(b, np.integer | np.floating)
        for b in bounds
    )
    placed = device is not None or out_sharding is not None
    if placed or not plain or start is None or backend.at_top_level():
        kwargs = {} if out_sharding is None else {"out_sharding": out_sharding}
        return _jnp.arange(start, stop, step, dtype, device=device, **kwargs)
    if dtype is None:
        kind = promoted(*[b for b in bounds if b is not None])[0]
        kind = backend.canonicalize_dtype(kind)
    else:
        kind = user_dtype(dtype)
    if stop is None:
        start, stop = 0, start
    working = kind
    if step is not None and kind.itemsize < 4 and kind.kind not in "iub":
        working = np.dtype(np.float32)  # half precision would lose the count
    size = max(0, int(np.ceil((stop - start) / (1 if step is None else step))))
    out = bind(iota_p, dtype=working, shape=(size,), dimension=0)
    if step is not None:
        out = mul(np.asarray(step).astype(working)[()], out)
    if step is not None or start != 0:
        out = add(np.asarray(start).astype(working)[()], out)
    return convert(out, kind)


def _diagonal_mask(n: int, m: int, k: Any, compare: Any) -> Array:
    """``compare(row + k, column)`` over an n × m grid."""
    kind = np.dtype(np.int32) if type(k) is int else aval_of(k).dtype
    row = bind(iota_p, dtype=kind, shape=(n, m), dimension=0)
    column = bind(iota_p, dtype=kind, shape=(n, m), dimension=1)
    if type(k) is not int or k:
        row = add(row, np.asarray(k, kind)[()] if type(k) is int else k)
    return compare(row, column)


def eye(
    N: int, M: int | None = None, k: Any = 0, dtype: Any = None, *, device: Any = None
) -> Array:
    """An N × M matrix with ones on diagonal `k`, zeros elsewhere."""
    if device is not None or backend.at_top_level():
        return _jnp.eye(N, M, k, dtype, device=device)
    mask = _diagonal_mask(index(N), index(N if M is None else M), k, eq)
    return convert(mask, user_dtype(float if dtype is None else dtype))


def identity(n: int, dtype: Any = None) -> Array:
    """The n × n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """An N × M matrix with ones at and below diagonal `k`, zeros above."""
    if backend.at_top_level():
        return _jnp.tri(N, M, k, dtype)
    mask = _diagonal_mask(index(N), index(N if M is None else M), k, ge)
    return convert(mask, user_dtype(float if dtype is None else dtype))


def _triangle(name: str, m: Any, k: Any, lower: bool) -> Array:
    m, aval = typed(name, m)
    shape = aval.shape
    if len(shape) < 2:
        raise ValueError(f"Argument to jax.numpy.{name} must be at least 2D")
    mask = _diagonal_mask(shape[-2], shape[-1], k if lower else k - 1, ge)
    if len(shape) > 2:
        last = (len(shape) - 2, len(shape) - 1)
        mask = bind(broadcast_in_dim_p, mask, shape=shape, broadcast_dimensions=last)
    zero = _filled(np.zeros((), aval.dtype)[()], shape)
    return select(mask, m, zero) if lower else select(mask, zero, m)


@composite("k")
def tril(m: Any, k: Any = 0) -> Array:
    """`m` with zeros above diagonal `k` of its last two axes."""
    return _triangle("tril", m, k, True)


@composite("k")
def triu(m: Any, k: Any = 0) -> Array:
    """`m` with zeros below diagonal `k` of its last two axes."""
    return _triangle("triu", m, k, False)
