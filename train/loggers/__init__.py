"""Loggers: where the rows of a run's history go.

base         what a logger does, and the thread that writes
text         CSV and JSON lines
tensorboard  TensorBoard's event files; histograms: of parameters and gradients
"""

from .base import Logger as Logger
from .histograms import TensorBoardHistograms as TensorBoardHistograms
from .tensorboard import TensorBoardLogger as TensorBoardLogger
from .text import CSVLogger as CSVLogger
from .text import JSONLLogger as JSONLLogger
