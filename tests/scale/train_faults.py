"""A run that has all that must resume exactly: ``train_faults.py DIR STEPS KIND [FAULT]``.

Shuffling, dropout, augmentation, AdamW, averages, two micro-batches, validation, rows of JSON, and
saves in the background every ten steps; over all devices, of one process or of several. KIND is
"arrays", "grain" (a loader with two workers) or "fsdp" (each process writes a part of the arrays).

FAULT, in JSON, is a signal that a process sends itself: {"rank": 1, "signal": "SIGKILL", "at":
"step", "step": 137, "delay": 0.01}; "at" may also be "start", "validate" and "save", and the
signal comes so many seconds after the first of them from that step on. When it came, and after how
many steps, is written to DIR/signalled, and how the run ended to DIR/ended-RANK.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import optax

import jaxcore
from jaxcore import nn, train
from jaxcore.train import checkpoint, loop, storage

EXIT_CODE = 75  # of a run that was told to end
ROWS, BATCH = 54, 8  # seven batches an epoch, the last with 6 rows


class Net(nn.Module):
    def __call__(self, x):
        return nn.Dense(1)(nn.Dropout(0.2)(nn.tanh(nn.Dense(8)(x))))[:, 0]


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        return (model(x) - y) ** 2


def examples(seed=0):
    x = np.random.default_rng(seed).normal(size=(ROWS, 4)).astype(np.float32)
    return x, x.sum(1)


def jitter(batch, rng):
    x, y = batch
    return x + rng.normal(0, 0.1, x.shape).astype(np.float32), y


def grain_loader():
    """The same without end, from a loader with two worker processes."""
    import grain
    from absl import flags

    flags.FLAGS.mark_as_parsed()  # which grain's worker processes ask for

    class Jitter(grain.transforms.RandomMap):
        def random_map(self, element, rng):
            return jitter(element, rng)

    class Examples:
        x, y = examples()

        def __len__(self):
            return ROWS

        def __getitem__(self, i):
            return self.x[i], self.y[i]

        def __repr__(self):  # by which grain tells whether a state is of this data
            return "Examples()"

    sampler = grain.samplers.IndexSampler(
        num_records=ROWS, num_epochs=None, seed=3, shuffle=True,
        shard_options=grain.sharding.NoSharding(),
    )  # fmt: skip
    return grain.DataLoader(
        data_source=Examples(),
        sampler=sampler,
        operations=[Jitter(), grain.transforms.Batch(batch_size=BATCH)],
        worker_count=2,
    )


class Fault(train.Callback):
    """Sends this process its signal; makes steps slow enough for it to come between things."""

    def __init__(self, run_dir, rank=0, signal="", at="", step=0, delay=0.0):
        self.run_dir, self.signal, self.at, self.step, self.delay = run_dir, signal, at, step, delay
        self.armed = bool(signal) and rank == jaxcore.process_index()
        self.now = 0
        self.tell("start")

    def tell(self, event):
        if self.armed and event == self.at and self.now >= self.step:
            self.armed = False
            threading.Thread(target=self.send, daemon=True).start()

    def send(self):
        time.sleep(self.delay)
        (self.run_dir / "signalled").write_text(f"{time.time()} {self.now}")
        os.kill(os.getpid(), getattr(signal, self.signal))

    def on_step_end(self, run):
        self.now = run.step
        self.tell("step")
        time.sleep(0.01)

    def on_fit_end(self, run):
        ended = self.run_dir / f"ended-{jaxcore.process_index()}"
        ended.write_text(f"{run.stop_reason} {run.step}")


class Validation(train.ArrayData):
    """Tells of a validation that it has begun, and takes a while for each batch."""

    fault = None

    def batches(self, epoch, start=0):
        if self.fault is not None:
            self.fault.tell("validate")
        for batch in super().batches(epoch, start):
            time.sleep(0.005)
            yield batch


def main(run_dir, steps, kind, fault):
    run_dir.mkdir(parents=True, exist_ok=True)
    told = Fault(run_dir, **fault)

    def slowly(function):
        def call(*args):
            told.tell("save")
            time.sleep(0.01)
            return function(*args)

        return call

    loop.LOSS_PATIENCE = 1.0
    checkpoint.write_part = slowly(storage.write_part)
    checkpoint.await_first = slowly(storage.await_first)
    several = jaxcore.process_count() > 1
    trainer = train.Trainer(
        dir=run_dir,
        accumulate=2,
        prefetch=0 if kind == "grain" else 2,
        log_every=train.Steps(4),
        validate_every=train.Steps(7),
        num_sanity_val_steps=0,
        mesh=jaxcore.make_mesh((jaxcore.device_count(),), ("data",)) if several else None,
        shard="fsdp" if kind == "fsdp" else None,
        callbacks=[
            told,
            train.SaveOnSignal(exit_code=EXIT_CODE),
            train.JSONLLogger(),
            train.ModelCheckpoint(train.Steps(10)),
        ],
    )
    average = train.Average(0.9, start=5)
    task = Fitting(model=Net(), tx=optax.adamw, lr=train.one_cycle(1e-2), average=average)
    arrays = train.ArrayData(examples(), batch_size=BATCH, transform=jitter)
    data = grain_loader() if kind == "grain" else arrays
    val = Validation(examples(1), batch_size=BATCH, shuffle=False)
    val.fault = told
    trainer.fit(task, data, until=train.Steps(steps), val=val)


if __name__ == "__main__":
    fault = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], fault)
