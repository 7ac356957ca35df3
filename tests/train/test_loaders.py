"""Data of grain and of Hugging Face's `datasets`: by a state of theirs, or by number."""

import itertools
import json

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.feed import Padder, feed
from jaxcore.train.iterables import as_source, example_batch
from jaxcore.train.loader_state import to_json

ROWS, BATCH = 11, 4  # three batches an epoch, the last with three rows


def grain_iter_dataset(grain):
    rows = grain.MapDataset.source(range(ROWS)).seed(5).shuffle()
    examples = rows.map(lambda i: {"i": i}).random_map(lambda x, rng: x | {"r": rng.random()})
    return examples.to_iter_dataset().batch(BATCH)


def grain_iterator(grain):
    rows = grain.MapDataset.source(range(ROWS)).map(lambda i: {"i": i})
    return iter(rows.repeat().to_iter_dataset().batch(BATCH))


def grain_loader(grain, workers=0):
    class Rows:
        def __len__(self):
            return ROWS

        def __getitem__(self, i):
            return {"i": i}

        def __repr__(self):  # by which grain tells whether a state is of this data
            return "Rows()"

    sampler = grain.samplers.IndexSampler(
        num_records=ROWS, num_epochs=1, seed=3, shuffle=True,
        shard_options=grain.sharding.NoSharding(),
    )  # fmt: skip
    batch = grain.transforms.Batch(batch_size=BATCH)
    return grain.DataLoader(
        data_source=Rows(), sampler=sampler, operations=[batch], worker_count=workers
    )


def hugging_face_stream(datasets):
    table = datasets.Dataset.from_dict({"i": list(range(ROWS))})
    return (
        table.to_iterable_dataset().shuffle(seed=2, buffer_size=5).with_format("numpy").batch(BATCH)
    )


def taken(source, epoch, start, count):
    found = itertools.islice(feed(source, epoch, start, Padder(BATCH)), count)
    return [(f.batch.real["i"].tolist(), f.epoch, f.number, f.last, f.state) for f in found]


@pytest.mark.parametrize(
    ("package", "make", "endless"),
    [
        ("grain", grain_iter_dataset, False),
        ("grain", grain_iterator, True),
        ("grain", grain_loader, False),
        ("datasets", hugging_face_stream, False),
    ],
)
def test_a_loader_goes_on_by_its_own_state(package, make, endless):
    library = pytest.importorskip(package)
    source = as_source(make(library))
    first = example_batch(source)["i"].tolist()
    whole = taken(source, 0, 0, 5)
    assert whole[0][0] == first
    if not endless:
        assert sorted(itertools.chain(*(rows for rows, *_ in whole[:3]))) == list(range(ROWS))
        assert [last for *_, last, _ in whole] == [False, False, True, False, False]
    for stop in (1, 2):  # a state goes through a checkpoint's JSON and on in a new process
        state = json.loads(json.dumps(whole[stop - 1][-1]))
        again = as_source(make(library))
        example_batch(again)
        again.restore(state)
        rest = taken(again, 0, stop, 5 - stop)
        assert [found[:4] for found in rest] == [found[:4] for found in whole[stop:]]


class Odd:
    """A loader whose state has all that theirs have: tuples, bytes, arrays of both kinds."""

    def __init__(self, torch):
        self.rng, self.torch, self.begin = torch.Generator().manual_seed(3), torch, 0

    def __iter__(self):
        for n in range(self.begin, 9):
            self.begin = n + 1
            yield {"i": self.torch.randint(99, (BATCH,), generator=self.rng)}
        self.begin = 0

    def state_dict(self):
        return {"rng": (self.rng.get_state(), b"x"), "n": np.int64(self.begin), "l": [None, 0.1]}

    def load_state_dict(self, state):
        rng, x = state["rng"]
        assert x == b"x" and state["l"] == [None, 0.1] and state["n"].dtype == np.int64
        self.rng = self.torch.Generator()
        self.rng.set_state(rng)
        self.begin = int(state["n"])


def test_a_state_with_tensors_goes_through_json(toy):
    torch = pytest.importorskip("torch")
    whole = taken(as_source(Odd(torch)), 0, 0, 5)
    again = as_source(Odd(torch))
    again.restore(json.loads(json.dumps(whole[1][-1])))
    assert taken(again, 0, 2, 3) == whole[2:]
    with pytest.raises(train.TrainError, match=r"got: +Odd at '/rng/1'"):
        to_json({"rng": [0, Odd(torch)]})


def test_a_state_that_is_not_taken_back_is_refused():
    class Forgetful:
        """Goes on from the multiple of `workers` below its place, as if nothing were wrong."""

        def __init__(self, workers):
            self.workers, self.place = workers, 0

        def __iter__(self):
            return self

        def __next__(self):
            self.place += 1
            return {"i": np.arange(BATCH) + self.place}

        def get_state(self):
            return {"place": self.place}

        def set_state(self, state):
            self.place = state["place"] // self.workers * self.workers

    state = taken(as_source(Forgetful(1)), 0, 0, 3)[-1][-1]
    same = as_source(Forgetful(1))
    same.restore(state)
    assert taken(same, 0, 3, 1)[0][0] == [4, 5, 6, 7]
    for loader, words in ((Forgetful(2), "has another state"), (Forgetful(0), "ZeroDivisionError")):
        source = as_source(loader)
        source.restore(state)
        with pytest.raises(train.TrainError, match=rf"take back the state[\s\S]*{words}"):
            taken(source, 0, 3, 1)


def test_the_state_of_a_loader_of_grain_belongs_to_its_workers():
    grain = pytest.importorskip("grain")
    state = taken(as_source(grain_loader(grain)), 0, 0, 2)[-1][-1]
    more = as_source(grain_loader(grain, workers=2))
    more.restore(json.loads(json.dumps(state)))
    with pytest.raises(train.TrainError, match=r"[Ww]orker count[\s\S]*number of workers"):
        taken(more, 0, 2, 1)


def test_epochs_of_a_stream_are_shuffled_anew():
    datasets = pytest.importorskip("datasets")
    source = as_source(hugging_face_stream(datasets))
    orders = [[rows for rows, *_ in taken(source, epoch, 0, 3)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize("package", ["grain", "datasets"])
def test_examples_of_a_library_by_number(package):
    library = pytest.importorskip(package)
    if package == "grain":
        examples = library.MapDataset.source(range(ROWS)).map(
            lambda i: {"i": i, "x": np.ones(2) * i}
        )
    else:
        columns = {"i": list(range(ROWS)), "x": [[i, i] for i in range(ROWS)]}
        examples = library.Dataset.from_dict(columns).with_format("numpy")
    data = train.ExampleData(examples, batch_size=BATCH, seed=1)
    rows = train.ArrayData(np.arange(ROWS), batch_size=BATCH, seed=1)
    for start in (0, 2):
        batches = list(data.batches(3, start))
        assert [b["i"].tolist() for b in batches] == [b.tolist() for b in rows.batches(3, start)]
        assert all((b["x"] == b["i"][:, None]).all() for b in batches)
