"""A training run in several layouts: ``train_layouts.py OUT DIR [CHECKPOINT]``.

Alone with eight devices it tries all layouts. As one of several processes it tries data
parallelism, and goes on, with everything divided, from the checkpoint that eight devices saved.
"""

import json
import sys

import jax
import numpy as np
import optax

import jaxcore
from jaxcore import nn, train
from jaxcore.sharding import AxisType
from jaxcore.sharding import PartitionSpec as P


class Net(nn.Module):
    def __call__(self, x):
        x = nn.Dropout(0.2)(nn.tanh(nn.Dense(16, name="hidden")(x)))
        return nn.Dense(1, name="out")(x)[:, 0]


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        found = model(x)
        return (found - y) ** 2, {
            "r2": nn.metrics.R2.of(found, y, ctx.mask),
            "sign": nn.metrics.Confusion.of_binary(found, y, ctx.mask),
        }


def mesh(shape, names, devices=None):
    return jaxcore.make_mesh(
        shape, names, axis_types=(AxisType.Auto,) * len(names), devices=devices
    )


x = np.random.default_rng(0).normal(size=(43, 8)).astype(np.float32)  # a ragged last batch
data = train.ArrayData((x, x.sum(1)), batch_size=16)
task = Fitting(model=Net(), tx=optax.adamw, lr=1e-2, clip_norm=1.0, average=train.Average(0.9))


def found(run_dir=None, **settings):
    trainer = train.Trainer(
        callbacks=[] if run_dir is None else [train.ModelCheckpoint()],
        dir=run_dir, log_every=train.Steps(1), **settings,
    )  # fmt: skip
    fit = trainer.fit(task, data, until=train.Epochs(2), val=data)
    kernel = fit.state.params["hidden"]["kernel"]
    return fit, {
        "losses": fit.history["loss"],
        "val": fit.history["val/loss"],
        "r2": fit.history["val/r2"],
        "sign": fit.history["val/sign/accuracy"],
        "parts": len({str(shard.index) for shard in kernel.addressable_shards}),
    }


results = {}
if jaxcore.process_count() > 1:
    every = mesh((jax.device_count(),), ("data",))
    _, results["processes"] = found(mesh=every)
    trainer = train.Trainer(
        dir=sys.argv[2], callbacks=[train.ModelCheckpoint(train.Steps(2))],
        log_every=train.Steps(1), mesh=every, shard="fsdp",
    )  # fmt: skip
    fit = trainer.fit(task, data, until=train.Epochs(3), resume=sys.argv[3])
    results["divided"] = {"losses": fit.history["loss"]}
    other = train.ArrayData(data.arrays, batch_size=16, seed=jax.process_index())
    try:
        train.Trainer(callbacks=[], mesh=every).fit(task, other, until=train.Epochs(1))
    except train.TrainError as error:
        results["disagreement"] = str(error)
    # What it saved in pieces comes back divided, and each process has seen it written.
    again = trainer.fit(task, data, until=train.Epochs(3))
    results["restored"] = bool(jax.numpy.all(
        again.state.params["hidden"]["kernel"] == fit.state.params["hidden"]["kernel"]
    ))  # fmt: skip
else:
    eight = mesh((8,), ("data",))
    _, results["none"] = found()
    _, results["one"] = found(mesh=mesh((1,), ("data",), jax.devices()[:1]))
    fit, results["data"] = found(sys.argv[2], mesh=eight)
    fsdp, results["fsdp"] = found(mesh=eight, shard="fsdp")
    shard = {"hidden/kernel": P(None, "model"), "out/kernel": P("model", None)}
    both = mesh((4, 2), ("data", "model"))
    _, results["tensor"] = found(mesh=both, shard=shard, steps_per_call=2)
    # What eight devices saved goes on on four, divided otherwise.
    four = train.Trainer(
        dir=sys.argv[2], callbacks=[], log_every=train.Steps(1),
        mesh=mesh((4,), ("data",), jax.devices()[:4]), shard="fsdp",
    )  # fmt: skip
    results["resumed"] = {"losses": four.fit(task, data, until=train.Epochs(3)).history["loss"]}
    _, results["whole"] = fit, {
        "losses": train.Trainer(callbacks=[], log_every=train.Steps(1))
        .fit(task, data, until=train.Epochs(3)).history["loss"]
    }  # fmt: skip
    moments = fsdp.state.opt_state["**"].inner[0].mu["hidden"]["kernel"]
    results["moments"] = len({str(shard.index) for shard in moments.addressable_shards})
if jaxcore.process_index() == 0:
    with open(sys.argv[1], "w") as file:
        json.dump(results, file)
