"""How near texts are to their references: error rates, BLEU, ROUGE.

Texts are read on the host. What is counted are NumPy's numbers in states that merge, over batches
and processes, as of all other metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .states import Mean, added, summed

Text = str | Sequence[Any]


def _pairs(name: str, predictions: Sequence[Any], references: Sequence[Any]) -> Any:
    if isinstance(predictions, str) or isinstance(references, str):
        raise InputError(f"{name}: got one text. Expected a list of texts and one of references.")
    if len(predictions) != len(references):
        raise InputError(
            f"{name}: {len(predictions)} texts and {len(references)} references. Expected as many "
            "of each."
        )
    return zip(predictions, references, strict=True)


def _words(text: Text) -> list[Any]:
    return text.split() if isinstance(text, str) else list(text)


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The fewest insertions, deletions and replacements that make `b` of `a`.

    Levenshtein 1966.

    >>> edit_distance("kitten", "sitting")
    3
    """
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
        last = row
    return last[-1]


def _rate(name: str, parts: Callable[[Text], Sequence[Any]], texts: Any, references: Any) -> Mean:
    edits = length = 0
    for text, reference in _pairs(name, texts, references):
        want = parts(reference)
        edits, length = edits + edit_distance(parts(text), want), length + len(want)
    return Mean(np.float64(edits), np.float64(length))


def word_error_rate(predictions: Sequence[Text], references: Sequence[Text]) -> Mean:
    """Edits of words over words of the references: texts, or lists of tokens.

    >>> rate = word_error_rate(["this is the prediction"], ["this is the reference"])
    >>> float(rate)
    0.25
    """
    return _rate("word_error_rate", _words, predictions, references)


def character_error_rate(predictions: Sequence[str], references: Sequence[str]) -> Mean:
    """Edits of characters over characters of the references.

    >>> float(character_error_rate(["abcd"], ["abxd"]))
    0.25
    """
    return _rate("character_error_rate", list, predictions, references)


def _grams(words: Sequence[Any], n: int) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


class Bleu(NamedTuple):
    """BLEU of a corpus: the geometric mean of n-gram precisions, times a penalty for short texts.

    A precision is the share of a text's n-grams that occur in its references, each counted as often
    as the reference that has most of it. The penalty is ``exp(1 - reference / length)`` where the
    texts are shorter than the references of nearest length.

    Papineni et al. 2002, https://doi.org/10.3115/1073083.1073135

    >>> references = [["there is a cat on the mat", "a cat is on the mat"]]
    >>> round(float(Bleu.of(["the cat is on the mat"], references)), 4)
    0.7598
    """

    matches: Any  # of 1-grams, 2-grams, ...
    grams: Any
    length: Any
    reference_length: Any

    @classmethod
    def of(
        cls,
        predictions: Sequence[Text],
        references: Sequence[Sequence[Text]],
        order: int = 4,
    ) -> Bleu:
        """From texts (or lists of tokens) and, for each, a list of references.

        `order` is the longest n-gram's length. Words are split at spaces: what the tokens are
        changes the number, so split texts as the work does that you compare with.
        """
        matches, grams = np.zeros(order), np.zeros(order)
        length = reference_length = 0
        for text, several in _pairs("Bleu", predictions, references):
            if isinstance(several, str):
                raise InputError(
                    f"Bleu: the references of a text are {several!r}. Expected a list of them."
                )
            words, wanted = _words(text), [_words(reference) for reference in several]
            length += len(words)
            nearest = min((abs(len(w) - len(words)), len(w)) for w in wanted)
            reference_length += nearest[1]
            for n in range(1, order + 1):
                most: Counter[tuple[Any, ...]] = Counter()
                for reference in wanted:
                    most |= _grams(reference, n)
                found = _grams(words, n)
                matches[n - 1] += sum((found & most).values())
                grams[n - 1] += sum(found.values())
        return cls(matches, grams, np.float64(length), np.float64(reference_length))

    def merge(self, other: Bleu) -> Bleu:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Bleu:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Any:
        """From 0 to 1; 0 where there is no n-gram of some length, or none that matches."""
        if not np.all(np.asarray(self.matches)):
            return np.float64(0)
        precision = np.exp(np.mean(np.log(np.divide(self.matches, self.grams))))
        short = np.divide(self.reference_length, self.length)
        return precision * np.exp(np.minimum(0, 1 - short))

    def __float__(self) -> float:
        return float(self.result)


def rouge(predictions: Sequence[Text], references: Sequence[Text]) -> dict[str, Mean]:
    """ROUGE: F1 of common words, pairs of words, and the longest common subsequence.

    The mean over texts of each, as ``{"rouge1": ..., "rouge2": ..., "rougeL": ...}``. Words are
    split at spaces, and are not stemmed.

    Lin 2004, https://aclanthology.org/W04-1013

    >>> scores = rouge(["my name is john"], ["is your name john"])
    >>> {name: float(score) for name, score in scores.items()}
    {'rouge1': 0.75, 'rouge2': 0.0, 'rougeL': 0.5}
    """
    totals = dict.fromkeys(("rouge1", "rouge2", "rougeL"), 0.0)
    for text, reference in _pairs("rouge", predictions, references):
        a, b = _words(text), _words(reference)
        for n in (1, 2):
            x, y = _grams(a, n), _grams(b, n)
            totals[f"rouge{n}"] += _f1(sum((x & y).values()), sum(x.values()), sum(y.values()))
        totals["rougeL"] += _f1(_common(a, b), len(a), len(b))
    count = np.float64(len(predictions))
    return {name: Mean(np.float64(total), count) for name, total in totals.items()}


def _f1(common: int, first: int, second: int) -> float:
    """Of a share of `first` and one of `second`, the harmonic mean."""
    return 2 * common / (first + second) if first + second else 0.0


def _common(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The length of the longest common subsequence."""
    last = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b, 1):
            row.append(last[j - 1] + 1 if x == y else max(last[j], row[-1]))
        last = row
    return last[-1]
