"""Batches: their order, their padding, and what is no data at all."""

import contextlib
import itertools

import numpy as np
import pytest

import jaxcore
from jaxcore import train
from jaxcore.train.buckets import BatchBuckets
from jaxcore.train.datamodule import limited
from jaxcore.train.dispatch import Dispatcher
from jaxcore.train.feed import Padder, feed
from jaxcore.train.iterables import as_source, example_batch


def rows_of(batches):
    return [batch.tolist() for batch in batches]


def test_batches_cover_every_row_once():
    data = train.ArrayData(np.arange(10), batch_size=4)
    for epoch in range(3):
        assert sorted(itertools.chain(*rows_of(data.batches(epoch)))) == list(range(10))
    assert rows_of(data.batches(0)) != rows_of(data.batches(1))
    assert len(data) == data.steps_per_epoch == 3
    dropped = train.ArrayData(np.arange(10), batch_size=4, remainder="drop")
    assert [len(batch) for batch in dropped] == [4, 4]
    assert len(dropped) == 2


def test_order_is_a_function_of_seed_and_epoch():
    one, two = (train.ArrayData(np.arange(50), batch_size=7, seed=s) for s in (1, 1))
    list(one.batches(0))  # reading changes nothing
    assert rows_of(one.batches(3)) == rows_of(two.batches(3))
    other = train.ArrayData(np.arange(50), batch_size=7, seed=2)
    assert rows_of(other.batches(3)) != rows_of(two.batches(3))
    ordered = train.ArrayData(np.arange(50), batch_size=7, shuffle=False)
    assert list(itertools.chain(*rows_of(ordered.batches(5)))) == list(range(50))


@pytest.mark.parametrize("start", [0, 2, 7, 8])
@pytest.mark.parametrize("remainder", ["pad", "drop"])
def test_batches_taken_together_are_those_taken_alone(monkeypatch, start, remainder):
    arrays = {"x": np.arange(34.0).reshape(17, 2), "y": np.arange(17)}
    data = train.ArrayData(arrays, batch_size=2, seed=1, remainder=remainder)
    monkeypatch.setattr("jaxcore.train.data._TAKEN_BYTES", 3 * 2 * 24)  # three batches
    order = data.order(4)
    expected = [
        order[row : row + 2] for row in range(2 * start, 17 if remainder == "pad" else 16, 2)
    ]
    batches = list(data.batches(4, start))
    assert [batch["y"].tolist() for batch in batches] == [rows.tolist() for rows in expected]
    for batch in batches:
        np.testing.assert_array_equal(batch["x"], arrays["x"][batch["y"]])


@pytest.mark.parametrize("start", range(4))
def test_a_later_start_gives_the_rest_with_the_same_augmentation(start):
    def jitter(batch, rng):
        return batch + rng.random(len(batch))

    data = train.ArrayData(np.arange(10.0), batch_size=4, transform=jitter)
    whole = rows_of(data.batches(2))
    assert rows_of(data.batches(2, start)) == whole[start:]
    assert all(value % 1 for batch in whole for value in batch)


def test_arrays_may_be_a_tuple_or_a_dict():
    x, y = np.arange(12).reshape(6, 2), np.arange(6)
    for batch in train.ArrayData({"x": x, "y": y}, batch_size=4):
        np.testing.assert_array_equal(batch["x"][:, 0], 2 * batch["y"])
    for first, second in train.ArrayData((x, y), batch_size=4):
        np.testing.assert_array_equal(first[:, 0], 2 * second)


def take(source, count, epoch=0, start=0):
    found = itertools.islice(feed(as_source(source), epoch, start, Padder(2)), count)
    return [(f.batch.batch.tolist(), f.epoch, f.number, f.last) for f in found]


class Endless:
    """Sized or not, an iterable whose passes start afresh."""

    def __iter__(self):
        return iter([np.array([0, 1]), np.array([2])])


@pytest.mark.parametrize(
    "data", [train.ArrayData(np.arange(3), batch_size=2, shuffle=False), Endless(), list(Endless())]
)
def test_a_feed_goes_round_and_knows_the_last_batch(data):
    expected = [([0, 1], 0, 0, False), ([2, 2], 0, 1, True)]
    expected += [([0, 1], 1, 0, False), ([2, 2], 1, 1, True)]
    assert take(data, 4) == expected
    warns = pytest.warns(UserWarning, match="reading 1 batches again")
    with warns if isinstance(data, Endless) else contextlib.nullcontext():
        assert take(data, 3, start=1) == expected[1:]


def test_what_is_due_early_leaves_the_next_calls_whole():
    """Which steps make a call depends on the place alone: a resumed run makes the same ones."""
    batches = [np.full(2, n, np.float32) for n in range(8)]

    def sizes(start, wanted):
        taking = Dispatcher(feed(as_source(batches), 0, start, Padder()), 3)
        taking.prepare(None)
        return [len(taking.take(steps)) for steps in wanted]

    assert sizes(0, [1, None, None, None]) == [1, 3, 3, 1]
    assert sizes(1, [None, None, None]) == [3, 3, 1]


def test_a_generator_serves_one_epoch():
    generator = (np.array([i, i + 1]) for i in range(2))
    source = as_source(generator)
    assert example_batch(source).tolist() == [0, 1]  # looking does not use it up
    batches = feed(source, 0, 0, Padder())
    assert [(f.batch.batch.tolist(), f.last) for f in itertools.islice(batches, 2)] == [
        ([0, 1], False), ([1, 2], True),
    ]  # fmt: skip
    with pytest.raises(train.TrainError, match=r"no batch in epoch 1[\s\S]*one epoch only"):
        next(batches)


def test_parts_of_an_iterable():
    def numbers():
        return (np.full(2, n) for n in range(9))

    def seen(source, epochs=2):
        assert example_batch(source)[0] == 0  # which is not lost
        return [[int(b[0]) for b in source.batches(epoch)] for epoch in range(epochs)]

    assert seen(limited(as_source(numbers()), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert seen(limited(as_source([*numbers()]), 3)) == [[0, 1, 2], [0, 1, 2]]
    assert seen(limited(limited(as_source([*numbers()]), 3), 2)) == [[0, 1], [0, 1]]
    for data in (numbers(), [*numbers()]):
        assert seen(limited(as_source(data), 3, overfit=2)) == [[0, 1], [0, 1]]
    assert limited(as_source([1, 2, 3]), 2).steps_per_epoch == 2
    again = limited(as_source(numbers()), 2)  # validated on twice
    assert [[int(b[0]) for b in again.batches(0)] for _ in range(2)] == [[0, 1], [2, 3]]


def test_data_that_is_not_batches():
    for arrays in (np.zeros((4, 2)), (np.zeros(4), np.zeros(4)), {"x": np.zeros(4)}):
        with pytest.raises(train.TrainError, match=r"`val` is not batches[\s\S]*val=train.ArrayD"):
            as_source(arrays, argument="val")
    with pytest.raises(train.TrainError, match="got:      int"):
        as_source(3)
    with pytest.raises(train.TrainError, match="yields no batch"):
        example_batch(as_source([]))
    with pytest.raises(train.TrainError, match="epoch 0 from batch 0"):
        next(feed(as_source([]), 0, 0, Padder()))


def test_an_epoch_shorter_than_its_length():
    class Liar(Endless):
        def __len__(self):
            return 5

    with pytest.raises(train.TrainError, match=r"2 batches[\s\S]*5, as len\(data\) says"):
        take(Liar(), 3)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"batch_size": 0}, ["`batch_size`", "0"]),
        ({"batch_size": 2.0}, ["2.0"]),
        ({"batch_size": 2, "remainder": "keep"}, ["'keep'", "'pad' or 'drop'"]),
        ({"batch_size": 9, "remainder": "drop"}, ["5 rows, batch_size=9", "remainder='pad'"]),
    ],
)
def test_settings_of_arrays(kwargs, words):
    with pytest.raises(train.TrainError) as error:
        train.ArrayData(np.zeros(5), **kwargs)
    for word in words:
        assert word in str(error.value)


def test_arrays_of_unequal_length():
    with pytest.raises(train.TrainError, match=r"0: \(5,\), 1: \(4,\)"):
        train.ArrayData((np.zeros(5), np.zeros(4)), batch_size=2)


def test_padding_repeats_the_rows_that_there_are():
    padded = Padder(5)({"x": np.array([[1], [2]])})
    assert padded.batch["x"].tolist() == [[1], [2], [1], [2], [1]]
    assert padded.mask.tolist() == [True, True, False, False, False]
    assert padded.rows == 2 and not padded.full


def test_where_no_batch_is_short_there_is_no_mask():
    even, uneven = (train.ArrayData(np.zeros(n), batch_size=4) for n in (8, 9))
    assert uneven.may_be_short and not even.may_be_short
    assert not train.ArrayData(np.zeros(9), batch_size=4, remainder="drop").may_be_short
    padder = Padder(4, may_be_short=False)
    for batch in even:
        padded = padder(batch)
        assert padded.mask is None and padded.full and padded.real is padded.batch
    assert padder(np.zeros(3)).mask.tolist() == [True, True, True, False]  # of a source that lies
    assert Padder(6, may_be_short=False)(np.zeros(4)).mask.sum() == 4  # of devices that need 6


@pytest.mark.parametrize(
    "second",
    [
        {"x": np.zeros((3, 2), np.float32)},
        {"x": np.zeros((2, 3), np.float32)},
        {"x": np.zeros((2, 2), np.float64)},
        {"y": np.zeros((2, 2), np.float32)},
        (np.zeros((2, 2), np.float32),),
    ],
)
def test_batches_differ_in_their_rows_only(second):
    padder = Padder()
    padder({"x": np.zeros((2, 2), np.float32)})
    with pytest.raises(train.TrainError, match="differs from the first") as error:
        padder(second)
    assert "at most 2 rows of {'x': 'float32[rows,2]'}" in str(error.value)


class Iterator:
    """A pass over 0, 1, 2, ... that has a state, as grain's iterators have."""

    def __init__(self):
        self.next = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.next += 1
        return np.array([self.next - 1])

    def get_state(self):
        return {"next": self.next}

    def set_state(self, state):
        self.next = state["next"]


class Loader:
    """Batches of a loader that keeps the state itself, as PyTorch's StatefulDataLoader does."""

    def __init__(self):
        self.position = self.begin = 0

    def __iter__(self):
        for number in range(self.begin, 9):
            self.position = number + 1
            yield np.array([number])
        self.begin = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.begin = state["position"]


@pytest.mark.parametrize("make", [Iterator, Loader])
def test_an_iterator_with_a_state_goes_on_where_it_was(make):
    first = feed(as_source(make()), 0, 0, Padder(1))
    seen = [next(first) for _ in range(3)]
    assert [int(item.batch.batch[0]) for item in seen] == [0, 1, 2]
    again = as_source(make())
    again.restore(seen[1].state)  # saved after the second: the read-ahead does not count
    rest = feed(again, 0, 2, Padder(1))
    assert [int(next(rest).batch.batch[0]) for _ in range(3)] == [2, 3, 4]


def test_looking_at_an_iterator_with_a_state_moves_it_nowhere():
    source = as_source(Iterator())
    assert example_batch(source).tolist() == [0]
    assert next(feed(source, 0, 0, Padder(1))).batch.batch.tolist() == [0]


class Dataset:
    """Examples by number, several at a time, as datasets of PyTorch and Hugging Face have them."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        return {"x": np.full(2, i), "y": i}

    def __getitems__(self, rows):
        return [self[i] for i in rows]


@pytest.mark.parametrize("examples", [Dataset(), [Dataset()[i] for i in range(7)]])
def test_examples_are_cut_as_arrays_are(examples):
    ours = train.ExampleData(examples, batch_size=3, seed=4)
    arrays = train.ArrayData(np.arange(7), batch_size=3, seed=4)
    for start in (0, 2):
        batches = list(ours.batches(1, start))
        assert [b["y"].tolist() for b in batches] == rows_of(arrays.batches(1, start))
        assert all((b["x"][:, 1] == b["y"]).all() for b in batches)
    with pytest.raises(train.TrainError, match="cannot be looked up"):
        train.ExampleData(iter([1]), batch_size=1)


def test_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    x = torch.arange(10.0).reshape(5, 2)
    data = torch.utils.data.TensorDataset(x, torch.arange(5))
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    batches = list(itertools.islice(feed(as_source(loader), 0, 0, Padder(2)), 3))
    assert [type(leaf) for leaf in batches[0].batch.batch] == [np.ndarray] * 2
    assert [item.batch.rows for item in batches] == [2, 2, 1]
    first, second = batches[1].batch.batch
    assert first.tolist() == [[4.0, 5.0], [6.0, 7.0]] and second.tolist() == [2, 3]


def lengths(*sizes):
    return [{"x": np.ones((2, n, 3)), "y": np.zeros((2, n), int)} for n in sizes]


def test_buckets_fill_up_what_they_name():
    rules = {"x": {1: "length"}, "y": jaxcore.Bucket({1: "length"}, sizes=None, pad=-1)}
    padder = Padder(3, BatchBuckets(rules))
    for batch, filled in zip(lengths(5, 8, 3), (8, 8, 4), strict=True):
        padded = padder(batch)
        n = batch["x"].shape[1]
        assert padded.batch["x"].shape == (3, filled, 3) and padded.rows == 2
        assert padded.mask.tolist() == [True, True, False]
        assert (padded.batch["y"][:, n:] == -1).all() and (padded.batch["y"][:, :n] == 0).all()
    with pytest.raises(train.TrainError, match="what Trainer\\(buckets=...\\) names may vary"):
        padder({"x": np.ones((2, 5, 4)), "y": np.zeros((2, 5), int)})
    with pytest.raises(train.TrainError, match="x has 5 in dimension 'length', y has 6"):
        padder({"x": np.ones((2, 5, 3)), "y": np.zeros((2, 6), int)})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"z": {1: "n"}}, "buckets names 'z', and the batch has 'x', 'y'. Fix"),
        ({"x": {0: "n"}}, "names axis 0, which holds the rows"),
        ({"x": {3: "n"}}, "no axis 3 to be 'n'"),
        ({"x": 1}, "Fix: the axes of an argument"),
    ],
)
def test_buckets_that_are_wrong(rules, message):
    with pytest.raises(train.TrainError, match=message):
        Padder(2, BatchBuckets(rules))(lengths(5)[0])
