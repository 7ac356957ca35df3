"""The table of JAX's public names in docs/api.md, read off both packages.

``python tests/api_table.py`` writes the page anew; run it with the newest supported jax.
"""

from __future__ import annotations

import importlib
import re
import textwrap
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxcore.namespaces import LEFT_OUT, NAMESPACES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
KINDS = ("native", "JAX's", "left out")
SPACES = ("", *sorted(NAMESPACES))

HEADER = """\
# JAX's names in jaxcore

Code written for JAX moves by its imports: `import jaxcore as jax`, `import jaxcore.numpy as jnp`,
`from jaxcore import lax`, `from jaxcore.scipy.special import gammaln`. Every public name of JAX's
namespaces is one of three:

- **native**: a function or class of ours, with JAX's arguments, defaults and results;
- **JAX's**: the same object as in JAX. Functions run on our traces, so they work inside `jit`,
  `grad` and `vmap`, and around functions that those made; dtypes, constants, settings and the
  registry of pytrees are shared with JAX;
- **left out**: not here, for the reason given. It is still in `jax`, which is installed too.

Names of ours that JAX has not are in the modules' docstrings. This page is written by
`python tests/api_table.py`, and a test holds it against both packages.
"""


def module_of(package: str, space: str) -> ModuleType:
    """The namespace `space` of jax or jaxcore."""
    return importlib.import_module(f"{package}.{space}" if space else package)


def public_names(space: str) -> dict[str, Any]:
    """JAX's public names in `space`, but for its namespaces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = module_of("jax", space)
        found = {n: getattr(theirs, n, None) for n in dir(theirs) if not n.startswith("_")}
    return {name: x for name, x in found.items() if not isinstance(x, ModuleType)}


def is_native(value: Any) -> bool:
    """True for what is defined by jaxcore: by its own module, else by that of its type."""
    home = getattr(value, "__module__", None) or type(value).__module__
    return str(home).partition(".")[0] == "jaxcore"


def kind(space: str, name: str) -> str:
    """Which of `KINDS` a name is; AttributeError where it is missing without a reason."""
    if f"{space}.{name}".lstrip(".") in LEFT_OUT:
        return "left out"
    return "native" if is_native(getattr(module_of("jaxcore", space), name)) else "JAX's"


def kinds() -> dict[str, dict[str, str]]:
    """The kind of every name, by namespace."""
    return {s: {name: kind(s, name) for name in sorted(public_names(s))} for s in SPACES}


def _paragraph(title: str, names: list[str]) -> list[str]:
    text = f"{title}: " + " ".join(f"`{name}`" for name in names)
    return [*textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False), ""]


def page() -> str:
    """The whole page."""
    table = {space: found for space, found in kinds().items() if found}
    rows = ["| namespace | native | JAX's | left out |", "| --- | --- | --- | --- |"]
    sections = []
    for space, found in table.items():
        title = f"jaxcore.{space}" if space else "jaxcore"
        names = {k: [n for n, of in found.items() if of == k] for k in KINDS}
        rows.append(f"| `{title}` | " + " | ".join(str(len(names[k])) for k in KINDS) + " |")
        sections += [f"## {title}", ""]
        for k in KINDS[:2]:
            sections += _paragraph(k, names[k]) if names[k] else []
    reasons: dict[str, list[str]] = {}
    for name, why in sorted(LEFT_OUT.items()):
        reasons.setdefault(why, []).append(name)
    left = ["## Left out", "", "Namespaces and names, relative to `jax`:", ""]
    for why, names in sorted(reasons.items(), key=lambda item: item[1]):
        left += textwrap.wrap("- " + ", ".join(f"`{n}`" for n in names) + f": {why}", 110)
    return "\n".join([HEADER, *rows, "", *sections, *left, ""])


def parse(text: str) -> dict[str, dict[str, str]]:
    """The kinds of names that a page states, by namespace; names left out are not among them."""
    stated: dict[str, dict[str, str]] = {}
    for section in re.split(r"^## ", text.partition("## Left out")[0], flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        names = stated[title.removeprefix("jaxcore").removeprefix(".")] = {}
        for paragraph in body.split("\n\n"):
            of, _, rest = paragraph.strip().partition(": ")
            names.update(dict.fromkeys(re.findall(r"`([^`]+)`", rest), of))
    return stated


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
