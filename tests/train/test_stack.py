"""Equal layers kept as one array through training: the same run, another layout."""

import jax
import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, train


class Tower(nn.Module):
    depth: int = 4

    def __call__(self, x):
        for i in range(self.depth):
            x = x + nn.tanh(nn.Dense(4, name=f"block_{i}")(x))
        return nn.Dense(1, name="out")(x)[:, 0]


class Fit(train.Task):
    def loss(self, model, batch, ctx):
        penalty = 1e-3 * jnp.sum(model.params["block_1"]["kernel"] ** 2)
        return (model(batch[0]) - batch[1]) ** 2 + penalty


def fit(toy, data, until, **task):
    trainer = toy.trainer(**task.pop("trainer", {}))
    task = Fit(model=Tower(), tx=optax.adamw, lr=1e-2, clip_norm=0.5, **task)
    return trainer.fit(
        task,
        train.ArrayData(data, batch_size=10),
        until=until,
        val=train.ArrayData(data, batch_size=20),
    )


def test_a_stacked_run_is_the_plain_run(toy, tmp_path):
    data, until = toy.arrays(40), train.Epochs(2)
    average = train.Average(0.9)
    plain = fit(toy, data, until, average=average)
    run = fit(toy, data, until, average=average, stack=("block_*",))
    assert run.state.params["block_*"]["kernel"].shape == (4, 4, 4)
    moments = [x.shape for x in jax.tree.leaves(run.state.opt_state) if x.ndim == 3]
    assert moments == [(4, 4, 4)] * 2
    for a, b in zip(*map(jax.tree.leaves, (run.state.eval_variables, plain.state.eval_variables))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(run.history["val/loss"], plain.history["val/loss"], rtol=1e-5)
    y = Tower().apply(run.state.eval_variables, data[0])
    assert y.shape == (40,)


def test_a_stacked_run_goes_on_from_its_checkpoint(toy, tmp_path):
    data = toy.arrays(40)
    whole = fit(toy, data, train.Epochs(2), stack=("block_*",))
    settings = {"dir": tmp_path, "callbacks": [train.ModelCheckpoint()]}
    fit(toy, data, train.Epochs(1), stack=("block_*",), trainer=settings)
    assert len(train.list_checkpoints(tmp_path)) == 1
    resumed = fit(toy, data, train.Epochs(2), stack=("block_*",), trainer=settings)
    toy.equal(resumed.state, whole.state)
    variables = train.load_variables(tmp_path)  # each layer by its name, as the model wants them
    toy.equal(variables["params"], resumed.state.eval_variables["params"])


def test_callbacks_change_how_a_stack_is_trained(toy):
    """Layers that are a stack by now are not stacked once more."""
    data, until = toy.arrays(40), train.Epochs(2)

    def callbacks():
        finder = train.LearningRateFinder(update=False, num_training_steps=3)
        later = train.BackboneFinetuning("out/**", unfreeze_backbone_at_epoch=1)
        return {"callbacks": [finder, later, train.GradientAccumulationScheduler({1: 2})]}

    plain = fit(toy, data, until, trainer=callbacks())
    run = fit(toy, data, until, stack=("block_*",), trainer=callbacks())
    assert set(run.state.opt_state) == {"out/**", "**"}
    for a, b in zip(*map(jax.tree.leaves, (run.state.eval_variables, plain.state.eval_variables))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("back", [False, True])
def test_layers_become_a_stack_and_the_other_way(toy, tmp_path, back):
    batch = toy.arrays(4)

    def state(seed, stack):
        task = Fit(model=Tower(), tx=optax.adamw, lr=1e-2, stack=stack, average=train.Average())
        state = train.init_state(task, jax.random.key(seed), batch)
        mu = jax.tree.map(lambda x: x + seed, state.params)
        adam, *rest = state.opt_state["**"].inner
        group = state.opt_state["**"]._replace(inner=(adam._replace(mu=mu), *rest))
        return state.replace(opt_state={"**": group})

    old = state(1, ("block_*",) if back else ())
    new = state(2, () if back else ("block_*",))
    path = train.save_checkpoint(tmp_path / "one", old, {})
    got, report = train.load_partly(path, new)
    mu = lambda s: nn.unstack_layers(s.opt_state["**"].inner[0].mu)
    toy.equal(got.eval_variables, old.eval_variables)
    toy.equal(mu(got), mu(old))
    here, there = ("block_0", "block_*/kernel[0]") if back else ("block_*", "block_0/kernel ... ")
    assert any(f"params/{there}" in line and f"{here}/kernel" in line for line in report.renamed)
    assert jax.tree.structure(got) == jax.tree.structure(new)


def test_freezing_speaks_of_the_stack(toy):
    run = fit(toy, toy.arrays(20), train.Steps(1), stack=("block_*",), freeze=("block_*/**",))
    start = train.init_state(
        Fit(model=Tower(), tx=optax.sgd(0.1), stack=("block_*",)),
        jax.random.key(0),
        toy.arrays(20),
    )
    assert not any(x.ndim == 3 for x in jax.tree.leaves(run.state.opt_state))
    assert start.params["block_*"]["kernel"].shape == (4, 4, 4)


def test_a_stack_of_nothing_is_a_mistake(toy):
    with pytest.raises(nn.InputError, match="nothing matches 'layer_\\*'"):
        fit(toy, toy.arrays(20), train.Steps(1), stack=("layer_*",))
