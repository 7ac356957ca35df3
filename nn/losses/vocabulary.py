"""The cross-entropy of a linear layer of many classes, whose logits are never all there at once."""

from __future__ import annotations

from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, lax

from ..dtypes import as_array
from ..errors import InputError


def linear_cross_entropy(
    x: Any,
    kernel: Any,
    labels: Any,
    bias: Any = None,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    chunk: int = 4096,
) -> Array:
    """``softmax_cross_entropy(x @ kernel + bias, labels)``, `chunk` classes at a time.

    ``(..., features), (features, classes), integers (...) -> (...)`` in float32. Logits are
    computed again for the gradient, which so takes one more product of matrices, and the memory
    for logits is that of `chunk` classes. With tied weights the kernel is ``table.T``.

    Args:
      bias: ``(classes,)``.
      label_smoothing: this share of the label's mass is spread evenly over all classes.
      ignore_index: a label whose loss is 0.

    Raises:
      InputError: shapes that do not fit, or labels that are not integers.

    Wijmans et al. 2024, https://arxiv.org/abs/2411.09009; PyTorch's ``LinearCrossEntropyLoss``.

    >>> import jaxcore.numpy as jnp
    >>> x, kernel, labels = jnp.ones((2, 3)), jnp.zeros((3, 5)), jnp.array([0, 4])
    >>> print(linear_cross_entropy(x, kernel, labels, chunk=2).round(1))
    [1.6 1.6]
    """
    x, kernel, labels = as_array(x), as_array(kernel), as_array(labels)
    if kernel.ndim != 2 or x.shape[-1:] != kernel.shape[:1]:
        raise InputError(
            f"linear_cross_entropy: x has shape {x.shape} and the kernel {kernel.shape}. Expected "
            "(..., features) and (features, classes); a table of (classes, features) is table.T."
        )
    if labels.shape != x.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"linear_cross_entropy: labels are {labels.dtype}{list(labels.shape)}. Expected "
            f"integers of shape {list(x.shape[:-1])}, one for each row of x."
        )
    features, classes = kernel.shape
    chunk = min(chunk, classes)
    count = -(-classes // chunk)
    rows = x.reshape(-1, features)
    wanted = labels.reshape(-1)
    missing = count * chunk - classes
    pieces = jnp.pad(kernel, ((0, 0), (0, missing))).reshape(features, count, chunk)
    biases = jnp.zeros(classes, jnp.float32) if bias is None else as_array(bias, jnp.float32)
    biases = jnp.pad(biases, (0, missing)).reshape(count, chunk)

    @jaxcore.checkpoint
    def add(state: Any, piece: Any) -> Any:
        most, total, picked, everything = state
        number, kernel, bias = piece
        product = (((1,), (0,)), ((), ()))
        logits = lax.dot_general(rows, kernel, product, preferred_element_type=jnp.float32)
        logits = logits + bias[None]
        place = number * chunk + jnp.arange(chunk)[None]
        real = place < classes
        highest = jnp.where(real, logits, -jnp.inf).max(-1)
        higher = jnp.maximum(most, lax.stop_gradient(highest))
        shares = jnp.where(real, jnp.exp(logits - higher[:, None]), 0)
        total = total * jnp.exp(most - higher) + shares.sum(-1)
        picked = picked + jnp.where(place == wanted[:, None], logits, 0).sum(-1)
        if label_smoothing:
            everything = everything + jnp.where(real, logits, 0).sum(-1)
        return (higher, total, picked, everything), None

    zeros = jnp.zeros(rows.shape[0], jnp.float32)
    start = (jnp.full_like(zeros, -jnp.inf), zeros, zeros, zeros)
    over = (jnp.arange(count), jnp.moveaxis(pieces, 1, 0), biases)
    (most, total, picked, everything), _ = lax.scan(add, start, over)
    hit = (1 - label_smoothing) * picked + label_smoothing / classes * everything
    loss = most + jnp.log(total) - hit
    if ignore_index is not None:
        loss = jnp.where(wanted == ignore_index, 0, loss)
    return loss.reshape(labels.shape)
