"""The debug mode names the forward line, module path and loop iteration of the first NaN.

Born in the forward pass, the backward pass, a scan's forward, a scan's backward: 4 of 4.
"""

from inspect import unwrap

import jax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import debug, lax, nn, random

X = jnp.array([4.0, 1.0, 0.0])


class Root(nn.Module):
    def __call__(self, x):
        shift = self.param("shift", nn.initializers.zeros, ())
        return jnp.sqrt(x - shift)  # + 2: the line to be named


class Clipped(nn.Module):
    def __call__(self, x):
        shift = self.param("shift", nn.initializers.zeros, ())
        y = jnp.maximum(x - shift, 0.0)
        return jnp.where(y > 0, jnp.sqrt(y), 0.0)  # + 3: its value is fine, its slope is not


class Steps(nn.Module):
    step: nn.Module

    def __call__(self, x):
        def body(carry, x):
            return carry - 1.0, self.step(carry - 1.0) + x

        return lax.scan(body, x[0], x)[1]


class Model(nn.Module):
    layer: nn.Module

    def __call__(self, x):
        return jnp.sum(self.layer(x))


# where it is born: (module, what runs, its operand, line after the head, phase, iteration)
BIRTHS = {
    "forward": (Root(), "loss", X - 3.0, 2, "forward", ()),
    "backward": (Clipped(), "gradient", X, 3, "backward", ()),
    "scan forward": (Steps(Root()), "loss", X - 2.0, 2, "forward", (2,)),
    "scan backward": (Steps(Clipped()), "gradient", X - 1.0, 3, "backward", (2,)),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", BIRTHS)
def test_birth(name, compiled):
    layer, what, x, offset, phase, iteration = BIRTHS[name]
    model = Model(layer)
    variables = model.init(random.key(0), X)

    def loss(variables, x):
        return model.apply(variables, x)

    function = loss if what == "loss" else jaxcore.grad(loss)
    function = jaxcore.jit(function) if compiled else function
    report = debug.find_nan(function)(variables, x)
    inner = getattr(layer, "step", layer)
    path = "layer/step" if inner is not layer else "layer"
    assert report.line == unwrap(type(inner).__call__).__code__.co_firstlineno + offset
    assert (report.phase, report.iteration, report.module) == (phase, iteration, path)
    if not compiled:
        return
    with jax.debug_nans(True), pytest.raises(FloatingPointError) as caught:
        function(variables, x)
    message = str(caught.value)
    assert f"{report.filename}:{report.line}" in message and report.text in message
    assert f"Module: {path}" in message and f"in the {phase} pass" in message
    assert not iteration or "iteration 2" in message


@pytest.mark.parametrize("name", BIRTHS)
def test_nothing_is_found_where_there_is_none(name):
    layer, what, _, *_ = BIRTHS[name]
    model = Model(layer)
    variables = model.init(random.key(0), X)
    function = model.apply if what == "loss" else jaxcore.grad(model.apply)
    assert debug.find_nan(jaxcore.jit(function))(variables, X + 5.0) is None
