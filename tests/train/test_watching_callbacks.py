"""Callbacks that watch rates, speeds, memory, time and predictions, or act on a metric."""

import io
import math
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import optax
import pytest
from rich.console import Console

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random, train
from jaxcore.train.optimizer import scale_rates, set_rate


def run_of(**more):
    run = train.Run(
        task=None, until=train.Epochs(1), source=None, example=None, dir=None,
        console=Console(file=io.StringIO()), validates=True,
    )  # fmt: skip
    for name, value in more.items():
        setattr(run, name, value)
    return run


def state_with(lr):
    return SimpleNamespace(opt_state={"**": train.inject(optax.sgd, lr).init({"w": jnp.ones(1)})})


def reductions(values, **kwargs):
    """The rate after each check, starting from 1."""
    run, callback = run_of(), train.ReduceLROnPlateau(**kwargs)
    run.state = train.State(0, {}, state_with(1.0).opt_state, None)
    callback.on_fit_start(run)
    rates = []
    for step, value in enumerate(values):
        callback.on_log(run, {"step": step, "loss": 0.0})
        callback.on_log(run, {"step": step, "val/loss": value})
        rates.append(float(run.state.opt_state["**"].learning_rate))
        again = train.ReduceLROnPlateau(**kwargs)  # as after a resume
        again.restore(callback.state())
        callback = again
    return rates


@pytest.mark.parametrize(
    ("kwargs", "values", "rates"),
    [
        ({"patience": 2}, [3, 3, 3, 3, 3], [1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 2, "factor": 0.5}, [3, 2, 1, 1, 0.5, 0.5], [1] * 6),
        ({"patience": 1, "cooldown": 2}, [3] * 5, [1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 1, "min_lr": 0.05}, [3] * 4, [1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 3], [1, 1, 1, 0.1]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4], [1, 0.1, 0.1]),
        ({"patience": 1}, [3, math.nan, math.nan], [1, 0.1, 0.01]),
    ],
)
def test_a_plateau_reduces_the_rate(kwargs, values, rates):
    assert reductions(values, **kwargs) == pytest.approx(rates)


def test_the_rate_of_a_schedule_is_reduced_by_a_factor(toy):
    schedule = optax.linear_schedule(1.0, 0.0, 10)
    tx = train.inject(optax.sgd, schedule)
    state = tx.init({"w": jnp.ones(1)})
    for _ in range(3):
        updates, state = tx.update({"w": jnp.ones(1)}, state)
    state = scale_rates({"**": state}, 0.5)["**"]
    updates, state = tx.update({"w": jnp.ones(1)}, state)
    assert float(updates["w"][0]) == pytest.approx(-0.5 * 0.7)
    assert float(state.learning_rate) == pytest.approx(0.35)
    state = set_rate({"**": state}, "**", schedule, 2.0)["**"]
    assert float(tx.update({"w": jnp.ones(1)}, state)[0]["w"][0]) == pytest.approx(-1.2)
    plain = {"**": optax.sgd(1.0).init({"w": jnp.ones(1)})}
    with pytest.raises(train.TrainError, match="not a value that can be changed"):
        scale_rates(plain, 0.5)


def test_the_rate_logged_is_the_rate_applied(toy):
    """Plain gradient descent tells the rate it used: the change over the gradient."""

    class Slope(train.Task):
        def loss(self, model, batch, ctx):
            return model.params["hidden"]["bias"][0] * jnp.ones(len(batch[1]))

    seen = []
    note = train.LambdaCallback(
        on_step_end=lambda run: seen.append(float(run.state.params["hidden"]["bias"][0]))
    )
    task, data = toy.task(optax.sgd, train.one_cycle(1.0), cls=Slope), toy.data(32)
    trainer = toy.trainer(callbacks=[note, train.LearningRateMonitor("step")])
    fit = trainer.fit(task, data, until=train.Epochs(2))
    applied = -np.diff([0.0, *seen])
    assert fit.history["learning_rate"] == pytest.approx(applied, rel=1e-4, abs=1e-6)
    assert max(applied) > 0.5 and fit.history["step"] == list(range(1, 9))
    with pytest.raises(train.TrainError, match="number of steps of the run"):
        trainer.fit(task, data, until=train.Seconds(1))
    with pytest.raises(train.TrainError, match="does not know how long"):
        task.lr(0)


def test_momentum_and_decay_in_the_log(toy):
    tx = optax.inject_hyperparams(optax.adamw)(1e-3, weight_decay=0.1)
    monitor = train.LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
    trainer = toy.trainer(callbacks=[monitor], log_every=train.Steps(99))
    fit = trainer.fit(toy.task(tx, None), toy.data(16), until=train.Epochs(2))
    assert fit.history["momentum"] == pytest.approx([0.9] * 2)
    assert fit.history["weight_decay"] == pytest.approx([0.1] * 2)
    assert fit.history["step"] == [2, 4]
    with pytest.raises(train.TrainError, match="`logging_interval`"):
        train.LearningRateMonitor("batch")


def test_rates_that_are_tried(toy):
    data = toy.data(32, shuffle=False)
    settings = {"min_lr": 1e-4, "max_lr": 10.0, "num_training_steps": 12}
    finder = train.LearningRateFinder(early_stop_threshold=None, **settings)
    seen = {}
    note = train.LambdaCallback(on_step_end=lambda run: seen.update(rate=run.state))
    task = toy.task(optax.sgd, 0.123)
    trainer = toy.trainer(callbacks=[finder, note], log_every=train.Steps(1))
    fit = trainer.fit(task, data, until=train.Steps(1))
    assert finder.result.rates == pytest.approx([1e-4 * 10 ** (5 * i / 12) for i in range(12)])
    assert finder.suggestion in finder.result.rates
    assert fit.history["learning_rate"] == pytest.approx([finder.suggestion])
    # The run itself begins where it would have begun without.
    plain = toy.trainer().fit(toy.task(optax.sgd, finder.suggestion), data, until=train.Steps(1))
    toy.equal(fit.state.params, plain.state.params)

    diverging = train.lr_range_test(
        task, None, [toy.arrays(8)] * 40, key=random.key(0), min_lr=1e-2, max_lr=1e5,
        num_training_steps=40, mode="linear",
    )  # fmt: skip
    assert len(diverging.rates) < 40
    assert diverging.rates[1] - diverging.rates[0] == pytest.approx(1e5 / 40, rel=1e-3)
    nothing = train.RangeTest([1.0, 2.0], [math.nan, 1.0])
    assert nothing.suggestion(skip_begin=0) is None
    for bad, words in ((toy.task(optax.sgd, lambda count: 0.1), "sets a number"),):
        with pytest.raises(train.TrainError, match=words):
            trainer.fit(bad, data, until=train.Steps(1))


def test_speeds_in_the_log(toy):
    task, data = toy.task(), toy.data(20)  # batches of 8, 8 and 4
    monitor = train.ThroughputMonitor(peak_flops=1e12)
    trainer = toy.trainer(callbacks=[monitor, train.DeviceStatsMonitor()])
    fit = trainer.fit(task, data, until=train.Epochs(3))
    first, second, _ = fit.history.rows
    assert "samples_per_second" not in first
    elapsed = second["seconds"] - first["seconds"]
    assert second["samples_per_second"] == pytest.approx(20 / elapsed, rel=0.5)
    flops = train.step_flops(task, fit.state, toy.arrays(8))
    # Forward, and both operands' gradients but the input's, of the two products of 8 rows.
    assert 2 * 8 * (4 * 8 * 2 + 8 * 3) < flops < 10 * 2 * 8 * (4 * 8 * 2 + 8 * 3)
    ratio = second["flops_per_second"] / second["samples_per_second"]
    assert ratio == pytest.approx(3 * flops / 20)
    assert second["mfu"] == pytest.approx(second["flops_per_second"] / 1e12)
    assert second["host/peak_megabytes"] > 10 and second["host/cpu_seconds"] > 0


def test_tokens_are_counted_without_padding(toy):
    class Words(train.Task):
        def loss(self, model, batch, ctx):
            return model(jnp.ones((len(batch), 4))) ** 2

        def init(self, key, batch):
            return self.model.init(key, jnp.ones((1, 4)))

    data = train.ArrayData(np.zeros((5, 3), np.int32), batch_size=2)
    task = Words(model=toy.Net(), tx=optax.sgd(0.1))
    seen = []
    note = train.LambdaCallback(on_step_end=lambda run: seen.append((run.samples, run.tokens)))
    trainer = toy.trainer(callbacks=[note], log_every=train.Tokens(7))
    fit = trainer.fit(task, data, until=train.Tokens(24))
    assert seen == [(2, 6), (4, 12), (5, 15), (7, 21), (9, 27)]
    assert fit.history["step"] == [2, 3, 4, 5]  # past 7, 14, 21, and the end
    assert fit.stop_reason == "reached 24 tokens"
    with pytest.raises(train.TrainError, match="does not say what a token is"):
        trainer.fit(toy.task(), toy.data(8), until=train.Steps(1))


@pytest.mark.parametrize(
    "duration", ["00:00:01:30", timedelta(seconds=90), {"minutes": 1.5}, train.Seconds(90)]
)
def test_a_timer_counts_all_of_a_run(duration):
    timer = train.Timer(duration)
    run = run_of(seconds=80.0)
    timer.on_fit_start(run)
    timer.on_step_end(run)
    assert run.stop_reason is None
    assert (timer.time_elapsed(), timer.time_remaining()) == (80, 10)
    run.seconds = 90.0
    timer.on_step_end(run)
    assert run.stop_reason == "90 seconds are over"
    late = run_of(seconds=91.0, epoch_ended=False)  # resumed after its time
    train.Timer(duration).on_fit_start(late)
    assert late.stop_reason is not None


def test_a_timer_by_epoch_and_its_mistakes():
    timer, run = train.Timer({"seconds": 1}, interval="epoch"), run_of(seconds=0.0)
    timer.on_fit_start(run)
    run.seconds = 2.0
    timer.on_step_end(run)
    assert run.stop_reason is None
    run.epoch_ended = True
    timer.on_step_end(run)
    assert run.stop_reason is not None
    assert train.Timer().time_remaining() is None
    for wrong in ("12:00", 90, "a:b:c:d"):
        with pytest.raises(train.TrainError, match="no stretch of time"):
            train.Timer(wrong)
    with pytest.raises(train.TrainError, match="`interval`"):
        train.Timer(interval="batch")


def test_functions_as_methods():
    heard = []
    callback = train.LambdaCallback(on_log=lambda run, row: heard.append(row), on_fit_end=len)
    callback.on_log(None, {"step": 1})
    callback.on_epoch_end(None)
    assert heard == [{"step": 1}]
    with pytest.raises(train.TrainError, match=r"'on_batch'[\s\S]*on_step_end"):
        train.LambdaCallback(on_batch=print)


@pytest.mark.parametrize("interval", ["batch", "epoch", "batch_and_epoch"])
def test_predictions_are_written_as_they_come(toy, interval):
    class Writer(train.BasePredictionWriter):
        def write_on_batch_end(self, outputs, rows, number):
            written.append((number, list(rows), outputs))

        def write_on_epoch_end(self, outputs):
            written.append(outputs)

    written = []
    task, x = toy.task(), toy.arrays(5)[0]
    state = train.init_state(task, random.key(0), (x,))
    trainer = toy.trainer(callbacks=[Writer(interval)])
    batches = [(x[:2],), (x[2:4],), (x[4:],)]
    found = trainer.predict(task, batches, state)
    by_batch = [item for item in written if isinstance(item, tuple)]
    assert [item[:2] for item in by_batch] == (
        [] if interval == "epoch" else [(0, [0, 1]), (1, [2, 3]), (2, [4])]
    )
    if interval != "epoch":
        np.testing.assert_array_equal(np.concatenate([item[2] for item in by_batch]), found)
    assert (written[-1] is found) == (interval != "batch")
    if interval == "batch":
        assert trainer.predict(task, batches, state, collect=False) is None
    else:
        with pytest.raises(train.TrainError, match=r"leave out collect=False"):
            trainer.predict(task, batches, state, collect=False)
    with pytest.raises(train.TrainError, match="`write_interval`"):
        train.BasePredictionWriter("step")


def test_the_bar_of_tqdm(toy, capsys):
    tqdm = pytest.importorskip("tqdm")
    assert tqdm
    source = SimpleNamespace(steps_per_epoch=4)
    for rate, shown in ((2, True), (0, False)):
        run, bar = run_of(source=source), train.TQDMProgressBar(rate)
        bar.on_fit_start(run)
        for run.step in range(1, 5):
            bar.on_step_end(run)
            bar.on_log(run, {"step": run.step, "loss": 0.5, "gradient_norm": 3.0})
        bar.on_fit_end(run)
        text = capsys.readouterr().out
        assert ("4/4" in text and "loss 0.5000" in text and "gradient" not in text) == shown


def test_a_trace_of_some_steps(toy, tmp_path):
    run = run_of(dir=tmp_path, state=jnp.ones(1))
    calls, trace = [], train.ProfilerTrace(3, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxcore.profiler, "start_trace", lambda path: calls.append((run.step, path)))
        patch.setattr(jaxcore.profiler, "stop_trace", lambda: calls.append(run.step))
        trace.on_fit_start(run)
        for step in range(1, 7):
            run.before, run.step = run.position, step
            trace.on_step_end(run)
        trace.on_fit_end(run)
    assert calls == [(2, tmp_path / "trace"), 4]  # from after step 2 to after step 4
    with pytest.raises(train.TrainError, match="1 < first"):
        train.ProfilerTrace(1, 3)
    with pytest.raises(train.TrainError, match="nowhere to write"):
        train.ProfilerTrace(2, 3).on_fit_start(run_of())


def test_a_backup_is_gone_once_the_run_has_ended_well(toy, tmp_path):
    def stop(run):
        if run.step == 3:
            raise RuntimeError("lost")

    def fit(*callbacks, **kwargs):
        trainer = toy.trainer(
            dir=tmp_path, callbacks=[train.BackupAndRestore(train.Steps(2), **kwargs), *callbacks]
        )
        return trainer.fit(toy.task(), toy.data(16), until=train.Steps(5))

    with pytest.raises(RuntimeError):
        fit(train.LambdaCallback(on_step_end=stop))
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == [2]
    assert int(fit().state.step) == 5
    assert train.list_checkpoints(tmp_path) == []
    fit(delete_checkpoint=False)
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == [5]
