"""The model's table of layers."""

from __future__ import annotations

from ..run import Run
from .base import Callback


class ModelSummary(Callback):
    """Print the model's table of layers, shapes and parameters before the first step."""

    def on_fit_start(self, run: Run) -> None:
        model = run.task.model
        if hasattr(model, "summary"):
            # A table of its own width: wrapped lines, as in a file, could not be read.
            table = model.summary(*run.task.inputs(run.example))
            run.console.print(table, soft_wrap=True, highlight=False)
