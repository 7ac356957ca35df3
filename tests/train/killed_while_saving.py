"""``killed_while_saving.py DIR KILLS SEED``: saves without end, killed again and again.

After each kill the newest checkpoint is loaded and compared with what was saved at its step.
"""

import os
import signal
import sys
import time
import warnings

import numpy as np

from jaxcore import train
from jaxcore.train.checkpoint import checkpoint_path, delete_checkpoint, remove_leftovers

run_dir, kills, rng = sys.argv[1], int(sys.argv[2]), np.random.default_rng(int(sys.argv[3]))


def state(step):
    return {"variables": {"params": {f"w{i}": np.full((50, 100), step * 8 + i) for i in range(8)}}}


def save_for_ever(step, first):
    while True:
        step += 1
        train.save_checkpoint(checkpoint_path(run_dir, step), state(step), {"step": step})
        for _, old in train.list_checkpoints(run_dir)[:-2]:
            delete_checkpoint(old)
        os.write(first, b"1")


train.save_checkpoint(checkpoint_path(run_dir, 1), state(1), {"step": 1})
reached, halves = 1, 0
folder = checkpoint_path(run_dir, 1).parent
for _ in range(kills):
    saved, first = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's, which has started no thread here that matters
        child = os.fork()
    if child == 0:
        save_for_ever(reached, first)
    os.read(saved, 1)
    time.sleep(rng.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(saved)
    os.close(first)
    halves += bool(list(folder.glob(".tmp-*")))
    newest = train.latest_checkpoint(run_dir)
    found = train.load_variables(newest)["params"]
    step = int(newest.name.removeprefix("step_"))
    assert step > reached
    for name, value in state(step)["variables"]["params"].items():
        np.testing.assert_array_equal(found[name], value)
    reached = step
    remove_leftovers(run_dir)  # as a run that goes on does
print(kills, halves)
