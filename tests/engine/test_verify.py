"""The verifier: right programs pass, and each rule of the IR catches a program that breaks it."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import ir, lax, verify
from jaxcore.backend import ShapedArray
from jaxcore.ir import Equation, Literal, Program, Var
from jaxcore.ops.call import call_p
from jaxcore.primitive import Primitive
from jaxcore.source import Source
from jaxcore.trace import StageTrace
from jaxcore.verify import VerificationError

F32 = ShapedArray((3,), np.dtype(np.float32))
WEAK = ShapedArray((3,), np.dtype(np.float32), weak_type=True)
I32 = ShapedArray((3,), np.dtype(np.int32))
SCALAR = ShapedArray((), np.dtype(np.float32))
HERE = Source(None, 0, "")
X = np.ones(3, np.float32)

same = Primitive("same", lambda *avals, **_: avals[0])
pair = Primitive("pair", lambda x: [x, x], multiple_results=True)
loud = Primitive("loud", lambda x: x, effects=lambda avals, params: frozenset({"noise"}))


def eq(primitive, inputs, outputs, **params):
    return Equation(primitive, inputs, outputs, params, HERE)


def chain():
    """a -> same -> b -> same -> c, a correct program."""
    a, b, c = Var(F32), Var(F32), Var(F32)
    return Program([a], [eq(same, [a], [b]), eq(same, [b], [c])], [c], "chain")


def refused(program, *words):
    with pytest.raises(VerificationError) as caught:
        verify.verify(program)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def loss(ws, x):
    for w in ws:
        x = jaxcore.block(lambda w, x: jnp.tanh(w * x), w, x, name="layer")
    return jnp.sum(x)


@pytest.mark.parametrize(
    "f",
    [
        loss,
        jaxcore.grad(loss, (0, 1)),
        jaxcore.vmap(jaxcore.grad(loss), (None, 0)),
        jaxcore.grad(lambda ws, x: jnp.sum(jaxcore.grad(loss, 1)(ws, x) ** 2)),
        lambda ws, x: jaxcore.jvp(lambda x: loss(ws, x), (x,), (x,)),
        lambda ws, x: jax.lax.scan(lambda c, w: (c * w, None), x, jnp.stack(ws))[0],
        lambda ws, x: jax.nn.gelu(jax.nn.relu(x)) + jnp.float16(2),
    ],
    ids=["value", "grad", "vmap-grad", "grad-grad", "jvp", "scan", "custom"],
)
def test_traced_programs_are_correct(f):
    verify.verify(jaxcore.make_jaxpr(f)([X, X * 2], X))


def test_the_model_of_these_tests_is_correct():
    verify.verify(chain())


def test_inputs_are_distinct():
    a = Var(F32)
    refused(Program([a, a], [], [a], "f"), "program 'f'", "input 1", "distinct")


def test_inputs_are_variables():
    refused(Program([Literal(np.float32(1), SCALAR)], [], [], "f"), "input 0", "variable")


def test_types_are_avals():
    refused(Program([Var(np.float32)], [], [], "f"), "input 0", "ShapedArray")


def test_an_operand_is_defined_before_use():
    p = chain()
    first, second = p.equations
    refused(
        Program(p.inputs, [second, first], p.outputs, "f"),
        "equation 0 (same)",
        "operand 0 (f32[3])",
        "later in this program",
    )


def test_an_operand_belongs_to_the_program():
    p, stranger, c = chain(), Var(F32), Var(F32)
    refused(
        Program(p.inputs, [eq(same, [stranger], [c])], [c], "f"),
        "equation 0",
        "nowhere in this program",
        "?f32[3]",
    )


def test_operands_are_atoms():
    c = Var(F32)
    refused(Program([], [eq(same, [X], [c])], [c], "f"), "operand 0", "variable or a literal")


def test_outputs_are_defined():
    refused(Program([], [], [Var(F32)], "f"), "program 'f'", "output 0", "nowhere")


def test_a_variable_is_assigned_once():
    p = chain()
    (a,), b = p.inputs, p.equations[0].outputs[0]
    refused(
        Program([a], [eq(same, [a], [b]), eq(same, [b], [b])], [b], "f"),
        "equation 1",
        "result 0",
        "a second time",
    )
    refused(Program([a], [eq(same, [a], [a])], [a], "f"), "equation 0", "a second time")
    refused(Program([a], [eq(pair, [a], [b, b])], [b], "f"), "result 1", "a second time")


@pytest.mark.parametrize("recorded", [WEAK, I32, SCALAR], ids=str)
def test_results_have_the_types_of_the_rule(recorded):
    a, b = Var(F32), Var(recorded)
    refused(Program([a], [eq(same, [a], [b])], [b], "f"), "result 0", "the type rule gives f32[3]")


def test_the_rule_accepts_the_operands():
    a, b, c = Var(F32), Var(I32), Var(F32)
    mul = jaxcore.make_jaxpr(lax.mul)(X, X).equations[0].primitive
    refused(Program([a, b], [eq(mul, [a, b], [c])], [c], "f"), "(mul)", "refuses the operands")


def test_the_number_of_results():
    a, b = Var(F32), Var(F32)
    refused(Program([a], [eq(pair, [a], [b])], [b], "f"), "1 results", "gives 2")


def test_a_parameter_holds_no_traced_value():
    trace = StageTrace("other")
    tracer = trace.value(Var(SCALAR))
    a, b = Var(F32), Var(F32)
    for value in (tracer, (1, [tracer])):
        refused(
            Program([a], [eq(same, [a], [b], scale=value)], [b], "f"),
            "'scale'",
            "traced value of type f32[]",
        )


def test_parameters_are_hashable():
    a, b = Var(F32), Var(F32)
    refused(Program([a], [eq(same, [a], [b], axes=[1])], [b], "f"), "'axes' = [1]", "hashable")
    verify.verify(Program([a], [eq(same, [a], [b], table=np.arange(3))], [b], "f"))


@pytest.mark.parametrize(
    "literal",
    [
        Literal(np.float16(1), SCALAR),
        Literal(np.ones(3, np.float32), F32),
        Literal(1.0, SCALAR),
        Literal(np.float32(1), F32),
    ],
    ids=["dtype", "array", "python", "shape"],
)
def test_literals_are_scalars_of_their_type(literal):
    refused(Program([], [], [literal], "f"), "output 0", "literal")


def test_call_operands_match_the_inputs_of_the_callee():
    def calling(*avals):
        inputs, out = [Var(a) for a in avals], Var(F32)
        return Program(inputs, [eq(call_p, inputs, [out], program=chain())], [out], "f")

    verify.verify(calling(F32))
    refused(calling(F32, F32), "2 operands for the 1 inputs of 'chain'")
    refused(calling(WEAK), "operand 0 has type ~f32[3]", "input 0 of 'chain' has type f32[3]")
    refused(calling(I32), "call[chain] a")


def test_called_programs_are_verified():
    p, b = chain(), Var(F32)
    broken = Program(p.inputs, [eq(same, [Var(F32)], [b])], [b], "inner")
    a, out = Var(F32), Var(F32)
    outer = Program([a], [eq(call_p, [a], [out], program=broken)], [out], "outer")
    refused(outer, "program 'inner'", "equation 0")


def test_a_called_program_is_verified_once(monkeypatch):
    callee = chain()
    seen = []
    rule = same.type
    monkeypatch.setattr(same, "type", lambda *avals, **p: seen.append(1) or rule(*avals, **p))
    a, b, c = Var(F32), Var(F32), Var(F32)
    equations = [eq(call_p, [a], [b], program=callee), eq(call_p, [b], [c], program=callee)]
    verify.verify(Program([a], equations, [c], "f"))
    assert len(seen) == len(callee.equations)


def test_effects_are_those_of_the_equations():
    a, b, c = Var(F32), Var(F32), Var(F32)
    assert Program([a], [eq(loud, [a], [b]), eq(same, [b], [c])], [c], "f").effects == {"noise"}
    assert Program([a], [eq(same, [a], [b])], [b], "f").effects == frozenset()


def test_effects_of_a_callee_count():
    a, b, c, d = Var(F32), Var(F32), Var(F32), Var(F32)
    callee = Program([a], [eq(loud, [a], [b])], [b], "g")
    caller = Program([c], [eq(call_p, [c], [d], program=callee)], [], "f")
    assert caller.effects == {"noise"}
    verify.verify(caller)


def test_no_equation_is_dead():
    p = chain()
    refused(Program(p.inputs, p.equations, p.inputs, "f"), "equation 1 (same)", "dead")


def test_a_program_does_not_change_after_its_key_was_taken():
    p = chain()
    assert p.key
    p.equations[0].params["axis"] = 1
    refused(p, "has changed")


def test_structure_is_immutable():
    p = chain()
    p.outputs = list(p.outputs)
    refused(p, "outputs must be a tuple")


def test_the_message_names_the_line_and_shows_the_equation():
    def f(x):
        return lax.sin(x)  # the line that is meant

    program = jaxcore.make_jaxpr(f)(X)
    old = program.equations[0]
    wrong = Equation(old.primitive, old.inputs, [Var(I32)], old.params, old.source)
    line = f.__code__.co_firstlineno + 1
    refused(
        Program(program.inputs, [wrong], wrong.outputs, "f"),
        f"test_verify.py:{line}",
        "b:i32[3] = sin a",
    )


def test_every_new_program_is_checked_on_request():
    a, b = Var(F32), Var(I32)  # `same` gives the type of its operand
    wrong = [Program([a], [eq(same, [a], [b])], [b], f"wrong {i}") for i in range(2)]
    before = verify.always(False)
    try:
        ir.intern(wrong[0])
        verify.always(True)
        with pytest.raises(VerificationError):
            ir.intern(wrong[1])
    finally:
        verify.always(before)
