"""Arguments that are out of range, and keywords that are misspelt or another library's."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from .errors import TrainError, UnknownArgument, explain

Args = ParamSpec("Args")
Result = TypeVar("Result")

ELSEWHERE: dict[str, dict[str, str]] = {  # class: {what is written here: names elsewhere}
    "Trainer": {
        "fit(..., until=train.Epochs(10))": "max_epochs max_steps max_time max_duration epochs "
        "num_train_epochs",
        "fit(..., at_least=train.Epochs(3))": "min_epochs min_steps",
        "fit(..., resume='auto')": "resume_from_checkpoint ckpt_path autoresume",
        "accumulate=4": "accumulate_grad_batches gradient_accumulation_steps",
        "train.Task(..., clip_norm=1.0)": "gradient_clip_val gradient_clip_algorithm max_grad_norm",
        "train.Task(..., precision='bf16-mixed')": "precision bf16 fp16 mixed_precision",
        "mesh=jaxcore.make_mesh((8,), ('data',)), shard='fsdp'": "accelerator devices strategy "
        "num_nodes fsdp",
        "validate_every=train.Steps(500)": "val_check_interval check_val_every_n_epoch eval_steps "
        "eval_interval validation_freq",
        "log_every=train.Steps(50)": "log_every_n_steps logging_steps",
        "dir='runs/first'": "default_root_dir save_dir output_dir save_folder",
        "callbacks=[train.ProgressBar(), train.CSVLogger(), train.ModelCheckpoint()]": "logger "
        "loggers enable_progress_bar enable_checkpointing enable_model_summary barebones",
        "steps_per_call=10": "steps_per_execution",
        "callbacks=[train.ProfilerTrace(10, 12)], or see fit.phases": "profiler",
    },
    "Trainer.fit": {
        "until=train.Epochs(10)": "epochs max_epochs max_steps steps num_epochs",
        "val=data": "validation_data val_dataloaders val_data valid eval_dataset",
        "resume='auto', or the path of a checkpoint": "ckpt_path resume_from_checkpoint",
        "trainer.fit(task, data, ...)": "model train_dataloaders train_data datamodule",
        "train.Trainer(callbacks=[...])": "callbacks",
        "train.ArrayData((x, y), batch_size=64)": "batch_size x y shuffle",
    },
    "Task": {
        "tx=optax.adamw": "optimizer optimizers opt",
        "lr=1e-3": "learning_rate",
        "clip_norm=1.0": "gradient_clip_val max_grad_norm grad_clip",
        "average=train.Average(0.999)": "ema ema_decay",
        "def loss(self, model, batch, ctx) in a subclass": "loss loss_fn criterion",
    },
    "ModelCheckpoint": {
        "every=train.Epochs(1)": "every_n_epochs every_n_train_steps train_time_interval save_freq",
        "train.Trainer(dir='runs/first')": "dirpath filepath directory filename",
        "save_last=3": "max_to_keep save_total_limit",
        "save_top_k=1": "save_best_only",
    },
    "EarlyStopping": {
        "train.best_checkpoint(dir, 'val/loss') after the run": "restore_best_weights",
        "fit(..., at_least=train.Epochs(5))": "start_from_epoch",
    },
}


class Keywords:
    """A class whose constructor answers an unknown keyword with the one that may be meant."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        known = _keywords(cls.__init__)
        if known is not None and not kwargs.keys() <= known:
            unknown = next(name for name in kwargs if name not in known)
            raise unknown_argument(cls.__name__, unknown, known, cls.__mro__)
        return super().__new__(cls)


def answers(method: Callable[Args, Result]) -> Callable[Args, Result]:
    """A method that answers unknown keywords as `Keywords` does."""
    known = _keywords(method)
    assert known is not None

    @functools.wraps(method)
    def answering(*args: Args.args, **kwargs: Args.kwargs) -> Result:
        if not kwargs.keys() <= known:
            unknown = next(name for name in kwargs if name not in known)
            raise unknown_argument(method.__qualname__, unknown, known)
        return method(*args, **kwargs)

    return answering


@functools.lru_cache(256)
def _keywords(init: Callable[..., Any]) -> frozenset[str] | None:
    """The keywords of a constructor, or None if it takes any."""
    if init is object.__init__:
        return frozenset()
    parameters = list(inspect.signature(init).parameters.values())[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY)


def unknown_argument(
    who: str, name: str, known: Iterable[str], classes: Iterable[type] = ()
) -> UnknownArgument:
    """The error for a keyword that a method, or a class with these bases, does not take."""
    longer = [one for one in sorted(known) if one.startswith(name)]
    near = longer if len(longer) == 1 else difflib.get_close_matches(name, sorted(known), 1)
    here = next(
        (
            ours
            for base in [who, *(one.__name__ for one in classes)]
            for ours, names in ELSEWHERE.get(base, {}).items()
            if name in names.split()
        ),
        None,
    )
    fix = f"did you mean {near[0]!r}?" if near else "leave it out."
    return UnknownArgument(
        explain(
            f"{who} takes no argument {name!r}.",
            got=f"{name}=...",
            expected=f"one of {', '.join(sorted(known))}" if known else "none",
            fix=f"write {here}." if here else fix,
        )
    )


def check_counts(least: int, *, optional: bool = False, **values: Any) -> None:
    """Raise `TrainError` unless each value is a whole number of at least `least`, or None may be.

    >>> check_counts(0, patience=3)
    """
    for name, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if (optional and value is None) or (whole and value >= least):
            continue
        raise TrainError(
            explain(
                f"`{name}` is not a count.",
                got=repr(value),
                expected=f"an int of at least {least}" + (", or None" if optional else ""),
                fix=f"write {name}={max(least, 3)}, say, or leave it out.",
            )
        )


def check_numbers(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open: bool = False,
    optional: bool = False,
    **values: Any,
) -> None:
    """Raise `TrainError` unless each value is a number in [low, high], or (low, high) if `open`.

    >>> check_numbers(0, 1, open=True, factor=0.1)
    """
    for name, value in values.items():
        number = hasattr(value, "__float__") and not isinstance(value, bool | str)
        inside = number and (low < value < high if open else low <= value <= high)
        if inside or (optional and value is None):
            continue
        range_ = f"({low:g}, {high:g})" if open else f"[{low:g}, {high:g}]"
        raise TrainError(
            explain(
                f"`{name}` is out of range.",
                got=repr(value),
                expected=f"a number in {range_}" + (", or None" if optional else ""),
                fix=f"leave {name} out, or choose a number in that range.",
            )
        )


def check_choice(choices: Iterable[Any], fix: str, **values: Any) -> None:
    """Raise `TrainError` unless each value is one of `choices`.

    >>> check_choice(("min", "max"), "say which of two values is better.", mode="min")
    """
    choices = list(choices)
    for name, value in values.items():
        if value not in choices:
            raise TrainError(
                explain(
                    f"Unknown `{name}`.",
                    got=repr(value),
                    expected=" or ".join(map(repr, choices)),
                    fix=fix,
                )
            )
