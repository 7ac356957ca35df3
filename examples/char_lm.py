"""Train a character transformer on Python's own standard library, and let it write.

    python examples/char_lm.py                       # some three minutes on two cores
    python examples/char_lm.py --prompt "class "     # finished already: only writes
    python examples/char_lm.py --steps 100 --dir runs/quick

The text is the standard library of the Python that runs this. Whole files are held out, and the
model has to beat a trigram model on them: the same characters, scored one by one, in nats. A
transformer that has not learned to look further back than two characters does not.

The run's directory gets the log, the checkpoints and the curve. A later call with the same
settings goes on from there.
"""

import argparse
import sysconfig
from pathlib import Path

import numpy as np
import optax

from jaxcore import Array, nn, random, train

HELD_OUT_EVERY = 20  # of the files in alphabetical order


class Block(nn.Module):
    """Pre-norm attention and MLP: (rows, length, width) to the same."""

    heads: int
    length: int
    decode: bool

    def __call__(self, x: Array, positions: Array | None) -> Array:
        attention = nn.MultiHeadAttention(
            self.heads,
            is_causal=True,
            local_window_size=(self.length - 1, 0),
            rotary_base=10000.0,
            decode=self.decode,
        )
        x = x + attention(nn.LayerNorm()(x), positions=positions)
        h = nn.gelu(nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(h)


class Transformer(nn.Module):
    """Tokens (rows, length) to the logits of each next token (rows, length, vocabulary).

    Positions are rotations, and attention looks back a fixed way, so that a text may be longer
    than the rows of the training; `decode` and `positions` are what `nn.generate` needs.
    """

    vocabulary: int
    width: int
    layers: int
    length: int  # how far each layer looks back
    decode: bool = False

    def __call__(self, tokens: Array, positions: Array | None = None) -> Array:
        x = nn.Embed(self.vocabulary, self.width, name="tokens")(tokens)
        for _ in range(self.layers):
            x = Block(max(1, self.width // 32), self.length, self.decode)(x, positions)
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))


class NextCharacter(train.Task):
    """Rows of length + 1 characters; each is to be foretold from those before it."""

    def inputs(self, batch: np.ndarray) -> tuple[np.ndarray]:
        return (batch[:, :-1],)

    def loss(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        return nn.losses.softmax_cross_entropy(model(batch[:, :-1]), batch[:, 1:])

    def evaluate(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        """Score the second half of each row alone: there the model has enough to look back on."""
        losses = self.loss(model, batch, ctx)
        return losses[:, losses.shape[1] // 2 :]


def read_library() -> tuple[str, str]:
    """The library's top-level modules that are plain ASCII: for training, and held out."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(folder.glob("*.py")) if "_sysconfigdata" not in path.name]
    texts = [data.decode() for data in map(Path.read_bytes, files) if data.isascii()]
    held_out = "".join(texts[::HELD_OUT_EVERY])
    return "".join(t for i, t in enumerate(texts) if i % HELD_OUT_EVERY), held_out


def encode(text: str, vocabulary: np.ndarray) -> np.ndarray:
    """The places of ASCII characters in the sorted `vocabulary`."""
    return np.searchsorted(vocabulary, np.frombuffer(text.encode(), np.uint8)).astype(np.int32)


def decode(tokens: np.ndarray, vocabulary: np.ndarray) -> str:
    return bytes(vocabulary[tokens]).decode()


def training_data(text: np.ndarray, length: int, batch_size: int) -> train.ArrayData:
    """Rows of length + 1 characters that tile the text, each moved by a random offset."""
    starts = np.arange(0, len(text) - 2 * length, length)

    def cut(starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        starts = starts + rng.integers(0, length, len(starts))
        return text[starts[:, None] + np.arange(length + 1)]

    return train.ArrayData(starts, batch_size=batch_size, remainder="drop", transform=cut)


def held_out_rows(text: np.ndarray, length: int) -> np.ndarray:
    """Overlapping rows whose second halves tile the text: (rows, length + 1)."""
    return np.lib.stride_tricks.sliding_window_view(text, length + 1)[:: length // 2]


def trigram_loss(text: np.ndarray, rows: np.ndarray, size: int) -> float:
    """Nats per character of P(c | a, b) = (n_abc + 1) / (n_ab + size), counted in `text`.

    It is asked for the characters that `NextCharacter.evaluate` scores: of each row, those that
    follow its first half.
    """
    triples = (text[:-2] * size + text[1:-1]) * size + text[2:]
    counts = np.bincount(triples, minlength=size**3).reshape(size, size, size)
    length = rows.shape[1] - 1
    scored = np.lib.stride_tricks.sliding_window_view(rows[:, 1 + length // 2 - 2 :], 3, axis=1)
    a, b, c = np.moveaxis(scored, -1, 0)
    return float(-np.log((counts[a, b, c] + 1) / (counts.sum(-1)[a, b] + size)).mean())


def make_task(
    model: Transformer, steps: int, rate: float, precision: str = "32-true", decay: float = 0.99
) -> NextCharacter:
    """The transformer and how it is trained in a run of so many steps."""
    return NextCharacter(
        model=model,
        tx=lambda lr: optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(lr, b2=0.95, weight_decay=1e-2)
        ),
        lr=optax.warmup_cosine_decay_schedule(0.0, rate, steps // 10, steps, rate / 20),
        precision=precision,
        average=train.Average(decay, warmup=True),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default="runs/char_lm", type=Path)
    parser.add_argument("--steps", default=1000, type=int)
    parser.add_argument("--width", default=128, type=int)
    parser.add_argument("--layers", default=3, type=int)
    parser.add_argument("--length", default=128, type=int, help="characters the model sees, even")
    parser.add_argument("--batch", default=16, type=int)
    parser.add_argument("--rate", default=3e-3, type=float)
    parser.add_argument("--precision", default="32-true", help='or "bf16-mixed"')
    parser.add_argument("--decay", default=0.99, type=float, help="of the averaged weights")
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--prompt", default="def ")
    parser.add_argument("--temperature", default=0.7, type=float)
    parser.add_argument("--characters", default=600, type=int, help="how many to write at the end")
    args = parser.parse_args()

    if args.length < 4 or args.length % 2:
        parser.error(f"--length has a second half to score: even, at least 4; got {args.length}")
    if args.temperature <= 0:
        parser.error(f"--temperature is above 0, 0.01 for the likeliest; got {args.temperature}")

    texts = read_library()
    vocabulary = np.array(sorted(set("".join(texts).encode())), np.uint8)
    unknown = set(args.prompt) - set(decode(np.arange(len(vocabulary)), vocabulary))
    if unknown or not args.prompt:
        parser.error(f"--prompt needs characters that the library has; it has no {sorted(unknown)}")
    text, held_out = (encode(text, vocabulary) for text in texts)
    rows = held_out_rows(held_out, args.length)
    trigram = trigram_loss(text, rows, len(vocabulary))
    print(
        f"{len(text):,} characters to train on, {len(held_out):,} held out, "
        f"a vocabulary of {len(vocabulary)}"
    )

    model = Transformer(len(vocabulary), args.width, args.layers, args.length)
    task = make_task(model, args.steps, args.rate, args.precision, args.decay)
    tenth = train.Steps(max(1, args.steps // 10))
    trainer = train.Trainer(
        dir=args.dir,
        seed=args.seed,
        validate_every=tenth,
        callbacks=[
            train.ModelSummary(),
            train.ProgressBar(),
            train.CSVLogger(),
            train.ModelCheckpoint(tenth),
            train.SaveOnSignal(),
            train.TerminateOnNaN(),
        ],
    )
    scored = train.ArrayData(rows, batch_size=64, shuffle=False)
    some = train.ArrayData(rows[::16], batch_size=64, shuffle=False)  # a curve needs no more
    data = training_data(text, args.length, args.batch)
    fit = trainer.fit(task, data, until=train.Steps(args.steps), val=some)
    fit.history.plot(args.dir / "curve.png")

    loss = trainer.test(task, scored, fit.state)["test/loss"]
    half = args.length // 2
    print(f"\nloss on the same {len(rows) * half:,} held-out characters, nats per character:")
    print(f"  trigram, add-one smoothing       {trigram:.4f}   (sees 2 characters)")
    context = f"{half + 1} to {args.length}"
    print(f"  transformer, {args.steps:>5} steps         {loss:.4f}   (sees {context})")

    prompt = encode(args.prompt, vocabulary)
    written = nn.generate(
        model,
        fit.state.eval_variables,
        prompt[None],
        max_length=len(prompt) + args.characters,
        temperature=args.temperature,
        key=random.key(args.seed),
    )
    print(f"\nwritten at temperature {args.temperature}:\n")
    print(decode(np.asarray(written.tokens[0]), vocabulary))
    print(f"\npicture: {args.dir / 'curve.png'}")


if __name__ == "__main__":
    main()
