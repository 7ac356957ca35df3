"""Checkpoints on the disk: whole or not there, data and not code, of this model or refused."""

import json
import pickle
import shutil
import zlib

import jax
import ml_dtypes
import numpy as np
import pytest

from jaxcore import nn, random, train
from jaxcore.nn.weights.safetensors import load_arrays, save_arrays
from jaxcore.train import checkpoint, storage
from jaxcore.train.checkpoint import checkpoint_path, read_info, remove_leftovers


def state(width=3, **more):
    params = {"Dense_0": {"kernel": np.full((2, width), 0.5, np.float32)}}
    return {"variables": {"params": params}, "key": random.key(7), **more}


def save(run_dir, step, tree=None, **info):
    return train.save_checkpoint(checkpoint_path(run_dir, step), tree or state(), info)


def test_what_is_saved_comes_back_to_the_bit(tmp_path, toy):
    tree = state(
        half=np.array([1.5, -0.0, np.nan], ml_dtypes.bfloat16),
        flags=[np.array([True, False])],
        count=np.int32(3),
        empty=np.zeros((0, 4), np.float32),
        other=random.split(random.key(1, impl="rbg"), 2),
    )
    path = save(tmp_path, 1, tree, history=[{"loss": 0.1}], row=None)
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    back = train.load_checkpoint(path, like)
    toy.equal(back, tree)
    assert back["key"].dtype == tree["key"].dtype  # a key again, not its words
    assert str(random.key_impl(back["other"])) == str(random.key_impl(tree["other"]))
    assert read_info(path) == {"history": [{"loss": 0.1}], "row": None}


@pytest.fixture
def divided(tmp_path):
    """A (5, 4) array in four pieces of two processes, and what a checkpoint says of it."""
    whole = np.arange(20.0, dtype=np.float32).reshape(5, 4)
    first, second = "state.safetensors", "state-1.safetensors"
    parts = {
        first: {"w@0,0": whole[:2, :3], "w@0,3": whole[:2, 3:], "x@y": np.ones(3)},
        second: {"w@2,0": whole[2:, :3], "w@2,3": whole[2:, 3:]},
    }
    for file, arrays in parts.items():
        save_arrays(tmp_path / file, arrays)
    at = [[first, "w@0,0", [0, 0]], [first, "w@0,3", [0, 3]]]
    at += [[second, "w@2,0", [2, 0]], [second, "w@2,3", [2, 3]]]
    return whole, {
        "files": dict.fromkeys(parts, 0),
        "keys": {},
        "pieces": {"w": {"shape": [5, 4], "at": at}},
    }


def test_a_divided_array_is_read_in_whatever_parts_are_asked_for(divided, tmp_path):
    whole, content = divided
    contents = storage.Contents(tmp_path, content)
    assert {name: contents.type_of(name) for name in contents.types} == {
        "x@y": "float64[3]", "w": "float32[5,4]",
    }  # fmt: skip
    np.testing.assert_array_equal(contents.read("w"), whole)
    for r, rows, c, columns in np.ndindex(5, 3, 4, 3):
        part = slice(r, min(r + rows, 5)), slice(c, min(c + columns, 4))
        np.testing.assert_array_equal(contents.read("w", part), whole[part])
    assert contents.read("x@y", (slice(1, 3),)).tolist() == [1, 1]


@pytest.mark.parametrize(
    "change",
    [{"files": {"../state.safetensors": 0}}, {"files": {}}, {"pieces": {"w": {}}}, {"files": 3}],
)
def test_a_checkpoint_that_describes_itself_wrongly_is_refused(divided, tmp_path, change):
    with pytest.raises(train.CheckpointError, match="is not a whole checkpoint"):
        storage.Contents(tmp_path, {**divided[1], **change})


def test_processes_wait_for_each_other_and_not_for_ever(tmp_path, monkeypatch):
    saved = storage.Snapshot({}, {}, {}, (0, 1), "0123")
    storage._note(tmp_path, 1, {"crc32": 7})
    assert storage.parts_of_others(tmp_path, saved) == {"state-1.safetensors": 7}
    storage._note(tmp_path, 1, {"error": "OSError: No space left"})
    with pytest.raises(train.CheckpointError, match=r"Process 1 has not[\s\S]*No space left"):
        storage.parts_of_others(tmp_path, saved)
    monkeypatch.setattr(storage, "PATIENCE", 0.05)
    (tmp_path / "part-1.json").unlink()
    with pytest.raises(train.CheckpointError, match=r"nothing after 0.05 seconds[\s\S]*same `dir`"):
        storage.parts_of_others(tmp_path, saved)
    path = save(tmp_path, 1)
    token = checkpoint._content(path)["token"]
    storage.await_first(path, token, checkpoint._token_at)
    with pytest.raises(train.CheckpointError, match="first process has not written"):
        storage.await_first(path, "0123", checkpoint._token_at)


def test_variables_alone(tmp_path, toy):
    path = save(tmp_path, 1)
    for place in (path, tmp_path):
        toy.equal(train.load_variables(place), state()["variables"])


def test_files_are_plain_data(tmp_path):
    path = save(tmp_path, 1)
    assert sorted(file.name for file in path.iterdir()) == ["checkpoint.json", "state.safetensors"]
    raw = (path / "state.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["variables/params/Dense_0/kernel"]["dtype"] == "F32"
    assert json.loads((path / "checkpoint.json").read_text())["content"]["versions"]["jax"]


class Malicious:
    def __reduce__(self):
        return open, ("owned", "w")


@pytest.mark.parametrize("honest_checksum", [False, True])
@pytest.mark.parametrize("numpy", [False, True])
def test_a_pickle_is_refused_and_never_run(tmp_path, monkeypatch, honest_checksum, numpy):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    arrays = path / "state.safetensors"
    if numpy:
        with open(arrays, "wb") as file:
            np.save(file, np.array([Malicious()], dtype=object), allow_pickle=True)
    else:
        arrays.write_bytes(pickle.dumps(Malicious()))
    if honest_checksum:
        stored = json.loads((path / "checkpoint.json").read_text())
        stored["content"]["files"] = {arrays.name: zlib.crc32(arrays.read_bytes())}
        stored["crc32"] = zlib.crc32(json.dumps(stored["content"]).encode())
        (path / "checkpoint.json").write_text(json.dumps(stored))
    with pytest.raises(train.CheckpointError, match="is not a whole"):
        train.load_checkpoint(path, state())
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("length", [0, 5, 60, -8, -1])
@pytest.mark.parametrize("name", ["state.safetensors", "checkpoint.json"])
def test_a_truncated_file_is_passed_over_for_the_older_checkpoint(tmp_path, name, length):
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    file = newer / name
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(train.CheckpointError, match="is not a whole checkpoint"):
        train.load_checkpoint(newer, state())
    with pytest.warns(UserWarning, match="falling back") as caught:
        assert train.latest_checkpoint(tmp_path) == older
    message = str(caught[0].message)
    assert f"falling back to {older}" in message
    assert str(newer) in message


@pytest.mark.parametrize("name", ["state.safetensors", "checkpoint.json"])
def test_a_flipped_bit_or_a_missing_file_is_noticed(tmp_path, name):
    path = save(tmp_path, 1)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(train.CheckpointError):
        train.load_checkpoint(path, state())
    (path / name).unlink()
    with pytest.raises(train.CheckpointError, match="FileNotFoundError"):
        train.load_checkpoint(path, state())
    with pytest.raises(train.CheckpointError, match="no whole step_.*but 1 damaged"):
        train.latest_checkpoint(tmp_path)


def test_a_process_that_dies_while_saving_leaves_the_older_one(tmp_path, monkeypatch):
    older = save(tmp_path, 1)

    def dies(*args):
        raise KeyboardInterrupt

    for module, function in ((storage, "save_arrays"), (checkpoint, "_sync")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, function, dies)
            save(tmp_path, 2)
        assert [path.name for path in older.parent.iterdir()] == [older.name]
    # Killed for good, it cannot even clean up: its folder has a name that nobody reads.
    shutil.copytree(older, older.parent / ".tmp-step_000000003-0123")
    assert train.latest_checkpoint(tmp_path) == older
    assert train.list_checkpoints(tmp_path) == [(1, older)]
    remove_leftovers(tmp_path)
    assert [path.name for path in older.parent.iterdir()] == [older.name]


def test_saving_again_replaces(tmp_path):
    save(tmp_path, 1, n=1)
    path = save(tmp_path, 1, n=2)
    assert read_info(path) == {"n": 2}
    assert list(path.parent.iterdir()) == [path]


def test_another_model_is_refused_leaf_by_leaf(tmp_path):
    path = save(tmp_path, 1)
    other = state(5, extra=np.zeros(2, np.float32))
    del other["key"]
    with pytest.raises(train.CheckpointError, match="belongs to another model") as error:
        train.load_checkpoint(path, other)
    for line in (
        "variables/params/Dense_0/kernel: stored float32[2,3], the model has float32[2,5]",
        "extra: not stored, the model has float32[2]",
        "key: stored key<fry>[], the model has none",
    ):
        assert line in str(error.value)


def test_a_dtype_that_files_do_not_have(tmp_path):
    with pytest.raises(nn.WeightsError, match=r"'x' cannot be stored[\s\S]*complex128"):
        save_arrays(tmp_path / "a", {"x": np.zeros(2, np.complex128)})
    assert load_arrays_of(tmp_path, {"x": np.zeros((2, 0), np.int8)})["x"].shape == (2, 0)


def load_arrays_of(folder, arrays):
    save_arrays(folder / "b", arrays)
    return load_arrays(folder / "b")


def test_offsets_outside_the_file_are_refused(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(nn.WeightsError, match="'x' lie outside the file"):
        load_arrays(tmp_path / "a")


def test_the_best_one(tmp_path):
    paths = [
        save(tmp_path, step, row={"val/loss": loss})
        for step, loss in enumerate([3.0, 1.0, 2.0, 1.0, float("nan")])
    ]
    save(tmp_path, 9, row=None)
    assert train.best_checkpoint(tmp_path, "val/loss") == paths[1]  # of equals the oldest
    assert train.best_checkpoint(tmp_path, "val/loss", mode="max") == paths[0]
    with pytest.raises(train.CheckpointError, match="metric 'val/acc'"):
        train.best_checkpoint(tmp_path, "val/acc")


def test_no_checkpoint_at_all(tmp_path):
    for call in (train.latest_checkpoint, train.load_variables):
        with pytest.raises(train.CheckpointError, match="has no checkpoint"):
            call(tmp_path / "nowhere")
    assert train.list_checkpoints(tmp_path / "nowhere") == []
