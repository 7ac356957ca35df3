"""Changes of dtype, and between complex numbers and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.avals import shaped
from jaxcore.ops.compare import compare_lower
from jaxcore.ops.rules import (
    accept,
    elementwise,
    kind_of,
    move_dim,
    nary_type,
    unbroadcast,
)
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "bitcast_convert_type_p",
    "complex_p",
    "conj",
    "conj_p",
    "convert",
    "convert_element_type_p",
    "copy_p",
    "imag",
    "imag_p",
    "make_complex",
    "real",
    "real_p",
    "reduce_precision_p",
]


def convert(x: Any, dtype: Any, weak_type: bool = False) -> Any:
    """`x` in `dtype`; the value itself where nothing changes."""
    aval = aval_of(x)
    if aval.dtype == dtype and aval.weak_type == weak_type:
        return x
    return bind(convert_element_type_p, x, new_dtype=dtype, weak_type=weak_type)


def _parts_dtype(dtype: Any) -> Any:
    return np.zeros((), dtype).real.dtype


# --- convert_element_type -----------------------------------------------------------------------


def _convert_type(x: ShapedArray, *, new_dtype: Any, weak_type: bool) -> ShapedArray:
    return shaped(x.shape, new_dtype, weak_type)


def _convert_partial(t: Any, out: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    if kind_of(new_dtype) not in "fc":
        return None
    return bind(convert_element_type_p, t, new_dtype=new_dtype, weak_type=weak_type)


def _convert_transpose(
    ct: Any, args: Sequence[Any], *, new_dtype: Any, weak_type: bool
) -> list[Any]:
    aval = args[0].aval
    return [bind(convert_element_type_p, ct, new_dtype=aval.dtype, weak_type=aval.weak_type)]


def _convert_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    new_dtype: Any,
    weak_type: bool,
) -> list[Any]:
    (x,), (source,), (out,) = operands, avals_in, avals_out
    if source.dtype == out.dtype:
        return [x]
    if kind_of(source.dtype) == "c" and kind_of(out.dtype) != "c":
        source = ShapedArray(source.shape, _parts_dtype(source.dtype))
        x = b.one("stablehlo.real", source, x)[0]
    if kind_of(out.dtype) == "b":
        return [compare_lower(b, "NE", x, b.constant(0, source), source)]
    if source.dtype == out.dtype:
        return [x]
    return b.one("stablehlo.convert", out, x)


convert_element_type_p = elementwise(
    "convert_element_type",
    "",
    _convert_partial,
    type=_convert_type,
    lower=_convert_lower,
    transpose=_convert_transpose,
    defaults={"sharding": None},
)


# --- precision and bits -------------------------------------------------------------------------


def _reduce_precision_type(
    x: ShapedArray, *, exponent_bits: int, mantissa_bits: int
) -> ShapedArray:
    accept("reduce_precision", "f", None, x.dtype)
    return x


def _reduce_precision_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    exponent_bits: int,
    mantissa_bits: int,
) -> list[Any]:
    return b.one(
        "stablehlo.reduce_precision",
        avals_out[0],
        *operands,
        exponent_bits=b.parse(f"{exponent_bits} : i32"),
        mantissa_bits=b.parse(f"{mantissa_bits} : i32"),
    )


reduce_precision_p = elementwise(
    "reduce_precision",
    "f",
    lambda t, out, x, **params: bind(reduce_precision_p, t, **params),
    type=_reduce_precision_type,
    lower=_reduce_precision_lower,
    transpose=lambda ct, args, **params: [bind(reduce_precision_p, ct, **params)],
)


def _bitcast_type(x: ShapedArray, *, new_dtype: Any) -> ShapedArray:
    if backend.is_extended(x.dtype) or "c" in (kind_of(x.dtype), kind_of(new_dtype)):
        raise TypeError(
            f"bitcast_convert_type of {x} to {new_dtype}: keys and complex numbers have no bits "
            "to reinterpret. Fix: take the parts first (real, imag, random.key_data)."
        )
    old, new = backend.itemsize_bits(x.dtype), backend.itemsize_bits(new_dtype)
    shape = tuple(x.shape)
    if old < new:
        if not shape or shape[-1] * old != new:
            raise ValueError(
                f"bitcast_convert_type of {x} to {new_dtype}: the last axis must have size "
                f"{new // old}."
            )
        shape = shape[:-1]
    elif old > new:
        shape = (*shape, old // new)
    return ShapedArray(shape, new_dtype)


def _bitcast_batch(size: int, args: Sequence[Any], dims: Sequence[int], *, new_dtype: Any) -> Any:
    return bind(bitcast_convert_type_p, move_dim(args[0], dims[0], 0), new_dtype=new_dtype), 0


def _bitcast_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, new_dtype: Any
) -> list[Any]:
    if avals_in[0].dtype == avals_out[0].dtype:
        return list(operands)
    return b.one("stablehlo.bitcast_convert", avals_out[0], *operands)


def _bitcast_from_jax(params: dict[str, Any]) -> dict[str, Any] | None:
    narrow = "int4" in str(params["new_dtype"]) or "int2" in str(params["new_dtype"])
    return None if narrow or kind_of(params["new_dtype"]) in "bck" else params


bitcast_convert_type_p = Primitive(
    "bitcast_convert_type",
    _bitcast_type,
    batch=_bitcast_batch,
    lower=_bitcast_lower,
    cost=lambda avals_in, avals_out, **_: 0,
    jax=jax.lax.bitcast_convert_type_p,
    from_jax=_bitcast_from_jax,
)


# --- complex numbers ----------------------------------------------------------------------------


def real(x: Any) -> Any:
    """The real part of a complex number."""
    return bind(real_p, x)


def imag(x: Any) -> Any:
    """The imaginary part of a complex number."""
    return bind(imag_p, x)


def make_complex(x: Any, y: Any) -> Any:
    """x + iy."""
    return bind(complex_p, x, y)


def conj(x: Any) -> Any:
    """The complex conjugate; a real number becomes complex."""
    return bind(conj_p, x, input_dtype=aval_of(x).dtype)


def _part_type(name: str) -> Any:
    def rule(x: ShapedArray) -> ShapedArray:
        accept(name, "c", None, x.dtype)
        return ShapedArray(x.shape, _parts_dtype(x.dtype), weak_type=x.weak_type)

    return rule


def _zero_like(x: Any) -> Any:
    return np.zeros((), aval_of(x).dtype)[()]


def _minus(x: Any) -> Any:
    from jaxcore.ops.arithmetic import neg

    return neg(x)


real_p = elementwise(
    "real",
    "c",
    lambda t, out, x: real(t),
    type=_part_type("real"),
    lower="stablehlo.real",
    transpose=lambda ct, args: [make_complex(ct, _zero_like(ct))],
)
imag_p = elementwise(
    "imag",
    "c",
    lambda t, out, x: imag(t),
    type=_part_type("imag"),
    lower="stablehlo.imag",
    transpose=lambda ct, args: [make_complex(_zero_like(ct), _minus(ct))],
)


_real_pair = nary_type("complex", "f")


def _complex_dtype(dtype: Any) -> Any:
    return np.result_type(dtype, np.complex64)


def _complex_type(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    out = _real_pair(x, y)
    if out.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"complex does not accept dtype {out.dtype} at position 0. Accepted dtypes at "
            "position 0 are float32, float64."
        )
    return ShapedArray(out.shape, _complex_dtype(out.dtype), weak_type=out.weak_type)


def _complex_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    x, y = args
    return [
        unbroadcast(real(ct), x) if type(x) is Linear else None,
        unbroadcast(imag(_minus(ct)), y) if type(y) is Linear else None,
    ]


complex_p = elementwise(
    "complex",
    "f",
    lambda t, out, x, y: make_complex(t, _zero_like(t)),
    lambda t, out, x, y: make_complex(_zero_like(t), t),
    type=_complex_type,
    lower="stablehlo.complex",
    transpose=_complex_transpose,
)


def _conj_type(x: ShapedArray, *, input_dtype: Any) -> ShapedArray:
    accept("conj", "fc", None, x.dtype)
    dtype = x.dtype if kind_of(x.dtype) == "c" else _complex_dtype(x.dtype)
    return ShapedArray(x.shape, dtype, weak_type=x.weak_type)


def _conj_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, input_dtype: Any
) -> list[Any]:
    (x,), out = operands, avals_out[0]
    part = ShapedArray(out.shape, _parts_dtype(out.dtype))
    if kind_of(avals_in[0].dtype) != "c":
        return b.one("stablehlo.complex", out, x, b.constant(0, part))
    mirrored = b.one("stablehlo.negate", part, b.one("stablehlo.imag", part, x)[0])[0]
    return b.one("stablehlo.complex", out, b.one("stablehlo.real", part, x)[0], mirrored)


conj_p = elementwise(
    "conj",
    "fc",
    lambda t, out, x, *, input_dtype: bind(conj_p, t, input_dtype=input_dtype),
    type=_conj_type,
    lower=_conj_lower,
    transpose=lambda ct, args, *, input_dtype: [
        conj(ct) if kind_of(input_dtype) == "c" else real(ct)
    ],
)


# --- copy ---------------------------------------------------------------------------------------

copy_p = elementwise(
    "copy",
    "",
    lambda t, out, x: t,
    type=lambda x: x,
    lower=lambda b, operands, avals_in, avals_out: operands,
    cost=lambda avals_in, avals_out: 0,
    transpose=lambda ct, args: [ct],
)
