"""The state of a loader as JSON, exact: what loaders keep are numbers, text, bytes and arrays."""

from __future__ import annotations

import base64
import sys
from typing import Any

import numpy as np

from .errors import TrainError, explain


def to_json(state: Any, path: str = "") -> Any:
    """A state in JSON's types; bytes, tuples and arrays are dicts with one key "$bytes" and so on.

    >>> to_json({"next": 3, "rng": (b"01", np.arange(2, dtype=np.uint8))})
    {'next': 3, 'rng': {'$tuple': [{'$bytes': 'MDE='}, {'$numpy': ['uint8', [2], 'AAE=']}]}}

    Raises:
      TrainError: there is something else in it.
    """
    if state is None or isinstance(state, bool | int | float | str):
        return state
    if isinstance(state, list):
        return [to_json(item, f"{path}/{i}") for i, item in enumerate(state)]
    if isinstance(state, tuple):
        return {"$tuple": to_json(list(state), path)}
    if isinstance(state, bytes):
        return {"$bytes": base64.b64encode(state).decode()}
    if isinstance(state, dict) and all(isinstance(key, str) for key in state):
        return {key: to_json(item, f"{path}/{key}") for key, item in state.items()}
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(state, torch.Tensor):
        return {"$torch": _array(state.numpy(force=True))}
    if isinstance(state, np.ndarray | np.generic) and state.dtype != object:
        return {"$numpy": _array(np.asarray(state))}
    raise TrainError(
        explain(
            "The state of the data's iterator cannot be put into a checkpoint.",
            got=f"{type(state).__name__} at {path or 'its root'!r}",
            expected="numbers, text, bytes, arrays, and lists, tuples and dicts by name of them",
            fix="let `state_dict` (or `get_state`) return these.",
        )
    )


def from_json(stored: Any) -> Any:
    """The inverse of `to_json`.

    >>> from_json(to_json((1, b"2")))
    (1, b'2')
    """
    if isinstance(stored, list):
        return [from_json(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    if len(stored) == 1:
        ((kind, value),) = stored.items()
        if kind == "$tuple":
            return tuple(from_json(value))
        if kind == "$bytes":
            return base64.b64decode(value)
        if kind == "$numpy":
            return _from_array(*value)
        if kind == "$torch":
            import torch

            return torch.from_numpy(_from_array(*value))
    return {key: from_json(item) for key, item in stored.items()}


def _array(array: np.ndarray) -> list[Any]:
    return [str(array.dtype), list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _from_array(dtype: str, shape: list[int], data: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
