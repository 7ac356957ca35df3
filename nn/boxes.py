"""Boxes of detected objects: ``(..., 4)`` arrays of corners ``x1, y1, x2, y2``."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from .dtypes import as_array, promote
from .errors import InputError

__all__ = ["area", "converted", "giou", "iou", "nms"]

_FORMATS = ("xyxy", "xywh", "cxcywh")


def _boxes(name: str, boxes: Any) -> Array:
    (boxes,) = promote(None, as_array(boxes))
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise InputError(f"boxes.{name}: the boxes have shape {boxes.shape}. Expected (..., 4).")
    return boxes


def area(boxes: Any) -> Array:
    """``(x2 - x1) · (y2 - y1)``, and 0 for boxes that are empty: ``(..., 4) -> (...)``.

    >>> import jaxcore.numpy as jnp
    >>> float(area(jnp.array([1.0, 1.0, 3.0, 4.0])))
    6.0
    """
    boxes = _boxes("area", boxes)
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def converted(boxes: Any, source: str, target: str) -> Array:
    """Boxes in another form: of "xyxy" (corners), "xywh" (corner, size), "cxcywh" (middle, size).

    >>> import jaxcore.numpy as jnp
    >>> converted(jnp.array([1.0, 1.0, 3.0, 5.0]), "xyxy", "cxcywh").tolist()
    [2.0, 3.0, 2.0, 4.0]
    """
    boxes = _boxes("converted", boxes)
    if source not in _FORMATS or target not in _FORMATS:
        raise InputError(
            f"boxes.converted: from {source!r} to {target!r}. Expected two of {_FORMATS}."
        )
    first, second = boxes[..., :2], boxes[..., 2:]
    if source == "cxcywh":
        first, second = first - second / 2, first + second / 2
    elif source == "xywh":
        second = first + second
    if target == "xywh":
        second = second - first
    elif target == "cxcywh":
        first, second = (first + second) / 2, second - first
    return jnp.concatenate([first, second], -1)


def _overlap(a: Any, b: Any, name: str) -> tuple[Array, Array, Array, Array]:
    """Every box of `a` beside every one of `b`, the common area and that of both together."""
    a, b = _boxes(name, a)[..., :, None, :], _boxes(name, b)[..., None, :, :]
    low, high = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    common = area(jnp.concatenate([low, high], -1))
    return a, b, common, area(a) + area(b) - common


def _share(part: Array, whole: Array) -> Array:
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def iou(a: Any, b: Any) -> Array:
    """Common area over the area of both: ``(..., n, 4), (..., m, 4) -> (..., n, m)``.

    torchvision's ``box_iou``.

    >>> import jaxcore.numpy as jnp
    >>> iou(jnp.array([[0.0, 0, 2, 2]]), jnp.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(
    ...     3
    ... ).tolist()
    [[0.3330000042915344, 0.0]]
    """
    _, _, common, union = _overlap(a, b, "iou")
    return _share(common, union)


def giou(a: Any, b: Any) -> Array:
    """`iou` less the share of the box around both that neither covers: -1 to 1.

    torchvision's ``generalized_box_iou``; as a loss take ``1 - giou``.

    Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630

    >>> import jaxcore.numpy as jnp
    >>> giou(jnp.array([[0.0, 0, 1, 1]]), jnp.array([[1.0, 0, 2, 1], [3, 0, 4, 1]])).tolist()
    [[0.0, -0.5]]
    """
    a, b, common, union = _overlap(a, b, "giou")
    low, high = jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
    around = area(jnp.concatenate([low, high], -1))
    return _share(common, union) - _share(around - union, around)


def nms(boxes: Any, scores: Any, threshold: float, *, classes: Any = None) -> tuple[Array, Array]:
    """Non-maximum suppression: ``(n, 4), (n,) -> order (n,), kept (n,)``.

    Best first, a box is kept if its `iou` with every better one that is kept is at most
    `threshold`. Sizes do not depend on values, so that it works inside `jit`: ``order`` are the
    indices of the boxes by falling score, and ``kept`` says which of them stay;
    ``order[kept]`` is torchvision's result.

    Args:
      classes: integers (n,): only boxes of the same class suppress each other.

    >>> import jaxcore.numpy as jnp
    >>> boxes = jnp.array([[0.0, 0, 2, 2], [5, 5, 6, 6], [0, 0, 2, 1.9]])
    >>> order, kept = nms(boxes, jnp.array([0.5, 0.4, 0.9]), 0.5)
    >>> order.tolist(), kept.tolist()
    ([2, 0, 1], [True, False, True])
    """
    boxes, scores = _boxes("nms", boxes), as_array(scores)
    if boxes.ndim != 2 or scores.shape != boxes.shape[:1]:
        raise InputError(
            f"boxes.nms: boxes of shape {boxes.shape} and scores of shape {scores.shape}. Expected "
            "(n, 4) and (n,); map over a batch with jaxcore.vmap."
        )
    order = jnp.argsort(-scores, stable=True)
    near = iou(boxes[order], boxes[order]) > threshold
    if classes is not None:
        kinds = as_array(classes)[order]
        near = near & (kinds[:, None] == kinds[None, :])
    places, everything = jnp.arange(scores.shape[0]), jnp.ones(scores.shape, bool)
    if not scores.shape[0]:
        return order, everything

    def step(kept: Array, row: Any) -> tuple[Array, None]:
        place, close = row
        return kept & ~(close & (places > place) & kept[place]), None

    return order, lax.scan(step, everything, (places, near))[0]
