"""Errors: the user's line, the full types, the fix.

Classes are JAX's, so that existing handlers keep working; `python -m jaxcore.errors` lists them.

boundary, frames      where an error leaves the user's function, and which line of it failed
operands, names       what that line worked on, in the user's words and with full types
fixes                 what to do about it
values, donation      errors about single values: leaked, deleted, of the wrong kind
catalogue             every class with its cause and its fix
"""

from typing import Any as _Any

from jaxcore import namespaces as _namespaces
from jaxcore.errors.boundary import Boundary, explain, explained, located, raised, with_source
from jaxcore.errors.classes import (
    AxisError,
    BroadcastError,
    CheckError,
    ConcretizationTypeError,
    DonatedArrayError,
    IndexOverflowError,
    IntegerDivisionError,
    JaxRuntimeError,
    KeyReuseError,
    NarrowedError,
    NonConcreteBooleanIndexError,
    OutOfBoundsError,
    ReusedKeyError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)
from jaxcore.errors.describe import describe_source, describe_type, format_aval
from jaxcore.errors.donation import Donation, donors
from jaxcore.errors.names import Finder, Name, argument_names, name_of, stand_ins
from jaxcore.errors.values import check_live, deleted, leaked, not_an_array, origin

__all__ = [
    "AxisError",
    "Boundary",
    "BroadcastError",
    "CheckError",
    "ConcretizationTypeError",
    "DonatedArrayError",
    "Donation",
    "Finder",
    "IndexOverflowError",
    "IntegerDivisionError",
    "JaxRuntimeError",
    "KeyReuseError",
    "Name",
    "NarrowedError",
    "NonConcreteBooleanIndexError",
    "OutOfBoundsError",
    "ReusedKeyError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
    "argument_names",
    "check_live",
    "deleted",
    "describe_source",
    "describe_type",
    "donors",
    "explain",
    "explained",
    "format_aval",
    "leaked",
    "located",
    "name_of",
    "not_an_array",
    "origin",
    "raised",
    "stand_ins",
    "with_source",
]


def __getattr__(name: str) -> _Any:
    return _namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return _namespaces.listing(__name__)
