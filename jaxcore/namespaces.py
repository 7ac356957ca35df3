"""JAX's namespaces under ours: a name without a function of ours is JAX's, running on our traces.

A module of ours hands out JAX's names beside its own (`lookup`, `listing`); a namespace without a
file here, such as ``jaxcore.scipy.fft``, is made when it is imported. docs/api.md is the table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["LEFT_OUT", "NAMESPACES", "listing", "lookup"]

# What JAX keeps in each namespace, relative to jax and to jaxcore alike.
_INSIDE = {
    "": "ad_checkpoint custom_batching custom_derivatives debug distributed dlpack dtypes errors "
    "experimental export ffi flatten_util image lax monitoring nn numpy ops profiler random "
    "scipy sharding stages test_util tree tree_util typing",
    "experimental": "checkify custom_partitioning jet layout mesh_utils multihost_utils ode pallas "
    "sparse",
    "experimental.sparse": "linalg",
    "lax": "linalg",
    "nn": "initializers",
    "numpy": "fft linalg",
    "scipy": "cluster fft integrate interpolate linalg ndimage optimize signal sparse spatial "
    "special stats",
    "scipy.cluster": "vq",
    "scipy.sparse": "linalg",
    "scipy.spatial": "transform",
    "scipy.stats": "bernoulli beta betabinom binom cauchy chi2 dirichlet expon gamma gennorm geom "
    "gumbel_l gumbel_r laplace logistic multinomial multivariate_normal nbinom norm pareto poisson "
    "t truncnorm uniform vonmises wrapcauchy",
}
NAMESPACES = frozenset(
    f"{parent}.{name}".lstrip(".") for parent, names in _INSIDE.items() for name in names.split()
)

# Namespaces and names of JAX that are not here, by the reason.
_REASONS = {
    "JAX's own tracing and lowering; what needs it imports it from jax": "api_util core extend "
    "interpreters lib experimental.EArray experimental.cur_qdd experimental.fused "
    "experimental.hijax experimental.primal_tangent_dtype experimental.rnn experimental.thunky",
    "tools around JAX's runtime, which no program meets; import them from jax": "cloud_tpu_init "
    "collect_profile example_libraries tools experimental.buffer_callback "
    "experimental.colocated_python experimental.profiler experimental.serialize_executable "
    "experimental.topologies experimental.transfer",
    "it marks JAX's own equations, and the operations of a program do not carry the mark": (
        "experimental.compute_on experimental.control_deps experimental.overlap "
        "experimental.scheduling_groups experimental.shard_alike experimental.xla_metadata"
    ),
    "programs are pure: return the new value, and carry it through loops": "Ref empty_ref free_ref "
    "freeze new_ref ref experimental.random",
    "a leaked tracer is an error where it is used, which names the line that made it": (
        "check_tracer_leaks checking_leaks"
    ),
    "jaxcore.debug.check finds keys that are used twice": "debug_key_reuse experimental.key_reuse",
    "ours has one derivative": "softmax_custom_jvp",
    "jaxcore.cache keeps executables on the disk": "experimental.compilation_cache",
    "jaxcore.export writes programs down": "experimental.jax2tf jax2tf_associative_scan_reductions",
    "jaxcore.jit takes shardings": "experimental.pjit",
    "jaxcore.shard_map": "experimental.shard_map",
    "jaxcore.train writes checkpoints": "experimental.array_serialization",
    "jaxcore.experimental.pallas writes kernels": "experimental.mosaic",
    "jit(f).lower(...).cost_analysis() counts by module": "experimental.roofline",
    "jaxcore.make_jaxpr(f)(x), printed, names lines and modules": "experimental.source_mapper",
    "jaxcore.__version__ is ours; ask jax for its own": "version",
}
LEFT_OUT = {name: why for why, names in _REASONS.items() for name in names.split()}


def lookup(module: str, name: str) -> Any:
    """What module `module` of ours hands out as `name` where it has no such name itself.

    Raises:
      AttributeError: JAX has no such public name either, or it is left out on purpose.

    Example:
      >>> lookup("jaxcore.scipy.special", "erfinv")  # doctest: +ELLIPSIS
      <...erfinv...>
    """
    path = f"{module}.{name}".partition(".")[2]
    if path in NAMESPACES:
        return import_module(f"jaxcore.{path}")
    if path in LEFT_OUT:
        raise AttributeError(f"jaxcore leaves out jax.{path}: {LEFT_OUT[path]}.")
    try:
        if not name.startswith("_"):
            found = getattr(_theirs(module), name)  # newaxis is None
            if not isinstance(found, ModuleType):
                return found
    except AttributeError as error:
        if "has no attribute" not in str(error):  # JAX says what became of the name
            raise
    raise AttributeError(
        f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module]
    )


def listing(module: str) -> list[str]:
    """``dir(module)``: its own names and those that `lookup` finds."""
    prefix = f"{module}.".partition(".")[2]
    theirs = _theirs(module)
    names = {n for n in dir(theirs) if not isinstance(getattr(theirs, n, None), ModuleType)}
    names -= {n for n in names if n.startswith("_") or prefix + n in LEFT_OUT}
    inside = {n.removeprefix(prefix) for n in NAMESPACES if n.startswith(prefix)}
    return sorted({*vars(sys.modules[module]), *names, *(n for n in inside if "." not in n)})


def _theirs(module: str) -> ModuleType:
    return import_module("jax" + module.removeprefix("jaxcore"))


class _Namespaces(MetaPathFinder, Loader):
    """Makes a namespace that has no file here; asked last, so that files come first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, name = fullname.partition(".")
        if root != "jaxcore" or name not in NAMESPACES:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = _theirs(module.__name__).__doc__
        vars(module).update(
            __getattr__=partial(lookup, module.__name__), __dir__=partial(listing, module.__name__)
        )


sys.meta_path.append(_Namespaces())
