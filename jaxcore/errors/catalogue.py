"""Every class of errors that a user meets, with its cause and its fix.

Ours say both in their docstrings; JAX's and Python's are in the tables here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import jax

from jaxcore.errors.fixes import documented_fix

__all__ = ["Entry", "entries", "markdown", "own_classes", "plain"]

_LAYERS = ("jaxcore", "jaxcore.nn", "jaxcore.train")  # those above are imported when asked for

_JAX = {
    "ConcretizationTypeError": (
        "The value of a traced array is needed while the function is traced: by float(x), by a "
        "shape, or by a function whose result has a size that depends on values.",
        "keep the value an array, give sizes as static arguments (size=..., static_argnames=...), "
        "or compute it outside the traced function.",
    ),
    "InconclusiveDimensionOperation": (
        "Sizes are symbolic, as in an exported function, and a comparison of them has no answer.",
        "add a constraint to the symbolic scope, or export for fixed sizes.",
    ),
    "JAXIndexError": (
        "The base of JAX's index errors.",
        "see the class that was raised.",
    ),
    "JAXTypeError": (
        "The base of JAX's type errors.",
        "see the class that was raised.",
    ),
    "JaxRuntimeError": (
        "The runtime failed while compiling or running: out of memory, or a device that is gone.",
        "for RESOURCE_EXHAUSTED use a smaller batch, accumulate gradients, or checkpoint parts of "
        "the model.",
    ),
    "JaxprTypeError": (
        "A program in JAX's own representation is ill-formed.",
        "report it: a function of a library made it.",
    ),
    "KeyReuseError": (
        "A random key is used twice, where that is checked.",
        "split the key before its first use, or fold in a number that differs for each use.",
    ),
    "NonConcreteBooleanIndexError": (
        "An array is indexed with a traced mask, so the size of the result is unknown.",
        "use jaxcore.numpy.where(mask, x, other), or pass size=... to jaxcore.numpy.nonzero.",
    ),
    "TracerArrayConversionError": (
        "NumPy, or another library, asks for the numbers of a traced array.",
        "call the function of jaxcore.numpy, or do this outside the traced function.",
    ),
    "TracerBoolConversionError": (
        "Python's if, while, and, or, not or assert asks for the truth of a traced array.",
        "use jaxcore.numpy.where, jaxcore.lax.cond or jaxcore.lax.while_loop, or mark the argument "
        "static.",
    ),
    "TracerIntegerConversionError": (
        "A traced array is used as a Python integer: in range(n), as an index of a list, in a "
        "shape.",
        "mark the argument static, use jaxcore.lax.fori_loop, or index an array instead of a list.",
    ),
    "UnexpectedTracerError": (
        "A value of a traced function is used after that function has ended: it was stored in a "
        "list, an attribute or a global.",
        "return the value from the function.",
    ),
}

_PYTHON = {
    "AttributeError": (
        "A traced array is asked for something that arrays do not have.",
        "use the function or method of jaxcore.numpy.",
    ),
    "FloatingPointError": (
        "A NaN or an infinity appeared under jax.debug_nans or jax.debug_infs.",
        "the message names the line that made it; jaxcore.debug.find_nan needs no flag.",
    ),
    "IndexError": (
        "An index that is known while tracing is outside its array, or there are too many.",
        "correct it, or say what should happen: x.at[i].get(mode='clip').",
    ),
    "NotImplementedError": (
        "An operation has no rule for a transformation, or an argument is not supported.",
        "use another transformation or function; the message says which.",
    ),
    "OverflowError": (
        "A Python integer does not fit into 32 bits.",
        "use a float, or enable x64.",
    ),
    "RuntimeError": (
        "A debugging tool that needs values is used inside a traced function.",
        "put it around the transformed function: debug.check(jit(f)).",
    ),
    "TypeError": (
        "Types do not fit: contracting dimensions, dtypes, trees, what a loop's body or a branch "
        "returns, a gradient of integers, a loss that is no scalar, an argument that is no array.",
        "the message shows each operand with its type.",
    ),
    "ValueError": (
        "A value does not fit: sizes of mapped axes, lengths, axes, a static argument that is not "
        "hashable, a setting that does not exist.",
        "the message shows what was got and what was expected.",
    ),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A class of errors: where it is imported from, its bases, cause and fix."""

    module: str
    name: str
    bases: tuple[str, ...]
    cause: str
    fix: str


def own_classes() -> list[type[Exception]]:
    """The classes of errors that the three layers define, by module and in their order there."""
    found = []
    for layer in _LAYERS:
        package = importlib.import_module(layer)
        names = [info.name for info in pkgutil.walk_packages(package.__path__, layer + ".")]
        for name in sorted({layer, *names}):
            if name.endswith("__main__") or name.startswith(_above(layer)):
                continue
            for key, kind in vars(_imported(name)).items():
                own = isinstance(kind, type) and issubclass(kind, Exception)
                if own and kind.__module__ == name and key.endswith("Error"):
                    found.append(kind)
    return found


def _imported(name: str) -> ModuleType:
    """The module; an empty one where a package that it is for is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return ModuleType(name)


def _above(layer: str) -> tuple[str, ...]:
    """Where an installed engine holds the layers above it."""
    return tuple(other for other in _LAYERS if layer != other and layer == "jaxcore")


def entries() -> Iterator[Entry]:
    """All classes: ours by module, then JAX's, then Python's."""
    for kind in own_classes():
        home = kind.__module__.removesuffix(".classes")
        bases = tuple(base.__name__ for base in kind.__bases__)
        cause = " ".join((kind.__doc__ or "").partition("Fix:")[0].split())
        yield Entry(home, kind.__name__, bases, cause, documented_fix(kind))
    for name, (cause, fix) in _JAX.items():
        bases = tuple(b.__name__ for b in getattr(jax.errors, name).__bases__)
        shown = tuple(base for base in bases if not base.startswith("_"))
        yield Entry("jaxcore.errors (JAX's)", name, shown, cause, fix)
    for name, (cause, fix) in _PYTHON.items():
        yield Entry("Python's", name, (), cause, fix)


def plain() -> str:
    """The catalogue for a terminal.

    Example:
      >>> "AxisError (ValueError, IndexError)" in plain().splitlines()
      True
    """
    lines: list[str] = []
    module = ""
    for entry in entries():
        if entry.module != module:
            module = entry.module
            lines += ["", module] if lines else [module]
        bases = f" ({', '.join(entry.bases)})" if entry.bases else ""
        lines += ["", f"{entry.name}{bases}", f"  Cause: {entry.cause}", f"  Fix: {entry.fix}"]
    return "\n".join(lines)


_HEAD = """# Errors

Every message shows the user's line, the operands with their full types, the module path or the
path of the leaf where there is one, and a fix. The classes are JAX's where JAX raises one, so that
existing handlers keep working. This page is what `python -m jaxcore.errors --markdown` prints.
"""


def markdown() -> str:
    """The catalogue as ``docs/errors.md`` has it."""
    lines = [_HEAD]
    module = ""
    for entry in entries():
        if entry.module != module:
            module = entry.module
            lines += [f"## {module}", "", "| class | cause | fix |", "| --- | --- | --- |"]
        bases = f" ({', '.join(entry.bases)})" if entry.bases else ""
        cells = (f"`{entry.name}`{bases}", entry.cause, entry.fix)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    text = "\n".join(lines)
    return text.replace(" |\n## ", " |\n\n## ") + "\n"
