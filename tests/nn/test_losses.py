"""Losses against optax, metrics against scikit-learn and NumPy."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32)


LOGITS, LABELS = normal(5, 4), jnp.array([0, 3, 1, 2, 3])
PROBABILITIES = jax.nn.softmax(normal(5, 4) * 2)
BINARY = jnp.asarray(np.random.default_rng(3).integers(0, 2, (5, 4)), jnp.float32)
L = nn.losses

# ours, optax's, arguments
LOSSES = {
    "integer": (
        L.softmax_cross_entropy_with_integer_labels,
        optax.softmax_cross_entropy_with_integer_labels,
        (LOGITS, LABELS),
    ),
    "integer through softmax_cross_entropy": (
        L.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (LOGITS, LABELS),
    ),
    "soft": (L.softmax_cross_entropy, optax.softmax_cross_entropy, (LOGITS, PROBABILITIES)),
    "smoothed": (
        lambda x, y: L.softmax_cross_entropy(x, y, label_smoothing=0.1),
        lambda x, y: optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(y, 4), 0.1)),
        (LOGITS, LABELS),
    ),
    "smoothed soft": (
        lambda x, y: L.softmax_cross_entropy(x, y, label_smoothing=0.1),
        lambda x, y: optax.softmax_cross_entropy(x, optax.smooth_labels(y, 0.1)),
        (LOGITS, PROBABILITIES),
    ),
    "poly": (
        L.poly_cross_entropy,
        lambda x, y: optax.losses.poly_loss_cross_entropy(x, jax.nn.one_hot(y, 4)),
        (LOGITS, LABELS),
    ),
    "binary": (
        L.sigmoid_binary_cross_entropy,
        optax.sigmoid_binary_cross_entropy,
        (LOGITS * 9, BINARY),
    ),
    "focal": (
        lambda x, y: L.sigmoid_focal_loss(x, y, alpha=0.3),
        lambda x, y: optax.sigmoid_focal_loss(x, y, alpha=0.3),
        (LOGITS, BINARY),
    ),
    "squared": (L.squared_error, optax.squared_error, (LOGITS, BINARY)),
    "absolute": (L.absolute_error, lambda a, b: abs(a - b), (LOGITS, BINARY)),
    "huber": (
        lambda a, b: L.huber(a, b, 0.5),
        lambda a, b: optax.huber_loss(a, b, delta=0.5),
        (LOGITS, BINARY),
    ),
    "log_cosh": (L.log_cosh, optax.log_cosh, (LOGITS, BINARY)),
    "hinge": (L.hinge, optax.hinge_loss, (LOGITS, 2 * BINARY - 1)),
    "kl": (
        L.kl_divergence,
        optax.kl_divergence,
        (jax.nn.log_softmax(LOGITS), PROBABILITIES.at[0, 0].set(0.0)),
    ),
    "nll": (
        L.negative_log_likelihood,
        lambda x, y: -(x * jax.nn.one_hot(y, 4)).sum(-1),
        (jax.nn.log_softmax(LOGITS), LABELS),
    ),
    "cosine": (L.cosine_distance, optax.cosine_distance, (LOGITS, PROBABILITIES)),
}


def test_losses():
    def evaluate(which, grad):
        out = {}
        for name, row in LOSSES.items():
            f, (x, y) = row[which], row[2]
            out[name] = f(x, y), grad(lambda x, f=f, y=y: (f(x, y) ** 2).sum())(x)
        return out

    got = jaxcore.jit(lambda: evaluate(0, jaxcore.grad))()
    expected = jax.jit(lambda: evaluate(1, jax.grad))()
    for name in LOSSES:
        for a, b in zip(got[name], expected[name], strict=True):
            assert a.shape == b.shape, name
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=name)


def test_losses_are_float32_inside():
    low = LOGITS.astype(jnp.bfloat16)
    assert L.softmax_cross_entropy(low, LABELS).dtype == jnp.float32
    assert L.squared_error(jnp.float16(300), jnp.float16(0)) == 90000
    masked = L.softmax_cross_entropy(
        LOGITS, LABELS * 0, where=jnp.array([[True, False, True, True]])
    )
    np.testing.assert_allclose(
        masked, L.softmax_cross_entropy(LOGITS[:, [0, 2, 3]], LABELS * 0), rtol=1e-5
    )


def test_metrics_add_up_over_unequal_batches():
    M = nn.metrics
    weights = jnp.array([1.0, 1.0, 0.0, 1.0, 0.0])
    whole = M.accuracy(LOGITS, LABELS)
    parts = M.accuracy(LOGITS[:2], LABELS[:2]).merge(M.accuracy(LOGITS[2:], LABELS[2:]))
    assert float(whole) == float(parts) == np.mean(np.argmax(LOGITS, -1) == LABELS)
    kept = np.asarray(weights, bool)
    np.testing.assert_allclose(
        float(M.accuracy(LOGITS, LABELS, weights)),
        np.mean((np.argmax(LOGITS, -1) == LABELS)[kept]),
    )
    assert float(M.top_k_accuracy(LOGITS, LABELS, 4)) == 1.0
    assert float(M.top_k_accuracy(LOGITS, LABELS, 1)) == float(whole)
    assert float(M.binary_accuracy(LOGITS, BINARY)) == np.mean((LOGITS > 0) == (BINARY > 0))
    assert np.isnan(float(M.Mean.of(jnp.ones(2), jnp.zeros(2))))
    confusion = M.Confusion.of(LOGITS[:2], LABELS[:2]).merge(M.Confusion.of(LOGITS[2:], LABELS[2:]))
    sklearn = pytest.importorskip("sklearn.metrics")
    guess = np.argmax(LOGITS, -1)
    np.testing.assert_array_equal(confusion.result, sklearn.confusion_matrix(LABELS, guess))
    expected = sklearn.precision_recall_fscore_support(LABELS, guess, zero_division=0)
    for got, right in zip((confusion.precision, confusion.recall, confusion.f1), expected[:3]):
        np.testing.assert_allclose(got, right, rtol=1e-6)
    moments = M.Moments.of(LOGITS[:2]).merge(M.Moments.of(LOGITS[2:]))
    np.testing.assert_allclose(moments.result, (LOGITS.mean(), LOGITS.var()), rtol=1e-5)
    assert len(jax.tree.leaves(jaxcore.jit(M.accuracy)(LOGITS, LABELS))) == 2
