"""Losses, one value an example: nothing is averaged here but by `reduce`.

The caller decides what a mean is (weights, masks, padding), so every function keeps the leading
axes. All compute in float32 at least, whatever the inputs' dtype. Those over classes or vectors
reduce their axis; the others are elementwise, ``(...) -> (...)``.

    loss = nn.losses.reduce(
        nn.losses.softmax_cross_entropy(logits, labels, label_smoothing=0.1), where=mask
    )

PyTorch's and Keras's losses average at once, over all elements: ``reduce(loss)``; Keras's with
``sample_weight`` divide by their number: ``reduce(loss, weights, reduction="batch_mean")``.
"""

from .classification import (
    binary_cross_entropy,
    distillation,
    hinge,
    kl_divergence,
    multiclass_hinge,
    negative_log_likelihood,
    poly_cross_entropy,
    sigmoid_binary_cross_entropy,
    sigmoid_focal_loss,
    smooth_labels,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
    softmax_focal_loss,
    squared_hinge,
)
from .ctc import ctc
from .reduction import reduce
from .regression import (
    absolute_error,
    absolute_percentage_error,
    bernoulli_nll,
    gaussian_kl,
    gaussian_nll,
    huber,
    log_cosh,
    poisson_nll,
    quantile,
    smooth_l1,
    squared_error,
    squared_log_error,
)
from .segmentation import dice, tversky
from .similarity import (
    contrastive,
    cosine_distance,
    cosine_embedding,
    cosine_similarity,
    margin_ranking,
    ntxent,
    pairwise_distance,
    triplet_margin,
)
from .vocabulary import linear_cross_entropy
from .weights import l1, l2

__all__ = [
    "absolute_error",
    "absolute_percentage_error",
    "bernoulli_nll",
    "binary_cross_entropy",
    "contrastive",
    "cosine_distance",
    "cosine_embedding",
    "cosine_similarity",
    "ctc",
    "dice",
    "distillation",
    "gaussian_kl",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "l2",
    "linear_cross_entropy",
    "log_cosh",
    "margin_ranking",
    "multiclass_hinge",
    "negative_log_likelihood",
    "ntxent",
    "pairwise_distance",
    "poisson_nll",
    "poly_cross_entropy",
    "quantile",
    "reduce",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_l1",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "softmax_focal_loss",
    "squared_error",
    "squared_hinge",
    "squared_log_error",
    "triplet_margin",
    "tversky",
]
