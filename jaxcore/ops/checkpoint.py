"""`checkpoint`: a function whose derivative computes its intermediate values again.

An equation holds the function's program and the policy that says what may be kept all the same. Its
derivative is one more equation of the primitive, with `again` set: from arguments, kept values and
tangents (or, transposed, cotangents) to the result, with everything between computed again. That
one is lowered behind a barrier, so that XLA neither merges the second computation with the first
nor begins it before the backward pass gets there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.ad_checkpoint import Offloadable, Recompute

from jaxcore import backend, errors
from jaxcore.ir import Equation, Program, Var, intern
from jaxcore.ops.call import call_p, run_program
from jaxcore.primitive import Linear, Primitive, mirror
from jaxcore.source import HERE
from jaxcore.trace import bind, trace_program

__all__ = ["Policy", "checkpoint_p", "name_p"]


class Policy:
    """Asks a policy of JAX's kind, ``policy(primitive, *avals, **params)``, about an equation.

    Policies know JAX's primitives, so they are shown the one that ours mirrors. Equal where they
    ask the same function; None keeps nothing.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self.function = function

    def __call__(self, eq: Equation) -> bool:
        if self.function is None:
            return False
        primitive: Any = eq.primitive
        params = eq.params
        if primitive.jax is not None:
            primitive, params = primitive.jax, primitive.jax_params(params)
        answer = self.function(primitive, *[x.aval for x in eq.inputs], **params)
        if isinstance(answer, Offloadable):
            raise NotImplementedError(
                f"checkpoint: the policy {self!r} asks to offload the result of "
                f"'{eq.primitive.name}' to {answer.dst!r}, but values are kept on the device or "
                f"computed again.\n  Your line: {errors.describe_source(eq.source)}\n"
                "Fix: keep the value (jaxcore.checkpoint_policies.save_only_these_names), or "
                "let it be computed again."
            )
        return bool(answer) and not isinstance(answer, type(Recompute))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        if self.function is None:
            return "nothing"
        return getattr(self.function, "__name__", type(self.function).__name__)


def _linearize(
    avals: Sequence[Any],
    active: tuple[bool, ...],
    *,
    program: Program,
    policy: Policy,
    prevent_cse: tuple[bool, ...],
    again: bool,
) -> Any:
    from jaxcore.passes.remat import plan
    from jaxcore.transforms.linearize import Linearized, linearize_program

    split = linearize_program(program, active)
    n_in, n_out, n_consts = len(avals), len(program.outputs), len(split.consts)
    missing = {r - n_in for r in split.residuals if r >= n_in}
    wanted = tuple([i in missing for i in range(len(split.primal.outputs))])
    kept = plan(split.primal, wanted, policy)
    uses_const, uses_in = kept.uses[:n_consts], kept.uses[n_consts:]
    known = [i for i in range(n_in) if uses_in[i] or i in split.residuals]

    def tangents_out(*values: Any) -> list[Any]:
        """What the backward pass begins with: the residuals again, then the linear part."""
        at = sum(uses_const)
        given = dict(zip(known, values[at : at + len(known)], strict=True))
        rest = values[at + len(known) :]
        saved, tangents = rest[: len(kept.kept)], rest[len(kept.kept) :]
        used = [given[i] for i in known if uses_in[i]]
        made = iter(run_program(kept.again, [*values[:at], *used, *saved]))
        redone = {i: next(made) for i, on in enumerate(wanted) if on}
        residuals = [given[r] if r < n_in else redone[r - n_in] for r in split.residuals]
        return run_program(split.linear, [*residuals, *tangents])

    consts = [v for v, on in zip(split.primal.inputs, uses_const, strict=False) if on]
    residual_avals = [v.aval for v in consts] + [avals[i] for i in known]
    residual_avals += [v.aval for v in kept.kept]
    tangent_avals = split.linear.in_avals[len(split.residuals) :]
    body, captured = trace_program(tangents_out, [*residual_avals, *tangent_avals], program.name)
    assert not captured
    linear = Program(body.inputs, body.equations, body.outputs, "linear")
    if kept.again.equations:
        pins = [any(prevent_cse)] * len(body.inputs)
        pins[len(consts) : len(consts) + len(known)] = [prevent_cse[i] for i in known]
        params = {"program": body, "policy": policy, "prevent_cse": tuple(pins), "again": True}
        linear = _one_equation(checkpoint_p, body, params, "linear", HERE.during("derivative"))

    forward = kept.forward([i < n_out for i in range(len(wanted))])
    taken = [v for v, on in zip(forward.inputs, uses_const, strict=False) if on]
    forward = intern(
        Program(forward.inputs, forward.equations, [*forward.outputs, *taken], program.name)
    )
    first = n_in + n_out
    residuals = [first + len(kept.kept) + j for j in range(len(consts))] + known
    residuals += [first + j for j in range(len(kept.kept))]
    primal = _one_equation(call_p, forward, {"program": forward}, program.name, HERE)
    return Linearized(intern(primal), split.consts, intern(linear), tuple(residuals), split.active)


def _one_equation(
    primitive: Primitive, like: Program, params: dict[str, Any], name: str, source: Any
) -> Program:
    """A program of one equation, with the inputs and outputs of `like`."""
    inputs, outputs = [Var(a) for a in like.in_avals], [Var(a) for a in like.out_avals]
    return Program(inputs, [Equation(primitive, inputs, outputs, params, source)], outputs, name)


def _transpose(
    cts: list[Any],
    args: Sequence[Any],
    *,
    program: Program,
    policy: Policy,
    prevent_cse: tuple[bool, ...],
    again: bool,
) -> list[Any]:
    from jaxcore.transforms.transpose import transpose_program

    linear = tuple(type(a) is Linear for a in args)
    present = tuple(ct is not None for ct in cts)
    back = transpose_program(program, linear, present)
    known = [a for a in args if type(a) is not Linear]
    given = [ct for ct in cts if ct is not None]
    pins = [on for on, is_linear in zip(prevent_cse, linear, strict=True) if not is_linear]
    pins = [False] * len(back.consts) + pins + [any(prevent_cse)] * len(given)
    results = iter(
        bind(
            checkpoint_p,
            *back.consts,
            *known,
            *given,
            program=back.program,
            policy=policy,
            prevent_cse=tuple(pins),
            again=again,
        )
    )
    filled = iter(back.present)
    return [next(results) if is_linear and next(filled) else None for is_linear in linear]


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    prevent_cse: tuple[bool, ...],
    **params: Any,
) -> Any:
    from jaxcore.transforms.vmap import batch_program

    batched = batch_program(program, size, tuple(dims))
    pins = (False,) * len(batched.consts) + prevent_cse
    operands = [*batched.consts, *args]
    params = {"program": batched.program, "prevent_cse": pins, **params}
    return bind(checkpoint_p, *operands, **params), batched.dims


def _lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Sequence[Any],
    avals_out: Any,
    *,
    program: Program,
    prevent_cse: tuple[bool, ...],
    again: bool,
    policy: Policy,
) -> Any:
    if again and any(prevent_cse):
        pinned = [i for i, on in enumerate(prevent_cse) if on]
        types, values = [avals_in[i] for i in pinned], [operands[i] for i in pinned]
        operands = list(operands)
        for i, value in zip(pinned, b.op("stablehlo.optimization_barrier", types, values).results):
            operands[i] = value
    return b.call(program, operands)


def _cost(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
    from jaxcore.cost import program_flops

    return program_flops(program)


checkpoint_p = Primitive(
    "checkpoint",
    lambda *avals, program, **_: program.out_avals,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)


@mirror(backend.remat_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    program, consts = program_from_jaxpr(backend.close_jaxpr(params["jaxpr"]), "checkpoint")
    pins = params["prevent_cse"]
    if isinstance(pins, bool):
        pins = (pins,) * len(args)
    ours = {
        "program": program,
        "policy": Policy(params["policy"]),
        "prevent_cse": (False,) * len(consts) + tuple(pins),
        "again": params["differentiated"],
    }
    return checkpoint_p, [*consts, *args], ours


name_p = Primitive(
    "name",
    lambda x, *, name: x,
    jvp=lambda primals, tangents, *, name: (bind(name_p, *primals, name=name), tangents[0]),
    batch=lambda size, args, dims, *, name: (bind(name_p, *args, name=name), dims[0]),
    lower=lambda b, operands, avals_in, avals_out, *, name: operands,
    cost=lambda avals_in, avals_out, *, name: 0,
    jax=backend.name_p,
)
