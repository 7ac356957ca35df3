"""Several modules, several losses, several optimisers: `update` and `descend`."""

import functools

import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, random, train


class Critic(nn.Module):
    def __call__(self, x):
        h = nn.leaky_relu(nn.Dense(16)(x), 0.2)
        return nn.Dense(1)(h)[:, 0]


class Generator(nn.Module):
    def __call__(self, z):
        h = nn.relu(nn.BatchNorm()(nn.Dense(16)(z)))
        return nn.Dense(1)(h)


class GAN(train.Task):
    """A generator of N(3, 1) against a critic, with the non-saturating loss."""

    def init(self, key, batch):
        z = jnp.zeros((len(batch), 2))
        return train.init_modules(self.model, key, {"generator": (z,), "critic": (batch,)})

    def update(self, state, batch, *, accumulate=1, mask=None):
        kwargs = {"accumulate": accumulate, "mask": mask}
        state, critic = self.descend(
            state, batch, self.critic_loss, groups=("critic/**",), name="critic", **kwargs
        )
        state, generator = self.descend(
            state, batch, self.generator_loss, groups=("generator/**",), name="generator", **kwargs
        )
        return state, critic | generator

    def fakes(self, model, batch, ctx):
        return model["generator"](random.normal(ctx.key, (len(batch), 2)))

    def critic_loss(self, model, batch, ctx):
        real, fake = model["critic"](batch), model["critic"](self.fakes(model, batch, ctx))
        return nn.softplus(-real) + nn.softplus(fake), {"real": real > 0}

    def generator_loss(self, model, batch, ctx):
        return nn.softplus(-model["critic"](self.fakes(model, batch, ctx)))

    def predict(self, model, batch, ctx):
        return model["generator"](batch)


def gan():
    adam = functools.partial(optax.adam, b1=0.5)
    tx = {"generator/**": adam, "critic/**": train.inject(adam, 2e-3)}
    return GAN(model={"generator": Generator(), "critic": Critic()}, tx=tx, lr=1e-3)


def test_each_descent_moves_its_own_part(toy):
    task, batch = gan(), np.ones((8, 1), np.float32)

    class OnlyCritic(GAN):
        def update(self, state, batch, *, accumulate=1, mask=None):
            return self.descend(
                state, batch, self.critic_loss, groups=("critic/**",), name="critic", mask=mask
            )

    alone = OnlyCritic(model=task.model, tx=task.tx, lr=task.lr)
    state = train.init_state(alone, random.key(0), batch)
    after, metrics = train.make_step(alone, donate=False)(state, batch)
    toy.equal(after.params["generator"], state.params["generator"])
    toy.equal(after.opt_state["generator/**"], state.opt_state["generator/**"])
    kernel = after.params["critic"]["Dense_0"]["kernel"]
    assert np.abs(np.asarray(kernel - state.params["critic"]["Dense_0"]["kernel"])).max() > 0
    assert set(metrics) == {
        "critic/loss", "critic/real", "critic/gradient_norm", "critic/learning_rate",
        "critic/skipped",
    }  # fmt: skip


def test_a_gan_trains(toy):
    rng = np.random.default_rng(0)
    real = rng.normal(3.0, 1.0, size=(512, 1)).astype(np.float32)
    task = gan()
    fit = toy.trainer().fit(task, train.ArrayData(real, batch_size=64), until=train.Epochs(150))
    z = rng.normal(size=(512, 2)).astype(np.float32)
    fake = toy.trainer().predict(task, train.ArrayData(z, batch_size=256, shuffle=False), fit.state)
    assert abs(float(fake.mean()) - 3.0) < 0.5
    assert fit.history.last("generator/learning_rate") == pytest.approx(1e-3)
    assert fit.history.last("critic/learning_rate") == pytest.approx(2e-3)
    assert fit.history.last("critic/skipped") == 0
