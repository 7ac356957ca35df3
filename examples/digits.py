"""Train a small convolutional network on real handwritten digits.

    python examples/digits.py                  # about half a minute on two cores
    python examples/digits.py --epochs 5 --dir runs/quick
    python examples/digits.py --resume auto    # goes on from the newest checkpoint, if there is one

The 1797 scans of 8×8 pixels ship with scikit-learn. A fifth of them, drawn by class, is never
trained on. The run's directory gets the log, the checkpoints and two pictures.
"""

import argparse
from pathlib import Path

import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxcore.numpy as jnp
from jaxcore import Array, nn, train

Batch = tuple[np.ndarray, np.ndarray]  # images (n, 8, 8, 1) and labels (n,)


class CNN(nn.Module):
    """Two convolutional stages and a dense one: images (n, 8, 8, 1) to logits (n, 10)."""

    def __call__(self, x: Array) -> Array:
        for features in (32, 64):
            x = nn.relu(nn.BatchNorm(momentum=0.9)(nn.Conv(features, (3, 3))(x)))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(0.3)(nn.relu(nn.Dense(128)(x)))
        return nn.Dense(10)(x)


class Digits(train.Task):
    """Classification: a loss per image, and whether the image was recognised."""

    def loss(self, model: train.Model, batch: Batch, ctx: train.Context) -> tuple[Array, dict]:
        images, labels = batch
        logits = model(images)
        losses = nn.losses.softmax_cross_entropy(logits, labels)
        return losses, {"accuracy": jnp.argmax(logits, -1) == labels}


def load_data() -> list[np.ndarray]:
    """Images scaled to 0..1 and labels, split into four fifths and one fifth by class."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    return train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)


def shift(batch: Batch, rng: np.random.Generator) -> Batch:
    """Move each image by up to a pixel: scans are not centred to the pixel either."""
    images, labels = batch
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = rng.integers(0, 3, (2, len(images), 1, 1))
    index = (
        np.arange(len(images))[:, None, None],
        np.arange(8)[:, None] + rows,
        np.arange(8) + columns,
    )
    return padded[index], labels


def make_task(steps: int, precision: str = "32-true", decay: float = 0.99) -> Digits:
    """The network and how it is trained in a run of so many steps."""
    return Digits(
        model=CNN(),
        tx=lambda lr: optax.adamw(lr, weight_decay=1e-2),
        lr=optax.warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps),
        precision=precision,
        average=train.Average(decay, warmup=True),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default="runs/digits", type=Path)
    parser.add_argument("--epochs", default=30, type=int)
    parser.add_argument("--precision", default="32-true", help='or "bf16-mixed"')
    parser.add_argument("--decay", default=0.99, type=float, help="of the averaged weights")
    parser.add_argument("--resume", default="overwrite", choices=("overwrite", "auto", "never"))
    args = parser.parse_args()

    train_images, test_images, train_labels, test_labels = load_data()
    data = train.ArrayData((train_images, train_labels), batch_size=64, transform=shift)
    held_out = train.ArrayData((test_images, test_labels), batch_size=360, shuffle=False)

    task = make_task(args.epochs * data.steps_per_epoch, args.precision, args.decay)
    trainer = train.Trainer(
        dir=args.dir,
        callbacks=[
            train.ModelSummary(),
            train.ProgressBar(),
            train.CSVLogger(),
            train.ModelCheckpoint(train.Epochs(5)),
            train.SaveOnSignal(),
        ],
    )
    until = train.Epochs(args.epochs)
    fit = trainer.fit(task, data, until=until, val=held_out, resume=args.resume)
    fit.history.plot(args.dir / "curve.png")

    result = trainer.test(task, held_out, fit.state)
    print(
        f"\naccuracy on {len(test_labels)} digits never trained on: {result['test/accuracy']:.2%}"
    )

    # The same model again, from nothing but the files of the checkpoint.
    logits = trainer.predict(task, held_out, fit.state)
    checkpoint = train.latest_checkpoint(args.dir)
    variables = train.load_variables(checkpoint)
    again = np.asarray(task.model.apply(variables, test_images))
    difference = np.abs(again - logits).max()
    same = np.array_equal(again.argmax(-1), logits.argmax(-1))
    print(
        f"reloaded {checkpoint}: the same {len(again)} answers: {same}, "
        f"largest difference of a logit {difference:.1e}"
    )

    draw_mistakes(args.dir / "mistakes.png", test_images, test_labels, logits)
    print(f"pictures: {args.dir / 'curve.png'}, {args.dir / 'mistakes.png'}")


def draw_mistakes(path: Path, images: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> None:
    """Draw the misclassified digits with what they are and what they were taken for."""
    answers = logits.argmax(-1)
    confidence = np.exp(logits - np.logaddexp.reduce(logits, -1, keepdims=True)).max(-1)
    wrong = np.flatnonzero(answers != labels)
    columns = min(max(len(wrong), 3), 6)
    rows = max(1, -(-len(wrong) // columns))
    figure = Figure(figsize=(1.7 * columns, 2.05 * rows + 0.4), layout="constrained")
    figure.suptitle(f"{len(wrong)} of {len(labels)} digits misread", fontweight="bold")
    for place, index in enumerate(wrong):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(images[index, ..., 0], cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(
            f"a {labels[index]}, read as {answers[index]}\n({confidence[index]:.0%} sure)",
            fontsize=9,
        )
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
