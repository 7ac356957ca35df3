"""Record which hooks Lightning calls, and in which order, for `test_hook_traces.py`.

``pip install torch lightning``, then ``python tests/train/lightning_traces.py`` writes
lightning_traces.txt: hooks of a callback, and of a data module as ``data.setup``.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

HOOKS = [name for name in dir(lightning.Callback) if name.startswith("on_")]
DATA = ("prepare_data", "setup", "teardown", "train_dataloader", "val_dataloader")


class Recorder(lightning.Callback):
    """Hears of everything."""

    trace: list[str]


def hearing(name: str) -> object:
    return lambda self, *details, **more: self.trace.append(name)


for hook in (*HOOKS, "setup", "teardown"):
    setattr(Recorder, hook, hearing(hook))


class Batches(torch.utils.data.Dataset):
    def __init__(self, count: int, fails: int | None = None) -> None:
        self.count, self.fails = count, fails

    def __len__(self) -> int:
        return 4 * self.count

    def __getitem__(self, i: int) -> torch.Tensor:
        if self.fails is not None and i >= 4 * self.fails:
            raise OSError("the disk is gone")
        return torch.ones(1)


class Data(lightning.LightningDataModule):
    def __init__(self, trace: list[str], **fails: int) -> None:
        super().__init__()
        self.trace, self.fails = trace, fails

    def loader(self, purpose: str, count: int) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(Batches(count, self.fails.get(purpose)), batch_size=4)

    def prepare_data(self) -> None:
        self.trace.append("data.prepare_data")

    def setup(self, stage: str) -> None:
        self.trace.append("data.setup")

    def teardown(self, stage: str) -> None:
        self.trace.append("data.teardown")

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return self.loader("train", 3)

    def val_dataloader(self) -> torch.utils.data.DataLoader:
        return self.loader("val", 2)

    def test_dataloader(self) -> torch.utils.data.DataLoader:
        return self.loader("test", 2)

    def predict_dataloader(self) -> torch.utils.data.DataLoader:
        return self.loader("predict", 2)


class Line(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        return ((self.net(batch) - 1) ** 2).mean()

    validation_step = test_step = training_step

    def predict_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        return self.net(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Fails(lightning.Callback):
    def on_train_batch_end(self, *details: object) -> None:
        if details[-1] == 1:
            raise ZeroDivisionError


RUNS = {  # name: method, callbacks, what fails
    "fit": ("fit", [], {}),
    "validate": ("validate", [], {}),
    "test": ("test", [], {}),
    "predict": ("predict", [], {}),
    "an error in training": ("fit", [], {"train": 1}),
    "an error in validation": ("fit", [], {"val": 1}),
    "an error in a callback": ("fit", [Fails()], {}),
}


def traced(method: str, callbacks: list[lightning.Callback], fails: dict[str, int]) -> list[str]:
    recorder, trace = Recorder(), []
    recorder.trace = trace
    with tempfile.TemporaryDirectory() as folder:
        saves = [ModelCheckpoint(folder)] if method == "fit" and not callbacks + [*fails] else []
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=bool(saves),
            callbacks=[*callbacks, *saves, recorder], default_root_dir=folder,
        )  # fmt: skip
        try:
            getattr(trainer, method)(Line(), datamodule=Data(trace, **fails))
        except (OSError, ZeroDivisionError):
            pass
    return trace


if __name__ == "__main__":
    parts = [f"recorded with Lightning {lightning.__version__}"]
    parts += ["\n".join([f"[{name}]", *traced(*run)]) for name, run in RUNS.items()]
    Path(__file__).with_suffix(".txt").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
