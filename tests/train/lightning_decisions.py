"""Record what Lightning's EarlyStopping and ModelCheckpoint decide, for `test_lightning.py`.

``pip install torch lightning``, then ``python tests/train/lightning_decisions.py 300`` writes
lightning_decisions.json: random settings, a random metric, and what came of it.
"""

import json
import math
import os
import random
import sys
import types
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

warnings.filterwarnings("ignore")


def metric(rng: random.Random, length: int) -> list[float]:
    """Values that jump, fall with noise, repeat, or fall by steps; some are not finite."""
    kind, x, values = rng.randrange(4), rng.uniform(0, 3), []
    for _ in range(length):
        x = (
            rng.uniform(0, 3),
            x * 0.9 + rng.uniform(-0.2, 0.2),
            rng.choice([0.5, 1.0, 1.5, 2.0]),
            x - rng.choice([0, 0.25, 0.25, -0.25]),
        )[kind]
        strange = rng.random() < 0.03
        values.append(rng.choice([math.nan, math.inf, -math.inf]) if strange else round(x, 2))
    return values


def trainer(**more: object) -> types.SimpleNamespace:
    alone = types.SimpleNamespace(
        reduce_boolean_decision=lambda decision, all=True: decision,
        broadcast=lambda value, src=0: value,
        barrier=lambda *_: None,
    )
    return types.SimpleNamespace(
        callback_metrics={}, should_stop=False, current_epoch=0, global_step=0, loggers=[],
        fast_dev_run=False, world_size=1, global_rank=0, is_global_zero=True, ckpt_path=None,
        strategy=alone, **more,
    )  # fmt: skip


def early_stopping(rng: random.Random) -> list[object]:
    settings = {
        "patience": rng.randrange(0, 5),
        "min_delta": rng.choice([0.0, 0.0, 0.25, 0.1]),
        "mode": rng.choice(["min", "max"]),
        "check_finite": rng.random() < 0.7,
        "stopping_threshold": rng.choice([None, None, None, 0.5, 2.5]),
        "divergence_threshold": rng.choice([None, None, None, 0.5, 2.5]),
    }
    values, stop = metric(rng, 12), None
    callback, run = EarlyStopping("m", **settings), trainer()
    for check, value in enumerate(values):
        run.callback_metrics = {"m": torch.tensor(value, dtype=torch.float64)}
        callback._run_early_stopping_check(run)
        if run.should_stop:
            stop = check
            break
    return [settings, values, stop, callback.stopping_reason.name, callback.wait_count]


def model_checkpoint(rng: random.Random) -> list[object]:
    settings = {"save_top_k": rng.choice([-1, 0, 1, 1, 2, 3]), "mode": rng.choice(["min", "max"])}
    values, files, kept = metric(rng, rng.randrange(3, 9)), set(), []
    callback = ModelCheckpoint(
        "/nowhere", "{step}", "m", save_last=False, auto_insert_metric_name=False, **settings
    )
    run = trainer(save_checkpoint=lambda path, _: files.add(path), lightning_module=None)
    run.strategy.remove_checkpoint = files.discard
    for step, value in enumerate(values, 1):
        run.global_step = step
        run.callback_metrics = {"m": torch.tensor(value, dtype=torch.float64)}
        callback._save_topk_checkpoint(run, callback._monitor_candidates(run))
        kept.append(sorted(number(path) for path in files))
    best = callback.best_model_path
    return [settings, values, kept, number(best) if best else None]


def number(path: str) -> int:
    return int(os.path.basename(path).removesuffix(".ckpt"))


if __name__ == "__main__":
    rng, count = random.Random(20260910), int(sys.argv[1])
    lines = ["{"]
    for record in (early_stopping, model_checkpoint):
        rows = ",\n".join(json.dumps(record(rng), separators=(",", ":")) for _ in range(count))
        lines += [f'"{record.__name__}":[', rows, "],"]
    lines += [f'"lightning":"{lightning.__version__}"', "}"]
    Path(__file__).with_suffix(".json").write_text("\n".join(lines) + "\n", encoding="utf-8")
