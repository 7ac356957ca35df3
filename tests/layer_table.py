"""What holds for every layer; a test file gives rows, one a layer or option.

`check` compares a row with Flax linen's layer, or with a function of `jax.numpy` where linen has
none: parameter tree, values, gradients and updates on the same parameters; then the properties that
need no second library: under `vmap`, in bfloat16, with batch axes absent, several and of size 0.
All of ours is one compiled program a row.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import flax.linen as linen


#: Each program runs once: compiling it well takes longer.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer and what to call it with.

    `make` gets `nn` or `linen`; with a `reference`, `nn` alone, and the reference is called as
    ``reference(variables, *inputs)``. `free` layers take any number of batch axes, others at least
    one; `rigid` layers have no batch axis to speak of. `updates` name what a call may write.
    """

    make: Callable[[Any], Any]
    inputs: Sequence[Any]
    reference: Callable[..., Any] | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    free: bool = True
    rigid: bool = False
    low: str | None = "bfloat16"  # what comes back where that is the compute dtype
    updates: tuple[str, ...] = ()
    brief: bool = False  # the comparison alone, without the properties
    init: bool = False  # compare the initialisers, too


def normal(*shape: int, dtype: Any = "float32") -> Any:
    """Normal numbers that depend on the shape alone."""
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), dtype)


def integers(*shape: int, below: int) -> Any:
    """Integers from 0, the same every time."""
    return jnp.asarray(np.random.default_rng(0).integers(0, below, shape), "int32")


def tolerance(values: Any) -> dict[str, float]:
    low = any(v.dtype == jnp.bfloat16 for v in jax.tree.leaves(values))
    return {"rtol": 3e-2, "atol": 3e-2} if low else {"rtol": 5e-4, "atol": 5e-5}


def assert_close(ours: Any, theirs: Any) -> None:
    """Equal trees of equal shapes and dtypes with nearly equal numbers."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = (np.asarray(v, np.float32) for v in (a, b))
        np.testing.assert_allclose(a, b, **tolerance((ours, theirs)))


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda v: (v.shape, v.dtype.name), tree)


def randomised(variables: Any) -> Any:
    """Numbers in the place of shapes: biases and scales too are not what they begin with."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda v: jnp.asarray(rng.uniform(0.2, 1.2, v.shape), v.dtype), variables)


def objective(y: Any) -> Any:
    """A number whose gradient reaches every output with a weight of its own."""
    total = 0.0
    for i, leaf in enumerate(jax.tree.leaves(y)):
        weights = np.random.default_rng(i).normal(size=leaf.shape)
        total = total + (leaf * jnp.asarray(weights, leaf.dtype)).sum()
    return total


def evaluate(apply: Any, grad: Any, variables: Any, inputs: Any) -> Any:
    """``(gradients, (output, updates))`` of the parameters and the first input."""
    inexact = jnp.issubdtype(inputs[0].dtype, jnp.inexact)

    def loss(params: Any, x: Any) -> Any:
        y, updates = apply({**variables, "params": params}, x, *inputs[1:])
        return objective(y), (y, updates)

    argnums = (0, 1) if inexact else 0
    return grad(loss, argnums, has_aux=True)(variables.get("params", {}), inputs[0])


def check(row: Row) -> None:
    """The whole list, see the top of the file."""
    ours, inputs, options = row.make(nn), list(row.inputs), row.options
    got = jaxcore.eval_shape(lambda key: ours.init(key, *inputs, **options), random.key(0))
    if row.reference is None:
        theirs = row.make(linen)
        init = lambda key: theirs.init(key, *inputs, **options)
        expected = jax.eval_shape(init, jax.random.key(0))
        assert shapes(got) == shapes(expected)
        if row.init:
            assert_same_initialisers(lambda key: ours.init(key, *inputs, **options), init)
    variables = randomised(got)
    mutable = list(row.updates)

    def apply(variables: Any, *inputs: Any, **more: Any) -> Any:
        return ours.apply(variables, *inputs, mutable=mutable, **options, **more)

    def reference(variables: Any, *inputs: Any) -> Any:
        if row.reference is not None:
            out = row.reference(variables, *inputs)
            return out if row.updates else (out, {})
        return theirs.apply(variables, *inputs, mutable=mutable, **options)

    at_once = jaxcore.jit(lambda v, xs: ours_at_once(row, apply, v, xs), compiler_options=QUICK)
    theirs_at_once = jax.jit(
        lambda v, xs: evaluate(reference, jax.grad, v, xs), compiler_options=QUICK
    )
    got, expected = at_once(variables, inputs), theirs_at_once(variables, inputs)
    assert_close(got["value"], expected)
    for name, (a, b) in got["pairs"].items():
        assert_close(a, b), name
    for leaf in jax.tree.leaves(got["empty"]):
        assert np.all(np.isfinite(leaf)), "no example, and something is not finite"
    if row.low and not row.brief:
        for low, full in zip(*map(jax.tree.leaves, got["low"]), strict=True):
            assert low.dtype == row.low
            scale = np.max(np.abs(full), initial=1.0)
            np.testing.assert_allclose(np.asarray(low, "float32") / scale, full / scale, atol=0.06)


def ours_at_once(row: Row, apply: Any, variables: Any, inputs: Any) -> dict[str, Any]:
    """Everything that `check` looks at, from one program."""
    x, rest = inputs[0], inputs[1:]
    out: dict[str, Any] = {"value": evaluate(apply, jaxcore.grad, variables, inputs), "pairs": {}}
    y = out["value"][1][0]
    call = lambda x: apply(variables, x, *rest)[0]
    if row.brief:
        return out | {"empty": ()}
    stack = lambda a, b: jax.tree.map(lambda a, b: jnp.stack([a, b]), a, b)
    other = jnp.flip(x, -1)
    both = stack(y, call(other))
    out["pairs"]["vmap"] = jaxcore.vmap(call)(jnp.stack([x, other])), both
    if row.free:
        out["pairs"]["no batch axis"] = call(x[0]), jax.tree.map(lambda v: v[0], y)
        out["pairs"]["two batch axes"] = call(jnp.stack([x, other])), both
    out["empty"] = ()
    if not row.rigid:
        grads, (none, _) = evaluate(apply, jaxcore.grad, variables, [x[:0], *rest])
        assert all(v.shape[:1] == (0,) for v in jax.tree.leaves(none))
        out["empty"] = grads
    if row.low and jnp.issubdtype(x.dtype, jnp.inexact):
        low = apply(variables, x.astype(jnp.bfloat16), *rest, dtype=jnp.bfloat16)[0]
        out["low"] = low, y
    elif row.low:
        out["low"] = apply(variables, *inputs, dtype=jnp.bfloat16)[0], y
    return out


def assert_same_initialisers(ours: Any, theirs: Any) -> None:
    """Every parameter is made alike: the two initialisers give the same numbers for one key.

    `ours` and `theirs` create the layer's parameters; the functions that they create them with are
    caught on the way.
    """
    from jaxcore.nn import initialize

    known: dict[str, dict[Any, Any]] = {"ours": {}, "theirs": {}}
    create, param = initialize.create, linen.Module.param

    def our_create(frame: Any, path: Any, init: Any, args: Any, **options: Any) -> Any:
        if path[0] == "params":
            known["ours"][path[1:]] = init, args
        return create(frame, path, init, args, **options)

    def their_param(module: Any, name: str, init: Any, *args: Any, **options: Any) -> Any:
        known["theirs"].setdefault((*module.scope.path, name), (init, args))
        return param(module, name, init, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initialize, "create", our_create)
        patch.setattr(linen.Module, "param", their_param)
        # Functions of their own: what was traced before is not traced again.
        jaxcore.eval_shape(lambda key: ours(key), random.key(0))
        jax.eval_shape(lambda key: theirs(key), jax.random.key(0))
    assert known["ours"] and known["ours"].keys() == known["theirs"].keys()
    for path, (init, args) in known["ours"].items():
        values = init(random.key(7), *args)
        other, args = known["theirs"][path]
        expected = other(jax.random.key(7), *args)
        np.testing.assert_allclose(values, expected, rtol=2e-6, err_msg=str(path))


def refused(run: Callable[[], Any], parts: Sequence[str], kind: type[Exception] = nn.InputError):
    """Assert that `run` raises `kind` with every one of `parts` in its message."""
    with pytest.raises(kind) as caught:
        run()
    assert isinstance(caught.value, nn.ModuleError)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
