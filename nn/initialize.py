"""`init`: find the structure without computing, then make all variables in one program.

1. The model runs once on abstract values. Each parameter is recorded with its initialiser instead
   of being made; parameters with the same initialiser, shape and dtype form a group.
2. One compiled program makes every group: keys are folded from the parameters' paths and the
   initialiser is mapped over them. Its size grows with the number of *different* parameters, not
   with depth, and it is kept, so that a second `init` of an equal model compiles nothing.
3. Only if an initialiser reads the data, or the model writes variables while initialising, does
   the forward pass itself run, compiled once, for the variables that need it.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jaxcore
import jaxcore.numpy as jnp
import numpy as np
from jaxcore import lax, random, tree

from .errors import MissingRngError, ParameterShapeError, where
from .identity import static_key
from .running import Streams, root_frame
from .scope import MISSING, TRANSIENT, Frame, Path, Run, fold_name, run_root, unflatten

if TYPE_CHECKING:
    from .module import Module

#: Parameters of one group are made together up to this many elements, to bound the peak memory.
_CHUNK = 1 << 27


@dataclass(frozen=True)
class _Recipe:
    """How a value is made: ``init(key, *args)``, or ``init(*args)``; equal recipes are one."""

    init: Callable[..., Any]
    args: tuple[Any, ...]
    needs_key: bool
    key: Hashable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Recipe) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __call__(self, key: Any) -> Any:
        return self.init(key, *self.args) if self.needs_key else self.init(*self.args)


@dataclass(frozen=True)
class _Entry:
    recipe: _Recipe
    shape: Any  # tree of ShapeDtypeStruct, before stacking
    lifts: tuple[int, ...]  # leading axes added by nn.Repeat


class Plan:
    """The variables found while the model ran abstractly."""

    def __init__(self) -> None:
        self.entries: dict[Path, _Entry] = {}
        self.dependent: set[Path] = set()  # need the forward pass
        self.lifts: tuple[int, ...] = ()
        self.uses = 0  # how often the model's state or random streams were read

    def placeholder(self, path: Path) -> Any:
        """A value of the right type for a planned variable.

        Made anew at each use: a stored one would be a tracer of whatever transformation the model
        was in when it was made.
        """
        if path not in self.entries:
            return MISSING
        return tree.map(lambda s: jnp.zeros(s.shape, s.dtype), self.entries[path].shape)


_shapes: dict[_Recipe, Any] = {}


def create(
    frame: Frame, path: Path, init: Callable[..., Any], args: tuple[Any, ...], *, needs_key: bool
) -> Any:
    """Makes a variable that does not exist yet, or plans it."""
    run = frame.run
    plan: Plan | None = run.plan
    if plan is None:
        value = _call_init(init, (_param_key(frame, path), *args) if needs_key else args, path)
        run.put(path, value, type(frame.module).__name__)
        return value
    tracers: list[Any] = []
    recipe = _Recipe(init, args, needs_key, (needs_key, static_key((init, args), tracers)))
    if not tracers:
        if recipe not in _shapes:
            key, uses = _abstract_key(frame, path), plan.uses
            shape = jaxcore.eval_shape(lambda key: _call_init(recipe, (key,), path), key)
            if plan.uses == uses:  # it makes the value from its key alone
                if len(_shapes) > 4096:
                    _shapes.clear()
                _shapes[recipe] = shape
        if recipe in _shapes:
            plan.entries[path] = _Entry(recipe, _shapes[recipe], plan.lifts)
            return plan.placeholder(path)
    plan.dependent.add(path)
    value = _call_init(init, (_param_key(frame, path), *args) if needs_key else args, path)
    run.put(path, value, type(frame.module).__name__)
    return value


def _call_init(init: Callable[..., Any], args: tuple[Any, ...], path: Path) -> Any:
    try:
        return init(*args)
    except Exception as error:
        error.add_note(f"This happened while initialising '{'/'.join(path)}'.")
        raise


def _params_key(keys: Streams, path: Path) -> Any:
    if None in keys:
        return fold_name(keys[None], "params")
    if "params" not in keys:
        given = ", ".join(map(repr, keys)) or "none"
        raise MissingRngError(
            f"{where(path[1:-1])} makes the parameter '{path[-1]}' and needs a key of the stream "
            f"'params'. Streams given: {given}. Pass init(key, ...) or rngs={{'params': key}}."
        )
    return keys["params"]


def _hash(path: Path) -> int:
    return zlib.crc32("/".join(path).encode())


def _root(frame: Frame) -> Frame:
    while frame.caller is not None:
        frame = frame.caller
    return frame


def _param_key(frame: Frame, path: Path) -> Any:
    looped = any(layer.under is not None for layer in frame.run.layers)
    keys = frame.stream_keys() if looped else _root(frame).keys or {}
    return random.fold_in(_params_key(keys, path), _hash(path))


def _abstract_key(frame: Frame, path: Path) -> Any:
    key = _params_key(_root(frame).keys or {None: random.key(0)}, path)
    return jaxcore.ShapeDtypeStruct(key.shape, key.dtype)


def initialize(
    module: Module,
    keys: Streams,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: Any,
    train: bool,
    dtype: Any,
) -> dict[str, Any]:
    """The variables of `module`; see the top of the file."""
    leaves, treedef = tree.flatten((keys, args, kwargs))
    dynamic = [
        i for i, leaf in enumerate(leaves) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    ]

    def forward(arrays: list[Any], variables: dict[str, Any], plan: Plan | None) -> Run:
        filled = list(leaves)
        for i, array in zip(dynamic, arrays, strict=True):
            filled[i] = array
        inner_keys, inner_args, inner_kwargs = tree.unflatten(treedef, filled)
        run = Run(variables, lambda _: True, initializing=True, plan=plan)
        frame, fn, inner_kwargs = root_frame(
            run, module, method, inner_keys, train, dtype, inner_args, inner_kwargs
        )
        run_root(frame, fn, inner_args, inner_kwargs)
        return run

    plan = Plan()
    arrays = [leaves[i] for i in dynamic]

    def find(arrays: list[Any]) -> None:
        run = forward(arrays, {}, plan)
        plan.dependent |= {p for p in run.layers[0].values if p[0] not in TRANSIENT}

    jaxcore.eval_shape(find, arrays)
    made = _make(plan, keys)
    if plan.dependent:

        def compute(arrays: list[Any], made: dict[str, Any]) -> list[Any]:
            values = forward(arrays, made, None).layers[0].values
            written.extend(p for p in values if p[0] not in TRANSIENT)
            return [values[p] for p in written]

        written: list[Path] = []
        values = jaxcore.jit(compute)(arrays, unflatten(made))
        made |= zip(written, values, strict=True)
    return unflatten(dict(sorted(made.items(), key=lambda item: item[0][0] != "params")))


def _make(plan: Plan, keys: Streams) -> dict[Path, Any]:
    """Every planned variable, from one program."""
    groups: dict[tuple[_Recipe, tuple[int, ...]], list[Path]] = {}
    for path, entry in plan.entries.items():
        groups.setdefault((entry.recipe, entry.lifts), []).append(path)
    if not groups:
        return {}
    spec = tuple(
        (recipe, lifts, len(paths), math.prod(lifts) * _size(plan.entries[paths[0]].shape))
        for (recipe, lifts), paths in groups.items()
    )
    needs_key = any(recipe.needs_key for recipe, *_ in spec)
    first = next(iter(plan.entries))
    key = _params_key(keys, first) if needs_key else None
    hashes = [np.array([_hash(p) for p in paths], np.uint32) for paths in groups.values()]
    values = _program(spec)(key, hashes)
    return {
        path: value
        for paths, group in zip(groups.values(), values, strict=True)
        for path, value in zip(paths, group, strict=True)
    }


def _size(shape: Any) -> int:
    return sum(math.prod(s.shape) for s in tree.leaves(shape))


@functools.lru_cache(maxsize=256)
def _program(spec: tuple[tuple[_Recipe, tuple[int, ...], int, int], ...]) -> Callable[..., Any]:
    def make(key: Any, hashes: list[Any]) -> list[list[Any]]:
        return [
            _group(recipe, lifts, count, size, key, numbers)
            for (recipe, lifts, count, size), numbers in zip(spec, hashes, strict=True)
        ]

    return jaxcore.jit(make)


def _group(
    recipe: _Recipe, lifts: tuple[int, ...], count: int, size: int, key: Any, numbers: Any
) -> list[Any]:
    if not recipe.needs_key:
        value = recipe(None)
        value = tree.map(lambda v: jnp.broadcast_to(v, (*lifts, *jnp.shape(v))), value)
        return [value] * count
    if count == 1 and not lifts:
        return [recipe(random.fold_in(key, numbers[0]))]
    values: list[Any] = []
    chunk = max(1, _CHUNK // max(size, 1))
    for start in range(0, count, chunk):
        part = numbers[start : start + chunk]
        values += _mapped(recipe, lifts, key, part)
    return values


def _mapped(recipe: _Recipe, lifts: tuple[int, ...], key: Any, numbers: Any) -> list[Any]:
    keys = jaxcore.vmap(random.fold_in, (None, 0))(key, numbers)
    repeats = math.prod(lifts)
    if lifts:
        keys = jaxcore.vmap(lambda k: random.split(k, repeats))(keys)
        keys = keys.reshape(keys.shape[0] * repeats, *keys.shape[2:])
    stacked = jaxcore.vmap(recipe)(keys)
    count = numbers.shape[0]
    stacked = tree.map(lambda v: v.reshape(count, *lifts, *v.shape[1:]), stacked)
    return [
        tree.map(lambda v, i=i: lax.index_in_dim(v, i, keepdims=False), stacked)
        for i in range(count)
    ]


def check_shape(path: Path, value: Any, args: tuple[Any, ...], kind: str) -> None:
    """Raises if a given parameter's shape is not ``args[0]``, where that is a shape."""
    expected = args[0] if args else None
    if not isinstance(expected, (tuple, list)) or not all(isinstance(n, int) for n in expected):
        return
    got = getattr(value, "shape", None)
    if got is not None and tuple(got) != tuple(expected):
        raise ParameterShapeError(
            f"{where(path[1:-1], kind)}: the given parameter '{'/'.join(path)}' has shape "
            f"{tuple(got)}. Expected {tuple(expected)}, from the layer's configuration and its "
            "input. Check that the variables belong to this model and that the input has the "
            "width (last axis) the model was initialised with."
        )
