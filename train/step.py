"""The compiled step: pure, public, usable without a trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, nn, random, tree

from .arguments import check_counts
from .averaging import Averaged
from .errors import TrainError, explain
from .metrics import Metric, Metrics, Sum, merge_stacked
from .model import Context, Model
from .objective import batch_rows, reduce_loss
from .precision import LossScale, Precision
from .state import State
from .task import Task

Step = Callable[..., tuple[State, dict[str, Metric]]]


def init_state(task: Task, key: jaxcore.Array, batch: Any, variables: Any = None) -> State:
    """The state before the first step.

    Args:
      task: the task.
      key: a typed PRNG key, `random.key(seed)`.
      batch: a batch (its values do not matter), for the shapes of the model's inputs.
      variables: pretrained variables, in place of `task.init`'s.
    """
    init_key, run_key = _two_keys(key)
    if variables is None:
        variables = task.init(init_key, batch)
    if not isinstance(variables, dict) or "params" not in variables:
        got = sorted(variables) if isinstance(variables, dict) else type(variables).__name__
        raise TrainError(
            explain(
                f"`{type(task).__name__}.init` did not return variables.",
                got=got,
                expected='a dict with "params" and possibly other collections',
                fix="return model.init(key, x).",
            )
        )
    precision = Precision.of(task.precision)
    params = precision.keep(variables["params"])
    if task.stack:
        by_name = nn.unstack_layers(params)  # those of another state may be a stack by now
        params = jaxcore.jit(lambda params: nn.stack_layers(params, *task.stack))(by_name)
    opt_state = jaxcore.jit(task.optimizer.init)(params)
    return State(
        step=jnp.zeros((), jnp.int32),
        variables={**variables, "params": params},
        opt_state=opt_state,
        key=run_key,
        average=None if task.average is None else Averaged.start(_trained(task, params)),
        loss_scale=LossScale.start() if precision.scaled else None,
    )


def _trained(task: Task, params: Any) -> Any:
    optimizer = task.optimizer
    return optimizer.join(optimizer.split(params)[0], {})


@jaxcore.jit
def _two_keys(key: jaxcore.Array) -> tuple[jaxcore.Array, jaxcore.Array]:
    first, second = random.split(key)
    return first, second


def make_step(
    task: Task,
    *,
    accumulate: int = 1,
    steps_per_call: int = 1,
    donate: bool = True,
    out_shardings: Any = None,
    deterministic: bool = False,
) -> Step:
    """Compile a task's update to `state, metrics = step(state, batch, mask=None)`.

    Args:
      task: the task.
      accumulate: micro-batches per step; the batch's rows must be divisible by it.
      steps_per_call: above 1, one call does that many steps: `batch` and `mask` have a new first
        axis of this length, and the metrics are merged.
      donate: let the step reuse the old state's memory. The state passed in is then gone, so
        always rebind it; with False it survives, at twice the memory.
      out_shardings: of the new state and of the metrics, where several devices train.
      deterministic: compile for the same bits every time on a GPU too; see `Trainer`.

    Returns:
      The step. `mask` is (rows,) bool, False on rows that are padding.

    The whole loop of a run may be as short as this:

        step = make_step(task)
        state = init_state(task, random.key(0), batch)
        for batch in batches:
            state, metrics = step(state, batch)
        print(float(metrics["loss"]))

    >>> import numpy as np, optax
    >>> from jaxcore import nn
    >>> class Line(Task):
    ...     def loss(self, model, batch, ctx):
    ...         return (model(batch)[:, 0] - 1.0) ** 2
    >>> task, batch = Line(model=nn.Dense(1), tx=optax.sgd, lr=0.25), np.zeros((8, 2), np.float32)
    >>> state, metrics = make_step(task)(init_state(task, random.key(0), batch), batch)
    >>> int(state.step), float(metrics["loss"]), float(state.params["bias"][0])
    (1, 1.0, 0.5)
    """
    return compile_step(
        task, accumulate, steps_per_call, donate, out_shardings, lambda m: m, deterministic
    )


def compile_step(
    task: Task,
    accumulate: int,
    steps_per_call: int,
    donate: bool,
    out_shardings: Any,
    report: Callable[[Metrics], Any],
    deterministic: bool = False,
) -> Callable[..., tuple[State, Any]]:
    """`make_step`, whose steps return `report(metrics)`, computed by the same program."""
    check_counts(1, accumulate=accumulate, steps_per_call=steps_per_call)

    # The key, which stays what it is, does not travel through the program and back.
    def update(state: State, key: Any, batch: Any, mask: Any) -> tuple[State, Metrics]:
        state = state.replace(key=key)
        new, metrics = task.update(state, batch, accumulate=accumulate, mask=mask)
        if task.average is not None and state.average is not None:
            counts = {name: m.total for name, m in metrics.items() if isinstance(m, Sum)}
            skips = [n for name, n in counts.items() if name.rsplit("/", 1)[-1] == "skipped"]
            ok = jnp.all(jnp.stack(skips) == 0) if skips else True
            params = _trained(task, new.params)
            new = new.replace(average=task.average.update(state.average, params, state.step, ok))
        return new.replace(step=state.step + 1, key=None), metrics

    def one(state: State, key: Any, batch: Any, mask: Any) -> tuple[State, Any]:
        state, metrics = update(state, key, batch, mask)
        return state, report(metrics)

    def several(state: State, key: Any, batches: Any, masks: Any) -> tuple[State, Any]:
        state, stacked = lax.scan(lambda s, xs: update(s, key, *xs), state, (batches, masks))
        return state, report(merge_stacked(stacked))

    if isinstance(out_shardings, tuple) and isinstance(out_shardings[0], State):
        out_shardings = out_shardings[0].replace(key=None), *out_shardings[1:]
    placed = {} if out_shardings is None else {"out_shardings": out_shardings}
    compiled = jaxcore.jit(
        one if steps_per_call == 1 else several,
        donate_argnums=(0,) if donate else (),
        compiler_options=_DETERMINISTIC if deterministic else None,
        **placed,
    )

    def step(state: State, batch: Any, mask: Any | None = None) -> tuple[State, Any]:
        new, metrics = compiled(state.with_key(None), state.key, batch, mask)
        return new.with_key(state.key), metrics

    return step


# On a GPU some sums, above all those of scatter, are added up in the order in which threads come,
# and kernels are chosen by how fast they once were. Other platforms have no such choice.
_DETERMINISTIC = {"xla_gpu_deterministic_ops": True}


def make_eval_step(task: Task, *, deterministic: bool = False) -> Callable[..., dict[str, Metric]]:
    """Compile `metrics = step(state, batch, mask=None)`, the task's `evaluate`."""
    owner = f"{type(task).__name__}.evaluate"

    def evaluate(state: State, batch: Any, mask: Any) -> dict[str, Metric]:
        model, ctx = _for_evaluation(task, state, batch, mask)
        result = task.evaluate(model, batch, ctx)
        loss, metrics = reduce_loss(
            result, rows=batch_rows(batch), mask=mask, owner=owner, masked=ctx.masked
        )
        return {"loss": loss, **metrics}

    compiled = jaxcore.jit(evaluate, compiler_options=_DETERMINISTIC if deterministic else None)

    def eval_step(state: State, batch: Any, mask: Any | None = None) -> dict[str, Metric]:
        return compiled(_without_optimizer(state), batch, mask)

    return eval_step


def _without_optimizer(state: State) -> State:
    if not isinstance(state, State):
        raise TrainError(
            explain(
                "`state` is not the state of a run.",
                got=type(state).__name__,
                expected="a train.State, such as fit.state",
                fix="around variables alone make one: train.init_state(task, key, batch, "
                "variables).",
            )
        )
    return state.replace(opt_state={}, loss_scale=None)


def make_predict_step(task: Task, *, deterministic: bool = False) -> Callable[..., Any]:
    """Compile `outputs = step(state, batch)`: the task's `predict`."""

    def predict(state: State, batch: Any, mask: Any) -> Any:
        model, ctx = _for_evaluation(task, state, batch, mask)
        outputs = task.predict(model, batch, ctx)
        rows = batch_rows(batch)
        for leaf in tree.leaves(outputs):
            if jnp.ndim(leaf) == 0 or leaf.shape[0] != rows:
                raise TrainError(
                    explain(
                        f"`{type(task).__name__}.predict` lost the batch axis.",
                        got=f"an output of shape {tuple(leaf.shape)} for {rows} rows",
                        expected=f"({rows}, ...)",
                        fix="return one prediction per example.",
                    )
                )
        return outputs

    compiled = jaxcore.jit(predict, compiler_options=_DETERMINISTIC if deterministic else None)

    def predict_step(state: State, batch: Any, mask: Any | None = None) -> Any:
        return compiled(_without_optimizer(state), batch, mask)

    return predict_step


def _for_evaluation(task: Task, state: State, batch: Any, mask: Any) -> tuple[Model, Context]:
    key = random.fold_in(state.key, state.step)
    model = Model(task.model, state.eval_variables, precision=Precision.of(task.precision))
    return model, Context(False, state.step, key, batch_rows(batch), mask)
