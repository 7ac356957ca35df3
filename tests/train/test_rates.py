"""Schedules: against the formulas of Hugging Face and PyTorch, in every unit, and as used."""

import math

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import train
from jaxcore.train.run_length import RunLength, length_of

TOTAL, RISE, FALL = 40, 8, 10


def schedules(warmup, decay=0.25):
    """Every schedule, each with this warm-up; all of them peak at 1."""
    return {
        "constant_with_warmup": train.warmup_constant(1.0, warmup=warmup),
        "linear": train.warmup_linear(1.0, warmup=warmup),
        "polynomial": train.warmup_linear(1.0, warmup=warmup, final=0.1, power=2.0),
        "cosine": train.warmup_cosine(1.0, warmup=warmup),
        "cosine_with_min_lr": train.warmup_cosine(1.0, warmup=warmup, final=0.1),
        "cosine_with_restarts": train.warmup_cosine(1.0, warmup=warmup, cycles=3),
        "wsd": train.warmup_stable_decay(1.0, warmup=warmup, decay=decay),
        "wsd_cosine": train.warmup_stable_decay(
            1.0, warmup=warmup, decay=decay, final=0.1, shape="cosine"
        ),
        "wsd_sqrt": train.warmup_stable_decay(1.0, warmup=warmup, decay=decay, shape="sqrt"),
        "inverse_sqrt": train.inverse_sqrt(1.0, warmup=warmup),
        "one_cycle": train.one_cycle(1.0, warmup=warmup),
    }


def formulas(total, rise, fall, i):
    """What Hugging Face's schedules, and PyTorch's OneCycleLR, give at step `i`, in float64.

    The part of a cosine is taken in whole numbers: 10 / 30 * 3 must be one whole cycle.
    """

    def warmed(after, begin=rise):
        return i / rise if i < rise else 1.0 if i < begin else after((i - begin) / (total - begin))

    def one_cycle(low, high, part):
        return high + (low - high) * half_cosine(part)

    again = (i - rise) * 3 % (total - rise) / (total - rise)
    turn, stable = rise - 1, total - fall
    found = {
        "constant_with_warmup": warmed(lambda p: 1),
        "linear": warmed(lambda p: 1 - p),
        "polynomial": warmed(lambda p: 0.1 + 0.9 * (1 - p) ** 2),
        "cosine": warmed(half_cosine),
        "cosine_with_min_lr": warmed(lambda p: 0.1 + 0.9 * half_cosine(p)),
        "cosine_with_restarts": warmed(lambda p: half_cosine(again) if p < 1 else 0),
        "wsd": warmed(lambda p: 1 - p, stable),
        "wsd_cosine": warmed(lambda p: 0.1 + 0.9 * half_cosine(p), stable),
        "wsd_sqrt": warmed(lambda p: 1 - math.sqrt(p), stable),
        "inverse_sqrt": i / rise if i < rise else math.sqrt(rise / i),
    }
    if i <= turn:
        found["one_cycle"] = one_cycle(1 / 25, 1, i / turn)
    else:
        part = min(1, (i - turn) / (total - 1 - turn))  # PyTorch refuses a step more
        found["one_cycle"] = one_cycle(1, 1 / 25 / 1e4, part)
    return found


def half_cosine(part):
    return math.cos(math.pi * part / 2) ** 2  # (1 + cos(π·part)) / 2, with all its digits


def rates_of(lr, length, counts):
    """The rates of all of `schedules` at once: one program."""
    made = {name: schedule.make(length) for name, schedule in lr.items()}
    return jaxcore.jit(lambda counts: {name: rate(counts) for name, rate in made.items()})(counts)


def assert_rates(found, total, rise, fall, counts):
    want = [formulas(total, rise, fall, min(i, total)) for i in counts]
    assert set(found) == set(want[0])
    for name, rates in found.items():
        named = [w[name] for w in want]
        np.testing.assert_allclose(rates, named, rtol=1e-6, atol=1e-30, err_msg=name)


@pytest.mark.parametrize(
    "warmup",
    [0.2, train.Fraction(0.2), train.Steps(8), train.Epochs(2), train.Samples(32),
     train.Tokens(96)],
    ids=str,
)  # fmt: skip
def test_schedules_are_the_formulas_with_a_warm_up_in_every_unit(warmup):
    length = RunLength(TOTAL, per_epoch=4, rows=4, tokens=12)
    counts = jnp.arange(TOTAL + 1)
    assert_rates(rates_of(schedules(warmup), length, counts), TOTAL, RISE, FALL, counts.tolist())


def test_the_last_rates_of_a_long_run_are_exact_too():
    total = 300_000
    counts = np.concatenate([np.arange(0, total, 997), np.arange(total - 300, total + 1)])
    found = rates_of(schedules(0.01, 0.2), RunLength(total), jnp.asarray(counts))
    assert_rates(found, total, 3000, 60_000, counts.tolist())


def test_schedules_end_where_the_run_does():
    past = rates_of(schedules(0.2), TOTAL, jnp.arange(TOTAL, TOTAL + 3))
    for name, rates in past.items():
        assert name == "inverse_sqrt" or len(set(rates.tolist())) == 1, name


def test_one_cycle_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=TOTAL)
    want = []
    for _ in range(TOTAL):
        want.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    got = jax.vmap(train.one_cycle(0.5).make(TOTAL))(jnp.arange(TOTAL))
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (train.warmup_cosine, {"warmup": train.Epochs(2)}),
        (train.warmup_cosine, {"warmup": train.Seconds(2)}),
        (train.warmup_linear, {"warmup": 1.5}),
        (train.one_cycle, {"warmup": train.Tokens(10)}),
        (train.warmup_stable_decay, {"decay": train.Samples(10)}),
    ],
)
def test_parts_whose_steps_nobody_knows(make, wrong):
    with pytest.raises(train.TrainError, match=f"`{next(iter(wrong))}`"):
        make(1.0, **wrong).make(TOTAL)


def test_settings_of_schedules():
    for make, wrong in (
        (train.warmup_cosine, {"cycles": 0}),
        (train.warmup_stable_decay, {"shape": "step"}),
        (train.inverse_sqrt, {"warmup": 0}),
    ):
        with pytest.raises(train.TrainError, match=f"`{next(iter(wrong))}`"):
            make(1.0, **wrong)


class Words(train.Task):
    def inputs(self, batch):
        return (batch,)


@pytest.mark.parametrize("remainder", ["pad", "drop"])
@pytest.mark.parametrize(
    "until",
    [train.Steps(5), train.Epochs(2), train.Samples(11), train.Samples(17), train.Tokens(51)],
    ids=str,
)
def test_the_length_of_a_run_is_known_before_it(until, remainder):
    data = train.ArrayData(np.zeros((11, 3), np.int32), batch_size=4, remainder=remainder)
    task = Words(model=None, tx=None)
    run = train.Run(task, until, data, next(iter(data)), None, None, False)
    seen = steps = epochs = 0
    while not (
        seen * 3 >= until.count
        if isinstance(until, train.Tokens)
        else {train.Steps: steps, train.Epochs: epochs, train.Samples: seen}[type(until)]
        >= until.count
    ):
        seen += len(list(data.batches(0))[steps % data.steps_per_epoch])
        steps += 1
        epochs += steps % data.steps_per_epoch == 0
    length = length_of(run)
    assert (length, length.per_epoch, length.rows, length.tokens) == (
        steps, data.steps_per_epoch, 4, 12,
    )  # fmt: skip
    if isinstance(until, train.Tokens):
        assert length_of(run, buckets=True) is None  # batches may have any length


class Slopes(train.Task):
    """A parameter for each schedule, with a gradient of 1: an update tells its rate."""

    def init(self, key, batch):
        return {"params": {name: jnp.zeros((), jnp.float64) for name in self.lr}}

    def loss(self, model, batch, ctx):
        tokens, x = batch
        return sum(model.params.values()) * x  # x is 1, or NaN

    def inputs(self, batch):
        return (batch[0],)


class Watch(train.Callback):
    """The parameters after each step, in a dict that outlives the run; may end it early."""

    def __init__(self, places, stop=None):
        self.places, self.stop = places, stop

    def on_step_end(self, run):
        self.places[run.step] = {k: float(v) for k, v in run.state.params.items()}
        if run.step == self.stop:
            run.request_save()
            run.request_stop("taken away", now=True)


ROWS = 31  # of 3 tokens, in four batches of 8: the last one is short
MODES = {  # until, warm-up, micro-batches, rows that are NaN, where the run is interrupted
    "plain": (train.Steps(40), train.Steps(8), 1, [], []),
    "accumulated": (train.Epochs(10), train.Epochs(2), 4, [], []),
    "skipped": (train.Samples(310), train.Fraction(0.2), 1, [9], []),
    "all, resumed": (train.Tokens(930), 0.2, 2, [0, 15], [6, 13, 21]),
}


@pytest.mark.parametrize("mode", MODES)
def test_rates_logged_are_those_of_an_update(toy, tmp_path, mode):
    """Of every schedule: inferred from what SGD did, as logged, and the formula's, at each step."""
    until, warmup, accumulate, bad, stops = MODES[mode]
    x = np.ones(ROWS)
    x[bad] = np.nan
    data = train.ArrayData((np.zeros((ROWS, 3), np.int32), x), batch_size=8, shuffle=False)
    task = Slopes(model=None, tx=optax.sgd, lr=schedules(warmup))
    places = {0: dict.fromkeys(task.lr, 0.0)}
    with jax.enable_x64(True):
        for stop in [*stops, None]:
            callbacks = [Watch(places, stop), train.ModelCheckpoint(train.Steps(100))]
            fit = toy.trainer(
                dir=tmp_path if stops else None, callbacks=callbacks if stops else callbacks[:1],
                log_every=train.Steps(1), accumulate=accumulate,
            ).fit(task, data, until=until)  # fmt: skip
    rows = [row for row in fit.history if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, TOTAL + 1)) == list(places)[1:]
    skipped = np.array([row["skipped"] for row in rows], bool)
    batches = [any(r // 8 == (step % 4) for r in bad) for step in range(TOTAL)]
    assert skipped.tolist() == batches
    applied = np.cumsum(~skipped) - ~skipped
    moved = {}
    for name in task.lr:
        path = np.array([places[step][name] for step in range(TOTAL + 1)])
        assert (np.diff(path)[skipped] == 0).all()
        moved[name] = -np.diff(path)[~skipped]
        logged = np.array([row[f"learning_rate/{name}"] for row in rows])[~skipped]
        np.testing.assert_allclose(logged, moved[name], rtol=1e-7, atol=1e-15, err_msg=name)
    assert_rates(moved, TOTAL, RISE, FALL, applied[~skipped].tolist())
