"""Functions with derivatives of their own. Names that JAX has here and that are not below are
JAX's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero

from jaxcore import backend, errors, namespaces
from jaxcore.bodies import ours
from jaxcore.closures import closure_convert, custom_gradient
from jaxcore.ops.basic import zeros
from jaxcore.ops.custom import custom_jvp_p
from jaxcore.ops.custom_call import CustomCall, CustomFunction
from jaxcore.ops.custom_rules import UserJvp, UserVjp
from jaxcore.ops.custom_vjp import custom_vjp_p
from jaxcore.ops.linear_call import linear_call
from jaxcore.trace import aval_of, bind

__all__ = [
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "linear_call",
]


class custom_jvp(CustomFunction):
    """A function whose derivative is the rule given with `defjvp`, in forward and reverse mode.

    Args:
      fun: function of pytrees of arrays.
      nondiff_argnums, nondiff_argnames: arguments that are not differentiated, such as functions;
        the rule gets them first.

    Raises:
      AttributeError: it is called before there is a rule.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.custom_jvp
      ... def f(x, y):
      ...     return jnp.sin(x) * y
      >>> @f.defjvp
      ... def rule(primals, tangents):
      ...     (x, y), (dx, dy) = primals, tangents
      ...     return f(x, y), jnp.cos(x) * dx * y + jnp.sin(x) * dy
      >>> jaxcore.grad(f)(0.0, 2.0)
      Array(2., dtype=float32, weak_type=True)
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: Sequence[int] = (),
        nondiff_argnames: Sequence[str] = (),
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Callable[..., Any] | None = None
        self.symbolic_zeros = False
        self._theirs: Any = None

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule ``jvp(primals, tangents) -> (out, tangent_out)``; returns it.

        Primals and tangents are tuples with an entry for each argument. With `symbolic_zeros` the
        rule gets a `SymbolicZero` for a tangent that is known to be zero, else an array of zeros.
        """
        self.jvp, self.symbolic_zeros, self._theirs = jvp, symbolic_zeros, None
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set a rule for each argument, ``jvp(tangent, out, *primals) -> tangent_out``; None where
        the result does not depend on it.

        Raises:
          TypeError: there are nondiff_argnums.
        """
        if self.nondiff_argnums:
            raise TypeError("Can't use ``defjvps`` with ``nondiff_argnums``.")

        def jvp(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            parts = [
                rule(t, out, *primals)
                for rule, t in zip(jvps, tangents, strict=False)
                if rule is not None
            ]
            return out, jax.tree.map(_sum, out, *parts)

        self.defjvp(jvp)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise AttributeError(
                f"No JVP defined for custom_jvp function {self.name} using defjvp."
            )
        args = self.resolve(args, kwargs)
        if not ours():
            if self._theirs is None:
                self._theirs = jax.custom_jvp(self.fun, self.nondiff_argnums)
                self._theirs.defjvp(self.jvp, self.symbolic_zeros)
            return self._theirs(*args)
        if backend.at_top_level():
            return self.fun(*args)
        args = tuple([_constant(x) if i in self.nondiff_argnums else x for i, x in enumerate(args)])
        call = CustomCall(self, args)
        out = bind(
            custom_jvp_p,
            *call.consts,
            *call.leaves,
            program=call.program,
            rule=UserJvp(self.jvp, call, self.symbolic_zeros),
            n_consts=len(call.consts),
        )
        return jax.tree.unflatten(call.out_tree, out)


def _sum(out: Any, *parts: Any) -> Any:
    total = None
    for part in parts:
        total = part if total is None else total + part
    return zeros(aval_of(out).to_tangent_aval()) if total is None else total


def _constant(x: Any) -> Any:
    """A fixed argument, whose traced values are constants for the derivative."""
    from jaxcore.transforms.grad import stop_gradient

    is_traced = lambda leaf: isinstance(leaf, backend.Tracer)
    return jax.tree.map(lambda leaf: stop_gradient(leaf) if is_traced(leaf) else leaf, x)


class custom_vjp(CustomFunction):
    """A function whose reverse mode is the pair of rules given with `defvjp`.

    Forward mode is refused. Arguments are those of `custom_jvp`; fixed ones come first in `bwd`.

    Raises:
      AttributeError: it is called before there are rules.
      UnexpectedTracerError: an argument of nondiff_argnums is being traced.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.custom_vjp
      ... def clipped(x):
      ...     return x * 5.0
      >>> clipped.defvjp(lambda x: (clipped(x), None), lambda res, ct: (jnp.clip(ct * 5.0, -1, 1),))
      >>> jaxcore.grad(clipped)(2.0)
      Array(1., dtype=float32, weak_type=True)
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: Sequence[int] = (),
        nondiff_argnames: Sequence[str] = (),
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False
        self.optimize_remat = False
        self._theirs: Any = None

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set ``fwd(*args) -> (out, residuals)`` and ``bwd(residuals, ct) -> cts``, a tuple with
        an entry for each argument; None in it stands for zeros.

        With `symbolic_zeros` `fwd` gets a `CustomVJPPrimal` (fields `value` and `perturbed`) for
        each leaf, and `bwd` a `SymbolicZero` for a cotangent that is known to be zero.
        `optimize_remat` is accepted as in JAX: a checkpoint computes of `fwd` what is needed
        again, with and without it.
        """
        if symbolic_zeros and optimize_remat:
            raise NotImplementedError(
                "remat optimization for custom_vjp does not support symbolic zeros"
            )
        self.fwd, self.bwd, self._theirs = fwd, bwd, None
        self.symbolic_zeros, self.optimize_remat = symbolic_zeros, optimize_remat

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise AttributeError(
                f"No VJP defined for custom_vjp function {self.name} using defvjp."
            )
        args = self.resolve(args, kwargs)
        for i in self.nondiff_argnums:
            if any(isinstance(x, backend.Tracer) for x in jax.tree.leaves(args[i])):
                raise errors.UnexpectedTracerError(
                    f"custom_vjp of {self.name}: argument {i} is one of nondiff_argnums, but it is "
                    "being traced. Fix: leave it out of nondiff_argnums, which are for what is no "
                    "array, such as functions, and return None for it in bwd."
                )
        if not ours():
            if self._theirs is None:
                self._theirs = jax.custom_vjp(self.fun, self.nondiff_argnums)
                settings = (self.symbolic_zeros, self.optimize_remat)
                self._theirs.defvjp(self.fwd, self.bwd, *settings)
            return self._theirs(*args)
        if backend.at_top_level():
            return self.fun(*args)
        call = CustomCall(self, args)
        out = bind(
            custom_vjp_p,
            *call.consts,
            *call.leaves,
            program=call.program,
            rule=UserVjp(self.fwd, self.bwd, call, self.symbolic_zeros),
            n_consts=len(call.consts),
        )
        return jax.tree.unflatten(call.out_tree, out)


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
