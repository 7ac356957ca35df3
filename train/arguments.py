"""Arguments that are out of range, and keywords that are misspelt or another library's."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np

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
        "validate_at_start=True": "eval_on_start",
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
        "callbacks=[train.OnExceptionCheckpoint(), ...] of the trainer": "save_on_exception",
    },
    "Callback": {
        "on_fit_start": "on_train_start on_train_begin",
        "on_fit_end": "on_train_end",
        "on_epoch_start": "on_train_epoch_start on_epoch_begin",
        "on_epoch_end": "on_train_epoch_end",
        "on_step_end": "on_train_batch_start on_train_batch_end on_train_batch_begin on_step_begin "
        "on_batch_begin on_batch_end on_before_zero_grad on_before_backward on_after_backward "
        "on_before_optimizer_step",
        "on_validation_start": "on_sanity_check_start on_validation_epoch_start "
        "on_validation_batch_start on_test_begin",
        "on_validation_end": "on_sanity_check_end on_validation_epoch_end on_evaluate",
        "on_test_start": "on_test_epoch_start on_test_batch_start on_test_batch_begin",
        "on_test_end": "on_test_epoch_end",
        "on_predict_start": "on_predict_epoch_start on_predict_batch_start on_predict_begin "
        "on_predict_batch_begin",
        "on_predict_end": "on_predict_epoch_end",
        "on_setup": "on_init_end",
        "on_save": "on_save_checkpoint",
        "state": "on_save_state",
        "restore": "on_load_checkpoint",
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
    here = _elsewhere([who, *(one.__name__ for one in classes)], name)
    fix = f"did you mean {near[0]!r}?" if near else "leave it out."
    return UnknownArgument(
        explain(
            f"{who} takes no argument {name!r}.",
            got=f"{name}=...",
            expected=f"one of {', '.join(sorted(known))}" if known else "none",
            fix=f"write {here}." if here else fix,
        )
    )


def check_events(callback: type, base: type) -> None:
    """Raise if a subclass of `base` has a method ``on_...`` that would never be called.

    Raises:
      TrainError: another name than the events of `base`, or parameters that they do not have.
    """
    events = {name: method for name, method in vars(base).items() if name.startswith("on_")}
    for name, method in vars(callback).items():
        if not name.startswith("on_") or not inspect.isfunction(method):
            continue
        if not hasattr(callback.__mro__[1], name):
            ours = _elsewhere(["Callback"], name)
            near = difflib.get_close_matches(name, events, 1)
            named = ours or (near[0] if near else None)
            raise TrainError(
                explain(
                    f"Callbacks have no event `{name}`: the method would never be called.",
                    got=f"{callback.__name__}.{name}",
                    expected=f"one of {', '.join(events)}",
                    fix=f"write `def {named}(...)`." if named else "give the method another name.",
                )
            )
        if name in events:
            wanted = inspect.signature(events[name])
            try:
                inspect.signature(method).bind(*wanted.parameters)
            except TypeError as error:
                raise TrainError(
                    explain(
                        f"`{callback.__name__}.{name}` cannot be called as events are.",
                        got=f"def {name}{inspect.signature(method)}",
                        expected=f"def {name}({', '.join(wanted.parameters)})",
                        fix="take these parameters; run.task and run.state have the rest.",
                    )
                ) from error


def _elsewhere(classes: Iterable[str], name: str) -> str | None:
    """What is written here for a `name` that other libraries have."""
    for base in classes:
        for ours, names in ELSEWHERE.get(base, {}).items():
            if name in names.split():
                return ours
    return None


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number, of Python or NumPy.

    >>> import numpy as np
    >>> [is_whole(x) for x in (3, np.int64(3), 3.0, True)]
    [True, True, False, False]
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_counts(least: int, *, optional: bool = False, **values: Any) -> None:
    """Raise `TrainError` unless each value is a whole number of at least `least`, or None may be.

    >>> check_counts(0, patience=3)
    """
    for name, value in values.items():
        if (optional and value is None) or (is_whole(value) and value >= least):
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
