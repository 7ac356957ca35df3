"""Features of the trainer drawn together: a run is a loop by hand, and goes on from anywhere."""

import itertools
import os
import threading

import jax
import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import cache, nn, random, train
from jaxcore.train.metrics import merge_metrics

DRAWN = int(os.environ.get("JAXCORE_TEST_COMBINATIONS", "4"))  # 100 take some minutes
CLOCK = {"seconds", "steps_per_second"}


@pytest.fixture(autouse=True, scope="module")
def one_compilation(tmp_path_factory):
    """Each program is compiled once, and found again by the runs that follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXCORE_CACHE", "1")
        patch.setenv("JAXCORE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cache.state, "_state", cache.state._State())
        yield


class Net(nn.Module):
    norm: bool = False
    rate: float = 0.0

    def __call__(self, x):
        h = nn.tanh(nn.Dense(4, name="stem")(x))
        for i in range(2):
            h = h + nn.tanh(nn.Dense(4, name=f"block_{i}")(h))
        h = nn.BatchNorm(name="norm")(h) if self.norm else h
        h = nn.Dropout(self.rate)(h) if self.rate else h
        return nn.Dense(1, name="head")(h)[:, 0]


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        error = model(batch[0]) - batch[1]
        return error**2, {"mae": jnp.abs(error)}

    def tokens(self, batch):
        return 3 * len(batch[0])


class StopAt(train.Callback):
    """Notes after which steps it hears of the run, and stops it after one of them."""

    def __init__(self, step=0):
        self.step, self.heard = step, []

    def on_step_end(self, run):
        self.heard.append(run.step)
        if run.step == self.step:
            run.request_save()
            run.request_stop("taken away", now=True)


class Passes:
    """An iterable of unknown length."""

    def __init__(self, parts):
        self.parts = parts

    def __iter__(self):
        return iter(self.parts)


class Endless:
    """One pass without an end, that has a state."""

    def __init__(self, parts):
        self.parts, self.place = parts, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.place += 1
        return self.parts[(self.place - 1) % len(self.parts)]

    def get_state(self):
        return self.place

    def set_state(self, place):
        self.place = place


def jitter(batch, rng):
    return batch[0] + rng.normal(size=batch[0].shape).astype(np.float32), batch[1]


def falling(count):
    return 0.1 / (1 + count)


class Drawn:
    """Data, task and settings of a run, drawn by a seed."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)

        def one(*choices):
            return choices[int(rng.integers(len(choices)))]

        def every():
            steps = train.Steps(one(1, 2, 4, 5)), train.Fraction(0.3), train.Fraction(0.5)
            return one(*steps, train.Epochs(1), train.Samples(9), train.Tokens(40))

        self.form = one("array", "examples", "list", "passes", "endless")
        self.rows, self.until = one(3, 8, 10, 14), one(train.Epochs(3), train.Steps(7))
        self.cut = {"shuffle": one(True, False), "transform": one(None, jitter)}
        self.cut["workers"] = one(0, 2)
        self.task = Fitting(
            model=Net(one(False, False, True), one(0.0, 0.0, 0.3)),
            tx=one(optax.adam, optax.sgd, train.adamw),
            lr=one(0.05, falling, {"stem/**": 0.02, "**": 0.05}),
            freeze=one((), (), ("stem/kernel",)),
            stack=one((), (), ("block_*",)),
            clip_norm=one(None, 0.5),
            precision=one("32-true", "32-true", "bf16-mixed", "16-mixed"),
            average=one(None, train.Average(0.9), train.Average(0.5, every=2, start=3)),
            update_norm=one(True, False),
        )
        self.settings = {
            "seed": seed,
            "accumulate": one(1, 1, 2) if self.rows > 3 else 1,
            "steps_per_call": one(1, 2, 3),
            "prefetch": one(0, 2),
            "log_every": every(),
            "validate_every": every(),
            "limit_train_batches": one(None, None, 2),
            "num_sanity_val_steps": one(0, 2),
        }
        self.limit = self.settings["limit_train_batches"]
        self.val = one({}, {"a": 5}, {"a": 5, "b": 7})
        if self.form == "endless" and self.limit is None:
            self.until = train.Steps(7)  # there are no epochs

    def data(self, rows, form):
        x = np.random.default_rng(7).normal(size=(rows, 3)).astype(np.float32)
        y = np.sin(x.sum(1))
        if form == "array":
            return train.ArrayData((x, y), batch_size=4, **self.cut)
        if form == "examples":
            return train.ExampleData([*zip(x, y, strict=True)], batch_size=4, **self.cut)
        parts = [(x[i : i + 4], y[i : i + 4]) for i in range(0, rows, 4)]
        return {"list": list, "passes": Passes, "endless": Endless}[form](parts)

    def fit(self, toy, callback, run_dir=None):
        callbacks = [callback] if run_dir is None else [callback, train.ModelCheckpoint()]
        trainer = toy.trainer(dir=run_dir, callbacks=callbacks, **self.settings)
        val = {name: self.data(rows, "array") for name, rows in self.val.items()}
        data = self.data(self.rows, self.form)
        return trainer.fit(self.task, data, val=val or None, until=self.until)

    def batches(self):
        """What a run trains on: each batch, and the epochs that are done after it."""
        data = self.data(self.rows, self.form)
        for epoch in itertools.count():
            batches = data.batches(epoch) if hasattr(data, "batches") else iter(data)
            if self.form == "endless" and self.limit is None:
                yield from ((batch, 0) for batch in batches)
            part = [*itertools.islice(batches, self.limit)]
            for number, batch in enumerate(part, 1):
                yield batch, epoch + (number == len(part))

    def by_hand(self):
        """State, metrics and epochs after each step, by the parts that are public."""
        step, state = train.make_step(self.task, accumulate=self.settings["accumulate"]), None
        for batch, epochs in self.batches():
            rows = len(batch[0])
            if state is None:
                state = train.init_state(self.task, random.key(self.settings["seed"]), batch)
                places = np.arange(4 if self.form in ("array", "examples") else rows)
            padded = tuple(part[places % rows] for part in batch)
            state, metrics = step(state, padded, places < rows)
            yield state, metrics, epochs


def without_clock(history):
    return [{name: row[name] for name in row if name not in CLOCK} for row in history]


@pytest.mark.parametrize("seed", range(DRAWN))
@pytest.mark.filterwarnings("ignore:reading . batches again")  # of an iterable without a state
def test_a_run_is_a_loop_and_goes_on_from_anywhere(toy, tmp_path, seed):
    drawn, calls = Drawn(seed), StopAt()
    near = {"rtol": 2e-4 if drawn.task.precision == "32-true" else 0.05, "atol": 1e-4}
    whole = drawn.fit(toy, calls)
    rows, last, unlogged = iter(whole.history), int(whole.state.step), []
    row = next(rows)
    for state, metrics, epochs in drawn.by_hand():
        unlogged.append(metrics)
        if state.step == row["step"]:
            found = {name: metric.result for name, metric in merge_metrics(unlogged).items()}
            expected = {name: row[name] for name in found}
            np.testing.assert_allclose([*expected.values()], [*found.values()], **near)
            assert row["epoch"] == epochs
            row, unlogged = next(rows, None), []
        if state.step == last:
            break
    assert row is None  # a run ends with a row
    for a, b in zip(*map(jax.tree.leaves, (whole.state.variables, state.variables)), strict=True):
        np.testing.assert_allclose(a, b, **near)

    ends = [step for step in calls.heard if step < last]
    stop = ends[seed % len(ends)] if ends else 0
    drawn.fit(toy, StopAt(stop), tmp_path)
    resumed = drawn.fit(toy, StopAt(), tmp_path)
    toy.equal(resumed.state, whole.state)
    np.testing.assert_equal(without_clock(resumed.history), without_clock(whole.history))
    assert not [one for one in threading.enumerate() if one.name.startswith("jaxcore-")]
