"""The bits of an array read as another dtype, and packed eight to a byte."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.creation import arange, user_dtype
from jaxcore.numpy.joining import stack
from jaxcore.numpy.operand import as_array, axis_index
from jaxcore.numpy.padding import pad
from jaxcore.numpy.rearrange import flip
from jaxcore.numpy.shapes import expand_dims, ravel, reshape, swapaxes
from jaxcore.numpy.special import imag, real
from jaxcore.ops.arithmetic import constant
from jaxcore.ops.compare import ne
from jaxcore.ops.convert import bitcast_convert_type_p, convert, copy_p, make_complex
from jaxcore.ops.rules import kind_of
from jaxcore.trace import bind

__all__ = ["byteswap", "packbits", "unpackbits", "view"]

Array = jax.Array

_BYTE = np.dtype(np.uint8)


def _bits(dtype: Any) -> int:
    """The size of an element; NumPy counts whole bytes."""
    narrow = str(dtype).removeprefix("u")
    return int(narrow[3:]) if narrow in ("int2", "int4") else dtype.itemsize * 8


def view(x: Any, dtype: Any = None, type: None = None) -> Array:
    """The bits of `x` read as `dtype`: the last axis grows or shrinks with the size of an element.

    Raises:
      NotImplementedError: `type` is given.
      ValueError: the last axis holds no whole number of elements, or a scalar changes its size.
    """
    if type is not None:
        raise NotImplementedError("`type` argument of array.view() is not supported.")
    if dtype is None or user_dtype(dtype) == x.dtype:
        return x
    new = user_dtype(dtype)
    old_size, new_size = _bits(x.dtype), _bits(new)
    if not x.ndim:
        if old_size != new_size:
            raise ValueError(
                "view() of a 0d array is only supported if the itemsize is unchanged: "
                f"{x.dtype} to {new}."
            )
        return reshape(view(reshape(x, (1,)), new), ())
    if x.shape[-1] * old_size % new_size:
        raise ValueError(
            "When changing to a larger dtype, its size must be a divisor of the total size in "
            f"bytes of the last axis of the array: {x.dtype}{list(x.shape)} to {new}."
        )
    *lead, last = x.shape
    if kind_of(x.dtype) == "b":
        return view(convert(x, _BYTE), new)
    if kind_of(new) == "b":
        return convert(view(x, _BYTE), new)
    if kind_of(x.dtype) == "c":  # real and imaginary parts lie side by side
        return view(reshape(stack([real(x), imag(x)], -1), (*lead, 2 * last)), new)
    if kind_of(new) == "c":
        parts = view(x, np.zeros((), new).real.dtype)
        return make_complex(parts[..., 0::2], parts[..., 1::2])
    if old_size < new_size:
        x = reshape(x, (*lead, last * old_size // new_size, new_size // old_size))
    out = bind(bitcast_convert_type_p, x, new_dtype=new)
    return reshape(out, (*lead, last * old_size // new_size))


def byteswap(x: Any) -> Array:
    """`x` with the bytes of each element in the opposite order."""
    if kind_of(x.dtype) == "c":
        return make_complex(byteswap(real(x)), byteswap(imag(x)))
    if x.dtype.itemsize == 1:
        return bind(copy_p, x)
    parts = bind(bitcast_convert_type_p, x, new_dtype=_BYTE)
    return bind(bitcast_convert_type_p, flip(parts, -1), new_dtype=x.dtype)


# --- packed bits --------------------------------------------------------------------------------


def _weights(bitorder: str) -> Any:
    """The places of the bits of a byte."""
    if bitorder not in ("little", "big"):
        raise ValueError(f"'order' must be either 'little' or 'big', got {bitorder!r}.")
    places = arange(8, dtype=_BYTE)
    return flip(places) if bitorder == "big" else places


def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Array:
    """The truth of eight elements along `axis` (None: flat) as the bits of one byte.

    Args:
      a: integers or bools; zeros are added to make whole bytes.
      axis: along which.
      bitorder: "big": the first element is the highest bit; "little": the lowest.

    Raises:
      TypeError: `a` holds floats.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.packbits(jnp.array([1, 0, 1]))
      Array([160], dtype=uint8)
    """
    x = as_array("packbits", a)
    if kind_of(x.dtype) not in "biu":
        raise TypeError(f"Expected an input array of integer or boolean data type, got {x.dtype}.")
    places = _weights(bitorder)
    if axis is None:
        x, axis = ravel(x), 0
    at = axis_index(axis, x.ndim)
    bits = swapaxes(convert(ne(x, constant(x, 0)), _BYTE), at, -1)
    missing = -bits.shape[-1] % 8
    bits = pad(bits, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
    bits = reshape(bits, (*bits.shape[:-1], bits.shape[-1] // 8, 8))
    places = expand_dims(places, tuple(range(bits.ndim - 1)))
    packed = r.sum(u.multiply(bits, _powers(places)), axis=-1, dtype=_BYTE)
    return swapaxes(packed, at, -1)


def _powers(places: Any) -> Any:
    from jaxcore.numpy.elementwise import left_shift

    return left_shift(np.uint8(1), places)


def unpackbits(
    a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Array:
    """The bits of bytes along `axis` (None: flat), as bytes that are 0 or 1.

    Args:
      a: bytes.
      axis: along which.
      count: how many bits to return: the rest is cut off, or zeros are added.
      bitorder: as of `packbits`.

    Raises:
      TypeError: `a` holds no uint8.
    """
    x = as_array("unpackbits", a)
    if x.dtype != _BYTE:
        raise TypeError(f"Expected an input array of unsigned byte data type, got {x.dtype}.")
    places = _weights(bitorder)
    if axis is None:
        x, axis = ravel(x), 0
    at = axis_index(axis, x.ndim)
    bytes_ = expand_dims(swapaxes(x, at, -1), -1)
    mask = expand_dims(_powers(places), tuple(range(x.ndim)))
    bits = u.bitwise_and(bytes_, mask)
    bits = convert(ne(bits, constant(bits, 0)), _BYTE)
    bits = reshape(bits, (*bits.shape[:-2], bits.shape[-2] * 8))
    if count is not None:
        bits = bits[..., :count]
        bits = pad(bits, [(0, 0)] * (x.ndim - 1) + [(0, max(0, count - bits.shape[-1]))])
    return swapaxes(bits, at, -1)
