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
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import errors, lax, random, tree

from . import initializers
from .arrays import split_arrays
from .equality import static_key
from .errors import InputError, MissingRngError, ParameterShapeError, where
from .running import Streams, root_frame
from .scope import Frame, fold_name, run_root
from .state import MISSING, TRANSIENT, Path, Run, unflatten

if TYPE_CHECKING:
    from .module import Module

#: A part of JAX's trace context: what JAX traced and kept while structure was found, of a function
#: that a module handed to a transformation of JAX, holds placeholders and must not be used again.
_planning = jax.make_user_context(False)

#: Parameters of one group are made together up to this many elements, to bound the peak memory.
_LARGE = 1 << 27


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
        self.widest = jnp.result_type(float).name  # what a float becomes, with 64 bits or without
        self.uses = 0  # how often the model's state or random streams were read

    def placeholder(self, path: Path) -> Any:
        """A value of the right type for a planned variable.

        Made anew at each use: a stored one would be a tracer of whatever transformation the model
        was in when it was made.
        """
        entry = self.entries.get(path)
        if entry is None:
            return MISSING
        if type(entry.shape) is jaxcore.ShapeDtypeStruct:
            return _zeros(entry.shape)
        return tree.map(_zeros, entry.shape)


def _zeros(s: Any) -> Any:
    return lax.full(s.shape, 0, s.dtype)


_shapes: dict[_Recipe, Any] = {}


def create(
    frame: Frame, path: Path, init: Callable[..., Any], args: tuple[Any, ...], *, needs_key: bool
) -> Any:
    """Makes a variable that does not exist yet, or plans it."""
    run = frame.run
    plan: Plan | None = run.plan
    if plan is None:
        value = run.prepared(path)
        if value is not MISSING:
            return value
        value = _call_init(init, (_param_key(frame, path), *args) if needs_key else args, path)
        run.put(path, value, type(frame.module).__name__)
        return value
    tracers: list[Any] = []
    identity = (needs_key, plan.widest, static_key((init, args), tracers))
    recipe = _Recipe(init, args, needs_key, identity)
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
    arrays, join = split_arrays((keys, args, kwargs))

    def forward(arrays: list[Any], prepared: Any, plan: Plan | None) -> Run:
        inner_keys, inner_args, inner_kwargs = join(arrays)
        run = Run({}, lambda _: True, initializing=True, plan=plan, prepared=prepared)
        frame, fn, inner_kwargs = root_frame(
            run, module, method, inner_keys, train, dtype, inner_args, inner_kwargs
        )
        run_root(frame, fn, inner_args, inner_kwargs)
        return run

    plan = Plan()

    def find(arrays: list[Any]) -> None:
        run = forward(arrays, {}, plan)
        plan.dependent |= {p for p in run.layers[0].values if p[0] not in TRANSIENT}

    with _planning(True):
        jaxcore.eval_shape(find, arrays)
    made = _make(plan, keys)
    if plan.dependent:
        if any(isinstance(array, jaxcore.ShapeDtypeStruct) for array in arrays):
            raise InputError(
                f"{type(module).__name__}.init was given shapes, and the initial values of "
                f"{sorted('/'.join(path) for path in plan.dependent)} depend on data. Expected "
                "arrays: pass a real batch."
            )
        known = list(made)

        def compute(arrays: list[Any], values: list[Any]) -> list[Any]:
            run = forward(arrays, dict(zip(known, values, strict=True)), None)
            written.extend(p for p in run.layers[0].values if p[0] not in TRANSIENT)
            return [run.layers[0].values[p] for p in written]

        written: list[Path] = []
        values = jaxcore.jit(compute)(arrays, list(made.values()))
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
        for path, value in zip(paths, _unstacked(group), strict=True)
    }


def _size(shape: Any) -> int:
    return sum(math.prod(s.shape) for s in tree.leaves(shape))


@functools.lru_cache(maxsize=256)
def _program(spec: tuple[tuple[_Recipe, tuple[int, ...], int, int], ...]) -> Callable[..., Any]:
    def make(key: Any, hashes: list[Any]) -> list[list[_Chunk]]:
        return [
            _group(recipe, lifts, count, size, key, numbers)
            for (recipe, lifts, count, size), numbers in zip(spec, hashes, strict=True)
        ]

    return jaxcore.jit(make)


class _Chunk(NamedTuple):
    """Some values of a group, separate or stacked along a new first axis."""

    separate: list[Any]
    stacked: Any


def _group(
    recipe: _Recipe, lifts: tuple[int, ...], count: int, size: int, key: Any, numbers: Any
) -> list[_Chunk]:
    if not recipe.needs_key or recipe.init in (initializers.zeros, initializers.ones):
        value = recipe(key)
        value = tree.map(lambda v: jnp.broadcast_to(v, (*lifts, *jnp.shape(v))), value)
        return [_Chunk([value] * count, None)]
    if count == 1 and not lifts:
        return [_Chunk([recipe(random.fold_in(key, numbers[0]))], None)]
    step = max(1, _LARGE // max(size, 1))
    return [
        _Chunk([], _mapped(recipe, lifts, key, numbers[start : start + step]))
        for start in range(0, count, step)
    ]


def _mapped(recipe: _Recipe, lifts: tuple[int, ...], key: Any, numbers: Any) -> Any:
    keys = jaxcore.vmap(random.fold_in, (None, 0))(key, numbers)
    if lifts:
        repeats = math.prod(lifts)
        keys = jaxcore.vmap(lambda k: random.split(k, repeats))(keys)
        keys = keys.reshape(keys.shape[0] * repeats, *keys.shape[2:])
    stacked = jaxcore.vmap(recipe)(keys)
    return tree.map(lambda v: v.reshape(numbers.shape[0], *lifts, *v.shape[1:]), stacked)


def _unstacked(group: list[_Chunk]) -> list[Any]:
    """The values of a group one by one.

    Taken out by one small program per shape, with the index as an argument: slices inside the
    program that makes the stack cost XLA more compile time than everything else there.
    """
    values: list[Any] = []
    for chunk in group:
        values += chunk.separate
        leaves = tree.leaves(chunk.stacked)
        if leaves:
            traced = isinstance(leaves[0], jax.core.Tracer)
            take = _take if traced else _compiled_take
            values += [take(chunk.stacked, np.int32(i)) for i in range(leaves[0].shape[0])]
    return values


def _take(stacked: Any, i: Any) -> Any:
    return tree.map(lambda v: lax.dynamic_index_in_dim(v, i, keepdims=False), stacked)


_compiled_take = jaxcore.jit(_take)


def check_shape(path: Path, value: Any, args: tuple[Any, ...], kind: str) -> None:
    """Raises if a given variable's shape is not ``args[0]``, where that is a shape."""
    expected = args[0] if args else None
    if not isinstance(expected, (tuple, list)) or not all(isinstance(n, int) for n in expected):
        return
    got = getattr(value, "shape", None)
    if got is not None and tuple(got) != tuple(expected):
        what = "parameter" if path[0] == "params" else "variable"
        raise ParameterShapeError(
            f"{where(path[1:-1], kind)}: the given {what} '{'/'.join(path)}' has shape "
            f"{tuple(got)}, {errors.describe_type(value)}. Expected {tuple(expected)}, from the "
            "layer's configuration and its input. Check that the variables belong to this model "
            "and that the input has the width (last axis) the model was initialised with."
        )
