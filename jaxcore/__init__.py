"""jaxcore: deep learning in the JAX style.

Trace pure functions into a typed IR, transform them with `grad`, `vmap` and `jit`, run them through
XLA.

ir, printer, verify       the intermediate representation
trace, source             recording, and where equations come from
primitive, ops            operations with their rules
transforms                linearisation, transposition, batching, and grad, vjp, jvp, vmap
passes, lower             what is rewritten before it is compiled; StableHLO
jit, compile, eager       compilation and dispatch; bucketed: by a few sizes; stages: ahead of time
control, loops, branch    scan and map, while_loop and fori_loop, cond and switch
custom_derivatives        functions with rules of their own; implicit: roots and linear solves
shardings, sharded, axes  many devices, and axes with names
cache, export             executables on the disk, programs in StableHLO's stable format
errors, debug             messages with the user's line; looking into running programs
cost                      operations and bytes of a program, by module
numpy, lax, random, tree  the array interface, with JAX's names; namespaces: what is JAX's own
backend                   every name of jax and jaxlib that is not public API
nn, train                 modules and models; the training loop
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from jax import (
    Array,
    ShapeDtypeStruct,
    block_until_ready,
    device_get,
    device_put,
    devices,
    typeof,
)

from jaxcore import cache, lax, namespaces, numpy, random, tree, verify
from jaxcore.ad_checkpoint import checkpoint, remat
from jaxcore.bucket import Bucket
from jaxcore.compile_time import ensure_compile_time_eval
from jaxcore.custom_derivatives import closure_convert, custom_gradient, custom_jvp, custom_vjp
from jaxcore.jit import clear_caches, jit
from jaxcore.ops.call import block
from jaxcore.sharded import shard_map
from jaxcore.source import name_scope, named_call
from jaxcore.source import name_scope as named_scope
from jaxcore.stages import eval_shape, make_jaxpr
from jaxcore.trace import is_staging
from jaxcore.transforms.derivative import fwd_and_bwd, jvp, linearize, vjp
from jaxcore.transforms.grad import grad, stop_gradient, value_and_grad
from jaxcore.transforms.jacobian import hessian, jacfwd, jacobian, jacrev
from jaxcore.transforms.linear import linear_transpose
from jaxcore.transforms.vmap import vmap

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Bucket",
    "ShapeDtypeStruct",
    "block",
    "block_until_ready",
    "cache",
    "checkpoint",
    "clear_caches",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "device_get",
    "device_put",
    "devices",
    "ensure_compile_time_eval",
    "eval_shape",
    "fwd_and_bwd",
    "grad",
    "hessian",
    "is_staging",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "name_scope",
    "named_call",
    "named_scope",
    "numpy",
    "random",
    "remat",
    "shard_map",
    "stop_gradient",
    "tree",
    "typeof",
    "value_and_grad",
    "verify",
    "vjp",
    "vmap",
]


def __getattr__(name: str) -> _Any:
    """The layers above and JAX's namespaces, imported on first use: `import jaxcore` is quick."""
    if name == "train":
        return _import_module("jaxcore.train")
    return namespaces.lookup("jaxcore", name)


def __dir__() -> list[str]:
    return namespaces.listing("jaxcore")
