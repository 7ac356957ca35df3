"""Solutions that are differentiated by the equation that they solve: roots and linear solves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import errors
from jaxcore.bodies import ours, require_function, trace_body
from jaxcore.ir import Program
from jaxcore.ops.arithmetic import neg_p
from jaxcore.ops.basic import instantiate, zeros
from jaxcore.ops.call import call as call_exactly
from jaxcore.ops.call import with_unused
from jaxcore.ops.custom import JvpRule, custom_jvp_p
from jaxcore.ops.linear_solve import linear_solve_p
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, bind, matched, trace_program
from jaxcore.transforms.transpose import transpose_program

__all__ = ["custom_linear_solve", "custom_root"]


@errors.explained
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """A root of `f`, with the derivative that the equation ``f(root) = 0`` implies.

    The derivative is taken with respect to what `f` closes over: from f(p, x(p)) = 0 follows
    dx = -(∂f/∂x)⁻¹ ∂f/∂p dp. So `solve` may use loops that have no reverse mode.

    Args:
      f: function of a pytree to one of the same structure.
      initial_guess: where to begin.
      solve: ``solve(f, initial_guess)`` returns x with f(x) = 0, which is not checked.
      tangent_solve: ``tangent_solve(g, y)`` returns x with g(x) = y, for a linear function g (`f`
        linearised at the root): ``lambda g, y: y / g(1.0)`` for a scalar.
      has_aux: `solve` returns ``(x, aux)``; aux is returned and not differentiated.

    Returns:
      The root, or ``(root, aux)``.

    Raises:
      TypeError: a function returns another structure than that of `initial_guess`.

    Example:
      >>> import jaxcore
      >>> from jaxcore import lax
      >>> def cube_root(a):
      ...     newton = lambda f, x: lax.fori_loop(0, 20, lambda i, x: x - f(x) / (3 * x**2), x)
      ...     return custom_root(lambda x: x**3 - a, 1.0, newton, lambda g, y: y / g(1.0))
      >>> float(cube_root(8.0)), round(float(jaxcore.grad(cube_root)(8.0)), 4)
      (2.0, 0.0833)
    """
    for name, function in (("f", f), ("solve", solve), ("tangent_solve", tangent_solve)):
        require_function("custom_root", name, function)
    if not ours():
        return jax.lax.custom_root(f, initial_guess, solve, tangent_solve, has_aux)
    tree: Any
    guess, tree = jax.tree.flatten(initial_guess)
    avals = [aval_of(x) for x in guess]
    one = jax.tree_util.treedef_tuple([tree])
    program, f_consts, f_tree = trace_body(f, one, avals, function_name(f))
    _same_structure("custom_root", "f", "initial_guess", f_tree, tree)
    const_avals = [aval_of(c) for c in f_consts]
    n_f, n = len(f_consts), len(avals)
    out: list[Any] = []

    def solve_flat(*values: Any) -> list[Any]:
        def f_of(x: Any) -> Any:
            leaves = jax.tree.leaves(x)
            return jax.tree.unflatten(tree, call(program, [*values[:n_f], *leaves]))

        result = solve(f_of, jax.tree.unflatten(tree, values[n_f:]))
        root, aux = result if has_aux else (result, ())
        leaves, root_tree = jax.tree.flatten(root)
        _same_structure("custom_root", "solve", "initial_guess", root_tree, tree)
        rest, aux_tree = jax.tree.flatten(aux)
        out[:] = [aux_tree]
        return [*leaves, *rest]

    solver, solver_consts = trace_program(solve_flat, [*const_avals, *avals], "solve")
    root_avals = solver.out_avals[:n]
    tangent_avals = [a.to_tangent_aval() for a in root_avals]

    def tangent_flat(*values: Any) -> list[Any]:
        from jaxcore.transforms.derivative import jvp

        consts, x, y = values[:n_f], values[n_f : n_f + n], values[n_f + n :]

        def g(v: Any) -> Any:
            at = lambda *x: call(program, [*consts, *x])
            return jax.tree.unflatten(tree, jvp(at, x, tuple(jax.tree.leaves(v)))[1])

        leaves, y_tree = jax.tree.flatten(tangent_solve(g, jax.tree.unflatten(tree, y)))
        _same_structure("custom_root", "tangent_solve", "initial_guess", y_tree, tree)
        return leaves

    tangent, tangent_consts = trace_program(
        tangent_flat, [*const_avals, *root_avals, *tangent_avals], "tangent_solve"
    )
    solver = with_unused(solver, len(solver_consts), [aval_of(c) for c in tangent_consts])
    rule = _RootRule(solver, program, tangent, len(solver_consts), len(tangent_consts), n_f)
    results = rule.bind([*solver_consts, *tangent_consts, *f_consts, *guess])
    root = jax.tree.unflatten(tree, results[:n])
    return (root, jax.tree.unflatten(out[0], results[n:])) if has_aux else root


def call(program: Program, args: Sequence[Any]) -> list[Any]:
    """Call `program`; arguments may be more or less weakly typed than its inputs."""
    return call_exactly(program, matched(program, args))


def _same_structure(what: str, name: str, like: str, got: Any, want: Any) -> None:
    if got != want:
        raise TypeError(f"{what}: {name} must return the structure of {like}, {want}; got {got}.")


class _RootRule(JvpRule):
    """How a root moves with what its function closes over.

    Arguments are the constants of the solve, of the tangent solve and of the function, and the
    guess.
    """

    __slots__ = ("counts", "function", "solver", "tangent_solve")

    def __init__(
        self, solver: Program, function: Program, tangent_solve: Program, *counts: int
    ) -> None:
        super().__init__((solver, function, tangent_solve, counts))
        self.solver, self.function, self.tangent_solve = solver, function, tangent_solve
        self.counts = counts

    def __repr__(self) -> str:
        return "implicit"

    def bind(self, operands: Sequence[Any]) -> list[Any]:
        return bind(custom_jvp_p, *operands, program=self.solver, rule=self, n_consts=0)

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        from jaxcore.transforms.linearize import pushed_forward

        results = self.bind(primals)
        n = len(self.function.outputs)
        start, end = sum(self.counts[:2]), sum(self.counts)
        tangent_consts, consts = primals[self.counts[0] : start], primals[start:end]
        root, moving = results[:n], tangents[start:end]
        if all(t is None for t in moving):
            return results, [None] * len(results)
        moved = pushed_forward(self.function, [*consts, *root], [*moving, *[None] * n])[1]
        rhs = [instantiate(t, a) for t, a in zip(moved, self.function.out_avals, strict=True)]
        change = call(self.tangent_solve, [*tangent_consts, *consts, *root, *rhs])
        return results, [*(bind(neg_p, x) for x in change), *[None] * (len(results) - n)]


@errors.explained
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution x of ``matvec(x) == b``, with the derivative that the equation implies.

    The derivative is taken with respect to `b` and to what `matvec` closes over, and does not look
    inside `solve`, which may use loops that have no reverse mode.

    Args:
      matvec: linear function of a pytree to one of the same structure and types.
      b: the right-hand side.
      solve: ``solve(matvec, b)`` returns the solution, which is not checked.
      transpose_solve: ``transpose_solve(vecmat, b)`` solves with the transposed map. Needed for
        reverse mode, unless `symmetric`.
      symmetric: the map is its own transpose; `solve` then serves both.
      has_aux: the solves return ``(x, aux)``; aux is returned and not differentiated.

    Returns:
      The solution, or ``(solution, aux)``.

    Raises:
      TypeError: a function returns another structure than that of `b`; in reverse mode, there is
        no `transpose_solve`.
      ValueError: a function returns other shapes than those of `b`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> def f(a):
      ...     return custom_linear_solve(
      ...         lambda x: a * x, 6.0, lambda mv, b: b / mv(1.0), symmetric=True
      ...     )
      >>> float(f(2.0)), float(jaxcore.grad(f)(2.0))
      (3.0, -1.5)
    """
    require_function("custom_linear_solve", "matvec", matvec)
    require_function("custom_linear_solve", "solve", solve)
    if transpose_solve is None and symmetric:
        transpose_solve = solve
    if not ours():
        args = (matvec, b, solve, transpose_solve, symmetric, has_aux)
        return jax.lax.custom_linear_solve(*args)
    tree: Any
    leaves, tree = jax.tree.flatten(b)
    avals = [aval_of(x) for x in leaves]
    one = jax.tree_util.treedef_tuple([tree])

    def checked(name: str, fun: Callable[[Any], Any], aux: bool) -> tuple[Program, list[Any], Any]:
        program, consts, out_tree = trace_body(fun, one, avals, name)
        x_tree = out_tree
        if aux:
            parts = jax.tree_util.treedef_children(out_tree)
            if len(parts) != 2:
                raise TypeError(
                    f"custom_linear_solve: {name} must return a pair (x, aux) because "
                    f"has_aux=True; got {out_tree}."
                )
            x_tree = parts[0]
        _same_structure("custom_linear_solve", name, "b", x_tree, tree)
        shapes = [a.shape for a in program.out_avals[: len(avals)]]
        if shapes != [a.shape for a in avals]:
            raise ValueError(
                f"custom_linear_solve: {name} must return the shapes of b, "
                f"{[a.shape for a in avals]}; got {shapes}."
            )
        return program, consts, out_tree

    forward, forward_consts, _ = checked("matvec", matvec, False)
    solver, solver_consts, out_tree = checked("solve", lambda x: solve(matvec, x), has_aux)
    back: Program | None = None
    back_solver: Program | None = None
    back_consts: list[Any] = []
    back_solver_consts: list[Any] = []
    if transpose_solve is not None:
        transposed = matvec if symmetric else _transposed(forward, forward_consts, tree)
        back, back_consts, _ = checked("vecmat", transposed, False)
        back_solver, back_solver_consts, _ = checked(
            "transpose_solve", lambda x: transpose_solve(transposed, x), has_aux
        )
    consts = [forward_consts, back_consts, solver_consts, back_solver_consts]
    results = bind(
        linear_solve_p,
        *(c for group in consts for c in group),
        *leaves,
        matvec=forward,
        vecmat=back,
        solve=solver,
        transpose_solve=back_solver,
        counts=tuple(len(group) for group in consts),
    )
    return jax.tree.unflatten(out_tree, results)


def _transposed(program: Program, consts: Sequence[Any], tree: Any) -> Callable[[Any], Any]:
    """The transpose of a linear function whose program takes `consts` first."""
    n = len(program.inputs) - len(consts)
    linear = (False,) * len(consts) + (True,) * n

    def vecmat(ct: Any) -> Any:
        back = transpose_program(program, linear, (True,) * n)
        results = iter(call(back.program, [*back.consts, *consts, *jax.tree.leaves(ct)]))
        avals = program.in_avals[len(consts) :]
        found = [
            next(results) if there else zeros(a)
            for there, a in zip(back.present, avals, strict=True)
        ]
        return jax.tree.unflatten(tree, found)

    return vecmat
