"""Parts of a parameter tree by glob: `partition` takes them out, `merge` puts them back."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import InputError
from .state import Path, flatten, unflatten


def partition(tree: Mapping[str, Any], globs: str | Iterable[str]) -> tuple[dict, dict]:
    """Splits nested dicts into the leaves whose path matches a glob, and the rest.

    A path is ``encoder/Dense_0/kernel``. ``*`` stands for anything within one name, ``?`` for one
    letter, ``**`` for any number of whole names, none included: ``encoder/**``, ``**/bias``,
    ``block_*/Dense_0/kernel``. A glob without wildcards that names a subtree takes all of it.

    Returns:
      ``(matched, rest)``, nested dicts without empty branches; ``merge(matched, rest)`` is `tree`.

    >>> partition({"a": {"kernel": 1, "bias": 2}, "b": {"bias": 3}}, "**/bias")
    ({'a': {'bias': 2}, 'b': {'bias': 3}}, {'a': {'kernel': 1}})
    """
    patterns = [_pattern(g) for g in ([globs] if isinstance(globs, str) else globs)]
    matched: dict[Path, Any] = {}
    rest: dict[Path, Any] = {}
    for path, leaf in flatten(tree):
        text = "/".join(map(str, path))
        (matched if any(p.fullmatch(text) for p in patterns) else rest)[path] = leaf
    return unflatten(matched), unflatten(rest)


def matches(path: str, glob: str) -> bool:
    """Whether a path, ``encoder/Dense_0/kernel``, matches a glob as `partition` takes it."""
    return _pattern(glob).fullmatch(path) is not None


@functools.lru_cache(maxsize=512)
def _pattern(glob: str) -> re.Pattern[str]:
    if not isinstance(glob, str) or not glob:
        raise InputError(f"the glob {glob!r} is not a path. Expected a string like 'encoder/**'.")
    names = glob.strip("/").split("/")
    text = ""
    for i, name in enumerate(names):
        last = i == len(names) - 1
        if name == "**":
            text += ".*" if last else "(?:[^/]+/)*"
        else:
            escaped = re.escape(name).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            text += escaped + ("(?:/.*)?" if last else "/")
    return re.compile(text)


def merge(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Joins nested dicts that have no leaf in common.

    Raises:
      InputError: two trees hold the same path, or one a leaf where another has a branch.

    >>> merge({"a": {"bias": 2}}, {"a": {"kernel": 1}})
    {'a': {'bias': 2, 'kernel': 1}}
    """
    joined: dict[str, Any] = {}
    for tree in trees:
        _merge_into(joined, tree, ())
    return joined


def _merge_into(joined: dict[str, Any], tree: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            branch = joined.setdefault(name, {})
            if isinstance(branch, dict):
                _merge_into(branch, value, (*path, name))
                continue
        elif name not in joined:
            joined[name] = value
            continue
        raise InputError(
            f"merge: two trees hold '{'/'.join(map(str, (*path, name)))}'. Expected disjoint "
            "trees, as partition returns them; to replace values use {**old, **new}."
        )
