"""The classes of errors: JAX's under their own names, and those that JAX has no name for."""

from __future__ import annotations

import jax

__all__ = [
    "AxisError",
    "BroadcastError",
    "CheckError",
    "ConcretizationTypeError",
    "DonatedArrayError",
    "IndexOverflowError",
    "IntegerDivisionError",
    "JaxRuntimeError",
    "KeyReuseError",
    "NarrowedError",
    "NonConcreteBooleanIndexError",
    "OutOfBoundsError",
    "ReusedKeyError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]

ConcretizationTypeError = jax.errors.ConcretizationTypeError
JaxRuntimeError = jax.errors.JaxRuntimeError
KeyReuseError = jax.errors.KeyReuseError
NonConcreteBooleanIndexError = jax.errors.NonConcreteBooleanIndexError
TracerArrayConversionError = jax.errors.TracerArrayConversionError
TracerBoolConversionError = jax.errors.TracerBoolConversionError
TracerIntegerConversionError = jax.errors.TracerIntegerConversionError
UnexpectedTracerError = jax.errors.UnexpectedTracerError


class DonatedArrayError(RuntimeError, ValueError):
    """An array is used again whose memory a call has taken over.

    It is a RuntimeError and a ValueError because JAX raises the one or the other, by version.

    Fix: use the result of the call that took the array, or do not donate the argument.
    """


class BroadcastError(TypeError, ValueError):
    """The shapes of operands do not fit together.

    It is a TypeError and a ValueError because JAX raises the one for equal ranks and the other
    for different ones.

    Fix: shapes are aligned from the right and must be equal or 1 along each axis; reshape, or add
    an axis with x[:, None].
    """


class AxisError(ValueError, IndexError):
    """An axis is asked for that the array does not have.

    It is a ValueError and an IndexError, as NumPy's is; JAX raises the one or the other.

    Fix: count axes from 0 to ndim - 1, or from -1 backwards.
    """


class CheckError(Exception):
    """`debug.check` found what would have passed in silence.

    Fix: see the class of the error; what is meant can be left out, as in check(bounds=False).
    """


class OutOfBoundsError(CheckError, IndexError):
    """Under `debug.check`, an index known only when the program runs is outside its array.

    Fix: correct the index, or say what should happen: x.at[i].get(mode="clip"),
    x.at[i].set(v, mode="drop").
    """


class ReusedKeyError(CheckError, KeyReuseError):
    """Under `debug.check`, two draws get the same random key, so their numbers are the same.

    Fix: split the key before its first use, or fold in a number that differs for each use.
    """

    def __init__(self, message: str) -> None:  # JAX's would point to a page of its own
        Exception.__init__(self, message)


class NarrowedError(CheckError, TypeError):
    """Under `debug.check`, a 64-bit NumPy array would become a 32-bit one.

    Fix: convert it on purpose with x.astype(numpy.float32), or enable x64.
    """


class IndexOverflowError(CheckError, OverflowError):
    """Under `debug.check`, integers wrapped around on the way to an index.

    Fix: reorder the arithmetic so that it stays small, index with several indices instead of a
    flat one, or enable x64.
    """


class IntegerDivisionError(CheckError, ZeroDivisionError):
    """Under `debug.check`, integers are divided by zero.

    Fix: replace the zeros in the divisor first, with jaxcore.numpy.where.
    """
