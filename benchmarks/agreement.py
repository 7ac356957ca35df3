"""The examples beside their twins in PyTorch: do both end up equally good?

    python -m benchmarks.agreement digits --seeds 5
    python -m benchmarks.agreement char_lm --seeds 5

A twin is written as PyTorch's users write it. It begins with the same parameters and is given the
same batches; only dropout draws other numbers. Both score data that neither was trained on.
"""

import argparse
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy
from rich.console import Console

from examples import char_lm, digits
from jaxcore import random, train


class Work(NamedTuple):
    """An example's task and data, and how its twin computes.

    Attributes:
      task, data, held_out: as the example has them.
      steps: of the run.
      metric: what is compared: of ours, "test/" is put before it.
      tolerance: how far the two may be apart, as text and as a test of (ours, theirs).
      loss: the twin's mean loss: `(params, buffers, batch, training) -> (loss, buffers)`.
      score: the twin's sum of the metric and what it is divided by: `(params, buffers, batch)`.
      options: of the twin's AdamW, `rate`, `final`: of its schedule; `clip`: norm of a gradient.
    """

    task: train.Task
    data: train.ArrayData
    held_out: train.ArrayData
    steps: int
    metric: str
    tolerance: tuple[str, Callable[[float, float], bool]]
    loss: Callable[..., Any]
    score: Callable[..., Any]
    options: dict[str, Any]
    rate: float
    final: float = 0.0
    clip: float | None = None


def digits_work(epochs: int) -> Work:
    """The convolutional network of `examples/digits.py`."""
    images, test_images, labels, test_labels = digits.load_data()
    data = train.ArrayData((images, labels), batch_size=64, transform=digits.shift)
    held_out = train.ArrayData((test_images, test_labels), batch_size=360, shuffle=False)
    steps = epochs * data.steps_per_epoch
    near = ("1 point", lambda ours, theirs: abs(ours - theirs) <= 0.01)
    options = {"weight_decay": 1e-2}
    task = digits.make_task(steps)
    return Work(task, data, held_out, steps, "accuracy", near, _cnn_loss, _cnn_score, options, 3e-3)


def char_lm_work(steps: int) -> Work:
    """The character model of `examples/char_lm.py`; an eighth of its held-out rows are scored."""
    texts, length, rate = char_lm.read_library(), 128, 3e-3
    vocabulary = numpy.array(sorted(set("".join(texts).encode())), numpy.uint8)
    text, rest = (char_lm.encode(text, vocabulary) for text in texts)
    model = char_lm.Transformer(len(vocabulary), width=128, layers=3, length=length)
    data = char_lm.training_data(text, length, batch_size=16)
    rows = char_lm.held_out_rows(rest, length)[::8]
    held_out = train.ArrayData(rows, batch_size=64, shuffle=False)
    near = ("1 %", lambda ours, theirs: abs(ours - theirs) <= 0.01 * theirs)
    return Work(
        task=char_lm.make_task(model, steps, rate),
        data=data,
        held_out=held_out,
        steps=steps,
        metric="loss",
        tolerance=near,
        loss=_lm_loss,
        score=_lm_score,
        options={"weight_decay": 1e-2, "betas": (0.9, 0.95)},
        rate=rate,
        final=rate / 20,
        clip=1.0,
    )


def ours(work: Work, seed: int) -> float:
    """What the example's training gives."""
    trainer = train.Trainer(seed=seed, callbacks=[], console=Console(file=io.StringIO()))
    fit = trainer.fit(work.task, work.data, until=train.Steps(work.steps))
    return trainer.test(work.task, work.held_out, fit.state)[f"test/{work.metric}"]


def theirs(work: Work, seed: int) -> float:
    """What the twin gives, from the parameters that ours began with."""
    import torch

    torch.manual_seed(seed)
    batch = next(work.data.batches(0))
    variables = train.init_state(work.task, random.key(seed), batch).variables
    tensors = jax.tree.map(lambda x: torch.tensor(numpy.asarray(x)), variables)
    params, buffers = tensors["params"], tensors.get("batch_stats", {})
    leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(params)]
    optimiser = torch.optim.AdamW(leaves, lr=work.rate, **work.options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _schedule(work, step))
    averages = [leaf.detach().clone() for leaf in leaves]
    for number, batch in enumerate(_batches(work.data, work.steps)):
        optimiser.zero_grad()
        loss, buffers = work.loss(params, buffers, _tensors(batch), True)
        loss.backward()
        if work.clip is not None:
            torch.nn.utils.clip_grad_norm_(leaves, work.clip)
        optimiser.step()
        schedule.step()
        past = min(0.99, (1 + number) / (10 + number)) if number else 0.0
        with torch.no_grad():
            for average, leaf in zip(averages, leaves, strict=True):
                average.lerp_(leaf, 1 - past)
    params = jax.tree.unflatten(jax.tree.structure(params), averages)
    with torch.no_grad():
        parts = [work.score(params, buffers, _tensors(batch)) for batch in work.held_out.batches(0)]
    total, count = (sum(map(float, column)) for column in zip(*parts, strict=True))
    return total / count


def _schedule(work: Work, step: int) -> float:
    """A linear rise over a tenth of the run, then a cosine to `final`; a part of `rate`."""
    rise = work.steps // 10
    if step < rise:
        return step / rise
    way, final = min(1.0, (step - rise) / (work.steps - rise)), work.final / work.rate
    return final + (1 - final) * (1 + math.cos(math.pi * way)) / 2


def _batches(data: train.ArrayData, steps: int) -> Iterator[Any]:
    for step in range(steps):
        epoch, place = divmod(step, data.steps_per_epoch)
        if place == 0:
            batches = data.batches(epoch)
        yield next(batches)


def _tensors(batch: Any) -> Any:
    import torch

    def tensor(x: Any) -> Any:
        x = torch.from_numpy(numpy.ascontiguousarray(x))
        return x if x.is_floating_point() else x.long()

    return jax.tree.map(tensor, batch)


def _cnn(params: Any, buffers: Any, images: Any, training: bool) -> tuple[Any, Any]:
    import torch
    from torch.nn import functional

    x, written = images.permute(0, 3, 1, 2), {}
    for i in range(2):
        conv, norm = params[f"Conv_{i}"], params[f"BatchNorm_{i}"]
        x = functional.conv2d(x, conv["kernel"].permute(3, 2, 0, 1), conv["bias"], padding="same")
        mean, var = (buffers[f"BatchNorm_{i}"][name].clone() for name in ("mean", "var"))
        x = functional.batch_norm(x, mean, var, norm["scale"], norm["bias"], training, 0.1, 1e-5)
        written[f"BatchNorm_{i}"] = {"mean": mean, "var": var}
        x = functional.max_pool2d(torch.relu(x), 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = functional.dropout(torch.relu(_dense(params["Dense_0"], x)), 0.3, training)
    return _dense(params["Dense_1"], x), written


def _cnn_loss(params: Any, buffers: Any, batch: Any, training: bool) -> tuple[Any, Any]:
    from torch.nn import functional

    logits, buffers = _cnn(params, buffers, batch[0], training)
    return functional.cross_entropy(logits, batch[1]), buffers


def _cnn_score(params: Any, buffers: Any, batch: Any) -> tuple[Any, int]:
    logits, _ = _cnn(params, buffers, batch[0], False)
    return (logits.argmax(-1) == batch[1]).sum(), len(logits)


def _transformer(params: Any, tokens: Any) -> Any:
    from torch.nn import functional

    x = functional.embedding(tokens, params["tokens"]["embedding"])
    for name in sorted(name for name in params if name.startswith("Block_")):
        block = params[name]
        heads = block["MultiHeadAttention_0"]
        q, k, v = (_heads(heads[part], _norm(block["LayerNorm_0"], x)) for part in _QKV)
        mixed = functional.scaled_dot_product_attention(_turned(q), _turned(k), v, is_causal=True)
        out = heads["out"]
        mixed = mixed.transpose(1, 2).flatten(2)
        x = x + mixed @ out["kernel"].flatten(0, 1) + out["bias"]
        hidden = _dense(block["Dense_0"], _norm(block["LayerNorm_1"], x))
        x = x + _dense(block["Dense_1"], functional.gelu(hidden, approximate="tanh"))
    return _dense(params["Dense_0"], _norm(params["LayerNorm_0"], x))


_QKV = ("query", "key", "value")


def _heads(params: Any, x: Any) -> Any:
    """(rows, length, width) to (rows, heads, length, depth)."""
    kernel = params["kernel"]
    y = x @ kernel.flatten(1) + params["bias"].flatten()
    return y.unflatten(-1, kernel.shape[1:]).transpose(1, 2)


def _turned(x: Any) -> Any:
    """Queries or keys, (rows, heads, length, depth), turned by their positions."""
    import torch

    length, depth = x.shape[-2:]
    frequencies = 10000.0 ** (-torch.arange(0, depth, 2) / depth)
    angles = torch.arange(length)[:, None] * frequencies
    sin, cos = angles.sin(), angles.cos()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _lm_losses(params: Any, batch: Any) -> Any:
    from torch.nn import functional

    logits = _transformer(params, batch[:, :-1])
    return functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")


def _lm_loss(params: Any, buffers: Any, batch: Any, training: bool) -> tuple[Any, Any]:
    return _lm_losses(params, batch).mean(), buffers


def _lm_score(params: Any, buffers: Any, batch: Any) -> tuple[Any, int]:
    losses = _lm_losses(params, batch)
    losses = losses[:, losses.shape[1] // 2 :]
    return losses.sum(), losses.numel()


def _dense(params: Any, x: Any) -> Any:
    return x @ params["kernel"] + params["bias"]


def _norm(params: Any, x: Any) -> Any:
    from torch.nn import functional

    return functional.layer_norm(x, x.shape[-1:], params["scale"], params["bias"], 1e-6)


def table(work: Work, seeds: Iterable[int]) -> Iterator[str]:
    """A row of Markdown for each seed."""
    yield f"| seed | jaxcore | PyTorch | within {work.tolerance[0]} | seconds |"
    yield "| --: | --: | --: | --- | --: |"
    for seed in seeds:
        began = time.perf_counter()
        mine = ours(work, seed)
        between = time.perf_counter()
        twin = theirs(work, seed)
        spent = f"{between - began:.0f}, {time.perf_counter() - between:.0f}"
        near = "yes" if work.tolerance[1](mine, twin) else "NO"
        yield f"| {seed} | {mine:.4f} | {twin:.4f} | {near} | {spent} |"


def main() -> None:
    """Print the table of one example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example", choices=("digits", "char_lm"))
    parser.add_argument("--seeds", default=5, type=int)
    parser.add_argument("--length", type=int, help="epochs of digits (30), steps of char_lm (1000)")
    args = parser.parse_args()
    if args.example == "digits":
        work = digits_work(args.length or 30)
    else:
        work = char_lm_work(args.length or 1000)
    for line in table(work, range(args.seeds)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
