"""The boundary of the user's code: what an error says when it leaves a function that we run.

The traceback tells which line of the user's called what with which values, so the functions of the
library need not keep track, and JAX's own errors get the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from jaxcore import backend
from jaxcore.errors.describe import describe_source, format_aval
from jaxcore.errors.fixes import fix_for
from jaxcore.errors.frames import locate
from jaxcore.errors.names import Finder, boundaries
from jaxcore.errors.operands import operand_lines
from jaxcore.source import Source, is_replaying, module_path

if TYPE_CHECKING:
    from jaxcore.ir import Equation

__all__ = ["Boundary", "explain", "explained", "located", "raised", "with_source"]

P = ParamSpec("P")
R = TypeVar("R")


class Boundary:
    """``with Boundary(find):`` around a call of the user's function explains what it raises.

    Attributes:
      find: gives values of the function their names.
      module: says which module runs, with its path.
    """

    __slots__ = ("find", "module")

    def __init__(self, find: Finder | None = None, module: Callable[[], str] | None = None) -> None:
        self.find = find
        self.module = module

    def __enter__(self) -> None:
        boundaries().append(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, Exception):
                explain(error)
        finally:
            boundaries().pop()


def explain(error: Exception) -> None:
    """Add to an error raised inside the library the operands with their full types, the module,
    the user's line, and what to do.

    An error of the user's own code stays as it is, and so does one that is explained already.
    """
    message = str(error)
    if "Your line:" in message or not error.args or message != error.args[0]:
        return
    failure = locate(error.__traceback__)
    if failure is None:
        return
    try:
        lines = operand_lines(failure)
    except Exception:  # the explanation must not take the place of the error
        lines = []
    lines = lines or getattr(error, "operand_types", [])
    lines = [*lines, *_module_line(error), f"Your line: {failure.user}"]
    _extend(error, lines)


def explained(fun: Callable[P, R]) -> Callable[P, R]:
    """`fun`, an entry to the library, with its errors explained."""

    @wraps(fun)
    def entry(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fun(*args, **kwargs)
        except Exception as error:
            explain(error)
            raise

    return entry


def raised(error: Exception) -> Exception:
    """`error` for a raise in a function that may be called outside every boundary: explained now
    if it is.
    """
    if not boundaries():
        explain(error)
    return error


class _Named(Protocol):
    """What a message names: a primitive, or a function that stands in for one."""

    name: str


def with_source(
    error: Exception, primitive: _Named, avals: Sequence[Any], source: Source
) -> Exception:
    """The same error of one operation: with the line at once where a program is replayed, else
    when it leaves the user's function.
    """
    operands = ", ".join(format_aval(a) for a in avals)
    types = f"Operands of {primitive.name}: {operands}"
    if not is_replaying():
        error.operand_types = [types]  # type: ignore[attr-defined]
        return raised(error)
    if "Your line:" not in str(error):
        _extend(error, [types, f"Your line: {describe_source(source)}"])
    return error


def located(error: Exception, eq: Equation) -> None:
    """Add to an error of a rule the equation that it was applied to."""
    if "Your line:" not in str(error) and error.args and error.args[0] == str(error):
        operands = ", ".join(format_aval(x.aval) for x in eq.inputs)
        types = f"Operands of {eq.primitive.name}: {operands}"
        _extend(error, [types, f"Your line: {describe_source(eq.source)}"])


def _module_line(error: Exception) -> list[str]:
    for boundary in reversed(boundaries()):
        if boundary.module is not None:
            return [f"Module: {boundary.module()}"]
    path = module_path(error)
    return [f"Module: {path}"] if path else []


def _extend(error: Exception, lines: Sequence[str]) -> None:
    message = str(error).rstrip()
    lines = list(lines)
    if "fix:" not in message.lower():
        fix = fix_for(error)
        lines += [f"Fix: {fix}"] if fix else []
    error.args = ("\n  ".join([message, *lines]), *error.args[1:])


for _file in ("boundary", "describe", "fixes", "frames", "names", "operands", "values"):
    backend.exclude_from_tracebacks(__file__.replace("boundary", _file))
