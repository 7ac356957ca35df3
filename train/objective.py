"""The objective: Σ value·weight·mask / Σ weight·mask, whatever the batching.

A loss returns one value per example (or per token), never the batch's mean. The sums are taken
here, so a padded last batch and an accumulated one give exactly the full batch's gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import lax, nn
from jaxcore.errors import describe_type

from .errors import ScalarLossError, TrainError, explain
from .metrics import Last, Mean, Metric, Sum, check_columns, is_state
from .paths import leaf_paths, some


class Weighted(NamedTuple):
    """Values with weights, for example token losses with zero weight on padding tokens.

    `values` has the batch as its first axis; `weights` has the same shape or a prefix of it.
    Weights are constants of the objective: no gradient flows into them.

    >>> import numpy as np
    >>> tokens = Weighted(np.array([[1.0, 5.0], [3.0, 9.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    >>> loss, _ = reduce_loss(tokens, rows=2, mask=None, owner="loss")
    >>> float(loss)
    2.0
    """

    values: Any
    weights: Any


def batch_rows(batch: Any, *, what: str = "batch") -> int:
    """The number of examples in `batch`: the first axis that all its arrays share.

    Raises:
      TrainError: there is no array, a scalar, or the first axes differ.
    """
    shapes = [
        (path or "(the array itself)", tuple(jnp.shape(leaf))) for path, leaf in leaf_paths(batch)
    ]
    rows = {shape[0] if shape else None for _, shape in shapes}
    if len(rows) != 1 or None in rows:
        listing = some([f"{path}: {shape}" for path, shape in shapes], 8) or "no array at all"
        numbers = len(shapes) > 1 and not any(shape for _, shape in shapes)
        raise TrainError(
            explain(
                f"The arrays of the {what} do not share a first axis.",
                got=listing,
                expected="arrays whose first axis is the number of examples",
                fix="lists are trees of numbers here: write np.asarray(rows)."
                if numbers
                else "stack the examples of every array along axis 0.",
            )
        )
    return rows.pop()  # type: ignore[return-value]


def reduce_loss(
    result: Any,
    *,
    rows: int,
    mask: Any | None,
    owner: str,
    trained: bool = False,
    masked: bool = True,
) -> tuple[Mean, dict[str, Metric]]:
    """Turn what a loss returned into its sum, its weight, and mergeable metrics.

    Args:
      result: per-example losses of shape (rows, ...), or `Weighted`, or a pair of either with a
        dict of metrics, each per-example values, `Weighted`, or a state that merges. A state must
        leave padding out itself: `nn.metrics.accuracy(logits, labels, ctx.mask)`.
      rows: examples in the batch, padding included.
      mask: None, or (rows,) bool, False on padding.
      owner: name of the method, for messages.
      trained: whether the gradient of the losses is to be taken: integers and booleans have none.
      masked: whether the loss has looked at the mask, without which states count padding.
    """
    metrics: Any = {}
    if isinstance(result, tuple) and not isinstance(result, Weighted):
        if len(result) != 2 or not isinstance(result[1], Mapping):
            raise TrainError(
                explain(
                    f"`{owner}` returned a tuple that is not (losses, metrics).",
                    got=f"a tuple of {', '.join(map(describe_type, result))}",
                    expected="losses, or the pair (losses, {name: values})",
                    fix="return losses, {'accuracy': correct}.",
                )
            )
        result, metrics = result
    dtype = getattr(result.values if isinstance(result, Weighted) else result, "dtype", None)
    if trained and dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TrainError(
            explain(
                f"`{owner}` returned losses that have no gradient.",
                got=f"values of {dtype}",
                expected="floating-point numbers",
                fix="compute them from the model's outputs without argmax or comparisons.",
            )
        )
    loss = _mean(result, rows=rows, mask=mask, owner=owner, what="losses")
    return loss, {
        name: _metric(value, rows, mask, owner, f"metric {name!r}", masked or mask is None)
        for name, value in metrics.items()
    }


def _metric(value: Any, rows: int, mask: Any | None, owner: str, what: str, masked: bool) -> Metric:
    if isinstance(value, Mean | Sum | Last):
        return value
    if not is_state(value):
        return _mean(value, rows=rows, mask=mask, owner=owner, what=what)
    if not masked:
        raise ScalarLossError(
            explain(
                f"`{owner}` returned a {what} that counts rows which are padding.",
                got=f"{type(value).__name__}, made without looking at ctx.mask",
                expected="a state of the real rows alone",
                fix="give it the mask as weights, as in nn.metrics.accuracy(logits, labels, "
                "ctx.mask).",
            )
        )
    check_columns(what, value, owner)
    ours = {nn.metrics.Mean: Mean, nn.metrics.Sum: Sum}.get(type(value))
    return value if ours is None else ours(*value)


def _mean(result: Any, *, rows: int, mask: Any | None, owner: str, what: str) -> Mean:
    values, weights = result if isinstance(result, Weighted) else (result, None)
    try:
        values = jnp.asarray(values)
    except (TypeError, ValueError) as error:
        raise TrainError(
            explain(
                f"`{owner}` returned {what} that are not an array.",
                got=type(result).__name__,
                expected=f"an array of shape ({rows}, ...), one value per example",
                fix="return the unreduced losses (nn.losses are unreduced).",
            )
        ) from error
    dtype = jnp.promote_types(values.dtype, jnp.float32)
    if values.ndim == 0:
        if mask is not None:
            raise ScalarLossError(
                explain(
                    f"`{owner}` averaged its {what} over the batch, but some rows are padding.",
                    got=f"a scalar {values.dtype} for a batch of {rows} rows",
                    expected=f"one value per example: shape ({rows},) or ({rows}, ...)",
                    fix="leave out the mean (nn.losses are unreduced; for a metric, Mean(total, "
                    "weight) also does), or use data without a short last batch: "
                    "ArrayData(..., remainder='drop').",
                )
            )
        weight = jnp.ones((), dtype)
        return Mean(values.astype(dtype) * weight, weight)
    if values.shape[0] != rows:
        raise TrainError(
            explain(
                f"`{owner}` returned {what} of the wrong shape.",
                got=f"shape {tuple(values.shape)} for a batch of {rows} rows",
                expected=f"({rows},) or ({rows}, ...): the first axis is the batch",
                fix="keep the batch axis first and reduce over the other axes only.",
            )
        )
    total_weights = jnp.ones(values.shape, dtype)
    for factor, label in ((weights, "weights"), (mask, "mask")):
        if factor is None:
            continue
        factor = lax.stop_gradient(jnp.asarray(factor))
        if factor.shape != values.shape[: factor.ndim]:
            raise TrainError(
                explain(
                    f"The {label} of the {what} in `{owner}` do not fit the values.",
                    got=f"{label} {tuple(factor.shape)}, values {tuple(values.shape)}",
                    expected="the values' shape or its leading axes",
                    fix="give one weight per example, or one per value.",
                )
            )
        spread = factor.reshape(factor.shape + (1,) * (values.ndim - factor.ndim))
        total_weights = total_weights * spread.astype(dtype)
    # `where` and not a product alone: a padded row that overflows must not turn 0·inf into NaN.
    kept = jnp.where(total_weights != 0, values.astype(dtype), jnp.zeros((), dtype))
    return Mean(jnp.sum(kept * total_weights), jnp.sum(total_weights))
