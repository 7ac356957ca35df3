"""Threads that make batches, several at once or one ahead: what they may change, which is time."""

import itertools
import threading
import time

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.prefetch import prefetch


@pytest.mark.parametrize("kind", [train.ArrayData, train.ExampleData])
def test_any_number_of_workers_makes_the_same_batches(kind):
    rows = np.arange(23)

    def batches(start, **kwargs):
        for workers in (0, 2, 3):
            data = kind(rows, batch_size=4, workers=workers, **kwargs)
            yield [x.tolist() for x in data.batches(1, start)]

    def noisy(batch, rng):
        time.sleep(rng.uniform(0, 0.002))  # the threads finish in another order than they began
        return batch + rng.normal(size=len(batch))

    for start in (0, 2, 5, 6):
        for kwargs in ({}, {"transform": noisy}):
            none, two, three = batches(start, **kwargs)
            assert none == two == three and len(none) == 6 - start
    with pytest.raises(train.TrainError, match="`workers`"):
        kind(rows, batch_size=4, workers=-1)


def test_workers_work_at_once_fail_in_their_place_and_end():
    both = threading.Barrier(2)

    def transform(batch, rng):
        both.wait(timeout=30)  # until two threads are here
        if 16 in batch:
            raise RuntimeError("from a worker")
        return batch

    data = train.ArrayData(
        np.arange(24), batch_size=4, shuffle=False, transform=transform, workers=2
    )
    found = []
    with pytest.raises(RuntimeError, match="from a worker"):
        found.extend(x[0] for x in data)
    assert found == [0, 4, 8, 12]
    begun = train.ArrayData(np.arange(24), batch_size=4, shuffle=False, workers=2).batches(0)
    assert next(begun).tolist() == [0, 1, 2, 3]
    begun.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("jaxcore-data")]


def test_reading_ahead_changes_nothing_but_the_thread():
    def batches():
        yield from (1, 2, 3)
        raise RuntimeError("from a worker")

    found = []
    with pytest.raises(RuntimeError, match="from a worker"):
        for item in prefetch(batches(), 2):
            found.append(item)
    assert found == [1, 2, 3]
    assert list(prefetch(iter("abc"), 0)) == list(prefetch(iter("abc"), 5)) == list("abc")
    endless = prefetch(itertools.count(), 2)
    assert next(endless) == 0
    endless.close()
    assert not [t for t in threading.enumerate() if t.name == "jaxcore-prefetch"]


# --- buckets -------------------------------------------------------------------------------------
