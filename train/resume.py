"""What a run writes into a checkpoint beside its state, and how it goes on from there."""

from __future__ import annotations

import copy
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jaxcore

from .callbacks import Callback, named
from .checkpoint import (
    latest_checkpoint,
    list_checkpoints,
    peek_info,
)
from .errors import TrainError, explain
from .history import History
from .iterables import BatchIterable
from .metrics import Metrics, from_json, to_json
from .paths import leaf_paths
from .processes import check_agreement
from .run import Run
from .state import State
from .step import init_state
from .storage import described
from .task import Task


def need_dir(run_dir: Path | None) -> Path:
    """`run_dir`, or a `TrainError` if there is none."""
    if run_dir is None:
        raise TrainError(
            explain(
                "The trainer has no directory.",
                got="Trainer(dir=None)",
                expected="a directory, to write and find checkpoints",
                fix="write Trainer(dir='runs/first').",
            )
        )
    return run_dir


def checkpoint_to_resume(
    run_dir: Path | None, resume: str | os.PathLike[str] | bool
) -> Path | None:
    """Resolve the argument `resume` of `Trainer.fit` to a checkpoint, or None to start afresh."""
    if isinstance(resume, bool) or resume is None:
        raise TrainError(
            explain(
                "`resume` says how to treat earlier checkpoints.",
                got=repr(resume),
                expected="'auto', 'never', 'overwrite', or the path of a checkpoint",
                fix="leave it out to go on from the newest checkpoint in `dir`, if there is one.",
            )
        )
    if resume not in ("auto", "never", "overwrite"):
        if not Path(resume).is_dir():
            raise TrainError(
                explain(
                    "`resume` names a checkpoint that is not there.",
                    got=repr(str(resume)),
                    expected="'auto', 'never', 'overwrite', or the folder of a checkpoint",
                    fix="the newest is resume='auto'; the best is "
                    "resume=train.best_checkpoint(dir, 'val/loss').",
                )
            )
        if (Path(resume) / "checkpoints").is_dir():  # the directory of a run
            return latest_checkpoint(Path(resume))
        return Path(resume)
    existing = [] if run_dir is None else list_checkpoints(run_dir)
    if not existing:
        return None
    if resume == "auto":
        return latest_checkpoint(need_dir(run_dir))
    if resume == "never":
        raise TrainError(
            explain(
                f"{run_dir} has checkpoints of an earlier run.",
                got=f"resume='never' and {len(existing)} checkpoints",
                expected="a directory without checkpoints",
                fix="use another `dir`, or resume='auto' to go on, or resume='overwrite'.",
            )
        )
    shutil.rmtree(existing[0][1].parent)
    return None


def abstract_state(task: Task, key: jaxcore.Array, example: Any) -> State:
    """The shapes of a task's state, without computing it."""
    return jaxcore.eval_shape(lambda key, batch: init_state(task, key, batch), key, example)


def run_info(run: Run, callbacks: Sequence[Callback], pending: Metrics) -> dict[str, Any]:
    """What a checkpoint holds beside the state: position, log, callbacks, pending metrics."""
    states = {name: copy.deepcopy(c.state()) for name, c in named(callbacks).items()}
    position = {"step": run.step, "epoch": run.epoch, "batch": run.batch}
    counts = {"samples": run.samples, "tokens": run.tokens, "seconds": run.seconds}
    return {
        **position,
        **counts,
        "plan_epoch": run.epoch - run.epoch_ended,
        "data": getattr(run.source, "fingerprint", None),
        "data_state": run.data_state,
        "row": run.row,
        "history": list(run.history.rows),  # it grows while this is written
        "pending": to_json(pending),
        "callbacks": {name: state for name, state in states.items() if state},
    }


def plan_epoch(path: Path) -> int:
    """The epoch whose plan the state of a checkpoint has."""
    info = peek_info(path)
    return info.get("plan_epoch", max(0, info["epoch"] - (info["batch"] == 0)))


def restore_run(run: Run, path: Path, callbacks: Sequence[Callback]) -> list[Metrics]:
    """Give `run` and its callbacks what `run_info` told; returns the metrics not yet logged."""
    info = peek_info(path)
    data = getattr(run.source, "fingerprint", None)
    if info["batch"] and info["data"] != data:
        raise TrainError(
            explain(
                f"{path} was saved inside an epoch of other data.",
                got=data,
                expected=info["data"],
                fix="give the same data, or resume from a checkpoint at the end of an epoch.",
            )
        )
    run.resumed_from = path
    run.step, run.epoch, run.batch = info["step"], info["epoch"], info["batch"]
    run.samples, run.tokens = info.get("samples", 0), info.get("tokens", 0)
    run.seconds, run.history = info["seconds"], History(info["history"])
    run.data_state = info.get("data_state")
    source = run.source if isinstance(run.source, BatchIterable) else None
    if source is not None and run.data_state is not None and (run.batch or source.goes_on):
        source.restore(run.data_state)
    known = named(callbacks)
    for name, stored in info["callbacks"].items():
        if name in known:
            known[name].restore(stored)
        else:
            warnings.warn(
                f"{path} holds the state of a callback {name!r}, which this run does not have",
                stacklevel=4,
            )
    return [from_json(info["pending"])]


def check_processes(run: Run, seed: int) -> None:
    """Raise `TrainError` unless all processes are about to make the same run."""
    check_agreement(
        step=run.step,
        epoch=run.epoch,
        seed=seed,
        data=getattr(run.source, "fingerprint", None),
        parameters=[(path, described(leaf)) for path, leaf in leaf_paths(run.state.params)],
    )
