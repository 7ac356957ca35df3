"""Metrics as small states that add up: over batches, devices and hosts, exactly.

A state is a pytree of sums. A function, or `of`, makes one from a batch, `merge` puts two together,
`across` those of all devices, `result` is the number; until it is read nothing leaves the device.

    state = nn.metrics.accuracy(logits, labels)
    state = state.merge(nn.metrics.accuracy(more_logits, more_labels))
    float(state)

Under `jit` a state of a batch that is divided among devices is that of the whole batch; inside
`shard_map` and ``vmap(axis_name=...)`` say ``state.across("batch")``. The sums are float32, exact
for counts up to 2²⁴. States of NumPy arrays merge on the host in their own dtype, so that parts of
a longer run add up in float64; `jaxcore.train` does so with those that a loss returns.
"""

from .classification import (
    Confusion,
    accuracy,
    binary_accuracy,
    top_k_accuracy,
)
from .images import psnr, ssim
from .orders import kendall, spearman
from .ranking import Ranking
from .regression import (
    R2,
    Concordance,
    Correlation,
    RootMean,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    root_mean_squared_error,
)
from .sequences import Bleu, character_error_rate, edit_distance, rouge, word_error_rate
from .states import Mean, Moments, Sum, merge
from .text import Perplexity, bits_per_dim, perplexity

__all__ = [
    "Bleu",
    "Concordance",
    "Confusion",
    "Correlation",
    "Mean",
    "Moments",
    "Perplexity",
    "R2",
    "Ranking",
    "RootMean",
    "Sum",
    "accuracy",
    "binary_accuracy",
    "bits_per_dim",
    "character_error_rate",
    "edit_distance",
    "kendall",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "merge",
    "perplexity",
    "psnr",
    "root_mean_squared_error",
    "rouge",
    "spearman",
    "ssim",
    "top_k_accuracy",
    "word_error_rate",
]
