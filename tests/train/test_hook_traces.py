"""What callbacks and data modules hear, and in which order: as recorded, and as in Lightning.

``python tests/train/test_hook_traces.py`` records hook_traces.txt anew: then read what changed.
`lightning_traces.py` has recorded the same runs of Lightning.
"""

import io
import os
import re
import signal
import tempfile
from pathlib import Path

import numpy as np
import optax
import pytest
from rich.console import Console

from jaxcore import nn, random, train

FOLDER = Path(__file__).parent
RECORDED = FOLDER / "hook_traces.txt"
LIGHTNING = FOLDER / "lightning_traces.txt"
SAME = {  # of Lightning: as it is called here
    "setup": "on_setup",
    "on_fit_start": "on_fit_start",
    "on_train_epoch_start": "on_epoch_start",
    "on_train_batch_end": "on_step_end",
    "on_train_epoch_end": "on_epoch_end",
    "on_save_checkpoint": "on_save",
    "on_exception": "on_exception",
    "on_fit_end": "on_fit_end",
    **{
        name: name
        for stage in ("validation", "test", "predict")
        for name in (f"on_{stage}_start", f"on_{stage}_batch_end", f"on_{stage}_end")
    },
    **{name: name for name in ("data.prepare_data", "data.setup", "data.teardown")},
}


class Line(train.Task):
    def loss(self, model, batch, ctx):
        return (model(batch)[:, 0] - 1.0) ** 2


TASK = Line(model=nn.Dense(1), tx=optax.sgd, lr=0.1)


class Recorder(train.Callback):
    """Hears of everything."""

    def __init__(self, trace):
        self.trace = trace


def hearing(name):
    def method(self, *details):
        self.trace.append(f"{name:24} {'  '.join(filter(None, map(told, details)))}".rstrip())
        return {"configure": details[:1], "state": ({"a": 1},)}.get(name, (None,))[0]

    return method


QUIET = "every", "inside_step"  # no event, but a part of the step's program
HOOKS = [name for name in vars(train.Callback) if not name.startswith("_") and name not in QUIET]
for hook in HOOKS:
    setattr(Recorder, hook, hearing(hook))


def told(detail):
    if isinstance(detail, train.Run):
        reason = f", {detail.stop_reason}" if detail.stop_reason else ""
        return f"step {detail.step}, epoch {detail.epoch}, batch {detail.batch}{reason}"
    if isinstance(detail, train.Evaluation):
        return detail.name if detail.run is None else f"{detail.name} in a run"
    if isinstance(detail, Path):
        return detail.name
    if isinstance(detail, dict):
        return ", ".join(sorted({"loss", "val/loss", "test/loss", "a"} & {*detail}))
    if isinstance(detail, BaseException):
        return f"{type(detail).__name__}: {detail}"
    if isinstance(detail, np.ndarray):
        return f"of shape {detail.shape}"
    return "" if isinstance(detail, train.Plan) else str(detail)


class Data(train.DataModule):
    """Three batches to train on, two of anything else; each may fail at one of them."""

    def __init__(self, trace, **fails):
        self.trace, self.fails = trace, fails

    def batches(self, purpose, count):
        self.trace.append(f"data.{purpose}_dataloader")
        at = self.fails.get(purpose)

        def cut(batch, rng):
            if at is not None and batch[0, 0] >= at:
                raise OSError("the disk is gone")
            return batch

        x = np.arange(4.0 * count, dtype=np.float32)[:, None] // 4
        return train.ArrayData(x, batch_size=4, shuffle=False, transform=cut)

    def prepare_data(self):
        self.trace.append("data.prepare_data")

    def setup(self, stage):
        self.trace.append(f"{'data.setup':24} {stage}")

    def teardown(self, stage):
        self.trace.append(f"{'data.teardown':24} {stage}")

    def train_dataloader(self):
        return self.batches("train", 3)

    def val_dataloader(self):
        return self.batches("val", 2)

    def test_dataloader(self):
        return self.batches("test", 2)

    def predict_dataloader(self):
        return self.batches("predict", 2)


def trainer_of(trace, folder, *callbacks):
    return train.Trainer(
        dir=folder, callbacks=[*callbacks, Recorder(trace)], save_in_background=False,
        num_sanity_val_steps=1, console=Console(file=io.StringIO()),
    )  # fmt: skip


def at_step(step, act):
    return train.LambdaCallback(on_step_end=lambda run: act(run) if run.step == step else None)


def interrupt(run):
    raise KeyboardInterrupt


def fit(trace, folder):
    trainer = trainer_of(trace, folder, train.ModelCheckpoint())
    trainer.fit(TASK, Data(trace), until=train.Epochs(2))


def resume(trace, folder):
    """From the middle of the first epoch."""

    def leave(run):
        run.request_save()
        run.request_stop("taken away", now=True)

    trainer_of([], folder, at_step(2, leave)).fit(TASK, Data([]), until=train.Epochs(2))
    fit(trace, folder)


def evaluated(name):
    def run(trace, folder):
        state = train.init_state(TASK, random.key(0), np.zeros((4, 1), np.float32))
        getattr(trainer_of(trace, None), name)(TASK, Data(trace), state)

    return run


def broken(error, *callbacks, **fails):
    def run(trace, folder):
        trainer = trainer_of(trace, folder, *callbacks)
        with pytest.raises(error):
            trainer.fit(TASK, Data(trace, **fails), until=train.Epochs(2))

    return run


def signalled(trace, folder):
    send = at_step(2, lambda run: os.kill(os.getpid(), signal.SIGINT))
    broken(KeyboardInterrupt, send, train.SaveOnSignal())(trace, folder)


RUNS = {
    "fit": fit,
    "resume": resume,
    "validate": evaluated("validate"),
    "test": evaluated("test"),
    "predict": evaluated("predict"),
    "an error in training": broken(OSError, train=1),
    "an error in validation": broken(OSError, val=1),
    "an error in its rehearsal": broken(OSError, val=0),
    "an error in a callback": broken(ZeroDivisionError, at_step(2, lambda run: 1 / 0)),
    "Ctrl-C": broken(KeyboardInterrupt, at_step(2, interrupt)),
    "Ctrl-C, with SaveOnSignal": signalled,
}


def traced(name, folder):
    trace = []
    RUNS[name](trace, folder)
    return trace


def sections(path):
    parts = re.split(r"^\[(.+)\]\n", path.read_text("utf-8"), flags=re.M)[1:]
    return {
        name: text.strip().splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_heard_as_recorded(name, tmp_path):
    assert traced(name, tmp_path) == sections(RECORDED)[name]


@pytest.mark.parametrize("name", sections(LIGHTNING))
def test_the_order_is_lightnings(name):
    theirs = [SAME[line.split()[0]] for line in sections(LIGHTNING)[name] if line in SAME]
    if "on_fit_start" not in theirs:
        theirs.remove("on_setup")  # which is of a run
    ours = [line.split()[0] for line in sections(RECORDED)[name]]
    assert [hook for hook in ours if hook in theirs] == theirs


def test_every_hook_is_heard_in_some_run():
    heard = {line.split()[0] for trace in sections(RECORDED).values() for line in trace}
    assert not set(HOOKS) - heard


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            "\n".join([f"[{name}]", *traced(name, Path(folder) / str(number))])
            for number, name in enumerate(RUNS)
        ]
    RECORDED.write_text("\n\n".join(parts) + "\n", "utf-8")
