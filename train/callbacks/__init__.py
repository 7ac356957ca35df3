"""Callbacks: everything optional about a run, one a file.

base                 what a callback can see and ask for
progress             the progress bar
model_summary        the table of layers
model_checkpoint     when to save and what to keep
save_on_signal       saving on SIGTERM and Ctrl-C
watchdog             a voice for runs that hang
on_exception_checkpoint  saving when an error ends the run
early_stopping       stopping when a metric stalls
terminate_on_nan     the end of a run that has stopped learning
spike_detection      updates taken back after which the loss jumped
backup_and_restore   a checkpoint only while it may be needed
reduce_lr_on_plateau, learning_rate_monitor, learning_rate_finder
weight_averaging, stochastic_weight_averaging
finetuning, accumulation_scheduler, model_pruning: what changes by epoch
batch_size_finder, throughput_monitor, optimizer_monitor, device_stats_monitor, profiler_trace
timer, lambda_callback, prediction_writer, tqdm_progress
"""

from .accumulation_scheduler import GradientAccumulationScheduler as GradientAccumulationScheduler
from .backup_and_restore import BackupAndRestore as BackupAndRestore
from .base import Callback as Callback
from .base import check_callbacks as check_callbacks
from .base import configured as configured
from .base import listeners as listeners
from .base import named as named
from .batch_size_finder import BatchSizeFinder as BatchSizeFinder
from .batch_size_finder import step_bytes as step_bytes
from .device_stats_monitor import DeviceStatsMonitor as DeviceStatsMonitor
from .early_stopping import EarlyStopping as EarlyStopping
from .early_stopping import check_monitors as check_monitors
from .finetuning import BackboneFinetuning as BackboneFinetuning
from .finetuning import BaseFinetuning as BaseFinetuning
from .lambda_callback import LambdaCallback as LambdaCallback
from .learning_rate_finder import LearningRateFinder as LearningRateFinder
from .learning_rate_finder import RangeTest as RangeTest
from .learning_rate_finder import lr_range_test as lr_range_test
from .learning_rate_monitor import LearningRateMonitor as LearningRateMonitor
from .model_checkpoint import ModelCheckpoint as ModelCheckpoint
from .model_pruning import ModelPruning as ModelPruning
from .model_summary import ModelSummary as ModelSummary
from .on_exception_checkpoint import OnExceptionCheckpoint as OnExceptionCheckpoint
from .optimizer_monitor import OptimizerMonitor as OptimizerMonitor
from .prediction_writer import BasePredictionWriter as BasePredictionWriter
from .profiler_trace import ProfilerTrace as ProfilerTrace
from .progress import ProgressBar as ProgressBar
from .reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
from .save_on_signal import SaveOnSignal as SaveOnSignal
from .spike_detection import SpikeDetection as SpikeDetection
from .stochastic_weight_averaging import StochasticWeightAveraging as StochasticWeightAveraging
from .terminate_on_nan import TerminateOnNaN as TerminateOnNaN
from .throughput_monitor import ThroughputMonitor as ThroughputMonitor
from .throughput_monitor import step_flops as step_flops
from .timer import Timer as Timer
from .tqdm_progress import TQDMProgressBar as TQDMProgressBar
from .watchdog import Watchdog as Watchdog
from .weight_averaging import EMAWeightAveraging as EMAWeightAveraging
from .weight_averaging import WeightAveraging as WeightAveraging
