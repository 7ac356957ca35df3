"""`Task`: what is trained and how, as one frozen record to subclass."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, random, tree

from .arguments import Keywords, check_numbers
from .averaging import Average
from .errors import TrainError, explain
from .gradients import accumulate_gradients, clip, global_norm
from .metrics import Last, Mean, Metric, Sum
from .model import Context, Model
from .objective import batch_rows, reduce_loss
from .optimizer import Optimizer, Rate, check_freeze, learning_rates
from .precision import Precision
from .selection import updated_where
from .state import State
from .watching import Inside, Watcher, watched

Loss = Callable[[Model, Any, Context], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Keywords):
    """A model, an optimiser and a loss.

        class Digits(train.Task):
            def loss(self, model, batch, ctx):
                images, labels = batch
                logits = model(images)
                return nn.losses.softmax_cross_entropy(logits, labels), {
                    "accuracy": logits.argmax(-1) == labels
                }

        task = Digits(model=CNN(), tx=optax.adamw, lr=1e-3)

    Attributes:
      model: an `nn.Module`, or a dict of them (a generator and a discriminator, say).
      tx: an optax transformation, a factory `learning_rate -> transformation` such as
        `optax.adamw`, or {glob: either} for groups of parameters.
      lr: a number or a schedule `count -> rate` for the factories, or {glob: either}. A number is a
        value in the optimiser's state (see `inject`), so a resumed run goes on with the
        checkpoint's.
      freeze: globs over the "/"-joined paths of the parameters: no gradient, no optimiser state.
      clip_norm: the largest norm of a gradient, over all trained parameters together.
      clip_value: the largest absolute value of a gradient's entry.
      precision: "32-true"; "bf16-mixed", which computes in bfloat16; "16-mixed", in float16 with a
        loss scale that adapts; "bf16-true", which keeps the parameters in bfloat16 too.
      stack: globs of equal layers, ``("block_*",)``, whose parameters and optimiser state are kept
        as one array for each leaf (`nn.stack_layers`), under the name ``block_*``. The loss sees
        the layers as ever. A deep model compiles, and on a CPU steps, much faster. An optimiser
        that looks at the shape or the norm of single leaves, such as LAMB, or a mask by ``ndim``,
        then sees all layers as one.
      average: an `Average` of the parameters, which then validates, tests and predicts.
      update_norm: whether the norm of each update is logged beside that of the gradient; it costs
        one more pass over the parameters.
      watch: functions of the step as it is computed, an `Inside`, to {column: number}; callbacks
        add theirs by `inside_step`.
    """

    model: Any
    tx: Any
    lr: Rate | Mapping[str, Rate] | None = None
    freeze: tuple[str, ...] = ()
    clip_norm: float | None = None
    clip_value: float | None = None
    precision: str = "32-true"
    stack: tuple[str, ...] = ()
    average: Average | None = None
    update_norm: bool = False
    watch: tuple[Watcher, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.model, type):
            raise TrainError(
                explain(
                    "`model` is a class.",
                    got=self.model.__name__,
                    expected="a module",
                    fix=f"make one: model={self.model.__name__}().",
                )
            )
        Precision.of(self.precision)
        check_freeze(self.freeze)
        check_numbers(0, open=True, optional=True, clip_norm=self.clip_norm)
        check_numbers(0, open=True, optional=True, clip_value=self.clip_value)
        for rate in self.lr.values() if isinstance(self.lr, Mapping) else [self.lr]:
            if isinstance(rate, int | float):
                check_numbers(0, math.inf, lr=rate)
            elif not (rate is None or callable(rate) or getattr(rate, "ndim", 1) == 0):
                raise TrainError(_no_rate(rate))
        if not isinstance(self.average, Average | None):
            raise TrainError(
                explain(
                    "`average` is no train.Average.",
                    got=repr(self.average),
                    expected="train.Average, or None",
                    fix="write average=train.Average(0.999).",
                )
            )

    def loss(self, model: Model, batch: Any, ctx: Context) -> Any:
        """Per-example losses of shape (rows, ...), or `Weighted`; or a pair (either, metrics).

        `model(x)` calls the module in the right mode, with keys and state filled in. Metrics are a
        dict of per-example values, `Weighted`, ready `Mean`, `Sum` and `Last`, or states of
        `nn.metrics`, which get the mask: `nn.metrics.Confusion.of(logits, labels, ctx.mask)`.
        """
        raise TrainError(
            explain(
                f"{type(self).__name__} defines no loss.",
                got="a Task without a `loss` method",
                expected="a subclass with `def loss(self, model, batch, ctx)`",
                fix="return one loss per example, e.g. "
                "nn.losses.softmax_cross_entropy(model(batch[0]), batch[1]).",
            )
        )

    def evaluate(self, model: Model, batch: Any, ctx: Context) -> Any:
        """What `validate` and `test` measure: as `loss` returns, and by default that."""
        return self.loss(model, batch, ctx)

    def inputs(self, batch: Any) -> tuple[Any, ...]:
        """The arguments of `model` in a batch, for `init` and `predict`.

        An array is itself the input, of a tuple it is the first item, of a dict the item "x".
        """
        if isinstance(batch, Mapping):
            if "x" not in batch:
                raise TrainError(
                    explain(
                        "Which item of the batch is the model's input?",
                        got=f"a dict with {sorted(batch)}",
                        expected='an item "x"',
                        fix="override `inputs(self, batch)` in the task, returning a tuple.",
                    )
                )
            return (batch["x"],)
        return (batch[0],) if isinstance(batch, tuple | list) else (batch,)

    def predict(self, model: Model, batch: Any, ctx: Context) -> Any:
        """What `Trainer.predict` collects: arrays with the batch as first axis."""
        return model(*self.inputs(batch))

    def init(self, key: jaxcore.Array, batch: Any) -> dict[str, Any]:
        """Initial variables; override to initialise several modules or to load pretrained ones."""
        if isinstance(self.model, Mapping):
            raise TrainError(
                explain(
                    f"{type(self).__name__} has several modules and no `init`.",
                    got=f"modules {sorted(self.model)}",
                    expected="`def init(self, key, batch)` that returns their variables",
                    fix="return train.init_modules(self.model, key, {name: (inputs, ...), ...}).",
                )
            )
        if not hasattr(self.model, "init"):
            raise TrainError(
                explain(
                    "`model` cannot be initialised.",
                    got=type(self.model).__name__,
                    expected="an nn.Module, or anything with `init(key, x)` and `apply`",
                    fix="write the function as the `__call__` of a subclass of nn.Module.",
                )
            )
        return self.model.init(key, *self.inputs(batch))

    @property
    def optimizer(self) -> Optimizer:
        """`tx`, `lr` and `freeze`, resolved."""
        return Optimizer.of(self.tx, self.lr, self.freeze)

    def tokens(self, batch: Any) -> int:
        """How many tokens a batch has, for intervals in `Tokens` and for the throughput.

        By default the entries of the model's first input, if those are whole numbers.
        """
        first = self.inputs(batch)[0]
        if not jnp.issubdtype(first.dtype, jnp.integer):
            raise TrainError(
                explain(
                    f"{type(self).__name__} does not say what a token is.",
                    got=f"a model's input of {first.dtype}{list(first.shape)}",
                    expected="whole numbers, one per token",
                    fix="override `tokens(self, batch)` in the task, or count in Samples.",
                )
            )
        return int(first.size)

    def update(
        self, state: State, batch: Any, *, accumulate: int = 1, mask: Any | None = None
    ) -> tuple[State, dict[str, Metric]]:
        """One training step's work; `make_step` compiles it and counts the step.

        Override it to descend on several losses in turn:

            state, d = self.descend(state, batch, self.d_loss, groups=("d/**",), name="d", ...)
            state, g = self.descend(state, batch, self.g_loss, groups=("g/**",), name="g", ...)
            return state, {**d, **g}
        """
        return self.descend(state, batch, self.loss, accumulate=accumulate, mask=mask)

    def descend(
        self,
        state: State,
        batch: Any,
        loss: Loss,
        *,
        groups: tuple[str, ...] | None = None,
        accumulate: int = 1,
        mask: Any | None = None,
        name: str = "",
    ) -> tuple[State, dict[str, Metric]]:
        """Take the gradient of one loss, over micro-batches, and update some parameters by it.

        The objective is Σ value·weight·mask / Σ weight·mask over the whole batch. If it or its
        gradient is not finite, everything stays as it was, and the metric "skipped" counts it.

        Args:
          state: the state; its `step` is left as it is.
          batch: arrays with a common first axis of rows.
          loss: like `Task.loss`.
          groups: which groups of `tx` to differentiate and update; None means all.
          accumulate: number of micro-batches; it must divide the rows.
          mask: None, or (rows,) bool, False on rows that are padding.
          name: prefix of the metrics, and part of the random key.

        Returns:
          The new state, and metrics: "loss", "gradient_norm" (before clipping), "learning_rate",
          "loss_scale" and "update_norm" where there are such, "skipped", and the loss's own.
        """
        optimizer, precision = self.optimizer, Precision.of(self.precision)
        scale = None if state.loss_scale is None else state.loss_scale.scale
        if scale is not None and accumulate > 1:
            # float16 ends at 65504: the scale belongs to the mean, so the sum's is smaller.
            scale = scale / batch_rows(batch)
        active, held = optimizer.split(state.params, groups)
        collections = {c: v for c, v in state.variables.items() if c != "params"}
        key = random.fold_in(state.key, state.step)
        if name:
            key = random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)
        owner = f"{type(self).__name__}.{getattr(loss, '__name__', 'loss')}"

        def total(active: Any, collections: Any, piece: Any, mask: Any, key: Any) -> Any:
            variables = {"params": optimizer.join(active, held), **collections}
            model_key, loss_key = random.fold_in(key, 0), random.fold_in(key, 1)
            model = Model(self.model, variables, train=True, key=model_key, precision=precision)
            ctx = Context(True, state.step, loss_key, batch_rows(piece), mask)
            result = loss(model, piece, ctx)
            value, metrics = reduce_loss(
                result,
                rows=batch_rows(piece),
                mask=mask,
                owner=owner,
                trained=True,
                masked=ctx.masked,
            )
            weight = lax.stop_gradient(value.weight)
            written = {c: v for c, v in model.variables.items() if c != "params"}
            # Of one piece the mean itself is differentiated, which spares a pass over the gradient.
            objective = value.total if accumulate > 1 else value.total / divisor_of(weight)
            scaled = objective if scale is None else objective * scale
            return scaled, (Mean(value.total, weight), metrics, written)

        def divisor_of(weight: Any) -> Any:
            # An empty batch (all rows masked) has weight 0; it must change nothing.
            return jnp.maximum(weight, 1e-30)

        gradient = jaxcore.value_and_grad(total, has_aux=True)

        if accumulate == 1:
            (_, (mean, metrics, collections_now)), grads = gradient(
                active, collections, batch, mask, random.fold_in(key, 0)
            )
        else:
            mean, metrics, collections_now, grads = accumulate_gradients(
                gradient, active, collections, batch, mask, key, accumulate
            )

        divisor = divisor_of(mean.weight)
        unscaled = divisor if accumulate > 1 else None
        if scale is not None:
            unscaled = scale if unscaled is None else unscaled * scale
        if unscaled is not None:
            grads = tree.map(lambda g: g / unscaled.astype(g.dtype), grads)
        raw, norm = grads, global_norm(grads)
        finite = jnp.isfinite(norm) & jnp.isfinite(mean.total)
        value = mean.total / divisor
        grads = clip(grads, norm, to_norm=self.clip_norm, to_value=self.clip_value)
        keep = finite & (mean.weight > 0)
        old = active, dict(state.opt_state)
        (new_active, opt_state), added = updated_where(
            keep, optimizer.update, old, grads, state.opt_state, active, value
        )
        collections_now = tree.map(partial(jnp.where, keep), collections_now, collections)
        variables = {"params": optimizer.join(new_active, held), **collections_now}
        rates = learning_rates({g: opt_state[g] for g in active})
        report = {
            "loss": mean,
            **metrics,
            "gradient_norm": Mean(norm, jnp.ones_like(norm)),
            **{rate: Last(value) for rate, value in rates.items()},
            "skipped": Sum(jnp.where(finite, 0, 1).astype(jnp.int32)),
        }
        loss_scale = state.loss_scale
        if loss_scale is not None:
            report["loss_scale"] = Last(loss_scale.scale)
            loss_scale = loss_scale.after(finite)
        if self.update_norm:
            size = jnp.where(keep, global_norm(added), 0.0)
            report["update_norm"] = Mean(size, jnp.ones_like(size))
        seen: dict[str, Metric] = {}
        if self.watch:
            added = tree.map(lambda x: jnp.where(keep, x, jnp.zeros_like(x)), added)
            params, slope, updates = (optimizer.join(x, {}) for x in (active, raw, added))
            inside = Inside(state.step, value, params, slope, updates, name)
            seen = watched(self.watch, inside)
        prefix = f"{name}/" if name else ""
        report = {f"{prefix}{metric}": value for metric, value in report.items()} | seen
        new = state.replace(variables=variables, opt_state=opt_state, loss_scale=loss_scale)
        return new, report


def _no_rate(rate: Any) -> str:
    return explain(
        "`lr` is no learning rate.",
        got=repr(rate),
        expected="a number, a schedule `count -> rate`, or {glob: either}",
        fix="write lr=1e-3, lr=train.one_cycle(1e-3), or lr={'encoder/**': 1e-5, '**': 1e-3}.",
    )


def check_task(task: Any) -> None:
    """Raise `TrainError` unless `task` is a `Task`."""
    if isinstance(task, Task):
        return
    made = f"{task.__name__}(model=..., tx=...)" if isinstance(task, type) else None
    raise TrainError(
        explain(
            "`task` is no train.Task.",
            got=f"the class {task.__name__}" if made else type(task).__name__,
            expected="an instance of a subclass of train.Task; the data come after it",
            fix=f"make one: {made}."
            if made and issubclass(task, Task)
            else "write a class with `def loss(self, model, batch, ctx)`, and give it the model.",
        )
    )


def init_modules(
    modules: Mapping[str, Any], key: jaxcore.Array, inputs: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """Variables of several modules, each under its name in every collection.

    Args:
      modules: {name: module}, as in `Task.model`.
      key: a PRNG key; each module gets one folded from it by position.
      inputs: {name: arguments of that module}.

    >>> from jaxcore import nn
    >>> variables = init_modules({"d": nn.Dense(1)}, random.key(0), {"d": (jnp.ones((2, 3)),)})
    >>> variables["params"]["d"]["kernel"].shape
    (3, 1)
    """
    variables: dict[str, Any] = {"params": {}}
    for index, name in enumerate(sorted(modules)):
        own = modules[name].init(random.fold_in(key, index), *inputs[name])
        for collection, value in own.items():
            variables.setdefault(collection, {})[name] = value
    return variables
