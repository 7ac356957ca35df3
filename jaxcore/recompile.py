"""Why a jitted function is compiled again: what differs from the calls that it has executables for.

A key of an executable is ((tree, types, static arguments, JAX's settings, ...), placements), as
`Jitted` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jaxcore.cache.log import Change, Compilation, keep
from jaxcore.errors.describe import describe_source, shorten
from jaxcore.passes.weak import strong
from jaxcore.signature import argument_path, function_name, parameter_name
from jaxcore.source import current_source

__all__ = ["alike", "changes", "record"]

_COMPARED = 32  # executables that a new one is compared with, the newest ones


def alike(one: Any, other: Any) -> bool:
    """True for keys that differ at most in which types are weak."""
    (tree, avals, *rest), placements = one
    (other_tree, other_avals, *other_rest), other_placements = other
    return (
        (tree, rest, placements) == (other_tree, other_rest, other_placements)
        and len(avals) == len(other_avals)
        and all(a == b or strong(a) == strong(b) for a, b in zip(avals, other_avals, strict=True))
    )


def record(fun: Any, key: Any, known: Sequence[Any], seconds: float, how: str) -> None:
    """Log that `fun` got an executable for `key`, beside those for the keys `known`."""
    site = describe_source(current_source())
    found = Compilation(function_name(fun), changes(fun, key, known), site, seconds, how)
    keep(found)


def changes(fun: Any, key: Any, known: Sequence[Any]) -> tuple[Change, ...]:
    """What differs in `key` from the one among the `known` that is most like it, the newest where
    several are.
    """
    found = [_differences(fun, old, key) for old in reversed(known[-_COMPARED:])]
    return min(found, key=len) if found else ()


def _differences(fun: Any, old: Any, new: Any) -> tuple[Change, ...]:
    (old_tree, _, old_static, old_context, *_), _ = old
    (new_tree, _, new_static, new_context, *_), _ = new
    found = _named_differences(_leaves(fun, old), _leaves(fun, new))
    found += _named_differences(_static(fun, old_static), _static(fun, new_static))
    if not found and old_tree != new_tree:
        found.append(Change("the structure of the arguments", *_short(old_tree, new_tree)))
    if old_context != new_context:
        found += [
            Change("a setting of JAX", *_short(a, b))
            for a, b in zip(old_context, new_context, strict=False)
            if a != b
        ]
    return tuple(found) or (Change("the mode of debugging", "off", "on"),)


def _named_differences(old: dict[str, str], new: dict[str, str]) -> list[Change]:
    paths = [*new, *(path for path in old if path not in new)]
    pairs = [(path, old.get(path, "nothing"), new.get(path, "nothing")) for path in paths]
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _leaves(fun: Any, key: Any) -> dict[str, str]:
    """The type of each leaf by its path, and where it was put."""
    (tree, avals, *_), placements = key
    numbered = jax.tree.unflatten(tree, range(len(avals)))
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(numbered)[0]]
    types = [str(a) if p is None else f"{a} on {p}" for a, p in zip(avals, placements, strict=True)]
    return dict(zip([argument_path(path, fun) for path in paths], types, strict=True))


def _static(fun: Any, static: Sequence[Any]) -> dict[str, str]:
    return {
        parameter_name(fun, where) if isinstance(where, int) else where: shorten(repr(value))
        for where, _, value in static
    }


def _short(*values: Any) -> tuple[str, ...]:
    return tuple([shorten(str(x)) for x in values])
