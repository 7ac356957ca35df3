"""JAX's values taken apart into plain ones that say the same in every process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src import core, pjit, sharding_impls
from jax._src.partition_spec import UnconstrainedSingleton
from jax._src.random import prng
from jax.experimental.layout import Format, Layout
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxcore.backend.rules import is_jaxpr
from jaxcore.backend.traces import JaxPrimitive, is_extended

Form = tuple[Any, ...] | None


def plain_form(x: Any) -> Form:
    """`x` as a name and what it is made of, in turn plain values or values of JAX; None where it
    is not known to say the same elsewhere.
    """
    rule = _RULES.get(type(x))
    if rule is not None:
        return rule(x)
    if isinstance(x, jax.Device):
        return ("device", x.platform, x.device_kind, x.id)
    if isinstance(x, JaxPrimitive):
        return _primitive(x)
    if isinstance(x, jax.Array):
        return _array(x)
    return _jaxpr(x) if is_jaxpr(x) else None


def _slots(x: Any) -> Form:
    """All slots count, those too that a later jax adds."""
    kind = type(x)
    parts = (getattr(x, name, None) for name in kind.__slots__ if name not in _NO_PART)
    return (kind.__name__, *parts)


_NO_PART = frozenset({"__weakref__", "configs", "_stripped_weak_type"})


def _generator(x: Any) -> Form:
    """How keys of one kind are used, which is known of JAX's own kinds."""
    own = x.name in _GENERATORS and prng.prngs.get(x.name) is x
    return ("generator", x.name) if own else None


_GENERATORS = ("threefry2x32", "rbg", "unsafe_rbg")


def _array(x: Any) -> Form:
    if isinstance(x, core.Tracer) or is_extended(x.dtype) or not x.is_fully_addressable:
        return None
    return ("array", np.asarray(x), x.aval.weak_type)


def _jaxpr(x: Any) -> Form:
    """Variables by number, equations in order; locations do not count."""
    jaxpr = getattr(x, "jaxpr", x)
    known = [*jaxpr.constvars, *jaxpr.invars] if hasattr(jaxpr, "invars") else []
    number: dict[Any, int] = {v: i for i, v in enumerate(known)}

    def atom(a: Any) -> Any:
        if isinstance(a, core.Literal):
            return ("literal", np.asarray(a.val, a.aval.dtype), a.aval)
        return number[a]

    equations = []
    for eq in jaxpr.eqns:
        operands = tuple(atom(a) for a in eq.invars)
        given = {k: v for k, v in eq.params.items() if k not in _UNLOWERED}
        types = tuple(v.aval for v in eq.outvars)
        equations.append((eq.primitive, operands, tuple(given.items()), types, eq.ctx))
        for v in eq.outvars:
            number[v] = len(number)
    outputs = tuple(atom(a) for a in jaxpr.outvars)
    types = tuple(v.aval for v in known)
    return ("jaxpr", types, tuple(getattr(x, "consts", ())), tuple(equations), outputs)


# Rules of derivatives: functions of Python that the lowered program does not hold.
_UNLOWERED = frozenset({"jvp_jaxpr_fun", "jvp_jaxpr_thunk", "fwd_jaxpr_thunk", "bwd", "out_trees"})


def _primitive(x: Any) -> Form:
    """A primitive of JAX by where JAX defines it: others may be lowered differently elsewhere."""
    name = _primitives.get(id(x))
    if name is None:
        for module, content in list(sys.modules.items()):
            if module.startswith("jax."):
                for attribute, value in list(getattr(content, "__dict__", {}).items()):
                    if isinstance(value, JaxPrimitive):
                        _primitives.setdefault(id(value), f"{module}.{attribute}")
        name = _primitives.setdefault(id(x), "")
    return ("primitive", name) if name else None


_primitives: dict[int, str] = {}  # those of JAX live as long as its modules

_RULES: dict[type, Callable[[Any], Form]] = {
    core.ShapedArray: _slots,
    core.ManualAxisType: _slots,
    core.AxisEnv: _slots,
    core.JaxprEqnContext: _slots,
    prng.KeyTy: lambda x: ("key", x._impl),
    prng.PRNGImpl: _generator,
    UnconstrainedSingleton: lambda x: ("unconstrained",),
    type(pjit.UNSPECIFIED): lambda x: ("unspecified",),
    PartitionSpec: lambda x: (
        "spec",
        tuple(x),
        x.unreduced,
        x.reduced,
        getattr(x, "unreduced_kind", None),
    ),
    AbstractMesh: lambda x: (
        "abstract mesh",
        x.axis_sizes,
        x.axis_names,
        x.axis_types,
        x.abstract_device,
    ),
    Mesh: lambda x: (
        "mesh",
        x.devices.shape,
        tuple(x.devices.flat),
        x.axis_names,
        x.axis_types,
    ),
    NamedSharding: lambda x: ("named", x.mesh, x.spec, x.memory_kind, x._logical_device_ids),
    SingleDeviceSharding: lambda x: ("single", *x.device_set, x.memory_kind),
    sharding_impls.GSPMDSharding: lambda x: (
        "gspmd",
        x._device_assignment,
        x._hlo_sharding.to_proto().SerializeToString(),
        x.memory_kind,
    ),
    type(Layout.AUTO): lambda x: ("auto layout",),
    Layout: lambda x: ("layout", x.major_to_minor, x.tiling, x.sub_byte_element_size_in_bits),
    Format: lambda x: ("format", x.layout, x.sharding),
}
