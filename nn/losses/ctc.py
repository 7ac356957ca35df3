"""Connectionist temporal classification: labels shorter than the sequence, places unknown."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from ..activations import log_softmax, logsumexp
from ..dtypes import at_least_float32
from ..errors import InputError


def ctc(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    blank_id: int = 0,
    log_epsilon: float = -1e5,
) -> Array:
    """``-log p(labels)``, p summed over all ways to place the labels in the sequence: ``(batch,)``.

    Each step of a way is a label, the same again, or a blank; equal neighbours need a blank between
    them. The sum is taken by a recursion over the steps, in logs.

    Args:
      logits: ``(batch, time, classes)``.
      logit_paddings: ``(batch, time)``, 1 behind the end of a sequence, 0 before.
      labels: integers ``(batch, n)``.
      label_paddings: ``(batch, n)``, 1 behind the last label.
      blank_id: the class that means no label.
      log_epsilon: what stands for log 0.

    Returns:
      One loss for each sequence, near ``-log_epsilon`` for one too short for its labels.

    From PyTorch: lengths become paddings, ``jnp.arange(time) >= lengths[:, None]``. From Keras: the
    blank is the last class.

    Graves et al. 2006, https://doi.org/10.1145/1143844.1143891

    >>> import jaxcore.numpy as jnp
    >>> uniform = jnp.zeros((1, 2, 2))  # three of the four ways spell "1"
    >>> loss = ctc(uniform, jnp.zeros((1, 2)), jnp.array([[1]]), jnp.zeros((1, 1)))
    >>> round(float(loss[0]), 3)
    0.288
    """
    logits, labels = at_least_float32(logits), jnp.asarray(labels)
    padded, short = jnp.asarray(logit_paddings) > 0, jnp.asarray(label_paddings) > 0
    if logits.ndim != 3 or padded.shape != logits.shape[:2] or labels.shape != short.shape:
        raise InputError(
            f"ctc: logits {logits.shape}, logit_paddings {padded.shape}, labels {labels.shape}, "
            f"label_paddings {short.shape}. Expected (batch, time, classes), (batch, time), "
            "(batch, n) and (batch, n)."
        )
    batch, n = labels.shape
    # Places between and on labels: blank, label, blank, ..., label, blank.
    spelled = jnp.full((batch, 2 * n + 1), blank_id, labels.dtype).at[:, 1::2].set(labels)
    before = jnp.pad(spelled, ((0, 0), (2, 0)), constant_values=blank_id)[:, : 2 * n + 1]
    skips = (spelled != blank_id) & (spelled != before)
    logp = log_softmax(logits)
    scores = jnp.take_along_axis(
        logp, jnp.broadcast_to(spelled[:, None], (batch, logp.shape[1], 2 * n + 1)), 2
    )

    def step(alpha: Array, inputs: Any) -> tuple[Array, None]:
        score, over = inputs
        shift = lambda k: jnp.pad(alpha, ((0, 0), (k, 0)), constant_values=log_epsilon)
        one, two = shift(1)[:, : 2 * n + 1], shift(2)[:, : 2 * n + 1]
        ways = jnp.stack([alpha, one, jnp.where(skips, two, log_epsilon)])
        new = logsumexp(ways, 0) + score
        return jnp.where(over[:, None], alpha, new), None

    # Before the first step a way stands in front of the first blank; `skips` leads to a label.
    start = jnp.full((batch, 2 * n + 1), log_epsilon, logp.dtype)
    first = start.at[:, :2].set(scores[:, 0, :2]) if logp.shape[1] else start.at[:, 0].set(0)
    rest = jnp.moveaxis(scores[:, 1:], 1, 0), jnp.moveaxis(padded[:, 1:], 1, 0)
    last, _ = lax.scan(step, first, rest)
    count = jnp.sum(jnp.where(short, 0, 1), 1)[:, None]
    ends = jnp.concatenate([2 * count, jnp.maximum(2 * count - 1, 0)], 1)
    found = jnp.take_along_axis(last, ends, 1)
    found = found.at[:, 1].set(jnp.where(count[:, 0] == 0, log_epsilon, found[:, 1]))
    return -logsumexp(found, 1)
