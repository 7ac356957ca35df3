"""`sentence_embeddings`: texts to vectors, in batches of about one length.

Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

import jaxcore
from jaxcore import Array

from ..errors import InputError
from ..module import Module


class Tokenizer(Protocol):
    """What is asked of a tokenizer; ``tokenizers.Tokenizer`` is one."""

    def encode_batch(self, texts: list[str], /) -> Sequence[Any]:
        """For each text an object with the lists `ids` and `attention_mask`."""


def sentence_embeddings(
    model: Module,
    variables: Mapping[str, Any],
    texts: Sequence[str],
    tokenizer: Tokenizer,
    *,
    batch_size: int = 32,
    normalize: bool = True,
    dtype: Any = None,
) -> np.ndarray:
    """Embeddings of texts, float32 ``(texts, features)``: each the mean over its tokens.

    Texts of about one length are computed together, filled up to a power of two, so that few
    programs are compiled and little is computed in vain. The tokenizer decides how much of a text
    is read: ``tokenizer.enable_truncation(256)``. How it fills up does not matter.

    Args:
      model: has the fields `features` and `max_length`, and the method ``embed(tokens, mask,
        normalize)``, as `Bert` does.
      variables: the model's.
      texts: strings, also empty ones.
      tokenizer: as ``tokenizers.Tokenizer.from_file("tokenizer.json")`` gives it.
      batch_size: texts computed at once.
      normalize: whether embeddings get the length 1, so that their products are cosines.
      dtype: what to compute in; by default what the variables have.

    Raises:
      InputError: a text has more tokens than the model takes, or an argument is something else.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> from tokenizers import Tokenizer, models
    >>> tokenizer = Tokenizer(models.WordLevel({"?": 0, "cat": 1, "dog": 2}, unk_token="?"))
    >>> model = nn.models.Bert(3, features=8, num_layers=1, num_heads=2, mlp_features=16)
    >>> variables = model.init(random.key(0), jnp.array([[1]]))
    >>> a = nn.models.sentence_embeddings(model, variables, ["cat", "dog", "cat"], tokenizer)
    >>> a.shape, round(float(a[0] @ a[2]), 3)
    ((3, 8), 1.0)
    """
    tokens = _tokens(model, texts, tokenizer)
    if batch_size < 1:
        raise InputError(f"sentence_embeddings: batch_size={batch_size}. Expected at least 1.")
    encoder: Any = model
    found = np.zeros((len(tokens), encoder.features), np.float32)
    by_length = np.argsort([len(ids) for ids in tokens], kind="stable")
    for start in range(0, len(tokens), batch_size):
        places = by_length[start : start + batch_size]
        filled, mask = _filled([tokens[i] for i in places], encoder.max_length)
        out = _embed(model, variables, filled, mask, normalize=normalize, dtype=dtype)
        found[places] = np.asarray(out, np.float32)[: len(places)]
    return found


@jaxcore.jit(static_argnames=("normalize", "dtype"))
def _embed(
    model: Any, variables: Any, tokens: Array, mask: Array, *, normalize: bool, dtype: Any
) -> Array:
    return model.apply(variables, tokens, mask, normalize, method="embed", dtype=dtype)


def _tokens(model: Any, texts: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    """The tokens of each text, without what the tokenizer filled up with."""
    if isinstance(texts, str):
        raise InputError("sentence_embeddings: `texts` is one string. Write texts=[text].")
    if not hasattr(tokenizer, "encode_batch"):
        raise InputError(
            f"sentence_embeddings: the tokenizer is a {type(tokenizer).__name__}. Expected one of "
            "the package tokenizers: Tokenizer.from_file('tokenizer.json')."
        )
    encodings = tokenizer.encode_batch(list(texts))
    tokens = [np.array(e.ids, np.int32)[np.array(e.attention_mask, bool)] for e in encodings]
    for i, ids in enumerate(tokens):
        if len(ids) > model.max_length:
            raise InputError(
                f"sentence_embeddings: texts[{i}] has {len(ids)} tokens. Expected at most "
                f"{model.max_length}; cut with tokenizer.enable_truncation({model.max_length})."
            )
    return tokens


def _filled(rows: list[np.ndarray], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask of rows, filled up to powers of two in both directions."""
    length = min(max(8, _power_of_two(max(map(len, rows)))), longest)
    shape = _power_of_two(len(rows)), length
    tokens, mask = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = row, True
    return tokens, mask


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()
