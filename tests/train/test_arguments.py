"""Arguments out of range, and keywords that nobody takes: what is said of them."""

import math
from datetime import timedelta

import pytest

from jaxcore import train

NAN = math.nan
TASK = {"model": None, "tx": None}
GIVEN = {train.Task: TASK, train.MixUp: {"num_classes": 2}, train.CutMix: {"num_classes": 2}}

# what is called, the argument, values that are refused, a value that is not
RANGES = [
    (train.Trainer, "accumulate", [0, -1, 1.5, True, "2", None], 2),
    (train.Trainer, "steps_per_call", [0, None], 1),
    (train.Trainer, "prefetch", [-1, None, 0.5], 0),
    (train.Trainer, "seed", [-1, None], 0),
    (train.Trainer, "num_sanity_val_steps", [-1], 0),
    (train.Trainer, "limit_train_batches", [0, 0.5], None),
    (train.Trainer, "limit_val_batches", [-1, 1.0], 0),
    (train.Trainer, "limit_test_batches", [-1, 0.5], 0),
    (train.Trainer, "limit_predict_batches", [-1, True], 0),
    (train.Trainer, "overfit_batches", [0, 0.1], 3),
    (train.Trainer, "fast_dev_run", [-1, "all", None], True),
    (train.Trainer, "validate_at_start", ["yes", None, 2], True),
    (train.Trainer, "shard", ["fsdp"], None),
    (train.MixUp, "num_classes", [0, 2.0], 2),
    (train.CutMix, "alpha", [0, -1.0, NAN, "1"], 0.2),
    (train.Task, "precision", ["bf16", None, 16], "16-mixed"),
    (train.Task, "clip_norm", [0, -1.0, NAN, "1"], 0.5),
    (train.Task, "clip_value", [0.0, -1], None),
    (train.Task, "lr", [-0.1, NAN], 0.0),
    (train.Task, "freeze", ["stem/**"], ("stem/**",)),
    (train.Task, "average", [0.999], train.Average()),
    (train.Average, "decay", [1.0, -0.1], None),
    (train.Average, "every", [0, 1.5], 2),
    (train.Average, "start", [-1], 0),
    (train.EarlyStopping, "patience", [-1, 2.5, None], 0),
    (train.EarlyStopping, "min_delta", [NAN, "0"], -0.1),
    (train.EarlyStopping, "stopping_threshold", [NAN], 0.1),
    (train.EarlyStopping, "divergence_threshold", ["9"], None),
    (train.EarlyStopping, "mode", ["auto"], "max"),
    (train.ModelCheckpoint, "save_top_k", [-2, 1.5], -1),
    (train.ModelCheckpoint, "save_last", [0, -2], -1),
    (train.ReduceLROnPlateau, "factor", [0, 1, 10.0, NAN], 0.5),
    (train.ReduceLROnPlateau, "patience", [-1], 0),
    (train.ReduceLROnPlateau, "cooldown", [-1], 0),
    (train.ReduceLROnPlateau, "min_lr", [-1e-9], 0),
    (train.TerminateOnNaN, "limit", [0], 1),
    (train.Timer, "duration", [timedelta(0), {"hours": -1}], train.Seconds(1)),
    (train.ThroughputMonitor, "peak_flops", [0, -1e12], 1e12),
    (train.LearningRateFinder, "min_lr", [0, -1, NAN], 1e-6),
    (train.LearningRateFinder, "max_lr", [1e-8, 0], 10),
    (train.LearningRateFinder, "num_training_steps", [1], 2),
    (train.LearningRateFinder, "early_stop_threshold", [1, 0.5], None),
    (train.BatchSizeFinder, "init_val", [0], 1),
    (train.BatchSizeFinder, "max_val", [1], 2),
    (train.BatchSizeFinder, "margin", [-0.1, 1], 0),
    (train.BatchSizeFinder, "memory", [0], None),
    (train.StochasticWeightAveraging, "swa_lrs", [0, -1], None),
    (train.StochasticWeightAveraging, "swa_epoch_start", [0, 1.5, -1, "3"], 0.5),
    (train.StochasticWeightAveraging, "annealing_epochs", [-1], 0),
    (train.EMAWeightAveraging, "decay", [1.0], 0.9),
    (train.EMAWeightAveraging, "update_every_n_steps", [0], 1),
    (train.EMAWeightAveraging, "update_starting_at_step", [-1], 0),
    (train.EMAWeightAveraging, "update_starting_at_epoch", [-1], 0),
    (train.BackboneFinetuning, "unfreeze_backbone_at_epoch", [-1, 1.5], 0),
    (train.BackboneFinetuning, "backbone_initial_ratio_lr", [-0.1], 0.5),
    (train.BackboneFinetuning, "backbone_initial_lr", [-0.1], None),
    (train.ModelPruning, "amount", [-1, 1.5, -0.5], 0.5),
    (train.ProgressBar, "refresh", [-1, NAN], 0),
    (train.TQDMProgressBar, "refresh_rate", [-1], 0),
    (train.LambdaCallback, "every", [10], train.Fraction(0.5)),
    (train.LambdaCallback, "after", [10, train.Fraction(0.5)], train.Steps(3)),
]


@pytest.mark.parametrize(("make", "name", "wrong", "right"), RANGES)
def test_a_value_out_of_range_is_refused_by_name(make, name, wrong, right):
    given = GIVEN.get(make, {})
    make(**{**given, name: right})
    for value in wrong:
        with pytest.raises(train.TrainError) as error:
            make(**{**given, name: value})
        message = str(error.value)
        assert name in message and "expected:" in message and "fix:" in message


@pytest.mark.parametrize(
    ("make", "name", "fix"),
    [
        (train.Trainer, "acumulate", "did you mean 'accumulate'?"),
        (train.Trainer, "valdate_every", "did you mean 'validate_every'?"),
        (train.Trainer, "max_epochs", "write fit(..., until=train.Epochs(10))."),
        (train.Trainer, "precision", "write train.Task(..., precision='bf16-mixed')."),
        (train.Trainer, "eval_on_start", "write validate_at_start=True."),
        (train.Trainer, "zzz", "leave it out."),
        (train.Task, "learning_rate", "write lr=1e-3."),
        (train.Task, "clip_nrm", "did you mean 'clip_norm'?"),
        (train.EarlyStopping, "patence", "did you mean 'patience'?"),
        (train.ModelCheckpoint, "every_n_epochs", "write every=train.Epochs(1)."),
        (train.BackupAndRestore, "every_n_epochs", "write every=train.Epochs(1)."),
        (train.CSVLogger, "pth", "did you mean 'path'?"),
        (train.LambdaCallback, "on_step", "did you mean 'on_step_end'?"),
        (train.LambdaCallback, "evry", "did you mean 'every'?"),
        (train.ModelSummary, "max_depth", "leave it out."),
    ],
)
def test_a_keyword_that_nobody_takes(make, name, fix):
    given = TASK if make is train.Task else {}
    with pytest.raises(train.UnknownArgument) as error:
        make(**given, **{name: 1})
    assert isinstance(error.value, TypeError)
    assert f"{make.__name__} takes no argument {name!r}." in str(error.value)
    assert str(error.value).endswith(f"fix:      {fix}")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("epochs", "write until=train.Epochs(10)."),
        ("validation_data", "write val=data."),
        ("untl", "did you mean 'until'?"),
        ("batch_size", "write train.ArrayData((x, y), batch_size=64)."),
    ],
)
def test_a_keyword_that_fit_does_not_take(name, fix):
    with pytest.raises(train.UnknownArgument, match="Trainer.fit takes no") as error:
        train.Trainer().fit(None, None, **{name: 3})
    assert str(error.value).endswith(f"fix:      {fix}")
    with pytest.raises(TypeError, match="'until'"):
        train.Trainer().fit(None, None)


def test_classes_of_ones_own_are_answered_too():
    class Mine(train.Callback):
        def __init__(self, patience):
            self.patience = patience

    class Any(train.Callback):
        def __init__(self, **kwargs):
            self.kwargs = kwargs

    assert Mine(3).patience == Mine(patience=3).patience == 3
    assert Any(x=1).kwargs == {"x": 1}
    with pytest.raises(train.UnknownArgument, match="did you mean 'patience'"):
        Mine(patiense=3)
    with pytest.raises(TypeError, match="positional"):
        Mine(1, 2)


def test_when_a_lambda_is_called(toy):
    heard = {}

    def note(name):
        heard[name] = []
        return lambda run, *details: heard[name].append(run.step)

    make = train.LambdaCallback
    callbacks = [
        make(on_step_end=note("every"), every=train.Steps(3)),
        make(on_step_end=note("between"), after=train.Steps(2), before=train.Epochs(2)),
        make(on_step_end=note("only"), only=lambda run: run.epoch_ended),
        make(on_log=note("log"), every=train.Fraction(0.5)),
        make(on_fit_start=note("start"), after=train.Steps(1)),
        make(on_step_end=note("tokens"), after=train.Tokens(20), before=train.Tokens(40)),
    ]

    class Words(toy.Regression):
        def tokens(self, batch):
            return len(batch[0])

    trainer = toy.trainer(callbacks=callbacks, log_every=train.Steps(1))
    task, data = toy.task(cls=Words), toy.data(16)  # two steps an epoch
    trainer.fit(task, data, until=train.Steps(6))
    assert heard == {
        "every": [3, 6], "between": [2, 3], "only": [2, 4, 6], "log": [3, 6], "start": [],
        "tokens": [3, 4],
    }  # fmt: skip


def test_no_validation_at_all(toy):
    trainer = toy.trainer(limit_val_batches=0)
    fit = trainer.fit(toy.task(), toy.data(8), until=train.Steps(1), val=toy.data(8))
    assert not [name for name in fit.history.names if name.startswith("val/")]


@pytest.mark.parametrize(
    ("method", "fix"),
    [
        ("on_train_epoch_end", "on_epoch_end"),  # Lightning's
        ("on_batch_end", "on_step_end"),  # Keras'
        ("on_fit_begin", "on_fit_"),  # a slip
        ("on_zebra", "another name"),
    ],
)
def test_a_method_that_is_no_event(method, fix):
    with pytest.raises(train.TrainError, match=rf"`{method}`: [\s\S]*Mine[\s\S]*fix: .*{fix}"):
        type("Mine", (train.Callback,), {method: lambda self, run: None})


def test_an_event_with_other_parameters():
    with pytest.raises(train.TrainError, match=r"def on_fit_start\(self, trainer, module\)"):

        class Mine(train.Callback):
            def on_fit_start(self, trainer, module):
                pass

    class Any(train.Callback):
        def on_fit_start(self, *details):
            pass

        def on_log(self, run, row, extra=1):
            pass

    class Further(Any):
        def on_log(self, run, row):
            pass

    assert Any() and Further()
