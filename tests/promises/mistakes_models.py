"""Mistakes in models, their parameters, optimisers and training."""

import io

from promises.mistakes import X, jax, jaxcore, np, optax, table
from rich.console import Console

from jaxcore import nn, train

ROWS, mistake = table()
KEY = jax.random.key(0)
DATA = np.ones((4, 8), np.float32), np.ones(4, np.float32)


@mistake(
    TypeError,
    "x float32[2,8] @ blocks_1/up/kernel float32[9,4]",
    "Module: blocks_1/up (Up)",
    only_ours=True,
)
def matmul_in_a_module(m):
    class Up(nn.Module):
        def __call__(self, x):
            kernel = self.param("kernel", nn.initializers.ones, (9, 4))
            return x @ kernel  # wrong

    class Block(nn.Module):
        def __call__(self, x):
            return Up(name="up")(x)

    class Model(nn.Module):
        def __call__(self, x):
            return Block(name="blocks_1")(x)

    variables = {"params": {"blocks_1": {"up": {"kernel": np.ones((9, 4), np.float32)}}}}
    jaxcore.jit(Model().apply)(variables, X)


@mistake(TypeError, "x float32[2,8] @ up/kernel float32[9,4]", "Module: up (Up)", only_ours=True)
def matmul_in_a_model_that_is_differentiated(m):
    class Up(nn.Module):
        def __call__(self, x):
            kernel = self.param("kernel", nn.initializers.ones, (9, 4))
            return x @ kernel  # wrong

    class Model(nn.Module):
        def __call__(self, x):
            return Up(name="up")(x).sum()

    variables = {"params": {"up": {"kernel": np.ones((9, 4), np.float32)}}}
    jaxcore.jit(jaxcore.grad(Model().apply))(variables, X)


@mistake(TypeError, "x float32[2,8]", "h float32[2,3]", "Module: <root> (Residual)", only_ours=True)
def residual_of_another_width(m):
    class Residual(nn.Module):
        def __call__(self, x):
            h = nn.Dense(3)(x)
            return x + h  # wrong

    Residual().init(KEY, X)


@mistake(
    ValueError, "head (Dense)", "float32[2,3]. Expected (8, 3)", "x float32[2,8]", only_ours=True
)
def layer_of_another_width(m):
    class Model(nn.Module):
        def __call__(self, x):
            return nn.Dense(3, name="head")(x)  # wrong

    variables = {"params": {"head": {"kernel": X[:, :3], "bias": X[0, :3]}}}
    jaxcore.jit(Model().apply)(variables, X)


@mistake(KeyError, "Dropout_0 (Dropout)", "rngs={'dropout': key}", "x float32[2,8]", only_ours=True)
def dropout_without_a_key(m):
    class Model(nn.Module):
        def __call__(self, x):
            return nn.Dropout(0.5)(x)  # wrong

    jaxcore.jit(lambda x: Model().apply({}, x, train=True))(X)


@mistake(KeyError, "Dense_0 (Dense)", "'params/Dense_0/kernel'", "weights", only_ours=True)
def parameter_of_another_name(m):
    class Model(nn.Module):
        def __call__(self, x):
            return nn.Dense(3)(x)  # wrong

    jaxcore.jit(Model().apply)({"params": {"Dense_0": {"weights": X}}}, X)


@mistake(RuntimeError, "BatchNorm_0 (BatchNorm)", "mutable=['batch_stats']", only_ours=True)
def running_average_that_may_not_change(m):
    class Model(nn.Module):
        def __call__(self, x):
            return nn.BatchNorm()(x)  # wrong

    variables = Model().init(KEY, X)
    jaxcore.jit(lambda v, x: Model().apply(v, x, train=True))(variables, X)


@mistake(ValueError, "Embed_0 (Embed)", "x float32[2,8]", "integers", only_ours=True)
def embedding_of_floats(m):
    class Model(nn.Module):
        def __call__(self, x):
            return nn.Embed(5, 4)(x)  # wrong

    Model().init(KEY, X)


@mistake(ValueError, "params['w'] of step", "w float32[2,8]")
def optimiser_state_of_other_parameters(m):
    tx = optax.adam(1e-3)
    params = {"w": m.numpy.ones((2, 8))}
    state = tx.init({"w": m.numpy.ones((2, 8)), "b": m.numpy.ones(8)})

    def step(params, state):
        return tx.update(params, state, params)  # wrong

    m.jit(step)(params, state)


@mistake(TypeError, "gradient.T float32[8,2] + w float32[2,8]", "params['w'] of step")
def update_with_a_gradient_of_another_shape(m):
    def step(params, gradient):
        return optax.apply_updates(params, {"w": gradient.T + params["w"]})  # wrong

    m.jit(step)({"w": m.numpy.ones((2, 8))}, X)


def fit(task):
    """Train on four rows, quietly."""
    trainer = train.Trainer(callbacks=[], console=Console(file=io.StringIO()))
    trainer.fit(task, train.ArrayData(DATA, batch_size=4), until=train.Steps(1))


class Net(nn.Module):
    def __call__(self, x):
        return nn.Dense(1, name="out")(x)


@mistake(ValueError, "float32[4,1]", "float32[4]", only_ours=True)
def loss_of_labels_against_a_column(m):
    class Task(train.Task):
        def loss(self, model, batch, ctx):
            x, y = batch
            return nn.losses.squared_error(model(x), y)  # wrong

    fit(Task(model=Net(), tx=optax.adam, lr=1e-3))


@mistake(TypeError, "x float32[4,8] @ y float32[4]", only_ours=True)
def shape_in_a_loss(m):
    class Task(train.Task):
        def loss(self, model, batch, ctx):
            x, y = batch
            return model(x)[:, 0] + x @ y  # wrong

    fit(Task(model=Net(), tx=optax.adam, lr=1e-3))


@mistake(jax.errors.TracerBoolConversionError, "error float32[] > 1 int", only_ours=True)
def python_if_in_a_loss(m):
    class Task(train.Task):
        def loss(self, model, batch, ctx):
            x, y = batch
            error = ((model(x)[:, 0] - y) ** 2).mean()
            return error if error > 1 else error * 2  # wrong

    fit(Task(model=Net(), tx=optax.adam, lr=1e-3))
