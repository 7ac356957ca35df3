"""What a failing line worked on: each operand in the user's words, with its full type.

The expression is parsed again from the source; a name, a constant key of a dict or a field is
looked up without running anything, what was computed in between is taken from the arguments of
the function that was called.
"""

from __future__ import annotations

import ast
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import FrameType, ModuleType
from typing import Any

from jaxcore.errors.describe import describe_type, is_arraylike, shorten
from jaxcore.errors.frames import Failure, Spot, expression
from jaxcore.errors.names import Name, name_of

__all__ = ["operand_lines"]

_UNKNOWN: Any = object()
_SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.LShift: "<<", ast.RShift: ">>", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_PRODUCTS = ("matmul", "dot")  # functions that are shown as the operator


def operand_lines(failure: Failure) -> list[str]:
    """``x float32[2,8] @ blocks_1/up/kernel float32[9,4]``, and where such leaves come from; of the
    user's line where the operation has no operands to show.
    """
    lines = _lines(failure.operation, failure.called)
    return lines or _lines(failure.user, failure.user_called)


def _lines(spot: Spot, called: FrameType | None) -> list[str]:
    node = expression(spot.frame.f_code, spot.instruction)
    given = _arguments(called)
    found: list[tuple[str, Any]] = []
    sign = ", "
    if node is not None:
        truth = called is not None and called.f_code.co_name == "__bool__"
        parts, sign = _asked(node, spot) if truth else _parts(node)
        found = _values(parts, spot, given)
    if not any(is_arraylike(x) for _, x in found):
        found, sign = given, ", "
    shown = found if sign != ", " else [(text, x) for text, x in found if is_arraylike(x)]
    if not shown:
        return []
    names = [name_of(x) for _, x in shown]
    texts = [_operand(text, x, name) for (text, x), name in zip(shown, names, strict=True)]
    lines = [f"Operands: {sign.join(texts)}"]
    leaves = [name.full for name in names if name is not None and name.short and name.full]
    if leaves:
        lines.append(f"Argument: {', '.join(dict.fromkeys(leaves))}")
    return lines


def _operand(text: str, x: Any, name: Name | None) -> str:
    label = name.short if name is not None and name.short else shorten(text)
    return f"{label} {describe_type(x)}"


def _parts(node: ast.AST) -> tuple[list[ast.AST], str]:
    """The operands of an expression, and the sign between them."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right], f" {_SIGNS[type(node.op)]} "
    if isinstance(node, ast.AugAssign):
        return [node.target, node.value], f" {_SIGNS[type(node.op)]} "
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _SIGNS:
        return [node.left, node.comparators[0]], f" {_SIGNS[type(node.ops[0])]} "
    if isinstance(node, ast.Subscript):
        return [node.value, *_flat([node.slice])], ", "
    if isinstance(node, ast.Call):
        parts = _flat([*node.args, *(keyword.value for keyword in node.keywords)])
        name = ""
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            parts = [_updated(node.func.value), *parts]
        product = name in _PRODUCTS or getattr(node.func, "id", "") in _PRODUCTS
        return parts, " @ " if product else ", "
    if isinstance(node, ast.Attribute):
        return [node.value], ", "
    return [node], ", "


def _asked(node: ast.AST, spot: Spot) -> tuple[list[ast.AST], str]:
    """The operands of an expression whose truth is asked for: the expression itself, or the sides
    of a comparison of variables.
    """
    if isinstance(node, ast.IfExp):
        node = node.test
    if isinstance(node, ast.Call):
        return _parts(node)
    parts, sign = _parts(node)
    sides = [_lookup(part, spot.frame) for part in parts]
    if isinstance(node, ast.Compare) and not any(x is _UNKNOWN for x in sides):
        return parts, sign
    return [node], ", "


def _updated(node: ast.AST) -> ast.AST:
    """``x`` of ``x.at[index]``."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        return node.value.value if node.value.attr == "at" else node
    return node


def _flat(nodes: list[Any]) -> list[ast.AST]:
    """Elements in place of lists and tuples."""
    out: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, ast.Tuple | ast.List):
            out += _flat(node.elts)
        elif isinstance(node, ast.Slice):
            out += [part for part in (node.lower, node.upper, node.step) if part is not None]
        else:
            out.append(node.value if isinstance(node, ast.Starred) else node)
    return out


def _values(
    parts: list[ast.AST], spot: Spot, given: list[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    """The text and the value of each part; modules and what is unknown are left out."""
    values = [_lookup(part, spot.frame) for part in parts]
    known = [x for value in values for _, x in _expanded("", value)]
    left = [pair for pair in given if not any(pair[1] is x for x in known)]
    computed = [
        value is _UNKNOWN and not isinstance(part, ast.Lambda)
        for part, value in zip(parts, values, strict=True)
    ]
    matched = sum(computed) == len(left)
    found = []
    for part, value, is_computed in zip(parts, values, computed, strict=True):
        if is_computed and matched:
            value = left.pop(0)[1]
        if value is not _UNKNOWN and not isinstance(value, ModuleType):
            found += _expanded(ast.unparse(part), value)
    return found if any(is_arraylike(x) for _, x in found) else found + left


def _expanded(text: str, value: Any) -> list[tuple[str, Any]]:
    """The elements of a short list of arrays, else the value."""
    if isinstance(value, tuple | list) and 0 < len(value) <= 8 and any(map(is_arraylike, value)):
        return [(f"{text}[{i}]", x) for i, x in enumerate(value)]
    return [(text, value)]


def _lookup(node: ast.AST, frame: FrameType) -> Any:
    """The value of a name, a constant, a field or an element; nothing is called."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        found = frame.f_locals.get(node.id, _UNKNOWN)
        return frame.f_globals.get(node.id, _UNKNOWN) if found is _UNKNOWN else found
    if isinstance(node, ast.Attribute):
        base = _lookup(node.value, frame)
        return _UNKNOWN if base is _UNKNOWN else _field(base, node.attr)
    if isinstance(node, ast.Subscript):
        base, key = _lookup(node.value, frame), _lookup(node.slice, frame)
        if _UNKNOWN not in (base, key) and type(base) in (dict, list, tuple):
            try:
                return base[key]
            except (KeyError, IndexError, TypeError):
                pass
    return _UNKNOWN


def _field(base: Any, name: str) -> Any:
    if isinstance(base, tuple) and name in getattr(base, "_fields", ()):
        return getattr(base, name)
    return getattr(base, "__dict__", {}).get(name, _UNKNOWN)


def _arguments(frame: FrameType | None) -> list[tuple[str, Any]]:
    """Name and value of the arguments of a running function that are arrays or lists of them."""
    if frame is None:
        return []
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    found = []
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        value = list(value.values()) if isinstance(value, dict) else value
        found += [pair for pair in _expanded(name, value) if is_arraylike(pair[1])]
    return found
