"""Metrics against scikit-learn and NumPy: whole, in unequal parts, weighted, and across devices."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import sklearn.metrics as sk
from layer_table import QUICK, refused

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp

M = nn.metrics
RNG = np.random.default_rng(0)
N, CLASSES = 24, 4
LOGITS = jnp.asarray(RNG.normal(size=(N, CLASSES)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, CLASSES, N), jnp.int32)
GUESS = np.argmax(LOGITS, -1)
TARGETS = jnp.asarray(RNG.normal(size=N) + 3, jnp.float32)
NUMBERS = TARGETS + jnp.asarray(RNG.normal(size=N), jnp.float32)
BINARY = jnp.asarray(RNG.integers(0, 2, N), jnp.int32)
SCORES = jnp.asarray(np.round(RNG.uniform(size=N) * 0.7 + 0.3 * np.asarray(BINARY), 2) + 1e-4)
WEIGHTS = jnp.asarray(RNG.integers(0, 3, N), jnp.float32)
NLL = -np.asarray(jax.nn.log_softmax(LOGITS))[np.arange(N), LABELS]
PROBABILITIES = jnp.asarray(np.round(jax.nn.softmax(LOGITS), 3) + 1e-4)

log2 = np.log(2)


def concordance(x, y, weights):
    (a, both), (_, b) = np.cov(x, y, aweights=weights, ddof=0)
    return 2 * both / (a + b + np.average(x - y, weights=weights) ** 2)


# name: (state of a part and its weights, the number of the whole and its weights)
METRICS = {
    "Mean": ((NUMBERS,), M.Mean.of, lambda w: np.average(NUMBERS, weights=w)),
    "Sum": ((NUMBERS,), M.Sum.of, lambda w: np.sum(NUMBERS * w)),
    "Moments": (
        (NUMBERS,),
        M.Moments.of,
        lambda w: (np.average(NUMBERS, weights=w), np.cov(NUMBERS, aweights=w, ddof=0)),
    ),
    "accuracy": (
        (LOGITS, LABELS),
        M.accuracy,
        lambda w: sk.accuracy_score(LABELS, GUESS, sample_weight=w),
    ),
    "top_k_accuracy": (
        (LOGITS, LABELS),
        lambda x, y, w: M.top_k_accuracy(x, y, 2, w),
        lambda w: sk.top_k_accuracy_score(LABELS, LOGITS, k=2, sample_weight=w),
    ),
    "binary_accuracy": (
        (SCORES, BINARY),
        lambda x, y, w: M.binary_accuracy(x, y, w, threshold=0.5),
        lambda w: sk.accuracy_score(BINARY, SCORES > 0.5, sample_weight=w),
    ),
    "mean_absolute_error": (
        (NUMBERS, TARGETS),
        M.mean_absolute_error,
        lambda w: sk.mean_absolute_error(TARGETS, NUMBERS, sample_weight=w),
    ),
    "mean_absolute_percentage_error": (
        (NUMBERS, TARGETS),
        M.mean_absolute_percentage_error,
        lambda w: 100 * sk.mean_absolute_percentage_error(TARGETS, NUMBERS, sample_weight=w),
    ),
    "mean_squared_error": (
        (NUMBERS, TARGETS),
        M.mean_squared_error,
        lambda w: sk.mean_squared_error(TARGETS, NUMBERS, sample_weight=w),
    ),
    "root_mean_squared_error": (
        (NUMBERS, TARGETS),
        M.root_mean_squared_error,
        lambda w: sk.mean_squared_error(TARGETS, NUMBERS, sample_weight=w) ** 0.5,
    ),
    "R2": (
        (NUMBERS, TARGETS),
        M.R2.of,
        lambda w: sk.r2_score(TARGETS, NUMBERS, sample_weight=w),
    ),
    "Concordance": (
        (NUMBERS, TARGETS),
        M.Concordance.of,
        lambda w: concordance(np.asarray(NUMBERS), np.asarray(TARGETS), w),
    ),
    "Correlation": (
        (NUMBERS, TARGETS),
        M.Correlation.of,
        lambda w: (
            np.cov(NUMBERS, TARGETS, aweights=w)[0, 1]
            / np.sqrt(np.cov(NUMBERS, aweights=w) * np.cov(TARGETS, aweights=w))
        ),
    ),
    "perplexity": (
        (LOGITS, LABELS),
        M.perplexity,
        lambda w: np.exp(np.average(NLL, weights=w)),
    ),
    "bits_per_dim": (
        (TARGETS,),
        lambda x, w: M.bits_per_dim(x, 3, w),
        lambda w: np.average(TARGETS, weights=w) / (3 * log2),
    ),
    "Confusion": (
        (LOGITS, LABELS),
        M.Confusion.of,
        lambda w: sk.confusion_matrix(LABELS, GUESS, sample_weight=w),
    ),
    "Confusion, binary": (
        (SCORES, BINARY),
        lambda x, y, w: M.Confusion.of_binary(x, y, w, threshold=0.5),
        lambda w: sk.confusion_matrix(BINARY, SCORES > 0.5, sample_weight=w),
    ),
    "Ranking": (
        (SCORES, BINARY),
        lambda x, y, w: M.Ranking.of(x, y, w, bins=100),
        lambda w: sk.roc_auc_score(BINARY, SCORES, sample_weight=w),
    ),
    "Ranking, classes": (
        (PROBABILITIES, LABELS),
        M.Ranking.of_classes,
        lambda w: np.mean(
            [
                sk.roc_auc_score(c == LABELS, PROBABILITIES[:, c], sample_weight=w)
                for c in range(CLASSES)
            ]
        ),
    ),
}


def test_metrics_whole_in_parts_and_across_devices():
    def states():
        out = {}
        for name, (inputs, of, _) in METRICS.items():
            args = (*inputs, WEIGHTS)
            parts = [of(*(v[a:b] for v in args)) for a, b in ((0, 5), (5, 6), (6, N), (0, 0))]
            split = [v.reshape(4, N // 4, *v.shape[1:]) for v in args]
            devices = jaxcore.vmap(lambda *v, of=of: of(*v).across("d"), axis_name="d")(*split)
            plain = of(*inputs, None)
            out[name] = [
                plain,
                of(*args),
                functools.reduce(lambda a, b: a.merge(b), parts),
                jax.tree.map(lambda v: v[0], devices),
            ]
        return {k: [(s, s.result) for s in v] for k, v in out.items()}

    got = jaxcore.jit(states, compiler_options=QUICK)()
    for name, (_, _, reference) in METRICS.items():
        plain, *weighted = [result for _, result in got[name]]
        np.testing.assert_allclose(plain, reference(np.ones(N)), rtol=2e-5, err_msg=name)
        for result in weighted:
            expected = reference(np.asarray(WEIGHTS))
            np.testing.assert_allclose(result, expected, rtol=2e-5, err_msg=name)


def test_what_follows_from_a_confusion_matrix():
    averages, names = ("macro", "micro", "weighted"), ("precision", "recall", "f1", "iou")

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def read(logits, labels):
        counts = M.Confusion.of(logits, labels)
        scores = {(n, a): counts.score(n, a) for n in names for a in averages}
        each = counts.precision, counts.recall, counts.f1, counts.f_beta(2)
        return scores, each, (counts.accuracy, counts.kappa, counts.matthews)

    scores, each, (accuracy, kappa, matthews) = read(LOGITS, LABELS)
    for average in averages:
        kwargs = {"average": average, "zero_division": 0}
        expected = sk.precision_recall_fscore_support(LABELS, GUESS, **kwargs)
        for name, right in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            np.testing.assert_allclose(scores[name, average], right, rtol=1e-5)
        right = sk.jaccard_score(LABELS, GUESS, **kwargs)
        np.testing.assert_allclose(scores["iou", average], right, rtol=1e-5)
    expected = sk.precision_recall_fscore_support(LABELS, GUESS, zero_division=0)
    for values, right in zip(each, expected[:3], strict=False):
        np.testing.assert_allclose(values, right, rtol=1e-5)
    right = sk.fbeta_score(LABELS, GUESS, beta=2, average=None)
    np.testing.assert_allclose(each[3], right, rtol=1e-5)
    np.testing.assert_allclose(accuracy, sk.accuracy_score(LABELS, GUESS), rtol=1e-6)
    np.testing.assert_allclose(kappa, sk.cohen_kappa_score(LABELS, GUESS), rtol=1e-5)
    np.testing.assert_allclose(matthews, sk.matthews_corrcoef(LABELS, GUESS), rtol=1e-5)
    absent = M.Confusion.of_classes(jnp.array([0, 1]), jnp.array([0, -1]), 3)
    np.testing.assert_array_equal(absent.matrix, np.diag([1, 0, 0]))
    assert float(absent.score("f1")) == 1


def test_curves():
    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def read(scores, labels):
        state = M.Ranking.of(scores, labels, bins=100)
        return state.auroc, state.average_precision, state.roc, state.precision_recall

    _, average, (false, true), (precision, recall) = read(SCORES, BINARY)
    right = sk.average_precision_score(BINARY, SCORES)
    np.testing.assert_allclose(average, right, rtol=1e-5)
    np.testing.assert_allclose(true[50], np.mean(SCORES[BINARY == 1] >= 0.5), rtol=1e-6)
    np.testing.assert_allclose(false[50], np.mean(SCORES[BINARY == 0] >= 0.5), rtol=1e-6)
    chosen = np.asarray(BINARY)[np.asarray(SCORES) >= 0.5]
    np.testing.assert_allclose(precision[50], chosen.mean(), rtol=1e-6)
    np.testing.assert_allclose(recall, true, rtol=1e-6)
    assert np.isnan(read(SCORES, BINARY * 0)[0])


def test_images():
    a = RNG.uniform(size=(2, 13, 12, 2))
    b = np.clip(a + 0.1 * RNG.normal(size=a.shape), 0, 1)
    weights = jnp.array([1.0, 3.0])
    noise = [-10 * np.log10(np.mean((x - y) ** 2)) for x, y in zip(a, b, strict=True)]
    x, y = (jnp.asarray(v, jnp.float32) for v in (a, b))
    np.testing.assert_allclose(float(M.psnr(x, y)), np.mean(noise), rtol=1e-4)
    np.testing.assert_allclose(
        float(M.psnr(255 * x, 255 * y, 255.0, weights)),
        np.average(noise, weights=[1, 3]),
        rtol=1e-4,
    )
    bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    kernel = np.outer(bell, bell) / bell.sum() ** 2

    def similarity(x, y):
        blur = lambda v: scipy.signal.convolve2d(v, kernel, mode="valid")
        mx, my = blur(x), blur(y)
        vx, vy, both = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        top = (2 * mx * my + 0.01**2) * (2 * both + 0.03**2)
        return np.mean(top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)))

    expected = [
        np.mean([similarity(a[i, ..., c], b[i, ..., c]) for c in range(2)]) for i in range(2)
    ]
    got = jaxcore.jit(M.ssim)(x, y, weights=weights).result
    np.testing.assert_allclose(got, np.average(expected, weights=[1, 3]), rtol=1e-4)


def test_orders():
    x, y = np.round(np.asarray(NUMBERS), 1), np.round(np.asarray(TARGETS))  # with ties

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def read(x, y):
        pairs = jnp.stack([x, y]), jnp.stack([y, -x])
        return M.spearman(*pairs), M.kendall(*pairs)

    spearman, kendall = read(x, y)
    want = [scipy.stats.spearmanr(a, b)[0] for a, b in ((x, y), (y, -x))]
    np.testing.assert_allclose(spearman, want, rtol=1e-5)
    want = [scipy.stats.kendalltau(a, b)[0] for a, b in ((x, y), (y, -x))]
    np.testing.assert_allclose(kendall, want, rtol=1e-5)
    assert np.isnan(M.spearman(jnp.ones(3), jnp.arange(3.0)))


def test_texts():
    texts = ["this is the prediction", "there is an other sample"]
    references = ["this is the reference", "there is another one"]
    rate = M.word_error_rate(texts[:1], references[:1])
    rate = rate.merge(M.word_error_rate(texts[1:], references[1:]))
    assert float(rate) == 0.5  # torchmetrics' example, and its numbers here and below
    np.testing.assert_allclose(float(M.character_error_rate(texts, references)), 0.34146341)
    assert M.edit_distance("", "ab") == M.edit_distance("ab", "") == 2
    assert float(M.word_error_rate([[1, 2]], [[1, 3]])) == 0.5
    assert np.isnan(float(M.word_error_rate([], [])))

    cat = ["the cat is on the mat"], [["there is a cat on the mat", "a cat is on the mat"]]
    np.testing.assert_allclose(float(M.Bleu.of(*cat)), 0.7598356856515925)
    short = M.Bleu.of(["a cat sat on"], [["a cat sat on the mat"]])
    np.testing.assert_allclose(float(short), np.exp(1 - 6 / 4))
    both = M.Bleu.of(*cat).merge(short)
    whole = M.Bleu.of([*cat[0], "a cat sat on"], [*cat[1], ["a cat sat on the mat"]])
    assert float(both) == float(whole) and 0 < float(both) < 1
    assert float(M.Bleu.of(["a b"], [["c d"]])) == float(M.Bleu.of([""], [["c d"]])) == 0
    assert float(M.Bleu.of(["b b b"], [["b a", "b b"]], order=1)) == 2 / 3

    scores = M.rouge(["my name is john", "a b"], ["is your name john", ""])
    assert {n: float(s) for n, s in scores.items()} == {
        "rouge1": 0.375,
        "rouge2": 0,
        "rougeL": 0.25,
    }


def test_nothing_and_padding():
    assert np.isnan(float(M.Mean.of(jnp.ones(2), jnp.zeros(2))))
    assert float(M.Mean.of(jnp.array([2.0, jnp.nan]), jnp.array([1.0, 0.0]))) == 2
    both = M.merge({"a": M.Mean.of(jnp.ones(2))}, {"a": M.Mean.of(jnp.full(2, 4.0))})
    assert float(both["a"]) == 2.5
    ignored = jnp.where(LABELS == 1, -100, LABELS)
    kept = np.asarray(LABELS) != 1
    got = M.perplexity(LOGITS, ignored, ignore_index=-100)
    np.testing.assert_allclose(float(got), np.exp(NLL[kept].mean()), rtol=1e-5)
    assert float(M.Sum.of(jnp.array([True, False, True]))) == 2


MISTAKES = {
    "labels": (lambda: M.accuracy(LOGITS, TARGETS), ["labels are float32[24]", "[24]"]),
    "binary": (lambda: M.binary_accuracy(LOGITS, LABELS), ["binary_accuracy", "(24, 4)"]),
    "weights": (lambda: M.Mean.of(NUMBERS, WEIGHTS[:3]), ["weights have shape (3,)", "(24,)"]),
    "score": (
        lambda: M.Confusion(jnp.eye(2)).score("auc"),
        ["name='auc'", "'precision'"],
    ),
    "average": (
        lambda: M.Confusion(jnp.eye(2)).score("f1", "samples"),
        ["average='samples'", "read .f1"],
    ),
    "one text": (lambda: M.rouge("a b", "a b"), ["rouge", "one text"]),
    "numbers of texts": (lambda: M.word_error_rate(["a"], []), ["1 texts and 0 references"]),
    "references of a text": (lambda: M.Bleu.of(["a"], ["a"]), ["'a'", "a list of them"]),
    "ssim": (lambda: M.ssim(jnp.ones((1, 8, 8, 1)), jnp.ones((1, 8, 8, 1))), ["(1, 8, 8, 1)"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
