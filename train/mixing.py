"""MixUp and CutMix: examples mixed in pairs, as a `transform` of `ArrayData` and `ExampleData`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arguments import check_counts, check_numbers
from .errors import TrainError, explain


@dataclass(frozen=True)
class _Mixing(ABC):
    """Mixes each example of a batch with another one of it.

    Attributes:
      num_classes: of integer labels (rows,), which become (rows, num_classes) float32.
      alpha: the share that an example keeps is drawn from Beta(alpha, alpha).
      per_example: draw it for each example, in place of once for the batch.
    """

    num_classes: int
    alpha: float = 1.0
    per_example: bool = False

    def __post_init__(self) -> None:
        check_counts(1, num_classes=self.num_classes)
        check_numbers(0, open=True, alpha=self.alpha)

    def __call__(self, batch: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The batch (inputs, labels) mixed; everything random is drawn from `rng`.

        Raises:
          TrainError: the batch is no such pair, or a label is none of the classes.
        """
        inputs, labels = self._pair(batch)
        rows = len(inputs)
        share = rng.beta(self.alpha, self.alpha, rows if self.per_example else 1)
        share = np.broadcast_to(share, (rows,))
        partner = rng.permutation(rows)
        inputs, share = self.mix(inputs, partner, share, rng)
        soft = self._soft(labels)
        kept = share.astype(soft.dtype)[:, None]
        return inputs, kept * soft + (1 - kept) * soft[partner]

    @abstractmethod
    def mix(
        self, x: np.ndarray, partner: np.ndarray, share: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs mixed with those of the rows `partner`, and the shares (rows,) really kept."""

    def _pair(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        if not (isinstance(batch, tuple | list) and len(batch) == 2):
            raise TrainError(
                explain(
                    f"{type(self).__name__} mixes pairs of inputs and labels.",
                    got=type(batch).__name__,
                    expected="(inputs, labels)",
                    fix="call it in a transform of your own, with the pair of your batch.",
                )
            )
        return np.asarray(batch[0]), np.asarray(batch[1])

    def _soft(self, labels: np.ndarray) -> np.ndarray:
        """Labels as probabilities."""
        classes = self.num_classes
        if labels.ndim == 2 and labels.shape[1] == classes and labels.dtype.kind == "f":
            return labels
        inside = labels.ndim == 1 and labels.dtype.kind in "iu"
        if not inside or not np.all((labels >= 0) & (labels < classes)):
            found = f"{labels.dtype} of shape {labels.shape}"
            limits = f", from {labels.min()} to {labels.max()}" if inside and labels.size else ""
            raise TrainError(
                explain(
                    f"{type(self).__name__} cannot mix these labels.",
                    got=found + limits,
                    expected=f"integers (rows,) from 0 to {classes - 1}, or probabilities "
                    f"(rows, {classes})",
                    fix=f"correct the labels, or num_classes={classes}.",
                )
            )
        soft = np.zeros((len(labels), classes), np.float32)
        soft[np.arange(len(labels)), labels] = 1
        return soft


class MixUp(_Mixing):
    """Weighted means of two examples, and of their labels: λ·a + (1 - λ)·b.

    Zhang et al. 2018, https://arxiv.org/abs/1710.09412

    >>> x, y = np.float32([[0.0], [1.0]]), np.array([0, 1])
    >>> x, y = MixUp(num_classes=2, alpha=0.4)((x, y), np.random.default_rng(0))
    >>> bool(np.allclose(x[:, 0], y[:, 1])), y.shape
    (True, (2, 2))
    """

    def mix(
        self, x: np.ndarray, partner: np.ndarray, share: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        if not np.issubdtype(x.dtype, np.inexact):
            raise TrainError(
                explain(
                    "MixUp makes means of inputs, which these have not.",
                    got=f"inputs of {x.dtype}",
                    expected="floating-point numbers",
                    fix="scale them first: x.astype(np.float32) / 255.",
                )
            )
        kept = share.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return kept * x + (1 - kept) * x[partner], share


class CutMix(_Mixing):
    """Images (rows, height, width, ...) with a rectangle of another one; labels by its area.

    Its sides are √(1 - λ) of the image's, its centre is anywhere, and what lies outside is cut.

    Yun et al. 2019, https://arxiv.org/abs/1905.04899

    >>> x, y = np.stack([np.zeros((8, 8, 1)), np.ones((8, 8, 1))]), np.array([0, 1])
    >>> x, y = CutMix(num_classes=2)((x, y), np.random.default_rng(0))
    >>> bool(np.allclose(x.mean((1, 2, 3)), y[:, 1]))
    True
    """

    def mix(
        self, x: np.ndarray, partner: np.ndarray, share: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        if x.ndim < 3:
            raise TrainError(
                explain(
                    "CutMix cuts rectangles out of images.",
                    got=f"inputs of shape {x.shape}",
                    expected="(rows, height, width, ...)",
                    fix="mix other inputs by train.MixUp.",
                )
            )
        inside = []
        for size in x.shape[1:3]:
            centre = rng.integers(size, size=len(x) if self.per_example else 1)
            half = (size * np.sqrt(1 - share)).astype(int) // 2
            place = np.arange(size)
            inside.append(abs(2 * (place - centre[:, None]) + 1) <= 2 * half[:, None])
        box = inside[0][:, :, None] & inside[1][:, None, :]
        shape = (*box.shape, *[1] * (x.ndim - 3))
        return np.where(box.reshape(shape), x[partner], x), 1 - box.mean((1, 2))
