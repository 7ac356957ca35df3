"""Passes that make programs smaller: what each removes, what it leaves, and switching it off."""

import collections

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import eager, lax, random
from jaxcore.ir import intern
from jaxcore.passes.simplify import PASSES, simplified
from jaxcore.verify import verify

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 3


def only(name):
    return tuple(p for p in PASSES if p != name)


def simple(fun, *args, off=()):
    """The simplified program of `fun`, which has to verify and to give the same values."""
    program = jaxcore.make_jaxpr(fun)(*args)
    found = simplified(program, off)
    verify(found)
    want = eager.execute(intern(program), list(args))
    for got, value in zip(eager.execute(intern(found), list(args)), want, strict=True):
        np.testing.assert_array_equal(got, value)
    assert simplified(found, off) is found
    return found


def names(program):
    return [eq.primitive.name for eq in program.equations]


# --- common subexpressions ------------------------------------------------------------------------


def test_equal_operations_are_one():
    f = lambda x: jnp.sin(x) * 2.0 + jnp.sin(x) * 2.0 + jnp.sin(x + 1.0)
    assert names(simple(f, X)) == ["sin", "mul", "add", "add", "sin", "add"]
    assert len(names(simple(f, X, off=("cse",)))) == 8


def test_parameters_types_and_bits_of_literals_tell_operations_apart():
    f = lambda x: (x.sum(0), x.sum(1), x.sum(0), x * 0.0, x * -0.0, x * np.nan, x * np.nan)
    counts = collections.Counter(names(simple(f, X)))
    assert counts == {"reduce_sum": 2, "mul": 3}
    g = lambda x: (x.astype("int32"), x.astype("int8"), jnp.zeros(3, "int32"), jnp.zeros(3))
    assert len(names(simple(g, X))) == 4


def test_equal_calls_are_one_call():
    @jaxcore.jit
    def inner(x):
        return jnp.sin(x), jnp.cos(x)

    found = simple(lambda x: inner(x)[0] + inner(x)[1], X)
    assert names(found) == ["call", "add"]
    assert names(simple(lambda x: inner(x)[0] + inner(x + 1.0)[1], X)).count("call") == 2


def test_random_bits_are_a_function_of_their_key():
    key = random.key(0)

    def f(key):
        a, b = random.split(key)
        return random.normal(a, (3,)), random.normal(b, (3,)), random.normal(a, (3,))

    first, second, third = eager.execute(intern(simple(f, key)), [key])
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


def test_effects_stay_all_of_them_and_in_order(capfd):
    def f(x):
        jax.debug.print("a {}", x[0], ordered=True)
        jax.debug.print("a {}", x[0], ordered=True)
        jax.debug.print("b {}", x[0], ordered=True)
        return x

    program = jaxcore.make_jaxpr(f)(np.ones(2, np.float32))
    assert len([eq for eq in simplified(program).equations if eq.effects]) == 3
    jaxcore.jit(f)(np.ones(2, np.float32))
    jax.effects_barrier()
    assert capfd.readouterr().out == "a 1.0\na 1.0\nb 1.0\n"


def test_what_is_told_to_stand_apart_does():
    f = lambda x: lax.optimization_barrier(x) + lax.optimization_barrier(x)
    assert names(simple(f, X)).count("optimization_barrier") == 2


# --- constant folding -----------------------------------------------------------------------------

IDENTITIES = {
    "mul": lambda x: x * 1.0,
    "mul left": lambda x: np.float32(1) * x,
    "mul ones": lambda x: x * jnp.ones((4, 3)),
    "div": lambda x: x / 1.0,
    "sub": lambda x: x - 0.0,
    "add": lambda x: x + -0.0,
    "reshape": lambda x: x.reshape(12).reshape(4, 3),
    "squeeze": lambda x: x[None].squeeze(0),
    "transpose": lambda x: lax.transpose(x, (0, 1)),
    "slice": lambda x: lax.slice(x, (0, 0), (4, 3)),
    "pad": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 0))),
    "select": lambda x: lax.select_n(True, x * 2.0, x),
    "where": lambda x: lax.select_n(lax.lt(1.0, 0.5), x, x * 2.0),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_what_changes_nothing_goes(case):
    assert names(simple(IDENTITIES[case], X, off=only("fold"))) == []


KEPT = {
    "the sign of zero": (lambda x: x + 0.0, "add"),
    "another type": (lambda x: x * jnp.ones((4, 3), "int32"), "mul"),
    "broadcast": (lambda x: x[:1] * jnp.ones((4, 3)), "mul"),
    "reversed": (lambda x: lax.transpose(x.reshape(2, 2, 3), (1, 0, 2)), "transpose"),
    "padded": (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (1, -1, 0))), "pad"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_changes_something_stays(case):
    fun, name = KEPT[case]
    assert name in names(simple(fun, X, off=only("fold")))


def test_infinite_complex_numbers_times_one_stay():
    z = np.array([np.inf + 1j], np.complex64)
    assert "mul" in names(simple(lambda z: z * (1 + 0j), z))


@pytest.mark.parametrize("a", [3.0, np.float32(0.1), 7, np.int8(100), True, np.float64(1e-40)])
def test_scalars_are_computed_to_the_same_bits(a):
    def f(x):
        b = jnp.asarray(a)
        one = lax.full_like(b, 1) if b.dtype != bool else jnp.asarray(False)
        values = [lax.max(b, one), lax.ne(b, one), lax.convert_element_type(b, "float32")]
        if b.dtype != bool:
            values += [lax.add(b, b), lax.sub(b, one), lax.mul(b, b), lax.neg(b)]
        if b.dtype.kind == "f":
            values.append(lax.div(one, lax.full_like(b, 3)))
        return [x, *values]

    found = simple(f, X)
    program = jaxcore.make_jaxpr(f)(X)
    assert len(found.equations) < len(program.equations) or not program.equations


def test_constants_and_operands_leave_calls():
    @jaxcore.jit
    def inner(x, y):
        return x, 3.0, jnp.sin(y)

    def f(x):
        same, three, sine = inner(x, x + 1.0)
        return same * three + sine

    found = simple(f, X)
    call_ = next(eq for eq in found.equations if eq.primitive.name == "call")
    assert len(call_.inputs) == len(call_.outputs) == 1


# --- dead code ------------------------------------------------------------------------------------


def program_in(found, name="call"):
    eq = next(eq for eq in found.equations if eq.primitive.name == name)
    return eq, eq.programs[0]


def test_dead_results_and_operands_leave_calls_that_have_them():
    @jaxcore.jit
    def inner(x, y):
        return jnp.sin(x), jnp.cos(y)

    found = simple(lambda x: inner(x, jnp.exp(x))[0], X)
    eq, callee = program_in(found)
    assert len(eq.inputs) == 1 and names(callee) == ["sin"] and "exp" not in names(found)


def test_a_callee_stays_one_where_any_call_needs_it():
    @jaxcore.jit
    def inner(x):
        return jnp.sin(x), jnp.cos(x), jnp.tan(x)

    found = simple(lambda x: inner(x)[0] + inner(x + 1.0)[1], X)
    callees = {eq.params["program"] for eq in found.equations if eq.primitive.name == "call"}
    assert [len(p.outputs) for p in callees] == [2]


def test_dead_code_through_calls_of_calls():
    @jaxcore.jit
    def low(x, y):
        return jnp.sin(x) + 1.0, jnp.cos(y) + 1.0

    @jaxcore.jit
    def high(x, y):
        a, b = low(x, y)
        return a * 2.0, b * 2.0

    eq, callee = program_in(simple(lambda x: high(x, jnp.exp(x))[0], X))
    assert len(eq.inputs) == 1 and len(program_in(callee)[0].outputs) == 1


def test_dead_carries_outputs_and_operands_of_scans():
    def body(carry, row):
        a, b, c = carry
        return (a + row, b * 2.0 + c, c + 1.0), (a, jnp.sin(row) * b, jnp.cos(row))

    def f(x):
        carry, ys = lax.scan(body, (x[0], x[1], x[2]), x)
        return carry[0], ys[2]

    eq, callee = program_in(simple(f, X), "scan")
    assert (eq.params["n_carry"], len(eq.outputs), len(callee.equations)) == (1, 2, 2)

    def g(x):  # the second carry feeds the first
        return lax.scan(lambda c, r: ((c[0] + c[1], c[1] + r), c[1]), (x[0], x[1]), x)[0][0]

    eq, _ = program_in(simple(g, X), "scan")
    assert (eq.params["n_carry"], len(eq.outputs)) == (2, 2)


def test_dead_results_of_branches():
    def f(x):
        yes, no = lambda x, y: (x + 1.0, jnp.sin(y)), lambda x, y: (x * 3.0, y)
        return lax.cond(x.sum() > 0, yes, no, x, jnp.exp(x))[0]

    found = simple(f, X)
    eq, _ = program_in(found, "cond")
    assert len(eq.inputs) == 2 and "exp" not in names(found)


def test_effects_of_dead_results_stay(capfd):
    @jaxcore.jit
    def inner(x):
        jax.debug.print("here")
        return jnp.sin(x), jnp.cos(x)

    jaxcore.jit(lambda x: inner(x)[0] * 0.0 + lax.scan(_printing, x, None, length=2)[0])(X)
    jax.effects_barrier()
    assert sorted(capfd.readouterr().out.split()) == ["here", "loop", "loop"]


def _printing(carry, _):
    jax.debug.print("loop")
    return carry, jnp.sin(carry)


def test_arguments_that_only_dead_code_read_are_not_bound():
    inner = jaxcore.jit(lambda x, y: (jnp.sin(x), jnp.cos(y)))
    f = jaxcore.jit(lambda x, y: inner(x, y)[0])
    assert "%arg1" not in f.lower(X, X).as_text()
    np.testing.assert_array_equal(f(X, X), np.asarray(jnp.sin(X)))


# --- arrays taken apart and put together ----------------------------------------------------------

WHOLE = {
    "stack of rows": lambda x: jnp.stack([x[i] for i in range(4)]),
    "stack of an iterated array": lambda x: jnp.stack(list(x)),
    "stack of columns": lambda x: jnp.stack([x[:, i] for i in range(3)], axis=1),
    "concatenated slices": lambda x: jnp.concatenate([x[:1], x[1:3], x[3:]]),
    "row of a stack": lambda x: jnp.stack([x[0], x, x[1]][1:2])[0],
    "split and joined": lambda x: jnp.concatenate(jnp.split(x, 2)),
}


@pytest.mark.parametrize("case", WHOLE)
def test_arrays_put_together_again_are_themselves(case):
    assert names(simple(WHOLE[case], X)) == []


def test_parts_are_slices_and_rows_are_operands():
    assert names(simple(lambda x: jnp.stack([x[1], x[2]]), X)) == ["slice"]
    stacked = lambda x: jnp.stack([jnp.sin(x), jnp.cos(x)])[1]
    assert names(simple(stacked, X)) == ["cos"]
    assert names(simple(lambda x: jnp.concatenate([x, jnp.sin(x)])[5:7], X)) == ["sin", "slice"]


OTHERS = {
    "out of order": lambda x: jnp.stack([x[1], x[0]]),
    "with a gap": lambda x: jnp.stack([x[0], x[2]]),
    "of two arrays": lambda x: jnp.stack([x[0], (x + 1.0)[1]]),
    "strided": lambda x: jnp.concatenate([x[::2], x[1::2]]),
    "another axis": lambda x: jnp.stack([x[0], x[1]], axis=1),
    "across operands": lambda x: jnp.concatenate([x, x * 2.0])[3:5],
    "reversed": lambda x: jnp.concatenate([x[2:], x[:2]]),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_arrangements_stay(case):
    assert "concatenate" in names(simple(OTHERS[case], X, off=only("stack")))


def test_the_gradient_of_reading_rows_is_a_concatenation():
    def loss(x):
        return sum((x[i] ** 2).sum() * i for i in (3, 0, 2))

    found = simple(jaxcore.grad(loss), X)
    assert names(found).count("concatenate") == 1 and "pad" not in names(found)
    np.testing.assert_allclose(jaxcore.jit(jaxcore.grad(loss))(X), jax.grad(loss)(X))


@pytest.mark.parametrize(
    "indices",
    [
        (slice(0, 2), slice(1, 3)),
        (slice(0, 4, 2), slice(1, 4, 2)),
        (0, 0),
        (slice(0, 2), slice(3, 4)),
    ],
)
def test_sums_of_parts_that_overlap_or_leave_gaps(indices):
    def loss(x):
        return sum((x[i] ** 2).sum() for i in indices) + (x[:, 0] ** 3).sum()

    simple(jaxcore.grad(loss), X)
    np.testing.assert_allclose(jaxcore.jit(jaxcore.grad(loss))(X), jax.grad(loss)(X))


# --- bodies, derivatives, switches ----------------------------------------------------------------


def test_bodies_of_loops_and_branches_are_simplified():
    def f(x):
        body = lambda c, r: (c * 1.0 + jnp.sin(r) + jnp.sin(r), None)
        step = lambda c: c + jnp.sin(c) * jnp.sin(c) + 1.0
        x, _ = lax.scan(body, x[0], x)
        x = lax.while_loop(lambda c: (c.sum() - 0.0) < 9.0, step, x)
        return lax.cond(x.sum() > 0, lambda v: v * 1.0, lambda v: v + jnp.cos(v) + jnp.cos(v), x)

    found = simple(f, X)
    bodies = [p for eq in found.equations for p in eq.programs]
    assert [len(p.equations) for p in bodies] == [3, 2, 4, 3, 0]


def test_equal_blocks_stay_one_program():
    def model(ws, x):
        for w in ws:
            x = jaxcore.block(lambda w, x: jnp.tanh(x @ w) * 1.0 + x, w, x, name="layer")
        return x.sum()

    found = simplified(jaxcore.make_jaxpr(jaxcore.grad(model))([np.eye(3)] * 4, X))
    calls = [eq.params["program"] for eq in found.equations if eq.primitive.name == "call"]
    assert len(calls) == 8 and len(set(calls)) <= 4


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_can_be_switched_off(name):
    inner = jaxcore.jit(lambda x: (jnp.sin(x) * 1.0, jnp.cos(x)))

    def f(x):
        a, _ = inner(x)
        b, _ = inner(x)
        return a + b + jnp.stack([x[i] for i in range(4)])

    plain, without = jaxcore.jit(f), jaxcore.jit(f, passes={name: False})
    np.testing.assert_allclose(without(X), plain(X))
    texts = [g.lower(X).as_text() for g in (plain, without)]
    assert texts[0] != texts[1]
    assert jaxcore.jit(f, passes={name: True}).lower(X).as_text() == texts[0]


@pytest.mark.parametrize(
    ("passes", "kind", "message"),
    [
        ({"csi": False}, ValueError, "there is no pass 'csi'. Fix: one of stack, fold, dead, cse"),
        ({"cse": 0}, TypeError, "is not a dict of bools"),
        (("cse",), TypeError, "passes=\\('cse',\\) is not a dict"),
    ],
)
def test_switches_that_there_are_not(passes, kind, message):
    with pytest.raises(kind, match=message):
        jaxcore.jit(jnp.sin, passes=passes)


def test_nothing_is_simplified_where_every_line_counts():
    from jaxcore.ir import by_place

    program = jaxcore.make_jaxpr(lambda x: x * 1.0)(X)
    with by_place():
        assert simplified(program) is program
