"""Train a generator against a critic on a ring of eight Gaussians.

    python examples/gan.py                      # under a minute on two cores
    python examples/gan.py --steps 500 --dir runs/quick

Two modules, two losses and two optimisers in one task. Adversarial training likes to settle on a
few of the eight modes; a penalty on the critic's gradient at real points (Mescheder et al. 2018,
https://arxiv.org/abs/1801.04406) keeps it on all of them. That is a gradient inside of a loss,
which is itself differentiated. The run's directory gets the log and a picture of real and
generated points.
"""

import argparse
import functools
from pathlib import Path

import numpy as np
import optax
from matplotlib.figure import Figure

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, nn, random, train

SPREAD = 0.08  # standard deviation of a mode
LATENT = 8
PENALTY = 0.1  # on the squared slope of the critic
ANGLES = 2 * np.pi * np.arange(8) / 8
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1)


class MLP(nn.Module):
    """Three layers: points (rows, in) to (rows, out)."""

    out: int
    width: int = 128

    def __call__(self, x: Array) -> Array:
        for _ in range(2):
            x = nn.leaky_relu(nn.Dense(self.width)(x), 0.2)
        return nn.Dense(self.out)(x)


class GAN(train.Task):
    """The non-saturating loss, the critic's with a penalty on its gradient; {name: MLP} models."""

    def init(self, key: Array, batch: Array) -> dict:
        latent = jnp.zeros((len(batch), LATENT))
        return train.init_modules(self.model, key, {"generator": (latent,), "critic": (batch,)})

    def update(
        self, state: train.State, batch: Array, *, accumulate: int = 1, mask: Array | None = None
    ) -> tuple[train.State, dict]:
        metrics = {}
        for name, loss in {"critic": self.critic_loss, "generator": self.generator_loss}.items():
            state, measured = self.descend(
                state,
                batch,
                loss,
                groups=(f"{name}/**",),
                name=name,
                accumulate=accumulate,
                mask=mask,
            )
            metrics |= measured
        return state, metrics

    def fakes(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        return model["generator"](random.normal(ctx.key, (len(batch), LATENT)))

    def critic_loss(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        def score(points: Array) -> Array:
            return model["critic"](points)[:, 0]

        slope = jaxcore.grad(lambda points: score(points).sum())(batch)
        losses = nn.softplus(-score(batch)) + nn.softplus(score(self.fakes(model, batch, ctx)))
        return losses + PENALTY / 2 * jnp.sum(slope**2, -1)

    def generator_loss(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        return nn.softplus(-model["critic"](self.fakes(model, batch, ctx))[:, 0])

    def predict(self, model: train.Model, batch: Array, ctx: train.Context) -> Array:
        return model["generator"](batch)


def draw_real(count: int, seed: int) -> np.ndarray:
    """Points of the ring, every mode equally likely: (count, 2)."""
    rng = np.random.default_rng(seed)
    points = CENTRES[rng.integers(0, 8, count)] + SPREAD * rng.standard_normal((count, 2))
    return points.astype(np.float32)


def quality(points: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean distance to the nearest centre, share within 3 spreads of it, and shares of the modes.

    The modes' shares count the points within 3 spreads alone.
    """
    distances = np.linalg.norm(points[:, None] - CENTRES, axis=-1)
    nearest, distance = distances.argmin(1), distances.min(1)
    near = distance < 3 * SPREAD
    return distance.mean(), near.mean(), np.bincount(nearest[near], minlength=8) / len(points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default="runs/gan", type=Path)
    parser.add_argument("--steps", default=4000, type=int)
    parser.add_argument("--seed", default=0, type=int)
    args = parser.parse_args()

    adam = functools.partial(optax.adam, b1=0.5, b2=0.9)
    task = GAN(
        model={"generator": MLP(2), "critic": MLP(1)},
        tx={"generator/**": adam, "critic/**": adam},
        lr=optax.cosine_decay_schedule(3e-3, args.steps, 0.05),
    )
    trainer = train.Trainer(
        dir=args.dir,
        seed=args.seed,
        log_every=train.Steps(max(1, args.steps // 8)),
        callbacks=[train.ProgressBar(), train.CSVLogger(), train.TerminateOnNaN()],
    )
    data = train.ArrayData(draw_real(25_600, args.seed), batch_size=256)
    fit = trainer.fit(task, data, until=train.Steps(args.steps))

    latent = np.random.default_rng(args.seed + 1).standard_normal((2000, LATENT), np.float32)
    fake = trainer.predict(task, train.ArrayData(latent, batch_size=500, shuffle=False), fit.state)
    real = draw_real(2000, args.seed + 2)
    print(f"\n{'2000 points':<12}{'modes covered':>15}{'near a mode':>13}{'mean distance':>15}")
    for name, points in {"real": real, "generated": fake}.items():
        distance, near, shares = quality(points)
        covered = f"{np.sum(shares >= 0.02)} of 8"  # 12.5 % each would be even
        print(f"{name:<12}{covered:>15}{near:>13.1%}{distance:>15.3f}")
    draw(args.dir / "points.png", real, fake)
    print(f"\npicture: {args.dir / 'points.png'}")


def draw(path: Path, real: np.ndarray, fake: np.ndarray) -> None:
    """Draw both sets of points side by side."""
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (name, points) in zip(panels, {"real": real, "generated": fake}.items()):
        axes.scatter(*points.T, s=5, alpha=0.35, linewidths=0, color="#30638e")
        axes.scatter(*CENTRES.T, s=40, marker="+", color="#d1495b")
        axes.set_title(name, loc="left", fontweight="bold")
        axes.set_aspect("equal")
        axes.set(xlim=(-3, 3), ylim=(-3, 3))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
