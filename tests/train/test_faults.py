"""Faults around a run (a full disk, a bad worker), and settings for trying one in small."""

import errno
import os
import warnings

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train import checkpoint, storage


def fit(toy, run_dir, *callbacks, until=None, **settings):
    trainer = toy.trainer(
        dir=run_dir, callbacks=[*callbacks, train.ModelCheckpoint(train.Steps(2))], **settings
    )
    return trainer, lambda: trainer.fit(toy.task(), toy.data(32), until=until or train.Steps(6))


@pytest.mark.parametrize("background", [True, False])
def test_a_full_disk_ends_the_run_clearly_and_keeps_its_state(
    toy, tmp_path, monkeypatch, background
):
    save_arrays = storage.save_arrays
    saves = []

    def full(path, arrays):
        saves.append(path)
        if len(saves) == 2:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save_arrays(path, arrays)

    monkeypatch.setattr(storage, "save_arrays", full)
    trainer, run = fit(toy, tmp_path, save_in_background=background)
    with pytest.raises(train.CheckpointError, match="free some space") as error:
        run()
    assert "No space left" in str(error.value) and "trainer.interrupted.state" in str(error.value)
    assert int(trainer.interrupted.state.step) >= 4
    assert np.isfinite(trainer.interrupted.state.params["out"]["kernel"]).all()
    # What was saved before is whole, no half is left, and the run goes on from it.
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == [2]
    assert not list((tmp_path / "checkpoints").glob(".tmp-*"))
    assert int(fit(toy, tmp_path)[1]().state.step) == 6


def test_a_directory_that_may_not_be_written_is_told_before_the_first_step(
    toy, tmp_path, monkeypatch
):
    def refused(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    steps = []
    note = train.LambdaCallback(on_step_end=lambda run: steps.append(run.step))
    monkeypatch.setattr(checkpoint.Path, "write_bytes", refused)
    with pytest.raises(train.CheckpointError, match=r"Permission denied[\s\S]*another `dir`"):
        fit(toy, tmp_path, note)[1]()
    assert steps == []
    blocked = tmp_path / "file"
    os.close(os.open(blocked, os.O_CREAT))
    monkeypatch.undo()
    with pytest.raises(train.CheckpointError, match="cannot be written"):
        fit(toy, blocked)[1]()


def test_an_error_of_the_data_comes_where_its_batch_would_have_come(toy):
    def batches():
        for number in range(3):
            yield toy.arrays(8, seed=number)
        raise ValueError("row 24 cannot be read")

    for ahead, calls in ((0, 1), (2, 1), (0, 2), (0, 3)):
        every = train.Steps(calls)
        trainer = toy.trainer(prefetch=ahead, steps_per_call=calls, log_every=every)
        with pytest.raises(ValueError, match="row 24"):
            trainer.fit(toy.task(), batches(), until=train.Steps(9))
        # Where the length is not known one batch is read ahead, to know which is the last.
        assert trainer.interrupted.step == 2
        assert int(trainer.interrupted.state.step) == 2


def test_several_steps_in_a_call_end_where_something_is_due(toy, tmp_path):
    heard, found = [], []
    note = train.LambdaCallback(on_step_end=lambda run: heard.append(run.step))
    settings = {"log_every": train.Steps(5)}
    data, until = toy.data(52), train.Epochs(2)  # 7 batches, the last with 4 rows
    plain = toy.trainer(**settings).fit(toy.task(rate=0.2), data, until=until, val=toy.data(8))
    for steps_per_call in (3, 1):
        trainer = toy.trainer(
            steps_per_call=steps_per_call, callbacks=[note], dir=tmp_path, **settings
        )
        found.append(trainer.fit(toy.task(rate=0.2), data, until=until, val=toy.data(8)))
    three, one = found
    assert heard[:8] == [3, 4, 5, 6, 7, 10, 13, 14]
    assert one.history["step"] == three.history["step"] == plain.history["step"]
    for name in ("loss", "val/loss"):
        assert one.history[name] == plain.history[name]
        assert three.history[name] == pytest.approx(plain.history[name], rel=1e-5)


def test_a_run_may_not_be_stopped_before_its_least(toy):
    stops = train.LambdaCallback(
        on_step_end=lambda run: run.request_stop("enough") if run.step in (1, 3) else None
    )
    trainer = toy.trainer(callbacks=[stops])
    fit = trainer.fit(toy.task(), toy.data(8), until=train.Steps(9), at_least=train.Steps(2))
    assert (int(fit.state.step), fit.stop_reason) == (3, "enough")


def test_ways_to_try_a_run_in_small(toy, tmp_path):
    data, val, seen = toy.data(40), toy.data(24), []
    note = train.LambdaCallback(on_log=lambda run, row: seen.append(sorted(row)))
    callbacks = [train.CSVLogger(), train.ModelCheckpoint(), note]
    tried = toy.trainer(dir=tmp_path, callbacks=callbacks, fast_dev_run=2)
    fit = tried.fit(toy.task(), data, until=train.Epochs(9), val=val)
    assert int(fit.state.step) == 2 and "val/loss" in seen[-1]
    assert list(tmp_path.iterdir()) == []

    fit = toy.trainer(limit_train_batches=2).fit(toy.task(), data, until=train.Epochs(3))
    assert int(fit.state.step) == 6
    over = toy.trainer(overfit_batches=1, log_every=train.Steps(1), validate_every=train.Steps(9))
    fit = over.fit(toy.task(lr=0.05), data, until=train.Steps(40))
    assert fit.history["loss"][-1] < fit.history["loss"][0] / 5


def test_a_mistake_in_validation_shows_before_an_epoch_is_trained(toy):
    class Broken(toy.Regression):
        def evaluate(self, model, batch, ctx):
            raise RuntimeError("from evaluate")

    steps = []
    note = train.LambdaCallback(on_step_end=lambda run: steps.append(run.step))
    with pytest.raises(RuntimeError, match="from evaluate"):
        toy.trainer(callbacks=[note]).fit(
            toy.task(cls=Broken), toy.data(16), until=train.Epochs(1), val=toy.data(8)
        )
    assert steps == []


def test_validation_sets_by_name_and_a_data_module(toy):
    events = []

    class Module(train.DataModule):
        def prepare_data(self):
            events.append("prepare")

        def setup(self, stage):
            events.append(f"setup {stage}")

        def train_dataloader(self):
            return toy.data(16)

        def val_dataloader(self):
            return {"small": toy.data(8), "large": toy.data(24)}

        def teardown(self, stage):
            events.append(f"teardown {stage}")

    task, trainer = toy.task(), toy.trainer()
    fit = trainer.fit(task, Module(), until=train.Epochs(1))
    names = [name for name in fit.history.names if name.startswith("val/")]
    assert names == ["val/small/loss", "val/small/mae", "val/large/loss", "val/large/mae"]
    found = trainer.validate(task, Module(), fit.state)
    assert found == {name: fit.history.last(name) for name in names}
    large = trainer.validate(task, toy.data(24), fit.state)["val/loss"]
    assert found["val/large/loss"] == pytest.approx(large)
    assert events == [
        "prepare", "setup fit", "teardown fit", "prepare", "setup validate", "teardown validate",
    ]  # fmt: skip
    with pytest.raises(train.TrainError, match="no method `test_dataloader`"):
        trainer.test(task, Module(), fit.state)
    assert events[-1] == "teardown test"


def test_where_the_time_went(toy):
    fit = toy.trainer(callbacks=[train.Callback()]).fit(
        toy.task(), toy.data(16), until=train.Epochs(1), val=toy.data(8)
    )
    phases = fit.phases.seconds
    steps = {"data", "compile", "dispatch", "device"}
    assert steps | {"validate", "callbacks", "checkpoint"} <= set(phases)
    assert phases["compile"] > phases["data"] and "compile" in str(fit.phases)
    speed = 2 / fit.history.rows[-1]["steps_per_second"]
    assert speed < phases["compile"]  # which is no part of it
    assert sum(phases.values()) <= fit.history.last("seconds") * 1.5


def test_reading_the_data_again_is_told(toy, tmp_path):
    class Stream:
        def __iter__(self):
            return iter([toy.arrays(8, seed=n) for n in range(4)])

    def stop(run):
        if run.step == 2:
            run.request_stop("taken away", now=True)

    def run(*callbacks):
        trainer = toy.trainer(dir=tmp_path, callbacks=[*callbacks, train.ModelCheckpoint()])
        return trainer.fit(toy.task(), Stream(), until=train.Epochs(1))

    run(train.LambdaCallback(on_step_end=stop))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = run()
    assert any("reading 2 batches again" in str(w.message) for w in caught)
    toy.equal(fit.state, toy.trainer().fit(toy.task(), Stream(), until=train.Epochs(1)).state)
