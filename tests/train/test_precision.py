"""Half-width computation, and the loss scale that float16 needs."""

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random, train
from jaxcore.train.precision import GROWTH_INTERVAL, LossScale


class Seen(nn.Module):
    """A dense layer that notes the dtype it computes in."""

    def __call__(self, x):
        y = nn.Dense(1)(x)
        DTYPES.append(y.dtype)
        return y[:, 0]


DTYPES = []


def begin(task, batch):
    """A state whose loss scale, where there is one, is past the first overflows."""
    state = train.init_state(task, random.key(0), batch)
    if state.loss_scale is not None:
        assert float(state.loss_scale.scale) == 65536
        state = state.replace(loss_scale=LossScale(jnp.float32(1024), jnp.int32(0)))
    return state


def task(toy, precision, tx=optax.sgd, lr=0.1):
    return toy.Regression(model=Seen(), tx=tx, lr=lr, precision=precision)


@pytest.mark.parametrize(
    ("precision", "kept", "computed"),
    [
        ("32-true", np.float32, np.float32),
        ("bf16-mixed", np.float32, jnp.bfloat16),
        ("bf16-true", jnp.bfloat16, jnp.bfloat16),
        ("16-mixed", np.float32, np.float16),
    ],
)
def test_the_dtypes_of_a_policy(toy, precision, kept, computed):
    batch, ours, plain = toy.arrays(8), task(toy, precision), task(toy, "32-true")
    state = begin(ours, batch)
    DTYPES.clear()
    after, metrics = train.make_step(ours, donate=False)(state, batch)
    assert set(DTYPES) == {np.dtype(computed)}
    assert after.params["Dense_0"]["kernel"].dtype == kept
    assert metrics["loss"].total.dtype == np.float32
    same = train.init_state(plain, random.key(0), batch)
    expected, reference = train.make_step(plain)(same, batch)
    assert float(metrics["loss"]) == pytest.approx(float(reference["loss"]), rel=2e-2)
    np.testing.assert_allclose(
        np.asarray(after.params["Dense_0"]["kernel"], np.float32),
        expected.params["Dense_0"]["kernel"],
        atol=2e-2,
    )
    if precision != "32-true":
        DTYPES.clear()
        assert train.make_predict_step(ours)(after, batch).dtype == np.float32
        assert set(DTYPES) == {np.dtype(computed)}


def test_a_policy_that_does_not_exist(toy):
    with pytest.raises(train.TrainError, match=r"`precision`[\s\S]*'fp8'[\s\S]*'bf16-mixed'"):
        train.init_state(task(toy, "fp8"), random.key(0), toy.arrays(8))


def test_an_overflow_halves_the_scale_and_is_skipped(toy):
    ours = task(toy, "16-mixed", optax.adam, optax.linear_schedule(0.1, 0.0, 10))
    x, y = toy.arrays(8)
    step = train.make_step(ours, donate=False)
    good, metrics = step(begin(ours, (x, y)), (x, y))
    assert float(metrics["loss_scale"]) == 1024
    assert float(metrics["skipped"]) == 0
    kept, metrics = step(good, (x, y + np.float32(1e5)))  # finite, its scaled gradient is not
    assert np.isfinite(float(metrics["loss"]))
    assert float(metrics["skipped"]) == 1
    toy.equal(kept.params, good.params)
    toy.equal(kept.opt_state, good.opt_state)
    assert float(kept.loss_scale.scale) == 512
    assert int(good.loss_scale.good) == 1
    assert int(kept.loss_scale.good) == 0


def test_the_scale_grows_after_finite_steps():
    scale = LossScale(jnp.float32(8.0), jnp.int32(GROWTH_INTERVAL - 2))
    scale = scale.after(jnp.bool_(True))
    assert (float(scale.scale), int(scale.good)) == (8.0, GROWTH_INTERVAL - 1)
    scale = scale.after(jnp.bool_(True))
    assert (float(scale.scale), int(scale.good)) == (16.0, 0)
    assert float(LossScale(jnp.float32(1.0), jnp.int32(0)).after(jnp.bool_(False)).scale) == 1.0
    assert jax.tree.map(jnp.result_type, tuple(scale)) == (np.float32, np.int32)


def test_small_gradients_survive_float16_only_scaled(toy):
    class Tiny(toy.Regression):
        def loss(self, model, batch, ctx):
            return model(batch[0]) * 1e-8

    batch = toy.arrays(8)
    scaled = Tiny(model=Seen(), tx=optax.sgd, lr=1.0, precision="16-mixed")
    state = begin(scaled, batch)
    _, metrics = train.make_step(scaled)(state, batch)
    model = Seen()

    def unscaled(params):
        return jnp.mean(model.apply({"params": params}, batch[0], dtype=jnp.float16)) * 1e-8

    params = model.init(random.key(0), batch[0])["params"]
    lost = optax.tree.norm(jaxcore.grad(unscaled)(params))
    assert float(metrics["gradient_norm"]) > 1e-9
    assert float(lost) < float(metrics["gradient_norm"])
