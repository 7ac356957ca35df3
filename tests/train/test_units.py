"""Units of time, and what is due when."""

import itertools

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
    assert resolve(train.Fraction(0.1), train.Epochs(3)) == train.Epochs(1)
    assert resolve(train.Fraction(0.5), train.Seconds(3)) == train.Seconds(1.5)
    assert resolve(train.Steps(3), train.Epochs(3)) == train.Steps(3)


def test_steps_until_something_is_due():
    assert [steps_until(train.Steps(4), Position(step=s)) for s in range(5)] == [4, 3, 2, 1, 4]
    assert steps_until(train.Epochs(4), Position()) is None
