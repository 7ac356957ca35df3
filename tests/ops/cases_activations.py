"""Cases of the functions of `jax.nn`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ops.harness import Case

import jaxcore.nn
import jaxcore.numpy

X = np.array([[-3.0, -0.5, 0.0, 1.0], [0.25, -1.0, 6.0, 2.0]], np.float32)
HALF = X.astype(jnp.bfloat16)
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
INTS = np.array([[-3, 0, 1, 7]], np.int32)
MASK = np.array([[True, False, True, True], [False, False, False, False]])
KEYS = np.array([2, 0, 2, -1], np.int32)


def of(np_like: Any, name: str) -> Any:
    """Ours or `jax.nn`'s function of that name."""
    return getattr(jaxcore.nn if np_like is jaxcore.numpy else jax.nn, name)


def each(names: str) -> Any:
    """A function that applies all of `names` to each of its arguments."""

    def fn(np_like: Any, *xs: Any) -> Any:
        return [of(np_like, n)(x) for n in names.split() for x in xs]

    return fn


def settings(*calls: tuple[str, dict[str, Any]]) -> Any:
    """A function that calls several with their settings."""

    def fn(np_like: Any, x: Any, mask: Any) -> Any:
        given = lambda kw: {**kw, "where": mask} if kw.pop("masked", False) else kw
        return [of(np_like, name)(x, **given(dict(kw))) for name, kw in calls]

    return fn


KINKED = "relu relu6 leaky_relu elu celu selu hard_tanh hard_sigmoid hard_silu sparse_plus"
SMOOTH = "sigmoid silu softplus log_sigmoid mish squareplus soft_sign gelu glu identity tanh"
ROWS = "softmax log_softmax logsumexp logmeanexp standardize sparse_sigmoid"


def classes(np_like: Any, i: Any) -> Any:
    f = of(np_like, "one_hot")
    return f(i, 3), f(i, 3, axis=0, dtype="int8"), f(i[:0], 2), f(1, 2)


CASES = [
    Case("activations with kinks", each(KINKED), (X,), second=True, vmap=False),
    Case("smooth activations", each(SMOOTH), (X,), second=True, vmap=False, tol=3e-5),
    Case("activations of rows", each(ROWS), (X,), second=True, tol=3e-5),
    Case("activations of half precision", each(f"{KINKED} {SMOOTH} {ROWS}"), (HALF,), vmap=False,
         grad=False),
    Case("activations of odd values", each(f"{KINKED} log1mexp softplus silu"), (ODD,),
         vmap=False, grad=False),
    Case("activations of integers", each(f"{KINKED} softplus gelu logmeanexp"), (INTS,)),
    Case("log1mexp", each("log1mexp"), (abs(X) + 0.1,), second=True, vmap=False),
    Case(
        "activations with settings",
        settings(
            ("gelu", {"approximate": False}), ("elu", {"alpha": 2.0}), ("celu", {"alpha": 0.5}),
            ("leaky_relu", {"negative_slope": 0.3}), ("squareplus", {"b": 1.5}),
            ("glu", {"axis": 0}), ("softmax", {"axis": (0, 1)}), ("softmax", {"masked": True}),
            ("log_softmax", {"axis": 0}), ("logsumexp", {"masked": True}),
            ("logmeanexp", {"masked": True, "axis": 0}),
            ("standardize", {"axis": None, "algorithm": "stable", "epsilon": 0.1}),
            ("standardize", {"mean": 1.0, "variance": 2.0}),
        ),
        (X, MASK | (np.arange(4) == 1)),
        tol=3e-5,
    ),
    Case("log_softmax of some", settings(("log_softmax", {"masked": True})), (X, MASK),
         grad=False, vmap=False),
    Case("softmax of none", settings(("softmax", {"masked": True})), (X, MASK)),
    Case("one_hot", classes, (KEYS,)),
]  # fmt: skip
