"""A jump of the loss is taken back, its batches are left out, now and in runs to come."""

import json

import numpy as np
import pytest

from jaxcore import random, train
from jaxcore.train.callbacks.spike_detection import _Without
from jaxcore.train.iterables import as_source


def arrays(toy, bad=()):
    """Six batches of eight, some of them with targets that are far off."""
    x, y = toy.arrays(48)
    for number in bad:
        y[8 * number : 8 * number + 8] = 1e3
    return train.ArrayData((x, y), batch_size=8, shuffle=False)


def fit(toy, data, *more, folder=None, until=None, **settings):
    trainer = toy.trainer(dir=folder, callbacks=more, log_every=train.Steps(1), **settings)
    return trainer.fit(task, data, until=until or train.Epochs(2))


task = None


@pytest.fixture(autouse=True)
def one_task(toy):
    global task
    task = toy.task(lr=1e-3)


def test_a_spike_changes_nothing_but_the_count(toy, tmp_path):
    """The reference trains on the same batches without the bad one, step by step."""
    spikes = train.SpikeDetection()
    found = fit(toy, arrays(toy, bad=[3]), spikes, folder=tmp_path).state
    assert spikes.skipped == [((0, 3), (0, 4)), ((1, 3), (1, 4))]
    step = train.make_step(task)
    batches = [*arrays(toy).batches(0)] * 2
    state = train.init_state(task, train.trainer.random.key(0), batches[0])
    for number, batch in enumerate(batches):
        if number in (3, 9):
            state = state.replace(step=state.step + 1)
        else:
            state, _ = step(state, batch, np.ones(8, bool))
    toy.equal(found, state)


def test_what_was_left_out_stays_out(toy, tmp_path):
    first = fit(toy, arrays(toy, bad=[3]), train.SpikeDetection(), folder=tmp_path)
    noted = json.loads((tmp_path / "skipped_batches.json").read_text())
    assert noted == [[0, 3, 0, 4], [1, 3, 1, 4]]
    again = train.SpikeDetection(rtol=1e9)  # which sees no spike itself
    second = fit(toy, arrays(toy, bad=[3]), again, folder=tmp_path)
    toy.equal(first.state.replace(key=None), second.state.replace(key=None))
    assert again.skipped == [((0, 3), (0, 4)), ((1, 3), (1, 4))]
    with pytest.raises(train.TrainError, match=r"cannot be told[\s\S]*delete the file"):
        fit(toy, iter(arrays(toy)), train.SpikeDetection(), folder=tmp_path)


def run_of(toy):
    run = train.Run(
        task=None, until=train.Epochs(1), source=None, example=None, dir=None,
        console=toy.trainer().console, validates=False,
    )  # fmt: skip
    run.state = train.State(np.int32(0), {}, {}, None)
    return run


@pytest.mark.parametrize(
    ("kwargs", "losses", "spikes"),
    [
        ({}, [9, 1, 2, 12.1], [12.1]),  # beyond the mean, 4, by twice the mean
        ({}, [9, 1, 2, 11.9], []),
        ({"window": 2}, [9, 1, 2, 4.6, 4.4], [4.6]),  # beyond 1.5 by 2 · 1.5
        ({"window": 2}, [9, 1, 2, 4.4], []),
        ({"window": 2, "rtol": 0.1, "atol": 2.0}, [9, 1, 2, 3.6], [3.6]),
        ({"warmup": 4}, [1, 1, 1, 100, 1000], [1000]),
        ({"mode": "max"}, [1, 1, -1.5, 1, 4], [-1.5]),
        ({"rtol": 0.1}, [1, 1, float("nan"), 1], ["nan"]),
    ],
)
def test_what_a_spike_is(toy, kwargs, losses, spikes):
    callback, run, found = train.SpikeDetection(**kwargs), run_of(toy), []
    callback.on_fit_start(run)
    for loss in losses:
        run.samples += 8
        before = len(callback.skipped)
        callback.on_log(run, {"loss": loss})
        found += [loss] if len(callback.skipped) > before else []
    assert [str(loss) for loss in found] == [str(loss) for loss in spikes]


def test_statistics_are_of_the_batches_that_stay(toy):
    task, data = toy.task(norm=True), arrays(toy)
    state = train.init_state(task, random.key(0), next(data.batches(0)))
    found, expected = (
        train.update_batch_stats(task, state, source).variables["batch_stats"]
        for source in (_Without(data, [((0, 0), (0, 1))]), as_source([*data.batches(0, 1)]))
    )
    toy.equal(found, expected)


def test_too_many_spikes_end_the_run(toy):
    callback, run = train.SpikeDetection(limit=2), run_of(toy)
    callback.on_fit_start(run)
    for loss in (1.0, 9.0):
        run.samples += 8
        callback.on_log(run, {"loss": loss})
    run.samples += 8
    with pytest.raises(train.TrainError, match=r"in 2 rows[\s\S]*mean of 1[\s\S]*raise rtol"):
        callback.on_log(run, {"loss": 9.0})
    run.samples += 8
    with pytest.raises(train.TrainError, match="SpikeDetection monitors"):
        callback.on_log(run, {"lss": 9.0})
