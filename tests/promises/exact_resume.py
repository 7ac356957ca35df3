"""The run of `test_exact_resume.py`: ``python exact_resume.py DIRECTORY SECONDS_PER_STEP``.

Shuffling, dropout, augmentation, batch statistics, averages, two micro-batches, a schedule, and
saves in the background every three steps, inside epochs and at their ends.
"""

import sys
import time

import numpy as np
import optax

import jaxcore.numpy as jnp
from jaxcore import nn, train


class Net(nn.Module):
    def __call__(self, x):
        x = nn.BatchNorm()(nn.tanh(nn.Dense(8)(x)))
        return nn.Dense(1)(nn.Dropout(0.3)(x))[:, 0]


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        error = model(x) - y
        return error**2, {"mae": jnp.abs(error)}


class Step(train.Callback):
    def on_step_end(self, run):
        print(run.step, flush=True)
        time.sleep(float(sys.argv[2]))


def jitter(batch, rng):
    x, y = batch
    return x + rng.normal(0, 0.1, x.shape).astype(np.float32), y


x = np.random.default_rng(0).normal(size=(42, 4)).astype(np.float32)
data = train.ArrayData((x, x.sum(1)), batch_size=8, transform=jitter)  # the last batch has 2 rows
trainer = train.Trainer(
    dir=sys.argv[1],
    accumulate=2,
    prefetch=2,
    log_every=train.Steps(4),
    callbacks=[
        train.SaveOnSignal(),
        Step(),
        train.JSONLLogger(),
        train.ModelCheckpoint(train.Steps(3)),
    ],
)
task = Fitting(
    model=Net(), tx=optax.adamw, lr=train.one_cycle(1e-2), average=train.Average(0.9, start=5)
)
fit = trainer.fit(task, data, until=train.Epochs(6))
print(fit.stop_reason)
