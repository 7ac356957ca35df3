"""Callbacks: what they see, in which order, and what they decide."""

import csv
import io
import math
import os
import re
import signal
import threading
from types import SimpleNamespace

import numpy as np
import optax
import pytest
from rich.console import Console

from jaxcore import train
from jaxcore.train.callbacks import named, progress
from jaxcore.train.checkpoint import checkpoint_path


class Recorder(train.Callback):
    def __init__(self, log, name):
        self.log, self.name = log, name

    def on_fit_start(self, run):
        self.log.append((self.name, "start"))

    def configure(self, plan, epoch):
        self.log.append((self.name, "configure", epoch))
        return plan

    def on_epoch_start(self, run):
        self.log.append((self.name, "epoch start", run.epoch))

    def on_epoch_end(self, run):
        self.log.append((self.name, "epoch end", run.epoch))

    def on_exception(self, run, error):
        self.log.append((self.name, "exception", str(error)))

    def on_step_end(self, run):
        self.log.append((self.name, "step", run.step, run.epoch, run.batch, run.epoch_ended))
        if run.step == 1:
            run.request_log()
        if run.step == 2:
            run.request_evaluate()
            run.request_save()
        if run.step == 5:
            run.request_stop("seen enough")
            run.request_stop("not this one")

    def on_log(self, run, row):
        assert run.row is row
        self.log.append((self.name, "log", row["step"], "val/loss" in row))

    def on_stop(self, run):
        self.log.append((self.name, "stop", run.stop_reason))

    def on_save(self, run, path):
        self.log.append((self.name, "save", path.name))

    def on_fit_end(self, run):
        self.log.append((self.name, "end"))


def test_callbacks_are_heard_in_order_and_the_loop_acts(toy, tmp_path):
    log = []
    trainer = toy.trainer(
        dir=tmp_path, callbacks=[Recorder(log, "a"), Recorder(log, "b")], log_every=train.Steps(99),
        save_in_background=False,
    )  # fmt: skip
    data = toy.data(24)  # 3 batches
    fit = trainer.fit(toy.task(), data, until=train.Epochs(9), val=toy.data(8))
    assert [entry[1:] for entry in log if entry[0] == "a"] == [
        ("configure", 0), ("start",),
        ("configure", 0), ("epoch start", 0),
        ("step", 1, 0, 1, False), ("log", 1, False),
        ("step", 2, 0, 2, False), ("log", 2, True), ("save", "step_000000002"),
        ("step", 3, 1, 0, True), ("log", 3, True), ("epoch end", 1),
        ("configure", 1), ("epoch start", 1),
        ("step", 4, 1, 1, False),
        ("step", 5, 1, 2, False), ("log", 5, False), ("stop", "seen enough"),
        ("end",),
    ]  # fmt: skip
    assert [name for name, event, *_ in log if event == "log"] == ["a", "b"] * 4
    assert [name for name, event, *_ in log if event == "end"] == ["b", "a"]  # last in, first out
    assert fit.stop_reason == "seen enough"


def test_events_of_a_resumed_run_are_those_that_were_left(toy, tmp_path):
    data, task = toy.data(24), toy.task()  # 3 batches

    def stop(run):
        if run.step == 4:
            run.request_save()
            run.request_stop("taken away", now=True)

    def trainer(*callbacks):
        settings = {"log_every": train.Steps(99), "save_in_background": False}
        return toy.trainer(dir=tmp_path, callbacks=callbacks, **settings)

    trainer(train.LambdaCallback(on_step_end=stop)).fit(task, data, until=train.Epochs(2))
    log = []
    trainer(Recorder(log, "a")).fit(task, data, until=train.Epochs(2), val=toy.data(8))
    assert [entry[1:] for entry in log] == [
        ("configure", 1), ("start",),  # in the middle of an epoch, which begins no more
        ("step", 5, 1, 2, False), ("log", 5, False), ("stop", "seen enough"),
        ("end",),
    ]  # fmt: skip


def test_callbacks_end_also_after_an_error(toy):
    class Fails(train.Callback):
        def on_step_end(self, run):
            raise RuntimeError("from a callback")

    log = []
    trainer = toy.trainer(callbacks=[Recorder(log, "a"), Fails()])
    with pytest.raises(RuntimeError, match="from a callback"):
        trainer.fit(toy.task(), toy.data(8), until=train.Steps(3))
    assert log[-2:] == [("a", "exception", "from a callback"), ("a", "end")]


def test_a_class_is_not_a_callback():
    with pytest.raises(train.TrainError, match="EarlyStopping\\(\\), not EarlyStopping"):
        train.Trainer(callbacks=[train.EarlyStopping])


def run_of(run_dir=None, **more):
    run = train.Run(
        task=None, until=train.Epochs(1), source=None, example=None, dir=run_dir,
        console=Console(file=io.StringIO()), validates=True,
    )  # fmt: skip
    for name, value in more.items():
        setattr(run, name, value)
    return run


def checks_until_stop(values, monitor="val/loss", **kwargs):
    """How many checks early stopping let pass, and why it stopped."""
    run, callback = run_of(), train.EarlyStopping(monitor, **kwargs)
    callback.on_fit_start(run)
    for count, value in enumerate(values, 1):
        callback.on_log(run, {"step": count, "loss": 0.0})  # a row between two validations
        callback.on_log(run, {"step": count, monitor: value, "val/other": 0.0})
        if run.stop_reason is not None:
            return count, run.stop_reason
    return None


NAN = float("nan")


@pytest.mark.parametrize(
    ("kwargs", "values", "stops_at"),
    [
        ({"patience": 2}, [3, 2, 2, 2], 4),  # equal is not better
        ({"patience": 2}, [3, 4, 2, 3, 1, 2, 2], 7),  # an improvement starts the count anew
        ({"patience": 1}, [3, 2, 1, 0], None),
        ({"patience": 2, "baseline": 1.0}, [3, 2, 1, 0], 2),  # better, but not than that
        ({"patience": 2, "baseline": 1.0}, [3, 0.5, 1, 0.4], None),
        ({"patience": 0}, [3, 3], 2),
        ({"patience": 2, "mode": "max"}, [1, 2, 1, 1], 4),
        ({"patience": 2, "mode": "max"}, [1, 2, 3, 4], None),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.5, 1], 3),  # better by 0.5, not more
        ({"patience": 3, "min_delta": 0.5}, [3, 2.6, 2.4, 1, 1, 1], None),
        ({"patience": 2, "min_delta": 0.5, "mode": "max"}, [1, 1.4, 1.5], 3),
        ({"patience": 9}, [3, NAN], 2),
        ({"patience": 9}, [3, math.inf], 2),
        ({"patience": 2, "check_finite": False}, [3, NAN, NAN], 3),
        ({"patience": 2, "check_finite": False}, [NAN, 3, NAN, 2, NAN, 1], None),
        ({"patience": 9, "stopping_threshold": 0.5}, [3, 0.6, 0.5, 0.4], 4),  # better, not equal
        ({"patience": 9, "divergence_threshold": 5}, [3, 5, 6], 3),
        ({"patience": 9, "divergence_threshold": 0.2, "mode": "max"}, [1, 0.2, 0.1], 3),
        ({"patience": 1, "stopping_threshold": 9, "divergence_threshold": 1}, [3], 1),
        ({"patience": 9, "stopping_threshold": 0.5, "mode": "max"}, [0.1, 0.4, 0.7], 3),
    ],
)
def test_early_stopping(kwargs, values, stops_at):
    stopped = checks_until_stop(values, **kwargs)
    assert (stopped and stopped[0]) == stops_at


def test_early_stopping_says_why():
    assert checks_until_stop([3, 2, 2], patience=1)[1] == (
        "val/loss has not improved on 2 for 1 checks"
    )
    assert checks_until_stop([NAN])[1] == "val/loss is nan"
    assert checks_until_stop([1.0], stopping_threshold=2)[1] == "val/loss reached 1"


def test_early_stopping_ends_a_run_and_starts_afresh_in_the_next(toy):
    stopper = train.EarlyStopping("loss", patience=2)
    trainer = toy.trainer(callbacks=[stopper])
    task, data = toy.task(optax.sgd(0.0), None), toy.data(8, shuffle=False)
    for _ in range(2):
        fit = trainer.fit(task, data, until=train.Epochs(9))
        assert fit.stop_reason.startswith("loss has not improved")
        assert int(fit.state.step) == 3


def test_metrics_that_are_not_there(toy):
    for callback in (train.EarlyStopping("acuracy"), train.ModelCheckpoint(monitor="acuracy")):
        with pytest.raises(train.TrainError, match="not logged") as error:
            callback.on_log(run_of(), {"step": 1, "accuracy": 0.5, "steps_per_second": 1.0})
        assert "'acuracy'" in str(error.value)
        assert "['accuracy']" in str(error.value)
    for callback in (train.EarlyStopping(), train.ModelCheckpoint(monitor="val/loss")):
        with pytest.raises(train.TrainError, match="nothing is validated"):
            callback.on_fit_start(run_of("somewhere", validates=False))
    for make in (train.EarlyStopping, train.ModelCheckpoint):
        with pytest.raises(train.TrainError, match=r"`mode`[\s\S]*'lowest'"):
            make(mode="lowest")


def test_nowhere_to_write():
    for callback in (train.ModelCheckpoint(), train.CSVLogger()):
        with pytest.raises(train.TrainError, match="has nowhere to write"):
            callback.on_fit_start(run_of())
    assert "jaxcore-log" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(train.TrainError, match="save_last=0"):
        train.ModelCheckpoint(save_last=0)


@pytest.mark.parametrize(
    ("kwargs", "kept"),
    [
        ({"save_last": 2}, [4, 5]),
        ({"save_last": 9}, [0, 1, 2, 3, 4, 5]),
        ({"save_last": 1, "monitor": "loss"}, [1, 5]),
        ({"save_last": 1, "monitor": "loss", "save_top_k": 2}, [1, 3, 5]),
        ({"save_last": 1, "monitor": "loss", "mode": "max"}, [0, 5]),
        ({"save_last": 1, "monitor": "loss", "save_top_k": 6}, [0, 1, 2, 3, 4, 5]),
        ({"save_last": 1, "monitor": "loss", "save_top_k": -1}, [0, 1, 2, 3, 4, 5]),
        ({"save_last": 1, "monitor": "loss", "save_top_k": 0}, [5]),
        ({"save_last": -1}, [0, 1, 2, 3, 4, 5]),
        ({"save_last": 1, "keep_every": train.Steps(2)}, [0, 2, 4, 5]),
        ({"save_last": 1, "keep_every": train.Epochs(2)}, [0, 4, 5]),  # two steps an epoch
        ({"save_last": 2, "keep_every": train.Steps(3), "monitor": "loss"}, [0, 1, 3, 4, 5]),
    ],
)
def test_which_checkpoints_are_kept(tmp_path, kwargs, kept):
    callback = train.ModelCheckpoint(**kwargs)
    for step, loss in enumerate([9.0, 1.0, 5.0, 2.0, NAN, 7.0]):
        path = checkpoint_path(tmp_path, step)
        place = {"step": step, "epoch": step // 2, "batch": step % 2}
        train.save_checkpoint(path, {"x": np.zeros(1)}, {"row": {"loss": loss}, **place})
        callback.on_save(run_of(tmp_path), path)
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == kept


def test_of_equal_scores_the_older_is_the_better(tmp_path):
    callback = train.ModelCheckpoint(save_last=1, monitor="acc", mode="max", save_top_k=2)
    for step, acc in enumerate([0.5, 0.9, 0.9, 0.9, NAN]):
        path = checkpoint_path(tmp_path, step)
        train.save_checkpoint(path, {"x": np.zeros(1)}, {"row": {"acc": acc}})
        callback.on_save(run_of(tmp_path), path)
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == [1, 2, 4]
    with pytest.raises(train.TrainError, match="`keep_every` picks"):
        train.ModelCheckpoint(keep_every=train.Seconds(3))


def test_a_signal_saves_and_ends_the_run(toy, tmp_path):
    class Preempted(train.Callback):
        def on_step_end(self, run):
            if run.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    trainer = toy.trainer(dir=tmp_path, callbacks=[Preempted(), train.SaveOnSignal()])
    fit = trainer.fit(toy.task(), toy.data(8), until=train.Steps(9))
    assert fit.stop_reason == "received SIGTERM"
    assert [step for step, _ in train.list_checkpoints(tmp_path)] == [int(fit.state.step)] == [2]
    assert signal.getsignal(signal.SIGTERM) is before

    save = train.SaveOnSignal(exit_code=75)
    trainer = toy.trainer(dir=tmp_path / "again", callbacks=[Preempted(), save])
    with pytest.raises(SystemExit) as ended:
        trainer.fit(toy.task(), toy.data(8), until=train.Steps(9))
    assert ended.value.code == 75 and int(trainer.interrupted.state.step) == 2
    assert [step for step, _ in train.list_checkpoints(tmp_path / "again")] == [2]
    with pytest.raises(train.TrainError, match="`exit_code` is not a count"):
        train.SaveOnSignal(exit_code=0)
    with pytest.raises(train.TrainError, match="SaveOnSignal has nowhere to save"):
        toy.trainer(callbacks=[save]).fit(toy.task(), toy.data(8), until=train.Steps(1))


def test_a_run_without_a_finite_step_ends():
    callback, run = train.TerminateOnNaN(limit=5), run_of()
    callback.on_fit_start(run)
    for step, skipped in ((3, 3), (6, 2), (9, 3)):  # one good step in between
        run.step = step
        callback.on_log(run, {"step": step, "skipped": float(skipped)})
    run.step = 11
    again = train.TerminateOnNaN(limit=5)  # of a run that goes on from step 11
    again.on_setup(run)
    again.restore(callback.state())
    again.on_fit_start(run)
    for told in (callback, again):
        run.step = 12
        with pytest.raises(train.TrainError, match=r"last 6 steps[\s\S]*clip_by_global_norm"):
            told.on_log(run, {"step": 12, "critic/skipped": 3.0, "loss": NAN})


def test_csv_has_every_row_and_grows_columns(tmp_path):
    run = run_of(tmp_path, history=train.History([{"step": 1, "loss": 0.1 + 0.2}]))
    callback = train.CSVLogger()
    callback.on_fit_start(run)  # resumed: the file is what the history says
    for row in ({"step": 2, "loss": 1e-9}, {"step": 3, "loss": 2.0, "val/loss": 5.5}, {"step": 4}):
        callback.on_log(run, row)
    callback.on_fit_end(run)
    with open(tmp_path / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["step", "loss", "val/loss"]
    assert [row["loss"] for row in found] == ["0.30000000000000004", "1e-09", "2.0", ""]
    assert [row["val/loss"] for row in found] == ["", "", "5.5", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_progress_on_a_non_terminal(toy):
    console = Console(file=io.StringIO(), width=200)
    trainer = train.Trainer(callbacks=[train.ModelSummary(), train.ProgressBar()], console=console)
    trainer.fit(toy.task(lr=0.25), toy.data(16), until=train.Epochs(2), val=toy.data(8))
    text = console.file.getvalue()
    assert "hidden" in text  # the summary
    assert re.search(r"^first step, with tracing and compiling: \d+\.\d s$", text, re.M)
    lines = [line for line in text.splitlines() if line.startswith("epoch")]
    assert [line[:19].split() for line in lines] == [
        ["epoch", "1/2", "step", "2"], ["epoch", "2/2", "step", "4"],
    ]  # fmt: skip
    for line in lines:
        assert re.search(r"  loss \d\.\d{4}  mae .*learning rate 2\.50e-01  val/loss", line)
        assert re.search(r" steps/s(  0:0\d left)?$", line)
    assert re.search(r"^reached 2 epochs: 4 steps in \d+\.\d s$", text, re.M)
    assert "\r" not in text
    assert "\x1b" not in text


def test_progress_on_a_terminal(toy):
    console = Console(file=io.StringIO(), width=160, force_terminal=True, legacy_windows=False)
    run = run_of(console=console, source=SimpleNamespace(steps_per_epoch=10))
    bar = train.ProgressBar(refresh=0.0)
    bar.on_fit_start(run)
    run.step = 1
    bar.on_step_end(run)
    bar.on_log(run, {"step": 1, "loss": 0.5, "learning_rate": 1e-3, "steps_per_second": 250.0})
    run.stop_reason = "done"
    bar.on_fit_end(run)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    assert "epoch 1/1" in text
    assert "1/10" in text
    assert "loss 0.5000  learning rate 1.00e-03  250 steps/s" in text


def test_the_time_left_is_that_of_the_steps_since_the_first(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    run = run_of(source=SimpleNamespace(steps_per_epoch=100))
    bar = train.ProgressBar()
    bar.on_fit_start(run)
    for run.step in (1, 2, 3):
        clock[0] += 60.0 if run.step == 1 else 2.0  # the first one compiles
        bar.on_step_end(run)
    bar.on_log(run, {"step": 3, "loss": 0.5})
    assert run.console.file.getvalue().endswith("loss 0.5000  3:14 left\n")
    run.until = train.Seconds(3661 + 5)
    run.seconds = 5.0
    bar.on_log(run, {"step": 3, "loss": 0.5})
    assert run.console.file.getvalue().endswith("loss 0.5000  1:01:01 left\n")


def test_names_of_callbacks_are_unique():
    class Two(train.Callback):
        pass

    assert list(named([Two(), train.Callback(), Two()])) == ["Two", "Callback", "Two_1"]
