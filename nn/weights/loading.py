"""`load` and `save`: a model's variables from a file of weights, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random

from ..errors import InputError, WeightsError
from ..module import Module
from ..state import flatten, unflatten
from .files import Entry, Source, aligned, open_weights
from .names import Match, NameMap, PathNames
from .safetensors import save_arrays


@dataclass(frozen=True)
class Report:
    """What became of each name: of the file's, and of the model's paths."""

    loaded: tuple[str, ...]
    unmatched: tuple[str, ...]  # names of the file that the model does not have
    missing: tuple[str, ...]  # paths of the model that the file does not have
    misshaped: tuple[str, ...]  # "name: got, expected"
    ignored: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether everything fitted."""
        return not (self.unmatched or self.missing or self.misshaped)

    def __str__(self) -> str:
        return itemised(
            f"{len(self.loaded)} arrays loaded, {len(self.ignored)} ignored",
            ("in the file, not in the model", self.unmatched),
            ("in the model, not in the file", self.missing),
            ("of another shape", self.misshaped),
        )


def itemised(first: str, *groups: tuple[str, Sequence[str]]) -> str:
    """A report in words: its first line, then each group that is not empty, a name a line.

    >>> print(itemised("1 array loaded", ("missing", ()), ("of another shape", ("a/kernel",))))
    1 array loaded
    1 of another shape:
      a/kernel
    """
    lines = [first]
    for title, names in groups:
        if names:
            lines += [f"{len(names)} {title}:", *(f"  {name}" for name in names)]
    return "\n".join(lines)


def load(
    path: str | os.PathLike[str] | Mapping[str, Any],
    like: Module | Mapping[str, Any],
    names: NameMap | Module | None = None,
    *,
    strict: bool = True,
    dtype: Any = None,
) -> tuple[dict[str, Any], Report]:
    """Variables of a model from a file of weights: ``(variables, report)``.

    The file is safetensors, a folder or an ``index.json`` of several, or PyTorch's ``.pt``, of
    which only tensors are read and nothing is executed. Arrays are read one by one, so that the
    memory needed is that of the model and little more; each gets the dtype, and the devices, that
    it has in `like`.

    Args:
      path: the file; a mapping of arrays, nested or flat, will do.
      like: a model of `nn.models`, or the variables of any model as `init` or ``eval_shape`` of it
        gives them.
      names: the map from the file's names, or a model that has one; by default that of `like`.
        Variables without a map are looked for under their own paths, which are Flax linen's.
      strict: raise unless all names and shapes fit. Otherwise what does not fit keeps the values
        of `like`, which then has to hold arrays.
      dtype: of floating-point arrays, in place of those of `like`: ``jnp.bfloat16`` halves the
        memory of a model that only computes.

    Raises:
      WeightsError: the file is damaged; or, when strict, names or shapes do not fit: the message
        lists them all.

    >>> import tempfile
    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> variables = nn.Dense(2).init(random.key(0), jnp.ones((1, 3)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(f"{folder}/dense.safetensors", variables)
    ...     again, report = nn.load(f"{folder}/dense.safetensors", variables)
    >>> print(report)
    2 arrays loaded, 0 ignored
    """
    table = _names(like if names is None else names)
    source = open_weights(path)
    wanted = {"/".join(p): leaf for p, leaf in flatten(_like(like))}
    if dtype is not None:
        wanted = {p: _typed(leaf, dtype) for p, leaf in wanted.items()}
    plan, report = _plan(source, wanted, table)
    if strict and not report.complete:
        raise WeightsError(
            f"{source.path} does not fit the model. {report}\nUse the weights of this model and "
            "its map of names, or strict=False to take what fits and keep the rest of `like`."
        )
    abstract = [p for p in report.missing if not isinstance(wanted[p], (jax.Array, np.ndarray))]
    if abstract:
        raise WeightsError(
            f"{source.path} has no values for {abstract}, and `like` has none either. Pass "
            "like=model.init(key, x): what the file lacks then keeps its initial values."
        )
    found: dict[str, Any] = {p: leaf for p, leaf in wanted.items() if p in report.missing}
    # The largest first: while it is copied there is not much else in memory.
    for name in sorted(plan, key=lambda n: -source.entries[n].nbytes):
        match = plan[name]
        shapes = [tuple(wanted[p].shape) for p in match.paths]
        for target, array in zip(match.paths, match.layout.to_ours(source.read(name), shapes)):
            found[target] = _placed(array, wanted[target])
    return unflatten({tuple(p.split("/")): found[p] for p in wanted}), report


def save(
    path: str | os.PathLike[str],
    variables: Mapping[str, Any],
    names: NameMap | Module | None = None,
) -> None:
    """Writes variables as safetensors, under the names and in the layouts of `names`.

    Args:
      path: the file to write.
      variables: as `init` gives them.
      names: a map, or a model that has one; by default the paths themselves, as Flax linen's
        ``flatten_dict`` makes them.

    Raises:
      WeightsError: a path that the map does not know.
    """
    table = PathNames() if names is None else _names(names)
    leaves = {"/".join(p): leaf for p, leaf in flatten(variables)}
    written: dict[str, np.ndarray] = {}
    done: set[str] = set()
    for leaf_path in leaves:
        match = table.save_as(leaf_path)
        if match is None or any(p not in leaves for p in match.paths):
            continue
        written[match.name] = match.layout.to_theirs([np.asarray(leaves[p]) for p in match.paths])
        written |= dict(match.constants)
        done |= set(match.paths)
    if lost := [p for p in leaves if p not in done]:
        raise WeightsError(
            f"the map of names has no row for {lost}. Add rows, or save without a map to use the "
            "paths as names."
        )
    save_arrays(path, written, {"format": "pt" if names is not None else "flax"})


# --- the steps ------------------------------------------------------------------------------------


def _names(of: Any) -> NameMap:
    found = of if isinstance(of, NameMap) else getattr(of, "names", None)
    if isinstance(found, NameMap):
        return found
    if isinstance(of, Mapping):
        return PathNames()
    raise InputError(
        f"a {type(of).__name__} has no map of names. Expected an nn.weights.NameMap, or a module "
        "with one as its class variable `names`; for your own paths pass the variables as `like`."
    )


def _like(like: Module | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(like, Mapping):
        if not any(isinstance(value, Mapping) for value in like.values()):
            raise InputError(
                f"load: `like` has the keys {list(like)}. Expected collections, {{'params': "
                "{...}}, as model.init returns them."
            )
        return like
    example = getattr(like, "example", None)
    if example is None:
        raise InputError(
            f"load: {type(like).__name__} has no method `example`, so its shapes are not known. "
            "Pass like=jaxcore.eval_shape(model.init, key, x), and names=."
        )
    return jaxcore.eval_shape(lambda: like.init(random.key(0), *example()))


def _plan(
    source: Source, wanted: Mapping[str, Any], table: NameMap
) -> tuple[dict[str, Match], Report]:
    """Which row every name of the file takes, without reading an array."""
    plan: dict[str, Match] = {}
    unmatched: list[str] = []
    misshaped: list[str] = []
    ignored: list[str] = []
    filled: dict[str, str] = {}
    for name, entry in source.entries.items():
        match = table.find(name)
        if isinstance(table, PathNames) and match and match.paths[0] not in wanted:
            match = Match(name, (f"params/{match.paths[0]}",), match.layout, ())
        if match is None or any(p not in wanted for p in match.paths):
            (ignored if table.ignores(name) else unmatched).append(name)
            continue
        shapes = [tuple(wanted[p].shape) for p in match.paths]
        expected = match.layout.theirs(shapes)
        if expected != entry.shape:
            ours = ", ".join(f"{p} {s}" for p, s in zip(match.paths, shapes))
            misshaped.append(f"{name}: {entry.shape}, expected {expected} for {ours}")
            continue
        for target in match.paths:
            if target in filled:
                raise WeightsError(
                    f"{source.path}: {filled[target]!r} and {name!r} are both '{target}'."
                )
            filled[target] = name
        plan[name] = match
    missing = tuple(p for p in wanted if p not in filled)
    return plan, Report(tuple(plan), tuple(unmatched), missing, tuple(misshaped), tuple(ignored))


def _typed(leaf: Any, dtype: Any) -> Any:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    if hasattr(leaf, "astype"):
        return leaf.astype(dtype)
    return jaxcore.ShapeDtypeStruct(leaf.shape, dtype, sharding=getattr(leaf, "sharding", None))


def _placed(array: np.ndarray, like: Any) -> Any:
    """The array as JAX's, with the dtype and the devices of `like`."""
    dtype = np.dtype(like.dtype)
    if array.dtype != dtype or not array.flags.c_contiguous:
        copy = aligned(Entry(array.shape, dtype))
        np.copyto(copy, array, casting="unsafe")
        array = copy
    # What was not put anywhere stays so: a function compiled for `like` then serves for this, too.
    placed = getattr(like, "committed", True)
    sharding = getattr(like, "sharding", None) if placed else None
    return jax.device_put(array.reshape(like.shape), sharding)
