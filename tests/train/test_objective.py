"""What a loss may return, and what becomes of it."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, train
from jaxcore.train.objective import batch_rows, reduce_loss

MASK = np.array([True, True, True, False])
VALUES = np.array([1.0, 2.0, 6.0, 1e9], np.float32)


def reduced(result, mask=MASK, rows=4):
    return reduce_loss(result, rows=rows, mask=mask, owner="T.loss")


def test_the_mean_leaves_padding_out():
    loss, _ = reduced(VALUES)
    assert (float(loss.total), float(loss.weight), float(loss)) == (9.0, 3.0, 3.0)
    assert float(reduced(VALUES[:3], None, 3)[0]) == 3.0


def test_padding_that_overflows_is_left_out_too():
    values = np.array([1.0, 2.0, 6.0, np.inf], np.float32)
    gradient = jaxcore.grad(lambda x: reduced(x)[0].total)(values)
    assert float(reduced(values)[0]) == 3.0
    np.testing.assert_array_equal(gradient, [1, 1, 1, 0])


def test_weights_count_and_are_constants():
    weights = np.array([[1, 0], [1, 1], [0, 0], [1, 1]], np.float32)
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    loss, _ = reduced(train.Weighted(values, weights))
    assert (float(loss.total), float(loss.weight)) == (0 + 2 + 3, 3)
    per_row, _ = reduced(train.Weighted(values, np.array([2.0, 1.0, 0.0, 5.0], np.float32)))
    assert (float(per_row.total), float(per_row.weight)) == (2 * (0 + 1) + 2 + 3, 2 * 2 + 2)

    def objective(w):
        return reduced(train.Weighted(VALUES * w, w))[0].total  # Σ x·w·stop_gradient(w)

    np.testing.assert_array_equal(jaxcore.grad(objective)(jnp.full((4,), 2.0)), [2, 4, 12, 0])


def test_metrics_of_every_kind():
    logits, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 3])
    loss, metrics = reduced(
        (
            VALUES,
            {
                "mean": VALUES * 2,
                "bools": np.array([True, False, False, True]),
                "weighted": train.Weighted(VALUES, np.array([1.0, 0.0, 1.0, 1.0], np.float32)),
                "ready": train.Mean(jnp.float32(6.0), jnp.float32(4.0)),
                "count": train.Sum(jnp.float32(7.0)),
                "last": train.Last(jnp.float32(0.5)),
                "accuracy": nn.metrics.accuracy(logits, labels, MASK),
            },
        )
    )
    found = {name: float(metric) for name, metric in metrics.items()}
    assert found == pytest.approx(
        {"mean": 6, "bools": 1 / 3, "weighted": 3.5, "ready": 1.5, "count": 7, "last": 0.5}
        | {"accuracy": 2 / 3}
    )
    assert float(loss) == 3.0


@pytest.mark.parametrize("losses", [VALUES > 0, train.Weighted(VALUES.astype(int), VALUES)])
def test_a_loss_without_a_gradient_is_refused_in_training_alone(losses):
    arguments = {"rows": 4, "mask": MASK, "owner": "T.loss"}
    reduce_loss(losses, **arguments)
    with pytest.raises(train.TrainError, match=r"T.loss` returned losses that have no gradient"):
        reduce_loss(losses, trained=True, **arguments)


def test_half_precision_is_summed_in_float32():
    loss, _ = reduced(jnp.full((4,), 0.1, jnp.bfloat16))
    assert loss.total.dtype == jnp.float32


class Curve(NamedTuple):
    """A state that merges and has no number."""

    result: Any

    def merge(self, other):
        return Curve(self.result + other.result)


def test_a_state_made_without_looking_at_the_mask_is_refused():
    state = nn.metrics.accuracy(np.eye(4, dtype=np.float32), np.arange(4))
    arguments = {"rows": 4, "owner": "T.loss", "masked": False}
    reduce_loss((VALUES, {"acc": state}), mask=None, **arguments)
    with pytest.raises(train.ScalarLossError, match=r"'acc' that counts rows[\s\S]*ctx.mask\)"):
        reduce_loss((VALUES, {"acc": state}), mask=MASK, **arguments)
    ctx = train.Context(train=True, step=0, key=None, rows=len(MASK), mask=MASK)
    assert not ctx.masked and ctx.mask is MASK and ctx.masked


@pytest.mark.parametrize(
    ("result", "mask", "words"),
    [
        (jnp.float32(1.0), MASK, ["T.loss", "averaged its losses", "(4,)", "remainder='drop'"]),
        ((VALUES, {"acc": jnp.float32(1.0)}), MASK, ["metric 'acc'", "Mean(total, weight)"]),
        (VALUES[:3], None, ["shape (3,)", "batch of 4 rows", "batch axis first"]),
        ((VALUES, 3), None, ["(losses, metrics)", "float32[4], int"]),
        ((VALUES, {}, {}), None, ["(losses, metrics)", "dict"]),
        (train.Weighted(VALUES, VALUES[:2]), None, ["weights (2,)", "values (4,)"]),
        ({"loss": VALUES}, None, ["not an array", "dict", "unreduced"]),
        ((VALUES, {"curve": Curve(jnp.ones(2))}), None,
         ["metric 'curve'", "Curve, whose result has shape (2,)", "`summary`"]),
    ],
)  # fmt: skip
def test_what_a_loss_may_not_return(result, mask, words):
    with pytest.raises(train.TrainError) as error:
        reduced(result, mask)
    for word in words:
        assert word in str(error.value)


def test_a_scalar_loss_counts_where_no_row_is_padding():
    assert float(reduced(jnp.float32(2.5), None)[0]) == 2.5
    with pytest.raises(train.ScalarLossError):
        reduced(jnp.float32(2.5))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(4)}, ["x: (3, 2)", "y: (4,)"]),
        (np.float32(1), ["(the array itself): ()"]),
        ({}, ["no array at all"]),
    ],
)
def test_rows_of_a_batch_agree(batch, words):
    with pytest.raises(train.TrainError, match="first axis") as error:
        batch_rows(batch)
    for word in words:
        assert word in str(error.value)
