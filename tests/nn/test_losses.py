"""Losses against optax, and against formulas where it has none."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from layer_table import QUICK, refused

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32)


LOGITS, LABELS = normal(5, 4), jnp.array([0, 3, 1, 2, 3])
PROBABILITIES = jax.nn.softmax(normal(5, 4) * 2)
BINARY = jnp.asarray(np.random.default_rng(3).integers(0, 2, (5, 4)), jnp.float32)
WEIGHTS = jnp.array([0.5, 1.0, 2.0, 3.0])
KERNEL = normal(4, 4)
PADDINGS = (
    (jnp.arange(7)[None] >= jnp.array([7, 6, 3, 5])[:, None]).astype(jnp.float32),
    (jnp.arange(3)[None] >= jnp.array([3, 3, 2, 0])[:, None]).astype(jnp.float32),
)
L = nn.losses


def weighted(logits, labels):
    return -(WEIGHTS[None] * labels * jax.nn.log_softmax(logits)).sum(-1)


def distance(a, b):
    return jnp.sqrt(((a - b) ** 2).sum(-1))


def tversky(p, t, alpha, beta):
    hit, false, missed = ((v).sum(1) for v in (p * t, p * (1 - t), (1 - p) * t))
    return 1 - hit / (hit + alpha * false + beta * missed)


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
    "cosine_similarity": (L.cosine_similarity, optax.cosine_similarity, (LOGITS, BINARY + 1)),
    "smooth_labels": (
        lambda x, y: L.softmax_cross_entropy(x, L.smooth_labels(y, 0.2)),
        lambda x, y: optax.softmax_cross_entropy(x, optax.smooth_labels(y, 0.2)),
        (LOGITS, PROBABILITIES),
    ),
    "class weights": (
        lambda x, y: L.softmax_cross_entropy(x, y, class_weights=WEIGHTS, label_smoothing=0.1),
        lambda x, y: weighted(x, optax.smooth_labels(jax.nn.one_hot(y, 4), 0.1)),
        (LOGITS, LABELS),
    ),
    "class weights, soft": (
        lambda x, y: L.softmax_cross_entropy(x, y, class_weights=WEIGHTS),
        lambda x, y: weighted(x, y),
        (LOGITS, PROBABILITIES),
    ),
    "ignore index": (
        lambda x, y: L.softmax_cross_entropy_with_integer_labels(
            x, jnp.where(y == 3, -100, y), ignore_index=-100, label_smoothing=0.1
        ),
        lambda x, y: (
            (y != 3)
            * optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(y, 4), 0.1))
        ),
        (LOGITS, LABELS),
    ),
    "nll, ignore index": (
        lambda x, y: L.negative_log_likelihood(x, jnp.where(y == 3, 99, y), ignore_index=99),
        lambda x, y: -(x * jax.nn.one_hot(y, 4)).sum(-1) * (y != 3),
        (LOGITS, LABELS),
    ),
    "binary, smoothed": (
        lambda x, y: L.sigmoid_binary_cross_entropy(x, y, 0.2),
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, 0.8 * y + 0.1),
        (LOGITS, BINARY),
    ),
    "binary, pos_weight": (
        lambda x, y: L.sigmoid_binary_cross_entropy(x, y, pos_weight=3.0),
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, y) * (1 + 2 * y),
        (LOGITS * 9, BINARY),
    ),
    "binary, probabilities": (
        lambda x, y: L.binary_cross_entropy(jax.nn.sigmoid(x), y),
        optax.sigmoid_binary_cross_entropy,
        (LOGITS, BINARY),
    ),
    "focal, softmax": (
        lambda x, y: L.softmax_focal_loss(x, y, alpha=WEIGHTS),
        lambda x, y: (
            -(
                jax.nn.one_hot(y, 4)
                * WEIGHTS[None]
                * (1 - jax.nn.softmax(x)) ** 2
                * jax.nn.log_softmax(x)
            ).sum(-1)
        ),
        (LOGITS, LABELS),
    ),
    "squared_hinge": (
        L.squared_hinge,
        lambda x, y: optax.hinge_loss(x, y) ** 2,
        (LOGITS, 2 * BINARY - 1),
    ),
    "multiclass_hinge": (L.multiclass_hinge, optax.losses.multiclass_hinge_loss, (LOGITS, LABELS)),
    "smooth_l1": (
        lambda a, b: L.smooth_l1(a, b, 0.5),
        lambda a, b: optax.huber_loss(a, b, delta=0.5) / 0.5,
        (LOGITS, BINARY),
    ),
    "quantile": (
        lambda a, b: L.quantile(a, b, 0.8),
        lambda a, b: jnp.where(b > a, 0.8 * (b - a), 0.2 * (a - b)),
        (LOGITS, BINARY),
    ),
    "absolute_percentage": (
        L.absolute_percentage_error,
        lambda a, b: 100 * abs(a - b) / abs(b),
        (LOGITS, BINARY + 1),
    ),
    "squared_log": (
        lambda a, b: L.squared_log_error(a * a, b),
        lambda a, b: jnp.log((1 + a * a) / (1 + b)) ** 2,
        (LOGITS, BINARY),
    ),
    "gaussian": (
        lambda a, b: L.gaussian_nll(a, b, 1 + b, full=True),
        lambda a, b: -jax.scipy.stats.norm.logpdf(b, a, jnp.sqrt(1 + b)),
        (LOGITS, BINARY),
    ),
    "gaussian_kl": (
        L.gaussian_kl,
        lambda a, b: 0.5 * (jnp.exp(b) + a**2 - 1 - b),
        (LOGITS, PROBABILITIES),
    ),
    "poisson": (L.poisson_nll, lambda x, y: jnp.exp(x) - y * x, (LOGITS, BINARY)),
    "poisson, rate": (
        lambda x, y: L.poisson_nll(x * x + 1, y, log_input=False),
        lambda x, y: x * x + 1 - y * jnp.log(x * x + 1),
        (LOGITS, BINARY),
    ),
    "bernoulli": (L.bernoulli_nll, optax.sigmoid_binary_cross_entropy, (LOGITS, BINARY)),
    "triplet": (
        lambda x, y: L.triplet_margin(x, y, jnp.roll(x, 1, 0)),
        lambda x, y: optax.losses.triplet_margin_loss(x, y, jnp.roll(x, 1, 0)),
        (LOGITS, PROBABILITIES),
    ),
    "contrastive": (
        lambda x, y: L.contrastive(x, y, LABELS > 1, margin=2.0),
        lambda x, y: (
            0.5
            * jnp.where(LABELS > 1, distance(x, y) ** 2, jnp.maximum(0, 2 - distance(x, y)) ** 2)
        ),
        (LOGITS, PROBABILITIES),
    ),
    "cosine_embedding": (
        lambda x, y: L.cosine_embedding(x, y, jnp.where(LABELS > 1, 1, -1), 0.1),
        lambda x, y: jnp.where(
            LABELS > 1,
            optax.cosine_distance(x, y),
            jnp.maximum(0, optax.cosine_similarity(x, y) - 0.1),
        ),
        (LOGITS, PROBABILITIES),
    ),
    "margin_ranking": (
        lambda x, y: L.margin_ranking(x, y, 2 * BINARY - 1, 0.1),
        lambda x, y: jax.nn.relu(0.1 - (2 * BINARY - 1) * (x - y)),
        (LOGITS, PROBABILITIES),
    ),
    "ntxent": (
        lambda x, y: L.ntxent(x, y).sum() / 4,
        lambda x, y: optax.losses.ntxent(x, y),
        (normal(4, 3), jnp.array([0, 1, 0, 1])),
    ),
    "tversky": (
        lambda x, y: L.tversky(jax.nn.sigmoid(x), y, 0.3, 0.7),
        lambda x, y: tversky(jax.nn.sigmoid(x), y, 0.3, 0.7),
        (LOGITS, BINARY),
    ),
    "dice": (
        lambda x, y: L.dice(jax.nn.sigmoid(x), y),
        lambda x, y: tversky(jax.nn.sigmoid(x), y, 0.5, 0.5),
        (LOGITS, BINARY),
    ),
    "distillation": (
        lambda x, y: L.distillation(x, y, 2.0),
        lambda x, y: 4 * optax.kl_divergence(jax.nn.log_softmax(x / 2), jax.nn.softmax(y / 2)),
        (LOGITS, PROBABILITIES * 3),
    ),
    "linear": (
        lambda x, y: L.linear_cross_entropy(x, KERNEL, y, WEIGHTS, chunk=3),
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x @ KERNEL + WEIGHTS[None], y),
        (LOGITS, LABELS),
    ),
    "ctc": (
        lambda x, y: L.ctc(x, PADDINGS[0], y, PADDINGS[1]),
        lambda x, y: optax.ctc_loss(x, PADDINGS[0], y, PADDINGS[1]),
        (normal(4, 7, 5), jnp.array([[1, 2, 2], [3, 3, 1], [4, 1, 0], [2, 0, 0]])),
    ),
}


def test_losses():
    def evaluate(which, grad):
        out = {}
        for name, row in LOSSES.items():
            f, (x, y) = row[which], row[2]
            out[name] = f(x, y), grad(lambda x, f=f, y=y: (f(x, y) ** 2).sum())(x)
        return out

    got = jaxcore.jit(lambda: evaluate(0, jaxcore.grad), compiler_options=QUICK)()
    expected = jax.jit(lambda: evaluate(1, jax.grad), compiler_options=QUICK)()
    for name in LOSSES:
        for a, b in zip(got[name], expected[name], strict=True):
            assert a.shape == b.shape, name
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=name)


def test_a_linear_layer_and_its_loss_hold_no_logits():
    x, kernel, bias = normal(2, 3, 4), normal(4, 7), normal(7)
    labels = jnp.array([[0, 3, 6], [1, 1, 5]])
    options = {"label_smoothing": 0.1, "ignore_index": 1}

    def fused(x, kernel, bias):
        return L.linear_cross_entropy(x, kernel, labels, bias, chunk=3, **options)

    def plain(x, kernel, bias):
        logits = x @ kernel + bias[None, None]
        return L.softmax_cross_entropy_with_integer_labels(logits, labels, **options)

    def both(*args):
        slopes = lambda f: jaxcore.grad(lambda *args: (f(*args) ** 2).sum(), (0, 1, 2))(*args)
        ways = tuple(jnp.cos(a) for a in args)
        moved = lambda f: jaxcore.jvp(f, args, ways)
        return [(moved(f), slopes(f)) for f in (fused, plain)]

    got, want = jaxcore.jit(both, compiler_options=QUICK)(x, kernel, bias)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    rows, classes = 512, 8192
    loss = lambda x, w, y: L.linear_cross_entropy(x, w, y, chunk=512).sum()
    types = [(rows, 8), (8, classes)]
    args = [jax.ShapeDtypeStruct(t, "float32") for t in types]
    step = jaxcore.jit(jaxcore.grad(loss, (0, 1)))
    compiled = step.lower(*args, jax.ShapeDtypeStruct((rows,), "int32")).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < rows * classes * 4 / 4


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


def test_one_number_of_many():
    loss, weights = jnp.array([1.0, 3.0, jnp.nan]), jnp.array([3.0, 1.0, 5.0])
    kept = jnp.array([True, True, False])
    assert float(L.reduce(loss, weights, kept)) == 1.5
    assert float(L.reduce(loss, weights, kept, "sum")) == 6
    assert float(L.reduce(loss, weights, kept, "batch_mean")) == 3
    np.testing.assert_array_equal(L.reduce(loss, weights, kept, "none"), [3, 3, 0])
    rows = jnp.ones((2, 3)).at[0].set(5)
    assert float(L.reduce(rows, jnp.array([1.0, 3.0]))) == 2
    grad = jaxcore.grad(lambda x: L.reduce(x, where=jnp.zeros(3, bool)))(loss)
    np.testing.assert_array_equal(grad, np.zeros(3))
    assert float(L.reduce(jnp.zeros(0))) == 0


def test_cross_entropy_as_pytorch_has_it():
    # torch.nn.functional.cross_entropy(x, y, weight, ignore_index=1, label_smoothing=0.1)
    x = jnp.array([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5], [0.2, 0.3, 0.1]])
    y, weight = jnp.array([2, 1, 0]), jnp.array([1.0, 2.0, 4.0])
    loss = L.softmax_cross_entropy_with_integer_labels(
        x, y, label_smoothing=0.1, class_weights=weight, ignore_index=1
    )
    got = L.reduce(loss, reduction="sum") / jnp.sum(weight[y] * (y != 1))
    np.testing.assert_allclose(got, 0.4861123561859131, rtol=1e-5)


def test_penalties():
    params = {"a": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([3.0])}}
    assert float(L.l1(params)) == 3 and float(L.l2(params, "**")) == 14
    assert float(L.l2(params, "nothing/*")) == 0


MISTAKES = {
    "reduction": (lambda: L.reduce(LOGITS, reduction="avg"), ["'avg'", "'batch_mean'"]),
    "weights": (lambda: L.reduce(LOGITS, LOGITS[0]), ["weights have shape (4,)", "(5, 4)"]),
    "class weights": (
        lambda: L.softmax_cross_entropy(LOGITS, LABELS, class_weights=WEIGHTS[:2]),
        ["class_weights have shape (2,)", "(4,)"],
    ),
    "shapes": (lambda: L.dice(LOGITS, LABELS), ["dice", "(5,)", "(5, 4)"]),
    "ntxent": (lambda: L.ntxent(LOGITS, LABELS[:2]), ["(5, 4)", "(2,)"]),
    "pairs": (lambda: L.contrastive(LOGITS, LOGITS, BINARY), ["(5, 4)", "Expected (5,)"]),
    "linear": (
        lambda: L.linear_cross_entropy(LOGITS, normal(7, 4), LABELS),
        ["(5, 4)", "(7, 4)", "table.T"],
    ),
    "linear, labels": (
        lambda: L.linear_cross_entropy(LOGITS, KERNEL, LABELS[:2]),
        ["int32[2]", "[5]"],
    ),
    "ctc": (
        lambda: L.ctc(LOGITS, LOGITS, LABELS, LABELS),
        ["logits (5, 4)", "(batch, time, classes)"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
