"""The loop: what it trains on, measures, predicts and returns."""

import jax
import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, random, train


class Counted(train.Task):
    """Counts how often its methods are traced: once a compilation."""

    traces = None

    def loss(self, model, batch, ctx):
        self.traces.append("train" if ctx.train else "evaluate")
        x, y = batch
        error = model(x) - y
        return error**2, {"mae": jnp.abs(error)}

    def predict(self, model, batch, ctx):
        self.traces.append("predict")
        return {"y": model(batch[0]), "x": batch[0]}


@pytest.fixture(scope="module")
def trained(toy):
    """A task, its traces, 50 rows in batches of 8 (the last has 2), a trainer, a run of it."""

    class Task(Counted):
        traces = []

    task, trainer = toy.task(norm=True, rate=0.1, cls=Task), toy.trainer(log_every=train.Steps(2))
    with jax.numpy_rank_promotion("raise"):  # as in the tests, or these would compile again
        fit = trainer.fit(task, toy.data(), until=train.Epochs(3), val=toy.data(21))
    return task, trainer, fit


def test_short_batches_cost_no_second_compilation(trained):
    task, _, _ = trained
    assert task.traces.count("train") == 1
    assert task.traces.count("evaluate") == 1


def test_a_resumed_run_compiles_once_too(toy, tmp_path):
    class Task(Counted):
        traces = []

    for steps in (4, 8):  # of 3 in an epoch, the last of which is short; saved amid the second
        Task.traces.clear()
        trainer = toy.trainer(dir=tmp_path, callbacks=[train.ModelCheckpoint()])
        fit = trainer.fit(
            toy.task(cls=Task), toy.data(20), until=train.Steps(steps), val=toy.data(13)
        )
        assert len(fit.history["val/loss"]) > 1
        assert Task.traces.count("train") == Task.traces.count("evaluate") == 1


def test_it_learns_and_logs(trained):
    _, _, fit = trained
    assert fit.stop_reason == "reached 3 epochs"
    assert int(fit.state.step) == 21
    assert fit.history["loss"][-1] < fit.history["loss"][0] / 2
    assert [row["step"] for row in fit.history] == [2, 4, 6, 7, 8, 10, 12, 14, 16, 18, 20, 21]
    assert fit.history.series("val/loss")[0] == [7, 14, 21]
    assert fit.history.names[:5] == ["step", "epoch", "loss", "mae", "learning_rate"]
    assert fit.history["epoch"][-1] == 3


def test_validation_is_the_exact_mean_over_rows(toy, trained):
    task, trainer, fit = trained
    x, y = toy.arrays(21)
    errors = np.asarray(task.model.apply(fit.state.variables, x)) - y
    found = trainer.validate(task, toy.data(21), fit.state)
    assert found == {
        "val/loss": pytest.approx((errors**2).mean(), rel=1e-5),
        "val/mae": pytest.approx(np.abs(errors).mean(), rel=1e-5),
    }
    assert fit.history.last("val/loss") == found["val/loss"]
    assert list(trainer.test(task, toy.data(21), fit.state)) == ["test/loss", "test/mae"]
    batches = [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:], y[16:])]
    assert trainer.validate(task, iter(batches), fit.state) == pytest.approx(found, rel=1e-5)
    assert task.traces.count("evaluate") == 1


def test_predictions_are_in_order_and_without_padding(toy, trained):
    task, trainer, fit = trained
    x, y = toy.arrays(21)
    found = trainer.predict(task, toy.data(21, shuffle=False), fit.state)
    assert isinstance(found["y"], np.ndarray)
    np.testing.assert_array_equal(found["x"], x)
    expected = task.model.apply(fit.state.variables, x)
    np.testing.assert_allclose(found["y"], expected, rtol=1e-5, atol=1e-6)
    listed = trainer.predict(task, [(x[:8], y[:8]), (x[8:13], y[8:13])], fit.state)
    np.testing.assert_array_equal(listed["y"], found["y"][:13])
    assert task.traces.count("predict") == 1
    with pytest.raises(train.TrainError, match=r"shuffled data[\s\S]*shuffle=False"):
        trainer.predict(task, toy.data(21), fit.state)


def test_tests_and_predictions_of_the_first_batches(toy, trained):
    class Task(Counted):
        traces = []

    task, (_, whole, fit) = toy.task(norm=True, rate=0.1, cls=Task), trained
    x, y = toy.arrays(21)
    batches = [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:], y[16:])]
    ends = []
    trainer = toy.trainer(
        limit_val_batches=1, limit_test_batches=2, limit_predict_batches=2,
        callbacks=[train.LambdaCallback(on_test_end=lambda *_: ends.append("test"))],
    )  # fmt: skip
    val = whole.validate(task, batches[:1], fit.state)
    test = whole.test(task, batches[:2], fit.state)
    rows = toy.data(21, shuffle=False)
    for data in (rows, batches, {"a": rows, "b": batches}):
        found, tested = (do(task, data, fit.state) for do in (trainer.validate, trainer.test))
        for name in data if isinstance(data, dict) else [None]:
            at = f"/{name}/loss" if name else "/loss"
            assert (found[f"val{at}"], tested[f"test{at}"]) == (val["val/loss"], test["test/loss"])
    for data in (rows, batches, iter(batches)):
        np.testing.assert_array_equal(trainer.predict(task, data, fit.state)["x"], x[:16])
    assert ends == ["test"] * 4
    ends.clear()
    trainer.limit_test_batches = trainer.limit_predict_batches = trainer.limit_val_batches = 0
    assert [do(task, batches, fit.state) for do in (trainer.validate, trainer.test)] == [{}, {}]
    assert trainer.predict(task, batches, fit.state) is None and ends == []
    trainer.fast_dev_run = 1
    assert trainer.validate(task, batches, fit.state) == val
    assert len(trainer.predict(task, batches, fit.state)["y"]) == 8


def test_measuring_needs_a_batch(trained):
    task, trainer, fit = trained
    for method in (trainer.validate, trainer.test, trainer.predict):
        with pytest.raises(train.TrainError, match="yields no batch"):
            method(task, [], fit.state)


def test_a_loop_by_hand_is_the_same_run(toy):
    """The trainer adds nothing to the step: batches by hand, padding by hand, same bits."""
    task, data = toy.task(rate=0.2), toy.data(20)
    fit = toy.trainer(seed=3).fit(task, data, until=train.Epochs(2))
    state = train.init_state(task, random.key(3), next(iter(data)))
    step = train.make_step(task)
    for epoch in range(2):
        for x, y in data.batches(epoch):
            fill = np.arange(8) % len(x)
            state, _ = step(state, (x[fill], y[fill]), np.arange(8) < len(x))
    toy.equal(fit.state, state)


def test_metrics_stay_on_the_device_between_log_points(toy, monkeypatch):
    reads = []
    array = type(jnp.zeros(()))
    for name in ("__array__", "__float__", "__int__", "__bool__", "__index__", "item", "tolist"):
        monkeypatch.setattr(array, name, _noting(getattr(array, name), reads))
    for name in ("asarray", "array"):
        monkeypatch.setattr(np, name, _noting(getattr(np, name), reads))
    monkeypatch.setattr(jax, "device_get", _noting(jax.device_get, reads))
    at_step = {}

    class Watch(train.Callback):
        def on_step_end(self, run):
            at_step[run.step] = len(reads)
            self.guard("allow" if run.step % 5 == 0 else "disallow")

        def on_log(self, run, row):
            self.guard("disallow")

        def guard(self, level):  # of no effect on the CPU, where reading is no transfer
            jax.config.update("jax_transfer_guard_device_to_host", level)

    trainer = toy.trainer(callbacks=[Watch()], log_every=train.Steps(5))
    try:
        trainer.fit(toy.task(), toy.data(40), until=train.Steps(10))
    finally:
        jax.config.update("jax_transfer_guard_device_to_host", None)
    between = [at_step[step + 1] - at_step[step] for step in range(1, 10)]
    assert [count > 0 for count in between] == [step == 5 for step in range(1, 10)]


def _noting(function, reads):
    def noted(value, *args, **kwargs):
        if isinstance(value, jax.Array):
            reads.append(function)
        return function(value, *args, **kwargs)

    return noted


def test_the_given_state_is_copied_and_trained_on(toy):
    task, data = toy.task(optax.sgd(0.0), None), toy.data(8)
    state = train.init_state(task, random.key(5), next(iter(data)))
    fit = toy.trainer().fit(task, data, until=train.Steps(2), state=state)
    toy.equal(fit.state.params, state.params)  # and so the given one is not deleted
    assert int(fit.state.step) == 2


def test_a_scalar_loss_trains_until_a_batch_is_short(toy):
    class Averaged(toy.Regression):
        def loss(self, model, batch, ctx):
            losses, _ = super().loss(model, batch, ctx)
            return jnp.mean(losses)

    task = toy.task(cls=Averaged)
    fit = toy.trainer().fit(task, toy.data(16), until=train.Epochs(1))
    plain = toy.trainer().fit(toy.task(), toy.data(16), until=train.Epochs(1))
    assert fit.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-5)
    with pytest.raises(train.ScalarLossError, match=r"Averaged.loss[\s\S]*remainder='drop'"):
        toy.trainer().fit(task, toy.data(12), until=train.Epochs(1))


@pytest.mark.parametrize("form", ["dict", "generator", "floats"])
def test_data_in_other_forms(toy, form):
    class Other(toy.Regression):
        def loss(self, model, batch, ctx):
            return (model(batch["x"]) - batch["y"]) ** 2

    x, y = toy.arrays(16)
    if form == "dict":
        task, data = toy.task(cls=Other), train.ArrayData({"x": x, "y": y}, batch_size=8)
    elif form == "generator":
        task, data = toy.task(), ((x[i : i + 8], y[i : i + 8]) for i in (0, 8))
    else:  # NumPy's own float64, as a newcomer has it
        task, data = toy.task(), [(x.astype(float), y.astype(float))] * 2
    fit = toy.trainer().fit(task, data, until=train.Epochs(1))
    assert int(fit.state.step) == 2
    assert np.isfinite(fit.history.last("loss"))
    assert fit.state.params["out"]["kernel"].dtype == jnp.float32


def test_a_skipped_step_is_counted_in_the_log(toy):
    x, y = toy.arrays(24)
    bad = x.copy()
    bad[9] = np.inf
    fit = toy.trainer().fit(
        toy.task(), train.ArrayData((bad, y), batch_size=8, shuffle=False), until=train.Epochs(2)
    )
    assert fit.history["skipped"] == [1, 1]
    assert np.isfinite(fit.state.params["out"]["kernel"]).all()


def test_mistakes_in_a_task(toy):
    x, y = toy.arrays(8)

    def begin(cls, batch=(x, y), model=None):
        task = cls(model=model or toy.Net(), tx=optax.sgd(0.1))
        state = train.init_state(task, random.key(0), batch)
        return task, state

    with pytest.raises(train.TrainError, match=r"`model` is a class[\s\S]*model=Net\(\)"):
        train.Task(model=toy.Net, tx=optax.sgd(0.1))
    with pytest.raises(train.TrainError, match=r"Task defines no loss[\s\S]*def loss\("):
        train.make_eval_step(train.Task(model=toy.Net(), tx=optax.sgd(0.1)))(
            begin(train.Task)[1], (x, y)
        )
    with pytest.raises(train.TrainError, match=r"a dict with \['image'\][\s\S]*override `inputs\("):
        begin(train.Task, {"image": x})
    with pytest.raises(train.TrainError, match=r"several modules[\s\S]*init_modules"):
        begin(train.Task, model={"a": toy.Net(), "b": toy.Net()})

    class NoVariables(train.Task):
        def init(self, key, batch):
            return {"weights": {}}

    with pytest.raises(train.TrainError, match=r"NoVariables.init[\s\S]*\['weights'\]"):
        begin(NoVariables)

    with pytest.raises(train.TrainError, match=r"got: +dict[\s\S]*init_state\(task, key, batch"):
        train.make_eval_step(toy.task())({"params": {}}, (x, y))

    class Averages(train.Task):
        def predict(self, model, batch, ctx):
            return jnp.mean(model(batch[0]))

    task, state = begin(Averages)
    with pytest.raises(train.TrainError, match=r"Averages.predict` lost[\s\S]*shape \(\) for 8"):
        train.make_predict_step(task)(state, (x, y))
    with pytest.raises(train.TrainError, match=r"8 rows, accumulate=3[\s\S]*batch size of 6"):
        train.make_step(toy.task(), accumulate=3)(
            train.init_state(toy.task(), random.key(0), (x, y)), (x, y)
        )
    for name in ("accumulate", "steps_per_call"):
        with pytest.raises(train.TrainError, match=f"`{name}`"):
            train.make_step(task, **{name: 0})


def test_modules_by_name(toy):
    several = train.Model({"a": toy.Net(), "b": toy.Net()}, {"params": {}})
    with pytest.raises(train.TrainError, match=r"several modules[\s\S]*model\['a'\]"):
        several(1)
    with pytest.raises(train.TrainError, match=r"no module 'c'[\s\S]*\['a', 'b'\]"):
        several["c"]
    with pytest.raises(train.TrainError, match="a single module"):
        train.Model(toy.Net(), {"params": {}})["a"]


def test_predictions_of_batches_with_buckets(rng):
    class Tokens(train.Task):
        def predict(self, model, batch, ctx):
            y = model(batch["x"])
            return y.sum((1, 2)) if self.lr is None else y

    batches = [{"x": rng.standard_normal((2, n, 3), np.float32)} for n in (3, 4, 6)]
    trainer = train.Trainer(callbacks=[], buckets={"x": {1: "length"}})
    task = Tokens(model=nn.Dense(1, use_bias=False), tx=optax.sgd(0.1))
    state = train.init_state(task, random.key(0), batches[0])
    want = np.concatenate([(b["x"] @ state.params["kernel"]).sum((1, 2)) for b in batches])
    np.testing.assert_allclose(trainer.predict(task, batches, state), want, rtol=1e-5, atol=1e-6)
    uneven = Tokens(model=task.model, tx=optax.sgd, lr=0.1)
    with pytest.raises(train.TrainError, match="differ from batch to batch"):
        trainer.predict(uneven, batches, train.init_state(uneven, random.key(0), batches[0]))
