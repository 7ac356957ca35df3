"""A training run in several layouts, in float64: ``train_layouts.py OUT DIR [CHECKPOINT]``.

Alone with eight devices it tries all layouts. As one of several processes it tries data
parallelism, and goes on, with everything divided, from the checkpoint that eight devices saved.
"""

import json
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, train, tree
from jaxcore.sharding import AxisType
from jaxcore.sharding import PartitionSpec as P

jaxcore.config.update("jax_enable_x64", True)
ROWS, STEPS = 43, 50  # in batches of 12: padded to 16 for eight devices, and the last one ragged
SAVES = (17, 34)  # both inside an epoch of 4 steps


class Net(nn.Module):
    def __call__(self, x, mask=None):
        x = nn.tanh(nn.Dense(16, name="hidden")(x))
        mask = None if mask is None else mask[:, None]
        x = nn.Dropout(0.2)(nn.BatchNorm(momentum=0.9)(x, mask=mask))  # of all devices' real rows
        return nn.Dense(1, name="out")(x)[:, 0]


class Seen(NamedTuple):
    """How often each example was counted."""

    counts: Any

    @property
    def summary(self):
        return {"least": self.counts.min(), "most": self.counts.max()}

    def merge(self, later):
        return Seen(self.counts + later.counts)


class Fitting(train.Task):
    def init(self, key, batch):
        return tree.map(lambda x: x.astype(batch[1].dtype), super().init(key, batch))

    def loss(self, model, batch, ctx):
        x, y, ids = batch
        # Which examples, and in which order: whole numbers, whose sum is the same in any order.
        places = jnp.where(ctx.mask, 1 + jnp.arange(len(ids)), 0) ** 3
        return (model(x, ctx.mask) - y) ** 2, {
            "order": train.Sum(jnp.sum(jnp.take(codes, ids) * places))
        }

    def evaluate(self, model, batch, ctx):
        x, y, ids = batch
        found = model(x)
        one_hot = (ids[:, None] == jnp.arange(ROWS)) & ctx.mask[:, None]
        return (found - y) ** 2, {
            "r2": nn.metrics.R2.of(found, y, ctx.mask),
            "sign": nn.metrics.Confusion.of_binary(found, y, ctx.mask),
            "seen": Seen(one_hot.sum(0)),
        }


def mesh(shape, names, devices=None):
    return jaxcore.make_mesh(
        shape, names, axis_types=(AxisType.Auto,) * len(names), devices=devices
    )


rng = np.random.default_rng(0)
codes = rng.integers(1, 2**30, ROWS)
x = rng.normal(size=(ROWS, 8))
data = train.ArrayData((x, x.sum(1), np.arange(ROWS)), batch_size=12)
narrow = train.ArrayData(
    (x.astype("f4"), x.sum(1).astype("f4"), np.arange(ROWS)), batch_size=12, shuffle=False
)
settings = {"lr": 1e-2, "clip_norm": 1.0, "average": train.Average(0.9)}
task = Fitting(model=Net(), tx=optax.adamw, **settings)


def trainer(run_dir=None, save=(), stop=None, **settings):
    def note(run):
        if run.step in save:
            run.request_save()
        if run.step == stop:
            run.request_stop("taken away", now=True)

    callbacks = [train.LambdaCallback(on_step_end=note)]
    return train.Trainer(callbacks=callbacks, dir=run_dir, log_every=train.Steps(1), **settings)


def run(run_dir=None, resume="auto", **settings):
    last = trainer(run_dir, **settings)
    fit = last.fit(task, data, until=train.Steps(STEPS), val=data, resume=resume)
    named = last.validate(task, {"a": data, "b": [next(iter(data))]}, fit.state)
    kernel = fit.state.params["hidden"]["kernel"]
    return fit, {
        "losses": fit.history["loss"],
        "order": fit.history["order"],
        "val": fit.history.last("val/loss"),
        "named": [named[f"val/{name}/{m}"] for name in "ab" for m in ("loss", "r2")],
        "sign": np.asarray(named.states["val/a/sign"].matrix).tolist(),
        "seen": [np.asarray(named.states[f"val/{name}/seen"].counts).tolist() for name in "ab"],
        "parts": len({str(shard.index) for shard in kernel.addressable_shards}),
    }


def in_float32(**settings):
    """What a state of float32 measures and predicts."""
    state = train.init_state(task, jaxcore.random.key(1), next(iter(narrow)))
    some = trainer(**settings)
    predictions = some.predict(task, narrow, state).tolist()
    return {"float32": some.validate(task, narrow, state), "predictions": predictions}


results = {}
if jaxcore.process_count() > 1:
    every = mesh((jax.device_count(),), ("data",))
    _, results["processes"] = run(mesh=every)
    results["processes"] |= in_float32(mesh=every)
    run_dir, checkpoint = sys.argv[2], sys.argv[3]
    divided = {"save": (STEPS - 1, STEPS), "mesh": every, "shard": "fsdp"}
    fit, results["divided"] = run(run_dir, checkpoint, **divided)
    other = train.ArrayData(data.arrays, batch_size=12, seed=jax.process_index())
    try:
        trainer(mesh=every).fit(task, other, until=train.Epochs(1))
    except train.TrainError as error:
        results["disagreement"] = str(error)
    # What it saved in pieces comes back divided, and each process has seen it written.
    again = trainer(run_dir, mesh=every, shard="fsdp").fit(task, data, until=train.Steps(STEPS))
    results["restored"] = bool(jax.numpy.all(
        again.state.params["hidden"]["kernel"] == fit.state.params["hidden"]["kernel"]
    ))  # fmt: skip
else:
    eight = mesh((8,), ("data",))
    _, results["none"] = run()
    results["none"] |= in_float32()
    for count in (1, 2, 4, 8):
        some = mesh((count,), ("data",), jax.devices()[:count])
        _, results[f"data{count}"] = run(mesh=some)
        results[f"data{count}"] |= in_float32(mesh=some)
    fsdp, results["fsdp"] = run(mesh=eight, shard="fsdp")
    shard = {"hidden/kernel": P(None, "model"), "out/kernel": P("model", None)}
    both = mesh((4, 2), ("data", "model"))
    _, results["tensor"] = run(mesh=both, shard=shard, steps_per_call=2)
    # From eight devices to four, divided otherwise, and back again.
    four = mesh((4,), ("data",), jax.devices()[:4])
    for stop, settings in (
        (SAVES[0], {"mesh": eight}),
        (SAVES[1], {"mesh": four, "shard": "fsdp"}),
    ):
        part = trainer(sys.argv[2], save=SAVES, stop=stop, **settings)
        part.fit(task, data, until=train.Steps(STEPS))
    _, results["resumed"] = run(sys.argv[2], mesh=eight)
    moments = fsdp.state.opt_state["**"].inner[0].mu["hidden"]["kernel"]
    results["moments"] = len({str(shard.index) for shard in moments.addressable_shards})
if jaxcore.process_index() == 0:
    with open(sys.argv[1], "w") as file:
        json.dump(results, file)
