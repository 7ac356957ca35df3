"""Callbacks: everything optional about a run.

base            what a callback can see and ask for
progress        the progress bar
logs            CSV file, model summary, guard against NaN
checkpoint      when to save and what to keep; saving on SIGTERM
early_stopping  stopping when a metric stalls
"""

from .base import Callback as Callback
from .base import named as named
from .checkpoint import Checkpoint as Checkpoint
from .checkpoint import SaveOnSignal as SaveOnSignal
from .early_stopping import EarlyStopping as EarlyStopping
from .logs import CSVLogger as CSVLogger
from .logs import ModelSummary as ModelSummary
from .logs import StopOnNonFinite as StopOnNonFinite
from .progress import ProgressBar as ProgressBar
