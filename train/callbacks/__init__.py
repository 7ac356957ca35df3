"""Callbacks: everything optional about a run, one a file.

base                 what a callback can see and ask for
progress             the progress bar
model_summary        the table of layers
model_checkpoint     when to save and what to keep
save_on_signal       saving on SIGTERM and Ctrl-C
early_stopping       stopping when a metric stalls
terminate_on_nan     the end of a run that has stopped learning
backup_and_restore   a checkpoint only while it may be needed
"""

from .backup_and_restore import BackupAndRestore as BackupAndRestore
from .base import Callback as Callback
from .base import named as named
from .early_stopping import EarlyStopping as EarlyStopping
from .model_checkpoint import ModelCheckpoint as ModelCheckpoint
from .model_summary import ModelSummary as ModelSummary
from .progress import ProgressBar as ProgressBar
from .save_on_signal import SaveOnSignal as SaveOnSignal
from .terminate_on_nan import TerminateOnNaN as TerminateOnNaN
