"""Looking into running programs: where a NaN comes from, what every line computes, what is wrong.

find_nan    line, module, loop iteration and phase of the first NaN
interpret   runs a function equation by equation and shows the values of each line
check       indices, random keys, silent narrowing and integer overflow, checked as they happen
callback    calls Python from a compiled function

``jax.debug_nans(True)`` reports a NaN by the same search. The other names are JAX's.
"""

from typing import Any as _Any

from jaxcore import namespaces as _namespaces
from jaxcore.debug.check import check
from jaxcore.debug.interpret import Line, interpret
from jaxcore.debug.nan import NanReport, find_nan, non_finite_call, non_finite_operation
from jaxcore.effects import callback

__all__ = [
    "Line",
    "NanReport",
    "callback",
    "check",
    "find_nan",
    "interpret",
    "non_finite_call",
    "non_finite_operation",
]


def __getattr__(name: str) -> _Any:
    return _namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return _namespaces.listing(__name__)
