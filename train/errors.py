"""Errors of the training layer: each says what was got, what was expected, and the fix."""

from __future__ import annotations


class TrainError(Exception):
    """A mistake in how a task, its data or a trainer was set up.

    Fix: the message says what was got, what was expected, and what to do.
    """


class ScalarLossError(TrainError):
    """A loss or metric was averaged over the batch although some rows of it are padding.

    Fix: return one value for each row; the trainer takes the mean over the rows that are real.
    """


class UnknownArgument(TrainError, TypeError):
    """A keyword that a class of the trainer does not take.

    Fix: the message names the keyword that was probably meant, or what does the same here.
    """


class CheckpointError(TrainError):
    """A checkpoint is missing, damaged, or belongs to another model.

    Fix: restore with the model and optimiser that it was saved with, or start without resume.
    """


def explain(problem: str, *, got: object, expected: object, fix: str) -> str:
    """Lay out one message: the problem, then what was got and expected, then the way out.

    >>> print(explain("No batch.", got="an empty list", expected="batches", fix="add rows."))
    No batch.
      got:      an empty list
      expected: batches
      fix:      add rows.
    """
    return f"{problem}\n  got:      {got}\n  expected: {expected}\n  fix:      {fix}"
