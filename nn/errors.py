"""Errors of the module layer: each names the module path, got and expected values, and the fix."""

from __future__ import annotations


class ModuleError(Exception):
    """Base of every error that the module layer raises for a mistake in a model."""


class NameInUseError(ModuleError, ValueError):
    """One name stands for two things inside one module."""


class UnboundModuleError(ModuleError, RuntimeError):
    """A module is used outside ``init``/``apply``, or by a module that does not own it."""


class MissingVariableError(ModuleError, KeyError):
    """A parameter, variable or collection is not in the variables given to ``apply``."""

    def __str__(self) -> str:  # KeyError would print the repr of the message, on one line
        return str(self.args[0]) if self.args else ""


class MissingRngError(ModuleError, KeyError):
    """A random stream is asked for and no key was given for it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ImmutableVariableError(ModuleError, RuntimeError):
    """A write to a collection that may not change, or from inside a transformation."""


class ParameterShapeError(ModuleError, ValueError):
    """A given parameter has another shape than the module would create."""


class InputError(ModuleError, ValueError):
    """An input or option of a layer has a rank, size or value that the layer cannot take."""


def where(path: tuple[str, ...], kind: str | None = None) -> str:
    """A module's place in messages: ``encoder/Dense_0 (Dense)``; the root is ``<root>``."""
    text = "/".join(path) or "<root>"
    return f"{text} ({kind})" if kind else text
