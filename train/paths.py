"""Paths of leaves, as messages and checkpoints spell them: "variables/params/Dense_0/kernel"."""

from __future__ import annotations

from typing import Any

from jaxcore import tree


def leaf_paths(pytree: Any) -> list[tuple[str, Any]]:
    """The leaves of a tree with their "/"-joined paths.

    >>> leaf_paths({"a": [1, 2]})
    [('a/0', 1), ('a/1', 2)]
    """
    return [("/".join(map(_entry, path)), leaf) for path, leaf in tree.leaves_with_path(pytree)]


def some(names: list[str], limit: int = 10) -> str:
    """The first few names of a list, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _entry(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
