"""A case is a function of the array interface with arguments; `check_case` holds it against JAX.

What is checked: value, dtype and weak type, eagerly and under `jit`; jvp and vjp; that the two
agree with each other, <Jv, w> = <v, Jᵀw>, and the first with finite differences; second derivatives
where the case asks for them; `vmap` over all arguments, over each alone and over a last axis; and
that the program holds nothing that only JAX's rules understand. All that is compiled is one
function for us and one for JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy
import numpy as np
from ops.differences import check_differences

import jaxcore
import jaxcore.numpy
from jaxcore.ir import Program
from jaxcore.primitive import _opaque

__all__ = ["Case", "check_case"]


@dataclass(frozen=True)
class Case:
    """One row of a table.

    Args:
      name: shown by pytest.
      fn: ``fn(np, *args)`` returns a pytree of arrays; `np` is the array namespace, ours or JAX's.
      args: NumPy arrays and Python scalars; the functions are differentiated in the float arrays.
      native: every equation of the program has a record of ours.
      grad: check derivatives (when there is a float array among the arguments).
      second: check a second derivative too.
      vmap: check batching.
      weak: check that the results are weakly typed where JAX's are.
      tol: relative and absolute tolerance of float32 results; coarser dtypes have their own.
      rank_promotion: the case adds axes by broadcasting.
      steps: finite differences say nothing: a function of steps, whose derivative is zero by
        convention, or a singularity within their step.
    """

    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    native: bool = True
    grad: bool = True
    second: bool = False
    vmap: bool = True
    weak: bool = True
    tol: float = 1e-5
    rank_promotion: bool = False
    steps: bool = False


def check_case(case: Case) -> None:
    """Assert every property of `case`."""
    config = "allow" if case.rank_promotion else "raise"
    with jax.numpy_rank_promotion(config):
        _check_values(case)
        ours, theirs = _everything(case, jaxcore), _everything(case, jax)
        if case.native:
            _check_native(jaxcore.make_jaxpr(ours)(*case.args))
        got, want = jaxcore.jit(ours)(*case.args), jax.jit(theirs)(*case.args)
        for what in want:
            _close(got[what], want[what], case.tol * _slack.get(what, 1), f"{case.name}: {what}")
        if "jvp" in got:
            _check_transpose(case, got)
            if not case.steps:
                _check_differences(case, got["jvp"])


_slack = {"jvp": 10, "vjp": 10, "second": 100}


def _check_values(case: Case) -> None:
    args = [jax.numpy.asarray(x) if _is_array(x) else x for x in case.args]
    got, want = case.fn(jaxcore.numpy, *args), case.fn(jax.numpy, *args)
    _close(got, want, case.tol, f"{case.name}: eager value")
    _same_types(case, got, want, "eagerly")
    staged = jax.eval_shape(lambda *args: case.fn(jaxcore.numpy, *args), *case.args)
    _same_types(case, staged, want, "under jax.jit", weak=False)


def _same_types(case: Case, got: Any, want: Any, how: str, weak: bool = True) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(want), (case.name, how)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, (
            f"{case.name} {how}: {ours.dtype}{ours.shape}, JAX gives {theirs.dtype}{theirs.shape}"
        )
        if weak and case.weak:
            assert jax.typeof(ours).weak_type == jax.typeof(theirs).weak_type, (
                f"{case.name} {how}: weak type {jax.typeof(ours).weak_type}"
            )


# --- transformations ----------------------------------------------------------------------------


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def _is_float(x: Any) -> bool:
    return _is_array(x) and jax.dtypes.issubdtype(x.dtype, np.inexact)


def _noise(x: Any, seed: int) -> np.ndarray:
    """A direction of the type of `x`."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape)
    return values.astype(x.dtype)


def _everything(case: Case, lib: Any) -> Callable[..., dict[str, Any]]:
    """A function of the arguments that applies every transformation of `lib`."""
    np_like = lib.numpy
    varied = [i for i, x in enumerate(case.args) if _is_float(x)]
    mapped = [i for i, x in enumerate(case.args) if _is_array(x)]

    def call(*args: Any) -> Any:
        return case.fn(np_like, *args)

    def run(*args: Any) -> dict[str, Any]:
        out = {"value": call(*args)}
        if case.grad and varied:
            out |= _derivatives(case, lib, call, args, varied)
        if case.vmap and mapped:
            for i, axes in enumerate(_patterns(case, mapped)):
                stacked = [
                    x if a is None else np_like.stack([x, _other(np_like, x)], a)
                    for x, a in zip(args, axes, strict=True)
                ]
                out[f"vmap {i}"] = lib.vmap(call, in_axes=axes)(*stacked)
        return out

    return run


def _other(np_like: Any, x: Any) -> Any:
    """A second example: the first one backwards."""
    return np_like.flip(x) if x.ndim else x


def _patterns(case: Case, mapped: list[int]) -> list[tuple[int | None, ...]]:
    """in_axes: all at the back; then all at the front, or every other array and the rest."""
    n = len(case.args)
    back = tuple(case.args[i].ndim if i in mapped else None for i in range(n))
    if len(mapped) == 1:
        return list(dict.fromkeys([back, tuple(0 if i in mapped else None for i in range(n))]))
    even, odd = mapped[::2], mapped[1::2]
    return [back, *(tuple(0 if i in some else None for i in range(n)) for some in (even, odd))]


def _derivatives(
    case: Case, lib: Any, call: Callable[..., Any], args: Any, varied: list[int]
) -> dict[str, Any]:
    directions = [_noise(case.args[i], i) for i in varied]

    def floats(*values: Any) -> list[Any]:
        full = list(args)
        for i, value in zip(varied, values, strict=True):
            full[i] = value
        leaves = jax.tree.leaves(call(*full))
        return [x for x in leaves if jax.dtypes.issubdtype(x.dtype, np.inexact)]

    primals = [args[i] for i in varied]
    outs, moved = lib.jvp(floats, tuple(primals), tuple(directions))
    _, back = lib.vjp(floats, *primals)
    weights = [_noise(x, 100 + i) for i, x in enumerate(outs)]
    out = {"jvp": list(moved), "vjp": list(back(weights))}
    if case.second:

        def slope(*values: Any) -> Any:
            _, tangents = lib.jvp(floats, values, tuple(directions))
            return sum(t.astype(np.float32).sum() for t in tangents)

        out["second"] = lib.grad(slope, tuple(range(len(varied))))(*primals)
    return out


def _check_transpose(case: Case, got: dict[str, Any]) -> None:
    """<Jv, w> = <v, Jᵀw>."""
    varied = [x for x in case.args if _is_float(x)]
    positions = [i for i, x in enumerate(case.args) if _is_float(x)]
    directions = [_noise(x, i) for i, x in zip(positions, varied, strict=True)]
    weights = [_noise(x, 100 + i) for i, x in enumerate(got["jvp"])]
    left = sum(_dot(a, b) for a, b in zip(got["jvp"], weights, strict=True))
    right = sum(_dot(a, b) for a, b in zip(directions, got["vjp"], strict=True))
    coarse = any(x.dtype.itemsize < 4 for x in [*varied, *got["jvp"]])
    tol = 0.1 if coarse else 1e-3
    if np.isfinite(left) and np.isfinite(right):
        np.testing.assert_allclose(left, right, rtol=tol, atol=tol, err_msg=case.name)


def _check_differences(case: Case, moved: list[Any]) -> None:
    varied = [i for i, x in enumerate(case.args) if _is_float(x)]

    def floats(*values: Any) -> list[Any]:
        full = [jax.numpy.asarray(x) if _is_array(x) else x for x in case.args]
        for i, value in zip(varied, values, strict=True):
            full[i] = value
        leaves = jax.tree.leaves(case.fn(jaxcore.numpy, *full))
        return [x for x in leaves if jax.dtypes.issubdtype(x.dtype, np.inexact)]

    primals = [case.args[i] for i in varied]
    along = [_noise(case.args[i], i) for i in varied]
    check_differences(case.name, floats, primals, moved, along)


def _dot(a: Any, b: Any) -> Any:
    a, b = (np.asarray(x).astype(np.complex128) for x in (a, b))
    with np.errstate(invalid="ignore"):  # what is not finite is left out by the caller
        return np.sum(a * b).real


# --- comparison ---------------------------------------------------------------------------------


def _close(got: Any, want: Any, tol: float, message: str) -> None:
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        dtype = theirs.dtype
        if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
            ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
            dtype = theirs.dtype
        assert ours.shape == theirs.shape and ours.dtype == dtype, (message, ours, theirs)
        exact = not jax.dtypes.issubdtype(dtype, np.inexact)
        if not exact and dtype.itemsize < 4:
            tol = max(tol, 3e-2 if str(dtype) == "bfloat16" else 1e-2)
        kind = np.float64 if dtype.kind in "fV" else dtype
        a, b = np.asarray(ours).astype(kind), np.asarray(theirs).astype(kind)
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=message)
        else:
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol, err_msg=message)


def _check_native(program: Program) -> None:
    """No equation, in called programs either, is an opaque one."""
    foreign = set(_opaque.values())
    for eq in program.equations:
        assert eq.primitive not in foreign, f"{eq.primitive.name} has no record: {program}"
        for value in eq.params.values():
            if isinstance(value, Program):
                _check_native(value)
