"""A step that is not finite: by which parameters, leaves of the batch, and line."""

import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, random, train


class Net(nn.Module):
    def __call__(self, x):
        h = jnp.sqrt(nn.Dense(3, name="first")(x))  # the line that makes them
        return nn.Dense(1, name="last")(h)[:, 0]


class Root(train.Task):
    def loss(self, model, batch, ctx):
        return (model(batch["x"]) - 1.0) ** 2


def made(**more):
    return Root(model=Net(), tx=optax.sgd, lr=0.1, **more)


X = np.full((4, 2), -3.0, np.float32)


def below(params):
    """Parameters whose first layer gives negative numbers."""
    return {**params, "first": {**params["first"], "bias": jnp.full(3, -90.0)}}


@pytest.mark.slow
def test_gradients_are_named_and_the_line(toy):
    batch = {"x": X}
    state = train.init_state(made(), random.key(0), batch)
    state = state.replace(variables={"params": below(state.params)})
    said = train.not_finite(made(), state, batch)
    first, *rest = said.splitlines()
    assert first == (
        "gradient of first/bias, first/kernel, last/bias, last/kernel (all 4 parameters)"
    )
    assert "NaN in the forward pass" in rest[0]
    assert "the line that makes them" in said
    frozen = made(freeze=("last/**",))
    state = train.init_state(frozen, random.key(0), batch, state.variables)
    assert train.not_finite(frozen, state, batch).startswith("gradient of first/bias")


def test_the_batch_and_the_parameters_are_named():
    x = X.copy()
    x[1, 0] = np.inf
    batch = {"x": x, "number": np.arange(4)}
    state = train.init_state(made(), random.key(0), batch)
    params = {**state.params, "last": {**state.params["last"], "bias": jnp.array([jnp.nan])}}
    said = train.not_finite(made(), state.replace(variables={"params": params}), batch)
    assert said.splitlines()[0] == "the batch itself: x (1 of 2 leaves)"
    assert "parameters last/bias (1 of 4 parameters)" in said


def test_nothing_is_said_of_a_finite_step(toy):
    task, batch = toy.task(), toy.arrays(8)
    assert train.not_finite(task, train.init_state(task, random.key(0), batch), batch) == ""


@pytest.mark.parametrize("form", ["arrays", "an iterator"])
def test_a_run_that_ends_says_where_it_came_from(toy, form):
    x, y = toy.arrays(8)
    x[5, 0] = np.inf
    data = train.ArrayData((x, y), batch_size=4, shuffle=False)
    if form != "arrays":
        data = iter(list(data.batches(0)))
    trainer = toy.trainer(callbacks=[train.TerminateOnNaN(1)], log_every=train.Steps(1))
    with pytest.raises(train.TrainError, match=r"The state is the last good one\.") as found:
        trainer.fit(toy.task(optax.sgd, width=2), data, until=train.Steps(2))
    named = "the batch itself: 0 (1 of 2 leaves)" in str(found.value)
    assert named == (form == "arrays")
