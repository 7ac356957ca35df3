"""Units of time, and what is due when."""

import itertools
import math

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.units import Position, is_due, is_over, resolve, steps_until


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("unit", [train.Steps, train.Epochs, train.Samples, train.Tokens])
def test_units_count_whole_things(unit, count):
    with pytest.raises(train.TrainError) as error:
        unit(count)
    assert f"`{unit.__name__}` counts whole" in str(error.value)
    assert repr(count) in str(error.value)


@pytest.mark.parametrize("count", [0, -1, True, "3", None, float("inf"), float("nan")])
def test_seconds_and_fractions_are_numbers(count):
    with pytest.raises(train.TrainError, match="`Seconds`"):
        train.Seconds(count)
    if not isinstance(count, str | None):
        with pytest.raises(train.TrainError, match="`Fraction`"):
            train.Fraction(count)


def test_a_plain_number_has_no_unit():
    task = train.Task(model=None, tx=None)
    with pytest.raises(train.TrainError, match=r"`until` has no unit[\s\S]*until=Epochs\(10\)"):
        train.Trainer(callbacks=[]).fit(task, np.zeros(3), until=10)
    with pytest.raises(train.TrainError, match="`until` has no unit"):
        train.Trainer(callbacks=[]).fit(task, np.zeros(3), until=train.Fraction(0.5))
    with pytest.raises(train.TrainError, match="`log_every` has no unit"):
        train.Trainer(log_every=10)
    with pytest.raises(train.TrainError, match="`validate_every` has no unit"):
        train.Trainer(validate_every=10)
    with pytest.raises(train.TrainError, match="`every` has no unit"):
        train.ModelCheckpoint(10)


def dues(every, positions):
    return [is_due(every, before, now) for before, now in itertools.pairwise(positions)]


def test_when_something_is_due():
    steps = [Position(step=s, epochs=s // 2, samples=3 * s, seconds=0.4 * s) for s in range(7)]
    assert dues(train.Steps(3), steps) == [False, False, True, False, False, True]
    assert dues(train.Epochs(2), steps) == [False, False, False, True, False, False]
    assert dues(train.Samples(5), steps) == [False, True, False, True, True, False]
    assert dues(train.Seconds(1), steps) == [False, False, True, False, True, False]
    # Several steps in one call: due if one of them is.
    assert dues(train.Steps(3), [Position(step=0), Position(step=4), Position(step=5)]) == [
        True, False,
    ]  # fmt: skip
    assert dues(train.Tokens(7), [Position(tokens=6), Position(tokens=21)]) == [True]


def test_when_a_run_is_over():
    for unit, name in ((train.Steps, "step"), (train.Epochs, "epochs"), (train.Samples, "samples")):
        found = [is_over(unit(3), Position(**{name: n})) for n in (2, 3, 4)]
        assert found == [False, True, True]


def test_fractions_of_a_run():
    assert resolve(train.Fraction(0.1), train.Epochs(3), 10) == train.Steps(3)
    assert resolve(train.Fraction(0.5), train.Seconds(3)) == train.Seconds(1.5)
    assert resolve(train.Steps(3), train.Epochs(3), 10) == train.Steps(3)
    steps = [Position(step=s, epochs=s // 5, samples=4 * s) for s in range(16)]
    for part in (0.1, 0.25, 0.3, 1 / 3, 0.7, 1.0, 0.001):
        # The first steps at or after each multiple, of 15 steps whether in three epochs or not.
        want = [math.floor(s / part / 15 + 1e-9) for s in range(16)]
        want = [b > a for a, b in itertools.pairwise(want)]
        for until, per_epoch in ((train.Epochs(3), 5), (train.Steps(15), None),
                                 (train.Samples(60), None)):  # fmt: skip
            assert dues(resolve(train.Fraction(part), until, per_epoch), steps) == want
        # Where nobody knows what an epoch is, at the first end of one.
        epochs = dues(resolve(train.Fraction(part), train.Epochs(3)), steps)
        assert epochs == [
            (s + 1) % 5 == 0 and any(want[s - 4 : s + 1]) for s in range(15)
        ], part  # fmt: skip


@pytest.mark.parametrize("calls", [1, 4])
def test_fractions_of_a_run_in_epochs_are_of_its_steps(toy, tmp_path, calls):
    saving = train.ModelCheckpoint(train.Fraction(0.1), save_last=20)
    fit = toy.trainer(
        dir=tmp_path, callbacks=[saving], steps_per_call=calls,
        validate_every=train.Fraction(0.2), log_every=train.Fraction(0.3),
    ).fit(toy.task(), toy.data(), until=train.Epochs(2), val=toy.data(8))  # fmt: skip
    assert fit.history.series("val/loss")[0] == [3, 6, 9, 12, 14]  # of 14 steps
    assert [row["step"] for row in fit.history] == [3, 5, 6, 9, 12, 13, 14]
    saved = [step for step, _ in train.list_checkpoints(tmp_path)]
    assert saved == [2, 3, 5, 6, 7, 9, 10, 12, 13, 14]


def test_steps_until_something_is_due():
    assert [steps_until(train.Steps(4), Position(step=s)) for s in range(5)] == [4, 3, 2, 1, 4]
    assert steps_until(train.Epochs(4), Position()) is None
    tenth = resolve(train.Fraction(0.1), train.Steps(25))
    assert [steps_until(tenth, Position(step=s)) for s in range(6)] == [3, 2, 1, 2, 1, 3]
    assert steps_until(resolve(train.Fraction(0.1), train.Samples(25)), Position()) is None
