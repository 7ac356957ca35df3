"""Loggers: what they write, that they resume, and that they never end a run."""

import io
import json
import math
import struct
import threading

import pytest
from rich.console import Console

from jaxcore import train
from jaxcore.train.loggers.tensorboard import crc32c

ROWS = [
    {"step": 1, "epoch": 0, "loss": 2.5},
    {"step": 300, "epoch": 1, "loss": math.nan, "val/loss": -1e40, "big": math.inf},
]


def run_of(run_dir=None, rows=()):
    return train.Run(
        task=None, until=train.Epochs(1), source=None, example=None, dir=run_dir,
        console=Console(file=io.StringIO()), validates=True, history=train.History(list(rows)),
    )  # fmt: skip


def write(loggers, run, rows):
    for logger in loggers:
        logger.on_fit_start(run)
    for row in rows:
        for logger in loggers:
            logger.on_log(run, row)
    for logger in reversed(loggers):
        logger.on_fit_end(run)
    assert "jaxcore-log" not in [thread.name for thread in threading.enumerate()]


def fields(data):
    """The (number, value) of a protobuf message, read by the format's own rules."""
    found, at = [], 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack("<d", data[at : at + 8])[0], at + 8
        elif kind == 5:
            value, at = struct.unpack("<f", data[at : at + 4])[0], at + 4
        else:
            assert kind == 2
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        found.append((key >> 3, value))
    return found


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def unmasked(crc):
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def events(path):
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack("<Q", data[at : at + 8])
        (crc,) = struct.unpack("<I", data[at + 8 : at + 12])
        assert unmasked(crc) == crc32c(data[at : at + 8])
        body = data[at + 12 : at + 12 + size]
        (crc,) = struct.unpack("<I", data[at + 12 + size : at + 16 + size])
        assert unmasked(crc) == crc32c(body)
        found.append(dict(fields(body)))
        at += 16 + size
    return found


def scalars(event):
    values = [dict(fields(value)) for number, value in fields(event[5]) if number == 1]
    return {value[1].decode(): value[2] for value in values}


def test_event_files(tmp_path):
    run = run_of(tmp_path)
    write([train.TensorBoardLogger()], run, ROWS)
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    head, first, second = events(path)
    assert head[3] == b"brain.Event:2" and head[1] > 1e9
    assert (first[2], scalars(first)) == (1, {"epoch": 0.0, "loss": 2.5})
    assert second[2] == 300
    found = scalars(second)
    assert math.isnan(found["loss"]) and found["big"] == math.inf
    assert found["val/loss"] == -math.inf  # below float32

    write([train.TensorBoardLogger()], run_of(tmp_path, ROWS[:1]), [ROWS[1]])  # resumed
    steps = [
        [event[2] for event in events(path) if 2 in event]
        for path in (tmp_path / "tensorboard").iterdir()
    ]
    assert steps == [[1, 300]]


def test_tensorboard_itself_reads_it(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write([train.TensorBoardLogger(tmp_path)], run_of(), ROWS)
    reader = EventAccumulator(str(tmp_path)).Reload()
    first = reader.Scalars("loss")[0]
    assert (first.step, first.value) == (1, 2.5)


def test_lines_of_json(tmp_path):
    write([train.JSONLLogger()], run_of(tmp_path, ROWS[:1]), [ROWS[1]])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == ROWS[0]
    second = json.loads(lines[1])
    assert (second["loss"], second["big"], second["val/loss"]) == ("NaN", "Infinity", -1e40)


class Failing(train.Logger):
    def __init__(self, at):
        self.at = at

    def open(self, run, rows):
        if self.at == "open":
            raise PermissionError("no place to write")

    def write(self, row):
        if self.at == row["step"]:
            raise RuntimeError("the line is down")

    def close(self):
        if self.at == "close":
            raise RuntimeError("too late")


@pytest.mark.parametrize(
    ("at", "words"), [("open", "no place"), (1, "line is down"), ("close", "too late")]
)
def test_a_logger_that_fails_ends_nothing(toy, tmp_path, at, words):
    loggers = [Failing(at), train.CSVLogger(tmp_path / "m.csv")]
    with pytest.warns(UserWarning, match=f"Failing failed and writes no more[\\s\\S]*{words}"):
        write(loggers, run_of(tmp_path), ROWS)
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 3


def test_loggers_hear_of_a_row_last(toy, tmp_path):
    def add(run, row):
        row["added"] = 7.0

    callbacks = [train.JSONLLogger(), train.CSVLogger(), train.LambdaCallback(on_log=add)]
    trainer = toy.trainer(dir=tmp_path, callbacks=callbacks, log_every=train.Steps(1))
    fit = trainer.fit(toy.task(), toy.data(16), until=train.Epochs(1))
    assert fit.history["added"] == [7.0, 7.0]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["added"] for line in lines] == [7.0, 7.0]
    assert "added" in (tmp_path / "metrics.csv").read_text().splitlines()[0]


def test_nowhere_to_write():
    for logger in (train.JSONLLogger(), train.TensorBoardLogger()):
        with pytest.raises(train.TrainError, match="has nowhere to write"):
            logger.on_fit_start(run_of())
