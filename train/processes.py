"""What the processes of a run have to agree on, and what is said when one of them is lost."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import jaxcore
from jaxcore.errors import JaxRuntimeError

from .checkpoint import list_checkpoints
from .errors import TrainError, explain

# An error of the runtime, and what it says where the other side of a connection has gone.
_RUNTIME = re.compile(
    r"(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): "
)
_LOSS = re.compile(
    r"gloo|nccl|connection (reset|closed|refused)|broken pipe|heartbeat|socket closed"
    r"|coordination service|UNAVAILABLE|DEADLINE_EXCEEDED",
    re.IGNORECASE,
)


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another process of this run cannot be reached."""
    text = str(error)
    return (
        isinstance(error, JaxRuntimeError | ValueError)
        and jaxcore.process_count() > 1
        and _RUNTIME.match(text) is not None
        and _LOSS.search(text) is not None
    )


def check_agreement(**values: Any) -> None:
    """Raise `TrainError` unless all processes have the same values, of JSON's types.

    With one process, nothing is compared.
    """
    if jaxcore.process_count() == 1:
        return
    from jaxcore.experimental import multihost_utils

    for name, value in values.items():
        digest = zlib.crc32(json.dumps(value).encode()) >> 1  # an int32, as arrays on the way are
        try:
            multihost_utils.assert_equal(np.int32(digest), name)
        except AssertionError as error:
            raise TrainError(
                explain(
                    f"The processes of this run disagree about {name}.",
                    got=f"{value!s:.300} in process {jaxcore.process_index()}",
                    expected="the same in all of them",
                    fix="start all with the same script, arguments, data and directory.",
                )
            ) from error


@contextmanager
def loss_explained(run_dir: str | os.PathLike[str] | None) -> Iterator[None]:
    """Turn the error of a transport whose other side has gone into a `TrainError` that says so.

    Args:
      run_dir: where the checkpoints are from which the run will go on.
    """
    try:
        yield
    except Exception as error:
        if not is_loss(error):
            raise
        saved = [] if run_dir is None else list_checkpoints(run_dir)
        again = (
            f"it goes on from {saved[-1][1]}"
            if saved
            else "it has no checkpoint, so it begins anew"
        )
        raise TrainError(
            explain(
                "Another process of this run has ended, or cannot be reached.",
                got=f"{error!s:.300}, in process {jaxcore.process_index()}",
                expected=f"{jaxcore.process_count()} processes from the beginning to the end",
                fix="look at what the others said last, and at the machine's log: one that was "
                f"killed, for memory say, says nothing. Then start all again: {again}.",
            )
        ) from error
