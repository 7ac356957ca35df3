"""Schedules: against the formulas of Hugging Face and PyTorch, in every unit, and as used."""

import math

import jax
import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import train
from jaxcore.train.run_length import RunLength, length_of

TOTAL, RISE = 40, 8


def warmed(after):
    """Hugging Face's: a line up to 1 over the warm-up, then `after(progress)`."""
    return lambda i: i / RISE if i < RISE else after((i - RISE) / (TOTAL - RISE))


def half_cosine(part):
    return 0.5 * (1 + math.cos(math.pi * part))


def stable(left, decay=10):
    begin = TOTAL - decay
    return lambda i: i / RISE if i < RISE else 1 if i < begin else left((i - begin) / decay)


SCHEDULES = {
    "constant_with_warmup": (train.warmup_constant(1.0, warmup=0.2), warmed(lambda p: 1)),
    "linear": (train.warmup_linear(1.0, warmup=0.2), warmed(lambda p: 1 - p)),
    "polynomial": (
        train.warmup_linear(1.0, warmup=0.2, final=0.1, power=2.0),
        warmed(lambda p: 0.1 + 0.9 * (1 - p) ** 2),
    ),
    "cosine": (train.warmup_cosine(1.0, warmup=0.2), warmed(half_cosine)),
    "cosine_with_min_lr": (
        train.warmup_cosine(1.0, warmup=0.2, final=0.1),
        warmed(lambda p: 0.1 + 0.9 * half_cosine(p)),
    ),
    "cosine_with_restarts": (
        train.warmup_cosine(1.0, warmup=0.2, cycles=3),
        warmed(lambda p: half_cosine(3 * p % 1) if p < 1 else 0),
    ),
    "wsd": (train.warmup_stable_decay(1.0, warmup=0.2, decay=0.25), stable(lambda p: 1 - p)),
    "wsd_cosine": (
        train.warmup_stable_decay(1.0, warmup=0.2, decay=0.25, final=0.1, shape="cosine"),
        stable(lambda p: 0.1 + 0.9 * half_cosine(p)),
    ),
    "wsd_sqrt": (
        train.warmup_stable_decay(1.0, warmup=0.2, decay=0.25, shape="sqrt"),
        stable(lambda p: 1 - math.sqrt(p)),
    ),
    "inverse_sqrt": (
        train.inverse_sqrt(1.0, warmup=train.Fraction(0.2)),
        lambda i: i / RISE if i < RISE else math.sqrt(RISE / i),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_the_formulas(name):
    schedule, formula = SCHEDULES[name]
    counts = jnp.arange(TOTAL + 3)
    # Not past the end, where theirs go on rising.
    want = [
        formula(min(i, TOTAL)) if name != "inverse_sqrt" else formula(i) for i in counts.tolist()
    ]
    got = jax.vmap(schedule.make(TOTAL))(counts)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


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
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


UNITS = [
    0.2, train.Fraction(0.2), train.Steps(8), train.Epochs(2), train.Samples(32), train.Tokens(96),
]  # fmt: skip


@pytest.mark.parametrize("warmup", UNITS, ids=str)
def test_a_warm_up_in_every_unit(warmup):
    length = RunLength(TOTAL, per_epoch=4, rows=4, tokens=12)
    rate = train.warmup_cosine(1.0, warmup=warmup).make(length)
    want = SCHEDULES["cosine"][0].make(TOTAL)
    assert [float(rate(i)) for i in (3, 8, 20)] == [float(want(i)) for i in (3, 8, 20)]


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


class Watch(train.Callback):
    def __init__(self):
        self.places = []

    def on_step_end(self, run):
        self.places.append(float(run.state.params["out"]["bias"][0]))


def test_rates_logged_are_those_of_an_update(toy):
    """Plain, accumulated, and with a step that is skipped: inferred from what SGD did."""

    class Slope(train.Task):
        """Its gradient is 1, so that an update tells its rate."""

        def loss(self, model, batch, ctx):
            return jnp.ones(len(batch)) * model.params["out"]["bias"][0] + 0 * batch[:, 0]

        def inputs(self, batch):
            return (batch,)

    x = np.ones((24, 4), np.float32)
    bad = x.copy()
    bad[9] = np.nan  # the second of three batches
    lr = train.warmup_linear(0.5, warmup=train.Epochs(1))
    for data, accumulate in ((x, 1), (bad, 2)):
        watch = Watch()
        task = Slope(model=toy.Net(), tx=optax.sgd, lr=lr)
        trainer = toy.trainer(callbacks=[watch], log_every=train.Steps(1), accumulate=accumulate)
        fit = trainer.fit(
            task,
            train.ArrayData(data, batch_size=8, shuffle=False),
            until=train.Epochs(2),
        )
        moved = -np.diff([0.0, *watch.places])
        skipped = np.array(fit.history["skipped"], bool)
        assert skipped.any() == np.isnan(data).any() and (moved[skipped] == 0).all()
        np.testing.assert_allclose(
            np.array(fit.history["learning_rate"])[~skipped], moved[~skipped], rtol=1e-5, atol=1e-7
        )
        applied = task.lr.make(RunLength(6, per_epoch=3))(np.arange((~skipped).sum()))
        np.testing.assert_allclose(moved[~skipped], applied, rtol=1e-5, atol=1e-7)
