"""`Steps` and `Epochs`."""

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.units import is_due, is_over


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("unit", [train.Steps, train.Epochs])
def test_units_count_whole_things(unit, count):
    with pytest.raises(train.TrainError) as error:
        unit(count)
    assert f"`{unit.__name__}` counts whole" in str(error.value)
    assert repr(count) in str(error.value)


def test_a_plain_number_has_no_unit():
    task = train.Task(model=None, tx=None)
    with pytest.raises(train.TrainError, match=r"`until` has no unit[\s\S]*until=Epochs\(10\)"):
        train.Trainer(callbacks=[]).fit(task, np.zeros(3), until=10)
    with pytest.raises(train.TrainError, match="`log_every` has no unit"):
        train.Trainer(log_every=10)
    with pytest.raises(train.TrainError, match="`validate_every` has no unit"):
        train.Trainer(validate_every=10)
    with pytest.raises(train.TrainError, match="`every` has no unit"):
        train.Checkpoint(10)


def test_when_something_is_due():
    steps = [is_due(train.Steps(3), step=s, epochs=0, epoch_ended=False) for s in range(1, 7)]
    assert steps == [False, False, True, False, False, True]
    epochs = [is_due(train.Epochs(2), step=9, epochs=e, epoch_ended=True) for e in range(1, 5)]
    assert epochs == [False, True, False, True]
    assert not is_due(train.Epochs(2), step=9, epochs=2, epoch_ended=False)


def test_when_a_run_is_over():
    assert [is_over(train.Steps(3), step=s, epochs=9) for s in (2, 3, 4)] == [False, True, True]
    assert [is_over(train.Epochs(3), step=9, epochs=e) for e in (2, 3)] == [False, True]
