"""A run that was interrupted ends as the one that was not, to the bit."""

import numpy as np
import optax
import pytest

from jaxcore import random, train


class StopAt(train.Callback):
    """Ends a run after a step, as a machine that is taken away would."""

    def __init__(self, step, now=False):
        self.step, self.now = step, now

    def on_step_end(self, run):
        if run.step == self.step:
            run.request_save()
            run.request_stop("taken away", now=self.now)


def settings(toy, run_dir, *callbacks):
    callbacks = [*callbacks, train.ModelCheckpoint(save_last=9)]
    return toy.trainer(dir=run_dir, callbacks=callbacks, log_every=train.Steps(4))


@pytest.fixture(scope="module")
def everything(toy):
    """Dropout, statistics, a schedule, shuffling, augmentation; and the uninterrupted run."""

    def jitter(batch, rng):
        x, y = batch
        return x + rng.normal(size=x.shape).astype(np.float32), y

    def schedule(count):
        return 0.1 / (1.0 + count)

    task = toy.task(lr=schedule, norm=True, rate=0.4)
    data = toy.data(transform=jitter)  # 7 batches, the last with 2 rows
    whole = toy.trainer(log_every=train.Steps(4)).fit(
        task, data, until=train.Epochs(2), val=toy.data(shuffle=False)
    )
    return task, data, whole


@pytest.mark.parametrize("step", [6, 7, 11])  # 6: before the short batch; 7: between epochs
def test_resuming_anywhere_is_bitwise_the_uninterrupted_run(toy, tmp_path, everything, step):
    task, data, whole = everything
    val = toy.data(shuffle=False)
    first = settings(toy, tmp_path, StopAt(step)).fit(task, data, until=train.Epochs(2), val=val)
    assert first.stop_reason == "taken away"
    assert int(first.state.step) == step
    second = settings(toy, tmp_path).fit(task, data, until=train.Epochs(2), val=val)
    assert second.stop_reason == "reached 2 epochs"
    toy.equal(second.state, whole.state)
    assert second.history["val/loss"] == whole.history["val/loss"]


def test_workers_and_batches_read_ahead_may_change_between_the_parts(toy, tmp_path, everything):
    """2, 3 and 0 threads, in the middle of epochs: the same rows, augmented alike, and bits."""
    task, data, whole = everything
    for stop, ahead in ((4, 2), (10, 3), (None, 0)):
        trainer = settings(toy, tmp_path, StopAt(stop, now=True))
        trainer.prefetch = ahead
        again = toy.data(transform=data.transform, workers=ahead)
        last = trainer.fit(task, again, until=train.Epochs(2))
    toy.equal(last.state, whole.state)


def test_a_validation_before_the_first_step_is_not_repeated(toy, tmp_path, everything):
    task, data, whole = everything
    val, heard, two = toy.data(shuffle=False), [], train.Epochs(2)
    watching = [
        train.EarlyStopping("loss", patience=99), train.ThroughputMonitor(),
        train.SpikeDetection(rtol=99.0), train.ReduceLROnPlateau("loss", patience=99),
        train.LambdaCallback(on_log=lambda run, row: heard.append(row)), train.CSVLogger(),
    ]  # fmt: skip

    def fit(*callbacks, **settings):
        trainer = toy.trainer(
            validate_at_start=True, callbacks=callbacks, log_every=train.Steps(4), **settings
        )
        return trainer, trainer.fit(task, data, until=two, val=val)

    fit(*watching, train.ModelCheckpoint(monitor="loss"), StopAt(6), dir=tmp_path)
    trainer, second = fit(*watching, train.ModelCheckpoint(monitor="loss"), dir=tmp_path)
    toy.equal(second.state, whole.state)
    assert [row["step"] for row in second.history].count(0) == 1 and heard[0]["step"] == 0
    assert second.history.series("val/loss")[0] == [0, 7, 14]
    assert second.history["val/loss"][1:] == whole.history["val/loss"]
    initial = train.init_state(task, random.key(0), next(iter(data)))
    assert {k: v for k, v in second.history.rows[0].items() if k.startswith("val/")} == (
        trainer.validate(task, val, initial)
    )
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + len(second.history) and lines[1].startswith("0,0,")


def test_a_run_that_is_good_enough_at_its_start(toy):
    task, data = toy.task(), toy.data(8)
    stop = train.EarlyStopping("val/loss", stopping_threshold=99.0)
    trainer = toy.trainer(callbacks=[stop], validate_at_start=True, log_every=train.Steps(1))
    fit = trainer.fit(task, data, until=train.Steps(3), val=data)
    assert (int(fit.state.step), [row["step"] for row in fit.history]) == (0, [0])
    assert fit.stop_reason.startswith("val/loss reached ")
    fit = trainer.fit(task, data, until=train.Steps(3), val=data, at_least=train.Steps(2))
    assert (int(fit.state.step), fit.history["step"]) == (2, [0, 1, 2])
    trainer = toy.trainer(validate_at_start=True)  # and nothing to validate on
    assert trainer.fit(task, data, until=train.Steps(1)).history["step"] == [1]


class Counting:
    """An endless iterator with a state; it is far ahead of the step by the time that is made."""

    def __init__(self, arrays):
        self.arrays, self.place = arrays, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.place += 1
        rows = np.random.default_rng(self.place).integers(0, len(self.arrays[0]), 8)
        return tuple(array[rows] for array in self.arrays)

    def get_state(self):
        return {"place": self.place}

    def set_state(self, state):
        self.place = state["place"]


def test_the_state_of_an_iterator_is_that_of_the_last_batch_trained_on(toy, tmp_path):
    task, until = toy.task(optax.sgd, 0.1), train.Steps(11)

    def fit(*callbacks, run_dir=None):
        trainer = toy.trainer(
            dir=run_dir, callbacks=callbacks, prefetch=3, steps_per_call=2, log_every=until
        )
        return trainer.fit(task, Counting(toy.arrays()), until=until).state

    whole = fit()
    first = fit(StopAt(6, now=True), run_dir=tmp_path)
    assert int(first.step) == 6
    toy.equal(fit(run_dir=tmp_path), whole)


@pytest.mark.parametrize("stop", [1, 3, 5])  # 3: between epochs, of which the pass knows nothing
@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.filterwarnings("ignore:reading . batches again")
def test_epochs_cut_out_of_one_pass(toy, tmp_path, stateful, stop):
    """Nothing is left out between them, at the beginning, nor where a run is resumed."""

    class Noting(toy.Regression):
        def loss(self, model, batch, ctx):
            return super().loss(model, batch, ctx)[0], {"first": batch[0][:, 0]}

    def fit(*callbacks, run_dir=None):
        data = Counting(toy.arrays())
        trainer = toy.trainer(
            dir=run_dir, callbacks=callbacks, limit_train_batches=3, log_every=train.Steps(1)
        )
        data = data if stateful else (batch for batch in data)
        task = toy.task(optax.sgd, 0.1, cls=Noting)
        return trainer.fit(task, data, until=train.Epochs(2))

    whole = fit()
    fit(StopAt(stop, now=True), run_dir=tmp_path)
    rest = fit(run_dir=tmp_path)
    toy.equal(rest.state, whole.state)
    numbers = Counting(toy.arrays())
    taken = [next(numbers)[0][:, 0].mean() for _ in range(6)]
    np.testing.assert_allclose(rest.history["first"], taken, rtol=1e-5)


def test_a_list_resumed_at_its_short_batch(toy, tmp_path):
    x, y = toy.arrays(20)
    batches = [(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]  # 8, 8 and 4 rows
    task = toy.task()
    whole = toy.trainer().fit(task, batches, until=train.Epochs(2))
    settings(toy, tmp_path, StopAt(2)).fit(task, batches, until=train.Epochs(2))
    second = settings(toy, tmp_path).fit(task, batches, until=train.Epochs(2))
    toy.equal(second.state, whole.state)


def test_the_ways_to_treat_earlier_checkpoints(toy, tmp_path):
    task, data, two = toy.task(), toy.data(16), train.Epochs(2)
    first = settings(toy, tmp_path).fit(task, data, until=train.Epochs(1))
    path = train.latest_checkpoint(tmp_path)
    with pytest.raises(train.TrainError, match=r"resume='never' and 1 checkpoints"):
        settings(toy, tmp_path).fit(task, data, until=two, resume="never")
    for wrong in (True, None):
        with pytest.raises(train.TrainError, match="`resume` says how"):
            settings(toy, tmp_path).fit(task, data, until=two, resume=wrong)
    done = settings(toy, tmp_path).fit(task, data, until=train.Epochs(1))
    assert done.stop_reason == "reached 1 epoch before"
    toy.equal(done.state, first.state)

    with pytest.raises(train.CheckpointError, match="belongs to another model") as error:
        settings(toy, tmp_path).fit(toy.task(width=5), data, until=two)
    assert "variables/params/hidden/kernel: stored float32[4,8], the model has float32[4,5]" in str(
        error.value
    )
    with pytest.raises(train.TrainError, match="no directory"):
        toy.trainer().restore(task, data)
    toy.equal(settings(toy, tmp_path).restore(task, data), first.state)

    elsewhere = settings(toy, tmp_path / "new").fit(task, data, until=two, resume=path)
    assert elsewhere.history.rows[0]["step"] == 2  # the row of the earlier run
    assert int(elsewhere.state.step) == 4
    anew = settings(toy, tmp_path).fit(task, data, until=train.Epochs(1), resume="overwrite")
    toy.equal(anew.state, first.state)
    assert train.list_checkpoints(tmp_path) == [(2, path)]


def test_resuming_inside_an_epoch_needs_the_same_data(toy, tmp_path):
    task = toy.task()
    settings(toy, tmp_path, StopAt(3)).fit(task, toy.data(), until=train.Epochs(1))
    with pytest.raises(train.TrainError, match="inside an epoch of other data") as error:
        settings(toy, tmp_path).fit(task, toy.data(batch_size=5), until=train.Epochs(1))
    assert "'batch_size': 8" in str(error.value)
    assert "'batch_size': 5" in str(error.value)


def test_state_of_callbacks_comes_back(toy, tmp_path):
    task, data = toy.task(optax.sgd(0.0), None), toy.data(16, shuffle=False)
    stopper = train.EarlyStopping("loss", patience=5)
    settings(toy, tmp_path, stopper).fit(task, data, until=train.Epochs(3))
    assert stopper.waited > 0
    again = train.EarlyStopping("loss", patience=5)
    fit = settings(toy, tmp_path, again).fit(task, data, until=train.Epochs(9))
    assert "for 5 checks" in fit.stop_reason
    with pytest.warns(UserWarning, match="'EarlyStopping', which this run does not have"):
        settings(toy, tmp_path).fit(task, data, until=train.Steps(int(fit.state.step)))


def test_numbers_of_numpy_are_numbers(toy, tmp_path):
    one, two, four = np.int64(1), np.int32(2), np.int64(4)
    data = toy.data(16, batch_size=four, seed=one)
    keep = {"dir": tmp_path, "seed": one, "accumulate": two, "steps_per_call": two}
    for steps in (4, 6):  # what is written of them is read again
        callbacks = [train.ModelCheckpoint(train.Steps(two), save_last=one)]
        trainer = toy.trainer(callbacks=callbacks, log_every=train.Steps(two), **keep)
        fit = trainer.fit(toy.task(), data, until=train.Steps(np.int64(steps)))
    assert fit.history["step"] == [2, 4, 6]
    with pytest.raises(train.TrainError, match="an int of at least 1"):
        train.Steps(np.float64(2.0))
