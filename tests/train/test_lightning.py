"""Lightning's decisions, replayed: when to stop and why, and which checkpoints to keep.

`lightning_decisions.py` has recorded them. Ours are the same but for what docs/train.md says: of
equal scores the older checkpoint is kept, and a min_delta has no sign.
"""

import collections
import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from jaxcore import train
from jaxcore.train.callbacks import model_checkpoint
from jaxcore.train.checkpoint import checkpoint_path

RECORDED = json.loads(Path(__file__).with_name("lightning_decisions.json").read_text("utf-8"))
REASONS = {
    "NON_FINITE_METRIC": "m is ",
    "STOPPING_THRESHOLD": "m reached ",
    "DIVERGENCE_THRESHOLD": "m diverged to ",
    "PATIENCE_EXHAUSTED": "m has not improved on ",
}


def run_of(run_dir=None):
    return train.Run(
        task=None, until=train.Epochs(1), source=None, example=None, dir=run_dir,
        console=Console(file=io.StringIO()), validates=True,
    )  # fmt: skip


def test_early_stopping_stops_where_lightning_does():
    found = collections.Counter()
    for settings, values, stop, reason, waited in RECORDED["early_stopping"]:
        callback, run = train.EarlyStopping("m", **settings), run_of()
        callback.on_fit_start(run)
        for check, value in enumerate(values):
            callback.on_log(run, {"m": value})
            if run.stop_reason is not None:
                assert (check, callback.waited) == (stop, waited), (settings, values)
                assert run.stop_reason.startswith(REASONS[reason]), (settings, values)
                break
        else:
            assert stop is None and callback.waited == waited, (settings, values)
        found[reason] += 1
    assert min(found.values()) > 5 and len(found) == 5  # each reason, and none


def score(value, mode):
    value = value if mode == "min" else -value
    return math.inf if math.isnan(value) else value


def test_model_checkpoint_keeps_what_lightning_does(monkeypatch):
    files = {}  # {path: step}
    entries = lambda run_dir: sorted((step, path) for path, step in files.items())
    monkeypatch.setattr(model_checkpoint, "list_checkpoints", entries)
    monkeypatch.setattr(model_checkpoint, "delete_checkpoint", lambda path: files.pop(path))
    ties = 0
    for settings, values, kept, best in RECORDED["model_checkpoint"]:
        callback, run = (
            train.ModelCheckpoint(monitor="m", save_last=1, **settings),
            run_of(Path("r")),
        )
        infos = {checkpoint_path("r", s): {"row": {"m": v}} for s, v in enumerate(values, 1)}
        monkeypatch.setattr(model_checkpoint, "peek_info", infos.__getitem__)
        files.clear()
        scores = [None, *(score(value, settings["mode"]) for value in values)]
        for step, theirs in enumerate(kept, 1):
            path = checkpoint_path("r", step)
            files[path] = step
            callback.on_save(run, path)
            ours = set(files.values())
            if len(set(scores[1 : step + 1])) == step:
                assert ours == {*theirs, step}, (settings, values, step)
            else:  # of equal scores Lightning may drop the older one
                ties += 1
                ours = ours - {step} if len(ours) > len(theirs) else ours
                assert sorted(scores[s] for s in ours) == sorted(scores[s] for s in theirs)
        if best is not None and math.isfinite(values[best - 1]):
            assert scores.index(min(scores[1:])) == best  # as train.best_checkpoint finds it
    assert 20 < ties < sum(len(kept) for _, _, kept, _ in RECORDED["model_checkpoint"]) / 2


@pytest.mark.parametrize("min_delta", [0.25, -0.25])
def test_a_min_delta_has_no_sign(min_delta):
    callback, run = train.EarlyStopping("m", min_delta=min_delta, patience=1), run_of()
    for value in (1.0, 0.8):
        callback.on_log(run, {"m": value})
    assert run.stop_reason is not None
