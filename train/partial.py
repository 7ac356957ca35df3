"""What a changed model takes over of a checkpoint: leaf by leaf, and renamed where that is said."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import tree
from jaxcore.nn.filters import matches
from jaxcore.nn.weights.loading import itemised

from .checkpoint import is_checkpoint, latest_checkpoint, listed, load_leaf, open_checkpoint
from .errors import CheckpointError, explain
from .paths import leaf_paths
from .storage import Contents, described

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class LoadReport:
    """What became of each leaf: of the checkpoint's, and of the state's.

    Attributes:
      kept: paths of the state that have the checkpoint's values now.
      renamed: "stored path -> path", of those that are called otherwise.
      new: paths of the state that the checkpoint does not have; their values are as they were.
      dropped: stored paths that the state does not have.
      misshaped: paths that both have, in another shape or dtype; their values are as they were.
    """

    kept: tuple[str, ...]
    renamed: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    misshaped: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether everything found its place."""
        return not (self.new or self.dropped or self.misshaped)

    def __str__(self) -> str:
        return itemised(
            f"{len(self.kept)} arrays kept, {len(self.renamed)} of them renamed",
            ("of another shape or dtype", self.misshaped),
            ("new: in the state, not in the checkpoint", self.new),
            ("dropped: in the checkpoint, not in the state", self.dropped),
            ("renamed", self.renamed),
        )


class _Place(NamedTuple):
    """A leaf: what is kept of a parameter (or of none), by an optimiser's group or beside it."""

    group: str | None
    slot: str
    param: str


class _Source(NamedTuple):
    """Where a leaf comes from: a stored one, several as one (`Task.stack`), or one of a stack."""

    stored: tuple[str, ...]
    layer: int | None = None

    def described(self, found: Contents) -> str:
        kind = found.types[self.stored[0]]
        if len(self.stored) > 1:
            return described(jaxcore.ShapeDtypeStruct((len(self.stored), *kind.shape), kind.dtype))
        if self.layer is not None:
            return described(jaxcore.ShapeDtypeStruct(kind.shape[1:], kind.dtype))
        return found.type_of(self.stored[0])

    def load(self, found: Contents, place: Any) -> Any:
        if len(self.stored) == 1 and self.layer is None:
            return load_leaf(found, self.stored[0], place)
        arrays = [found.read(name) for name in self.stored]
        array = np.stack(arrays) if self.layer is None else arrays[0][self.layer]
        return jnp.asarray(array) if place is None else jaxcore.device_put(array, place)

    def __str__(self) -> str:
        if len(self.stored) > 1:
            return f"{self.stored[0]} ... {self.stored[-1]}"
        return self.stored[0] if self.layer is None else f"{self.stored[0]}[{self.layer}]"


def load_partly(
    path: str | os.PathLike[str],
    like: Tree,
    *,
    names: Mapping[str, str] | None = None,
    only: str | Iterable[str] = "**",
    strict: bool = True,
) -> tuple[Tree, LoadReport]:
    """A state with what a checkpoint of another model has for it, and a report of what differs.

        state = train.init_state(task, key, batch)
        state, report = train.load_partly(
            "runs/old", state, names={"encoder": "backbone"}, only="variables", strict=False
        )
        print(report)
        trainer.fit(task, data, until=train.Epochs(3), state=state)

    What an optimiser or an average knows of a parameter goes where the parameter goes. A group of
    parameters that the checkpoint does not have continues the one in which its parameters were,
    counts and rates with it; parameters that are new to a group begin at zero with its count.
    Layers that `Task.stack` keeps as one are taken from single ones, and the other way.

    Args:
      path: the checkpoint, or the directory of a run, of which the newest one is taken.
      like: a `State`, or another tree of arrays; its arrays say where the restored ones lie.
      names: {stored: here}: paths of parameters, or of modules with all they have.
      only: globs over the paths of `like`; all else stays as it is. "variables" is the model alone.
      strict: raise if anything differs. Otherwise what differs keeps the values of `like`.

    Raises:
      CheckpointError: it is missing or damaged; a name is wrong; or, when strict, leaves differ:
        the message lists them.

    >>> import tempfile
    >>> import numpy as np
    >>> from jaxcore.train import save_checkpoint
    >>> old = {"variables": {"params": {"stem": {"w": np.ones(2)}, "head": {"w": np.ones(3)}}}}
    >>> new = {"variables": {"params": {"body": {"w": np.zeros(2)}, "head": {"w": np.zeros(4)}}}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_checkpoint(folder + "/checkpoints/step_000000001", old, {})
    ...     state, report = load_partly(path, new, names={"stem": "body"}, strict=False)
    >>> print(report)
    1 arrays kept, 1 of them renamed
    1 of another shape or dtype:
      variables/params/head/w: stored float64[3], the state has float64[4]
    1 renamed:
      variables/params/stem/w -> variables/params/body/w
    """
    path = Path(path) if is_checkpoint(path) else latest_checkpoint(path)
    found, wanted = open_checkpoint(path), dict(leaf_paths(like))
    globs = [only] if isinstance(only, str) else list(only)
    chosen = [name for name in wanted if any(matches(name, glob) for glob in globs)]
    if not chosen:
        raise _wrong("`only` matches nothing.", globs, list(wanted))
    opt_state = like.get("opt_state") if isinstance(like, dict) else getattr(like, "opt_state", {})
    stored_as = _renamed(list(found.types), list(wanted), names or {}, list(opt_state or {}))
    source: dict[str, _Source] = {}
    misshaped = []
    for name, stored in stored_as.items():
        if name not in chosen:
            continue
        theirs, ours = stored.described(found), described(wanted[name])
        if theirs == ours:
            source[name] = stored
        else:
            misshaped.append(f"{name}: stored {theirs}, the state has {ours}")
    used = {name for stored in stored_as.values() for name in stored.stored}
    report = LoadReport(
        kept=tuple(source),
        renamed=tuple(f"{s} -> {name}" for name, s in source.items() if str(s) != name),
        new=tuple(name for name in chosen if name not in stored_as),
        dropped=tuple(
            s for s in found.types if s not in used and any(matches(s, glob) for glob in globs)
        ),
        misshaped=tuple(misshaped),
    )
    if strict and not report.complete:
        raise CheckpointError(
            explain(
                f"The checkpoint {path} does not fit the state.",
                got=listed(str(report).splitlines(), 200),
                expected="the same leaves, shapes and dtypes, once renamed",
                fix="give names={'stored path': 'path here'}, only='variables' to take over the "
                "model alone, or strict=False to take what fits.",
            )
        )
    leaves = []
    for name, leaf in wanted.items():
        if name in source:
            leaves.append(source[name].load(found, _where(leaf)))
        elif isinstance(leaf, jaxcore.ShapeDtypeStruct):
            raise CheckpointError(
                explain(
                    f"{name} has no value.",
                    got="a shape in `like`, and nothing that fits in the checkpoint",
                    expected="arrays in `like`: what differs keeps their values",
                    fix="pass the state that train.init_state makes.",
                )
            )
        else:
            leaves.append(leaf)
    return tree.unflatten(tree.structure(like), leaves), report


def _where(leaf: Any) -> Any:
    sharding = getattr(leaf, "sharding", None)
    return sharding if sharding is not None and len(sharding.device_set) > 1 else None


# --- which stored leaf is which of ours -----------------------------------------------------------


def _renamed(
    stored: list[str], wanted: list[str], names: Mapping[str, str], groups: list[str]
) -> dict[str, _Source]:
    """{path here: what is stored of it} of the leaves that are the same."""
    theirs, ours = _params(stored), _params(wanted)
    for old, new in names.items():
        if not any(_under(param, old) for param in theirs):
            raise _wrong("`names` speaks of what is not stored.", [old], sorted(theirs))
        if not any(_under(param, new) for param in ours):
            raise _wrong("`names` speaks of what the model does not have.", [new], sorted(ours))

    def rename(param: str) -> str:
        fitting = [old for old in names if _under(param, old)]
        if not fitting:
            return param
        old = max(fitting, key=len)
        return names[old] + param[len(old) :]

    places = {name: _in_group(_place(name, ours), groups, set()) for name in wanted}
    slots = {place.slot for place in places.values() if place.group is not None}
    by_place: dict[_Place, str] = {}
    for name in stored:
        place = _in_group(_place(name, theirs), groups, slots)
        key = place._replace(param=rename(place.param))
        if key in by_place:
            raise CheckpointError(
                explain(
                    "`names` gives two stored arrays one name.",
                    got=f"{by_place[key]} and {name}",
                    expected="a name for each",
                    fix=f"rename the one that is called {key.param!r} already, too.",
                )
            )
        by_place[key] = name
    continued = {group: _continued(group, places, by_place) for group in groups}
    pairs = {
        name: place if place.group is None else place._replace(group=continued[place.group])
        for name, place in places.items()
    }
    sources = {name: _source(place, by_place) for name, place in pairs.items()}
    return {name: source for name, source in sources.items() if source is not None}


def _source(place: _Place, by_place: Mapping[_Place, str]) -> _Source | None:
    """What is stored for a place: its leaf, the layers of a stack, or the stack of a layer."""
    if place in by_place:
        return _Source((by_place[place],))
    before, star, after = place.param.partition("*")
    if star:
        layers: list[str] = []
        while (one := place._replace(param=f"{before}{len(layers)}{after}")) in by_place:
            layers.append(by_place[one])
        return _Source(tuple(layers)) if len(layers) > 1 else None
    for number in re.finditer(r"\d+", place.param):
        stack = f"{place.param[: number.start()]}*{place.param[number.end() :]}"
        if (one := place._replace(param=stack)) in by_place:
            return _Source((by_place[one],), int(number[0]))
    return None


def _params(paths: Iterable[str]) -> set[str]:
    """The paths of parameters and other variables, without their collections."""
    return {p.split("/", 2)[2] for p in paths if p.startswith("variables/") and p.count("/") > 1}


def _under(param: str, module: str) -> bool:
    return param == module or param.startswith(f"{module}/")


def _place(name: str, params: set[str]) -> _Place:
    """A leaf by its path, its group still a part of the slot."""
    parts = name.split("/")
    starts = (i for i in range(1, len(parts)) if "/".join(parts[i:]) in params)
    begin = next(starts, len(parts))  # the longest tail that is a parameter
    return _Place(None, "/".join(parts[:begin]), "/".join(parts[begin:]))


def _in_group(place: _Place, groups: list[str], slots: set[str]) -> _Place:
    """The place with its group apart: one of `groups`, or what stands before one of `slots`."""
    head = place.slot.removeprefix("opt_state/")
    if head == place.slot:
        return place
    for group in sorted(groups, key=len, reverse=True):
        if head.startswith(f"{group}/"):
            return _Place(group, head.removeprefix(f"{group}/"), place.param)
    slot = max((s for s in slots if head.endswith(f"/{s}")), key=len, default="")
    return _Place(head.removesuffix(f"/{slot}"), slot, place.param)


def _continued(group: str, places: Mapping[str, _Place], by_place: Mapping[_Place, str]) -> str:
    """The stored group that a group goes on from: of its name, or where its parameters were."""
    stored = {place.group for place in by_place if place.group is not None}
    if group in stored:
        return group
    mine = {(p.slot, p.param) for p in places.values() if p.group == group and p.param}
    holding = {p.group for p in by_place if p.group is not None and (p.slot, p.param) in mine}
    return holding.pop() if len(holding) == 1 else group


def _wrong(problem: str, got: list[str], known: list[str]) -> CheckpointError:
    modules = {"/".join(k.split("/")[:i]) for k in known for i in range(1, k.count("/") + 2)}
    near = difflib.get_close_matches(got[0], sorted(modules), 3)
    return CheckpointError(
        explain(
            problem,
            got=", ".join(map(repr, got)),
            expected=f"one of {', '.join(known[:10])}" + (" ..." if len(known) > 10 else ""),
            fix=f"did you mean {' or '.join(map(repr, near))}?" if near else "use these paths.",
        )
    )
