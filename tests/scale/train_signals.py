"""A run of several processes, of which one gets a signal: ``train_signals.py DIR STEP SIGNAL``.

STEP 0 sends none. What ended the run is written to DIR/reason-RANK, with the step reached.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import optax

import jaxcore
from jaxcore import nn, train

run_dir, at, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Net(nn.Module):
    def __call__(self, x):
        return nn.Dense(1)(nn.Dropout(0.2)(nn.tanh(nn.Dense(8)(x))))[:, 0]


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        return (model(x) - y) ** 2


class Send(train.Callback):
    def on_step_end(self, run):
        jaxcore.block_until_ready(run.state)
        if run.step == at and jaxcore.process_index() == 1:
            os.kill(os.getpid(), getattr(signal, name))


x = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
fit = train.Trainer(
    dir=run_dir,
    mesh=jaxcore.make_mesh((jaxcore.device_count(),), ("data",)),
    callbacks=[Send(), train.SaveOnSignal(), train.ModelCheckpoint(train.Steps(4))],
).fit(
    Fitting(model=Net(), tx=optax.adam, lr=1e-2),
    train.ArrayData((x, x.sum(1)), batch_size=8),
    until=train.Steps(20 if name == "SIGKILL" else 400),
)
(run_dir / f"reason-{jaxcore.process_index()}").write_text(f"{fit.stop_reason} {fit.state.step}")
