"""What callbacks compute of gradients and updates inside the compiled step."""

import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import random, train
from jaxcore.train.gradients import make_gradient


class Watch(train.Callback):
    traced = 0

    def inside_step(self, inside):
        self.traced += 1
        leaves = [inside.gradient["out"]["bias"], inside.updates["out"]["bias"]]
        return {
            "gradient": jnp.sum(leaves[0]),
            "update": jnp.sum(leaves[1]),
            "before": inside.params["out"]["bias"][0],
            "done": inside.step,
            "largest": train.Last(inside.loss),
        }


def test_it_is_part_of_the_one_program(toy):
    watch, rate = Watch(), 0.25
    task, data = toy.task(optax.sgd, rate), toy.data(24, shuffle=False)
    trainer = toy.trainer(callbacks=[watch], log_every=train.Steps(1))
    history = trainer.fit(task, data, until=train.Epochs(2)).history
    assert watch.traced == 1
    state, step = train.init_state(task, random.key(0), next(data.batches(0))), None
    step, gradient = train.make_step(task, donate=False), make_gradient(task)
    for number, (row, batch) in enumerate(zip(history, [*data.batches(0)] * 2, strict=True)):
        loss, grads = gradient(state, batch)
        bias, grad = float(state.params["out"]["bias"][0]), float(grads["out"]["bias"][0])
        wanted = {
            "gradient": grad, "update": -rate * grad, "before": bias, "done": number,
            "largest": float(loss),
        }  # fmt: skip
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        state, _ = step(state, batch)


def test_norms_of_layers(toy):
    task = toy.task(freeze=("hidden/bias",))
    trainer = toy.trainer(
        callbacks=[train.OptimizerMonitor(), train.ProgressBar()], log_every=train.Steps(1)
    )
    history = trainer.fit(task, toy.data(16), until=train.Steps(2)).history
    layers = [history[f"{layer}/gradient_norm"] for layer in ("hidden", "out")]
    together = np.sqrt(np.square(layers).sum(0))
    np.testing.assert_allclose(together, history["gradient_norm"], rtol=1e-5)
    assert {"hidden/update_norm", "out/parameter_norm"} <= set(history.names)
    assert "_norm" not in trainer.console.file.getvalue()  # a person does not want to see all that
    deep = train.OptimizerMonitor(2)
    trainer = toy.trainer(callbacks=[deep])
    names = trainer.fit(task, toy.data(16), until=train.Steps(1)).history.names
    assert "hidden/kernel/gradient_norm" in names and "hidden/bias/gradient_norm" not in names


def test_every_so_often(toy):
    watch = [train.OptimizerMonitor(), train.OptimizerMonitor(every=train.Steps(2))]
    rows = [
        toy.trainer(callbacks=[one], log_every=train.Steps(1))
        .fit(toy.task(), toy.data(16), until=train.Steps(4))
        .history["out/gradient_norm"]
        for one in watch
    ]
    always, seldom = map(np.array, rows)
    np.testing.assert_allclose(seldom, np.where([False, True, False, True], always, np.nan))


@pytest.mark.parametrize("settings", [{"steps_per_call": 2}, {"accumulate": 2}])
def test_the_mean_of_a_row_is_that_of_its_steps(toy, settings):
    def fit(**more):
        watch = train.LambdaCallback(inside_step=lambda inside: {"seen": inside.loss})
        trainer = toy.trainer(callbacks=[watch], log_every=train.Steps(2), **more)
        return trainer.fit(toy.task(), toy.data(32, shuffle=False), until=train.Steps(4)).history

    history = fit(**settings)
    np.testing.assert_allclose(history["seen"], history["loss"], rtol=1e-6)
    np.testing.assert_allclose(history["seen"], fit()["seen"], rtol=1e-5)


def test_mistakes(toy):
    class Vector(train.Callback):
        def inside_step(self, inside):
            return {"bias": inside.gradient["hidden"]["bias"]}

    with pytest.raises(train.TrainError, match=r"`bias` of a watched step[\s\S]*shape \(8,\)"):
        toy.trainer(callbacks=[Vector()]).fit(toy.task(), toy.data(8), until=train.Steps(1))
    with pytest.raises(train.TrainError, match=r"`every`[\s\S]*Steps\(n\)"):
        train.OptimizerMonitor(every=train.Epochs(1))
