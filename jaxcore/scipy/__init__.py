"""SciPy's namespaces: JAX's names, arguments and dtypes.

special    gamma, beta, Bessel, error and information functions; sums of exponentials

The other namespaces, and every name without a function of ours, are JAX's, running on our tracers.
"""

from __future__ import annotations

from typing import Any

from jaxcore import namespaces


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
