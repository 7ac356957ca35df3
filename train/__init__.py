"""Training: a task, a compiled step, and a loop around it.

task            Task: model, optimiser, loss; what to subclass
model           Model, Context: what a loss is called with
objective       Weighted: how per-example losses become the objective
optimizer       learning rates as values, groups of parameters, freezing
rates           schedules over a run, rates by depth; run_length: how many steps that is
precision       bfloat16, and float16 with its loss scale
averaging       averages of the parameters; batch_stats: statistics that belong to them
gradients       micro-batches, clipping, norms; not_finite: where a NaN came from
state, step     State, make_step: the pure step, usable without the trainer
data            ArrayData, ExampleData: shuffled batches that resume exactly; workers: by threads
mixing          MixUp, CutMix
iterables       any iterable of batches; loader_state: its place, as JSON
datamodule      data sets with what prepares them, and when to validate on which
feed, prefetch  batches brought to one shape, made ready ahead; buckets: brought to a few shapes
trainer         Trainer: fit; measuring: its validate, test and predict
loop, dispatch  the loop of a run, its order of events; what goes into each call of the step
run, plan       Run, Plan: what callbacks see, and what a step is made from
watching        what callbacks see inside the compiled step
evaluation      a compiled step over all of a data set
callbacks       everything optional, one a file
loggers         CSV, JSON lines, TensorBoard
checkpoint      checkpoints on the disk; storage: their arrays; saving: in the background
partial         what a changed model takes over of a checkpoint
resume          what a checkpoint holds beside the state, and how a run goes on
layout          where state and batches lie on the devices of a mesh
processes       what several processes agree on, and the loss of one; launch: starts them here
history         what a run logged; phases: where its time went
metrics         Mean, Sum, Last, and what else merges; packed: for the way to the host
units           Steps, Epochs, Samples, Tokens, Seconds, Fraction
errors, arguments  what was got, expected and the fix; paths: leaves by the names of messages
"""

if __name__ == "train":  # never take the name of a user's own train.py
    raise ImportError(
        "this is the training layer of jaxcore, imported under a bare name: write "
        "`import jaxcore.train` or `from jaxcore import train`, and leave the repository's folder "
        "out of sys.path"
    )

from .averaging import Average as Average
from .batch_stats import update_batch_stats as update_batch_stats
from .callbacks import BackboneFinetuning as BackboneFinetuning
from .callbacks import BackupAndRestore as BackupAndRestore
from .callbacks import BaseFinetuning as BaseFinetuning
from .callbacks import BasePredictionWriter as BasePredictionWriter
from .callbacks import BatchSizeFinder as BatchSizeFinder
from .callbacks import Callback as Callback
from .callbacks import DeviceStatsMonitor as DeviceStatsMonitor
from .callbacks import EarlyStopping as EarlyStopping
from .callbacks import EMAWeightAveraging as EMAWeightAveraging
from .callbacks import GradientAccumulationScheduler as GradientAccumulationScheduler
from .callbacks import LambdaCallback as LambdaCallback
from .callbacks import LearningRateFinder as LearningRateFinder
from .callbacks import LearningRateMonitor as LearningRateMonitor
from .callbacks import ModelCheckpoint as ModelCheckpoint
from .callbacks import ModelPruning as ModelPruning
from .callbacks import ModelSummary as ModelSummary
from .callbacks import OnExceptionCheckpoint as OnExceptionCheckpoint
from .callbacks import OptimizerMonitor as OptimizerMonitor
from .callbacks import ProfilerTrace as ProfilerTrace
from .callbacks import ProgressBar as ProgressBar
from .callbacks import RangeTest as RangeTest
from .callbacks import ReduceLROnPlateau as ReduceLROnPlateau
from .callbacks import SaveOnSignal as SaveOnSignal
from .callbacks import SpikeDetection as SpikeDetection
from .callbacks import StochasticWeightAveraging as StochasticWeightAveraging
from .callbacks import TerminateOnNaN as TerminateOnNaN
from .callbacks import ThroughputMonitor as ThroughputMonitor
from .callbacks import Timer as Timer
from .callbacks import TQDMProgressBar as TQDMProgressBar
from .callbacks import Watchdog as Watchdog
from .callbacks import WeightAveraging as WeightAveraging
from .callbacks import lr_range_test as lr_range_test
from .callbacks import step_bytes as step_bytes
from .callbacks import step_flops as step_flops
from .checkpoint import best_checkpoint as best_checkpoint
from .checkpoint import latest_checkpoint as latest_checkpoint
from .checkpoint import list_checkpoints as list_checkpoints
from .checkpoint import load_checkpoint as load_checkpoint
from .checkpoint import load_variables as load_variables
from .checkpoint import save_checkpoint as save_checkpoint
from .data import ArrayData as ArrayData
from .data import ExampleData as ExampleData
from .data import Source as Source
from .datamodule import DataModule as DataModule
from .datamodule import Evaluator as Evaluator
from .errors import CheckpointError as CheckpointError
from .errors import ScalarLossError as ScalarLossError
from .errors import TrainError as TrainError
from .errors import UnknownArgument as UnknownArgument
from .history import History as History
from .loggers import CSVLogger as CSVLogger
from .loggers import JSONLLogger as JSONLLogger
from .loggers import Logger as Logger
from .loggers import TensorBoardHistograms as TensorBoardHistograms
from .loggers import TensorBoardLogger as TensorBoardLogger
from .metrics import Last as Last
from .metrics import Mean as Mean
from .metrics import Measured as Measured
from .metrics import Sum as Sum
from .mixing import CutMix as CutMix
from .mixing import MixUp as MixUp
from .model import Context as Context
from .model import Model as Model
from .not_finite import not_finite as not_finite
from .objective import Weighted as Weighted
from .optimizer import inject as inject
from .partial import LoadReport as LoadReport
from .partial import load_partly as load_partly
from .plan import Plan as Plan
from .rates import OfRun as OfRun
from .rates import adamw as adamw
from .rates import decays as decays
from .rates import discriminative as discriminative
from .rates import inverse_sqrt as inverse_sqrt
from .rates import one_cycle as one_cycle
from .rates import warmup_constant as warmup_constant
from .rates import warmup_cosine as warmup_cosine
from .rates import warmup_linear as warmup_linear
from .rates import warmup_stable_decay as warmup_stable_decay
from .run import Evaluation as Evaluation
from .run import Fit as Fit
from .run import Run as Run
from .run_length import RunLength as RunLength
from .state import State as State
from .step import init_state as init_state
from .step import make_eval_step as make_eval_step
from .step import make_predict_step as make_predict_step
from .step import make_step as make_step
from .task import Task as Task
from .task import init_modules as init_modules
from .trainer import Trainer as Trainer
from .units import Epochs as Epochs
from .units import Fraction as Fraction
from .units import Samples as Samples
from .units import Seconds as Seconds
from .units import Steps as Steps
from .units import Tokens as Tokens
from .watching import Inside as Inside
