"""Errors of the module layer: each names the module path, got and expected values, and the fix."""

from __future__ import annotations


class ModuleError(Exception):
    """Base of every error that the module layer raises for a mistake in a model.

    Fix: the message says what was got, what was expected, and what to do.
    """


class NameInUseError(ModuleError, ValueError):
    """One name stands for two things inside one module.

    Fix: give one of them another name; to share parameters, construct one instance and call it
    twice.
    """


class UnboundModuleError(ModuleError, RuntimeError):
    """A module is used outside ``init``/``apply``, or by a module that does not own it.

    Fix: call module.apply(variables, x), and construct submodules inside the method that calls
    them or as dataclass fields.
    """


class MissingVariableError(ModuleError, KeyError):
    """A parameter, variable or collection is not in the variables given to ``apply``.

    Fix: pass what this model's init returned; after a change of the model initialise again, or
    rename the entries.
    """

    def __str__(self) -> str:  # KeyError would print the repr of the message, on one line
        return str(self.args[0]) if self.args else ""


class MissingRngError(ModuleError, KeyError):
    """A random stream is asked for and no key was given for it.

    Fix: pass rngs=key, one key for every stream, or rngs={"dropout": key}.
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ImmutableVariableError(ModuleError, RuntimeError):
    """A write to a collection that may not change, or from inside a transformation.

    Fix: name the collection in mutable=[...] and keep the updates that apply returns; return the
    value from a transformed function and write it outside.
    """


class ParameterShapeError(ModuleError, ValueError):
    """A given parameter has another shape than the module would create.

    Fix: pass the variables of this model, and inputs of the width that it was initialised with.
    """


class InputError(ModuleError, ValueError):
    """An input or option of a layer has a rank, size or value that the layer cannot take.

    Fix: the message says what was expected; layers take (batch, ..., channels).
    """


class WeightsError(ModuleError, ValueError):
    """A file of weights is damaged or unsafe, or its names or shapes are not those of the model.

    Fix: use the file of this model, another map of names, or strict=False to take what fits; the
    message lists every name.
    """


def where(path: tuple[str, ...], kind: str | None = None) -> str:
    """A module's place in messages: ``encoder/Dense_0 (Dense)``; the root is ``<root>``."""
    text = "/".join(path) or "<root>"
    return f"{text} ({kind})" if kind else text
