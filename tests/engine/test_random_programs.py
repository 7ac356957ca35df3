"""Programs drawn at random: operations, control flow and transformations composed, against JAX.

A program is a list of instructions over a growing list of vectors of one length. It is interpreted
once over our namespaces and once over JAX's; every program that our engine makes on the way goes
through the verifier. Derivatives stay finite because each step ends in a bounded function.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxcore
from jaxcore import eager
from jaxcore.ir import intern
from jaxcore.passes.forms import arrange
from jaxcore.passes.simplify import PASSES, simplified
from jaxcore.verify import verify

WIDTH = 3
UNARY = ("sin", "tanh", "exp_neg", "square", "sigmoid", "softmax", "cumsum", "flip", "sort", "clip")
BINARY = ("add", "mul", "sub", "max", "where", "outer_sum", "take")
FLOW = ("scan", "fori", "cond", "switch")
WRAP = ("jit", "vmap", "grad", "jvp", "checkpoint", "block")

leaf = st.tuples(st.sampled_from(UNARY), st.integers(0, 20)) | st.tuples(
    st.sampled_from(BINARY), st.integers(0, 20), st.integers(0, 20)
)
body = st.lists(leaf, min_size=1, max_size=3)
step = leaf | st.tuples(st.sampled_from(FLOW + WRAP), st.integers(0, 20), body)
programs = st.lists(step, min_size=1, max_size=5)


def bounded(np_: Any, x: Any) -> Any:
    return np_.tanh(x) + 0.1 * x / (1.0 + np_.abs(x))


def unary(np_: Any, name: str, x: Any) -> Any:
    table = {
        "exp_neg": lambda: np_.exp(-np_.square(x)),
        "sigmoid": lambda: 1.0 / (1.0 + np_.exp(-x)),
        "softmax": lambda: np_.exp(x - x.max()) / np_.sum(np_.exp(x - x.max())),
        "clip": lambda: np_.clip(x, -0.7, 0.9),
    }
    return table[name]() if name in table else getattr(np_, name)(x)


def binary(np_: Any, name: str, x: Any, y: Any) -> Any:
    if name == "where":
        return np_.where(x > y, x * y, y)
    if name == "outer_sum":
        return np_.sum(x[:, None] * y[None, :], axis=0)
    if name == "take":
        return x[np_.argsort(y)]
    names = {"add": "add", "mul": "multiply", "sub": "subtract", "max": "maximum"}
    return getattr(np_, names[name])(x, y)


def run(lib: Any, instructions: Any, x: Any, values: Any = ()) -> Any:
    """The last value of the program on the vector `x`."""
    np_, lax = lib.numpy, lib.lax
    values = [*values, x]
    for name, i, *rest in instructions:
        a = values[i % len(values)]
        if name in UNARY:
            out = unary(np_, name, a)
        elif name in BINARY:
            out = binary(np_, name, a, values[rest[0] % len(values)])
        else:
            out = composed(lib, np_, lax, name, lambda v, r=rest[0]: run(lib, r, v, values), a)
        values.append(bounded(np_, out))
    return values[-1]


def composed(lib: Any, np_: Any, lax: Any, name: str, f: Any, a: Any) -> Any:
    if name == "scan":
        carry, ys = lax.scan(lambda c, x: (f(c + x), c.sum()), a, np_.arange(3.0) / 3)
        return carry + ys.sum()
    if name == "fori":
        return lax.fori_loop(0, 2, lambda k, c: f(c * (1.0 + k)), a)
    if name == "cond":
        return lax.cond(a.sum() > 0, f, lambda v: v * 0.5, a)
    if name == "switch":
        index = np_.argmax(a).astype("int32")
        return lax.switch(index, [f, lambda v: -v, lambda v: v * v], a)
    if name == "jit":
        return lib.jit(f)(a)
    if name == "vmap":
        return lib.vmap(f)(np_.stack([a, a + 1.0])).sum(0)
    if name == "grad":
        return lib.grad(lambda v: f(v).sum())(a)
    if name == "jvp":
        return lib.jvp(f, (a,), (np_.ones_like(a),))[1]
    if name == "checkpoint":
        return lib.checkpoint(f)(a)
    return jaxcore.block(f, a, name="block") if lib is jaxcore else f(a)


def everything(lib: Any, instructions: Any) -> Any:
    """Value, gradient, second directional derivative, and the value over a batch."""

    def f(x: Any) -> Any:
        return run(lib, instructions, x)

    def loss(x: Any) -> Any:
        return lib.numpy.sum(f(x) * lib.numpy.arange(1.0, 1.0 + WIDTH))

    def all_of(x: Any) -> dict[str, Any]:
        return {
            "value": f(x),
            "gradient": lib.grad(loss)(x),
            "second": lib.jvp(lib.grad(loss), (x,), (lib.numpy.ones_like(x),))[1],
            "batch": lib.vmap(f)(lib.numpy.stack([x, -x])),
        }

    return all_of


def check(instructions: Any, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, WIDTH).astype(np.float32)
    want = jax.jit(everything(jax, instructions))(x)
    program = jaxcore.make_jaxpr(everything(jaxcore, instructions))(x)
    verify(program)
    for off in [(), *[tuple(n for n in PASSES if n != name) for name in PASSES]]:
        verify(simplified(program, off))  # every pass, and each by itself
    got = eager.execute(intern(program), [x])  # with every pass
    rolled, _ = arrange(program, ("cpu",), "rolled")
    verify(rolled)
    names = sorted(want)
    for name, a in zip(names, got, strict=True):
        np.testing.assert_allclose(a, want[name], rtol=2e-3, atol=2e-4, err_msg=name)


OPTIONS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=12, **OPTIONS)
@given(programs, st.integers(0, 9))
def test_random_programs(instructions, seed):
    check(instructions, seed)


@pytest.mark.slow
@settings(max_examples=30, **OPTIONS)
@given(st.lists(step, min_size=3, max_size=7), st.integers(0, 99))
def test_more_random_programs(instructions, seed):
    check(instructions, seed)
