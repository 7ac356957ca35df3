"""The classes of errors: JAX's under their own names, and those that JAX has no name for."""

from __future__ import annotations

import jax

__all__ = [
    "ConcretizationTypeError",
    "DonatedArrayError",
    "JaxRuntimeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
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
