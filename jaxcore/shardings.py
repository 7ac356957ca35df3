"""The shardings that `jit` is given: prefix trees over arguments and results, leaf by leaf."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.layout import Format
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from jaxcore import backend
from jaxcore.backend import UNSPECIFIED
from jaxcore.passes.forms import check_form
from jaxcore.passes.simplify import passes_off
from jaxcore.signature import Call

__all__ = ["Options", "Placed", "constrained", "incompatible_devices", "options_of", "placed"]


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How a program is placed and compiled, as `jit` was told."""

    in_shardings: Any = UNSPECIFIED
    out_shardings: Any = UNSPECIFIED
    keep_unused: bool = False
    inline: bool = False
    compiler_options: tuple[tuple[str, Any], ...] = ()
    blocks: str | None = None
    passes_off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """`Options` for one program: a sharding and a layout for each leaf of arguments and results."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    in_layouts: tuple[Any, ...]
    out_layouts: tuple[Any, ...]
    keep_unused: bool
    compiler_options: tuple[tuple[str, Any], ...]
    blocks: str | None
    passes_off: tuple[str, ...]

    def settings(self, kept: Sequence[bool]) -> dict[str, Any]:
        """The parameters of JAX's equation for the program; `kept` tells which inputs it takes, of
        which the first are captured arrays.
        """
        free = len(kept) - len(self.inputs)

        def each(values: Sequence[Any], default: Any) -> tuple[Any, ...]:
            every = (*(default,) * free, *values)
            return tuple(x for x, keep in zip(every, kept, strict=True) if keep)

        return {
            "in_shardings": each(self.inputs, UNSPECIFIED),
            "in_layouts": each(self.in_layouts, None),
            "out_shardings": self.outputs,
            "out_layouts": self.out_layouts,
            "compiler_options_kvs": self.compiler_options,
        }


def options_of(
    name: str,
    in_shardings: Any,
    out_shardings: Any,
    keep_unused: bool,
    device: Any,
    backend_name: str | None,
    inline: bool,
    compiler_options: dict[str, Any] | None,
    blocks: str | None,
    passes: Mapping[str, bool] | None,
) -> Options | None:
    """The arguments of `jit` that concern placing and compiling, checked; None: all defaults."""
    if device is not None or backend_name is not None:
        warnings.warn(
            "The arguments `device` and `backend` of jit are deprecated; use jaxcore.device_put on "
            "the arguments instead.",
            DeprecationWarning,
            stacklevel=3,
        )
        given = in_shardings, out_shardings
        if any(s is not None and s is not UNSPECIFIED for s in given) or None not in (
            device,
            backend_name,
        ):
            raise ValueError(
                f"jit of {name}: only one of device, backend, and the pair of in_shardings and "
                f"out_shardings can be given; got device={device}, backend={backend_name!r}."
            )
        in_shardings = out_shardings = backend.device_sharding(device, backend_name)
    if isinstance(in_shardings, list):
        in_shardings = tuple(in_shardings)
    for what, tree in (("in_shardings", in_shardings), ("out_shardings", out_shardings)):
        for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
            if not (x is UNSPECIFIED or isinstance(x, Sharding | PartitionSpec | Format)):
                raise TypeError(
                    f"jit of {name}: {what}{jax.tree_util.keystr(path)} must be a Sharding, a "
                    f"PartitionSpec or None, got {x!r} of type {type(x).__name__}."
                )
    flags = tuple((compiler_options or {}).items())
    check_form(blocks)
    off = passes_off(name, passes)
    plain = in_shardings is out_shardings is UNSPECIFIED
    if plain and not (keep_unused or inline or flags or blocks or off):
        return None
    return Options(in_shardings, out_shardings, keep_unused, inline, flags, blocks, off)


def placed(
    call_: Call, name: str, avals: Sequence[Any], out_tree: Any, outs: Sequence[Any]
) -> Placed | None:
    """The shardings of the leaves of a call, of types `avals`, and of its results.

    Raises:
      ValueError: a tree is no prefix, a dimension is not divisible, or an array is committed to
        another sharding.
      RuntimeError: there is a `PartitionSpec`, and no mesh is set.
    """
    options = call_.options
    if options is None:
        return None
    inputs, in_layouts = _inputs(options.in_shardings, call_, name, avals)
    for i, (x, s) in enumerate(zip(call_.leaves, inputs, strict=True)):
        if s is not UNSPECIFIED and getattr(x, "_committed", False):
            _check_committed(x, s, lambda i=i: f"Argument {call_.path(i)} of {name}")  # type: ignore[misc]
    outputs, out_layouts = _outputs(options.out_shardings, name, out_tree, outs)
    return Placed(
        inputs,
        outputs,
        in_layouts,
        out_layouts,
        options.keep_unused,
        options.compiler_options,
        options.blocks,
        options.passes_off,
    )


def constrained(
    call_: Call, name: str, fun: Callable[..., list[Any]], out: list[Any]
) -> Callable[..., list[Any]]:
    """`fun` of flat leaves with the shardings as constraints, for a call inside another function;
    `fun` leaves the tree of its result in `out`.
    """
    options = call_.options
    if options is None or options.in_shardings is options.out_shardings is UNSPECIFIED:
        return fun

    def inside(*values: Any) -> list[Any]:
        inputs = _inputs(options.in_shardings, call_, name, [jax.typeof(x) for x in values])[0]
        results = fun(*_constrain(values, inputs))
        outs = [jax.typeof(x) for x in results]
        return _constrain(results, _outputs(options.out_shardings, name, out[-1], outs)[0])

    return inside


def _constrain(values: Sequence[Any], shardings: Sequence[Any]) -> list[Any]:
    return [
        x if s is UNSPECIFIED else jax.lax.with_sharding_constraint(x, s)
        for x, s in zip(values, shardings, strict=True)
    ]


def _inputs(
    tree: Any, call_: Call, name: str, avals: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if tree is UNSPECIFIED or tree is None or backend.moves_arguments(tree):
        entries = [tree] * len(avals)
    else:
        if call_.kwargs:
            raise ValueError(
                f"jit of {name}: in_shardings are for positional arguments, but the call has the "
                f"keyword arguments {', '.join(sorted(call_.kwargs))}. Fix: pass them by position."
            )
        static = {where for where, _ in call_.static}
        args = tuple(x for i, x in enumerate(call_.args) if i not in static)
        entries = _prefix(tree, args, name, "in_shardings")
    return _leaves(entries, avals, lambda i: f"Argument {call_.path(i)} of {name}", "in_shardings")


def _outputs(
    tree: Any, name: str, out_tree: Any, avals: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    result = jax.tree.unflatten(out_tree, [0] * len(avals))
    entries = _prefix(tree, result, name, "out_shardings")

    def what(i: int) -> str:
        path, _ = jax.tree_util.tree_flatten_with_path(result)[0][i]
        return f"The result{jax.tree_util.keystr(path)} of {name}"

    return _leaves(entries, avals, what, "out_shardings")


def _prefix(prefix: Any, tree: Any, name: str, argument: str) -> list[Any]:
    """The entry of `prefix` for each leaf of `tree`."""
    entries: list[Any] = []

    def add(entry: Any, subtree: Any) -> None:
        entries.extend([entry] * len(jax.tree.leaves(subtree)))

    try:
        jax.tree.map(add, prefix, tree, is_leaf=lambda x: x is None)
    except (ValueError, TypeError, KeyError):
        lines = "\n".join(f"  {line}" for line in backend.prefix_errors(prefix, tree, argument))
        whole = "arguments, a tuple" if argument == "in_shardings" else "results"
        hint = ""
        if isinstance(tree, tuple) and len(tree) == 1 and not isinstance(prefix, tuple):
            hint = "\nFix: for a function of one argument, write (shardings,)."
        raise ValueError(
            f"jit of {name}: {argument} must be a tree whose structure is a prefix of that of the "
            f"{whole}.\n{lines}{hint}"
        ) from None
    return entries


def _leaves(
    entries: Sequence[Any], avals: Sequence[Any], what: Callable[[int], str], argument: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Shardings and layouts of leaves of types `avals`, checked against their shapes."""
    shardings, layouts = [], []
    for i, (entry, aval) in enumerate(zip(entries, avals, strict=True)):
        layout = None
        if isinstance(entry, Format):
            layout, entry = entry.layout, entry.sharding
        sharding = _resolved(entry, argument)
        if sharding is not UNSPECIFIED:
            try:
                sharding.check_compatible_aval(aval.shape)
                sharding.shard_shape(aval.shape)
            except ValueError as error:
                raise ValueError(
                    f"{what(i)}, of type {aval}, cannot be laid out as {argument} say: {error}"
                ) from None
        shardings.append(sharding)
        layouts.append(layout)
    return tuple(shardings), tuple(layouts)


def _resolved(entry: Any, argument: str) -> Any:
    if entry is None:
        return UNSPECIFIED
    if not isinstance(entry, PartitionSpec):
        return entry
    mesh = backend.context_mesh()
    if mesh.empty:
        raise RuntimeError(
            f"jit got the PartitionSpec {entry} in {argument}, but no mesh is set. Fix: call it "
            "under `with jaxcore.set_mesh(mesh):`, or give NamedSharding(mesh, spec)."
        )
    return NamedSharding(mesh, entry)


def _check_committed(x: Any, sharding: Any, what: Callable[[], str]) -> None:
    """An array that was put somewhere is not moved silently."""
    if backend.moves_arguments(sharding) or sharding.is_equivalent_to(x.sharding, x.ndim):
        return
    raise ValueError(
        f"{what()}, of type {jax.typeof(x)}, lies as {x.sharding}, but in_shardings ask for "
        f"{sharding}. Fix: move it with jaxcore.device_put(x, sharding), or leave its entry of "
        "in_shardings None, to take it as it lies."
    )


def incompatible_devices(error: Exception, call_: Call, name: str) -> Exception:
    """JAX's error for arguments on different devices, with the paths of these arguments."""
    lines = []
    for i, x in enumerate(call_.leaves):
        if getattr(x, "_committed", False):
            devices = sorted(d.id for d in x.sharding.device_set)
            lines.append(f"  {call_.path(i)}: {jax.typeof(x)} on devices {devices}")
    return ValueError(
        f"{error}\nArguments of {name} that were put somewhere:\n"
        + "\n".join(lines)
        + "\nFix: put "
        "them on the devices of one mesh with jaxcore.device_put."
    )
