"""A gradient's front end is linear in the equations, also at any depth of control flow."""

import sys
from collections import Counter

import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import ir, lax, verify
from jaxcore.transforms import linearize, transpose

X = np.linspace(-1.0, 1.0, 3, dtype=np.float32)


def nested(depth, number=0):
    """A function with `depth` levels of scan and cond, in turn; no two levels are equal, nor are
    those of functions with different numbers.
    """

    def body(x):
        return jnp.sin(x) * x

    for level in range(100 * number + 1, 100 * number + depth + 1):

        def body(x, inner=body, level=level):
            x = jnp.cos(x * level)
            if level % 2:
                return lax.scan(lambda c, _: (inner(c), None), x, None, length=3)[0]
            return lax.cond(jnp.sum(x) > level, inner, lambda x: jnp.tanh(x - level), x)

    return body


def layers(count):
    """`count` layers in a Python loop."""

    def f(x):
        for _ in range(count):
            x = jnp.sin(x) * x
        return x

    return f


def blocks(count):
    """`count` calls of a function with one name."""

    def f(x):
        for _ in range(count):
            x = jaxcore.block(lambda x: jnp.sin(x) * x, x, name="layer")
        return x

    return f


def trace(f):
    """The program of a gradient."""
    jaxcore.clear_caches()
    return jaxcore.jit(jaxcore.grad(lambda x: jnp.sum(f(x)))).trace(X)


class Visits:
    """Counts how often passes look at an equation: whenever they go over a program.

    Building a program and comparing it with those that exist, once for each program, does not
    count, nor do the rules of primitives: their programs of a few equations are looked at
    wherever the primitive occurs, which is the visit of that equation.
    """

    def __init__(self, monkeypatch):
        self.kept, self.rules = [], set()
        self.of: Counter[int] = Counter()
        visits = self

        class Equations(tuple):
            def __iter__(self):
                counts = sys._getframe(1).f_code.co_filename != ir.__file__
                for eq in tuple.__iter__(self):
                    visits.of[id(eq)] += counts
                    yield eq

        def construct(program, *args, construct=ir.Program.__init__):
            construct(program, *args)
            program.equations = Equations(program.equations)
            self.kept.append(program)

        def split(*args, split=linearize.split_jvp):
            found = split(*args)
            for program in (found.primal, found.linear):
                self.rules.update(id(eq) for eq in tuple.__iter__(program.equations))
            return found

        def transposed(eq, *args, transposed=transpose._transpose_equation):
            self.of[id(eq)] += 1
            transposed(eq, *args)

        monkeypatch.setattr(ir.Program, "__init__", construct)
        monkeypatch.setattr(linearize, "split_jvp", split)
        monkeypatch.setattr(transpose, "_transpose_equation", transposed)

    def forget(self):
        """Give the programs that were made their own tuples again."""
        for program in self.kept:
            program.equations = tuple(program.equations)

    def most(self):
        """The visits of the equation with most of them."""
        return max(n for eq, n in self.of.items() if eq not in self.rules)


@pytest.fixture
def visits(monkeypatch):
    """A counter; the verifier, which looks at everything once more, is off."""
    before = verify.always(False)
    counter = Visits(monkeypatch)
    yield counter
    counter.forget()
    verify.always(before)


@pytest.mark.parametrize("depth", [0, 1, 4, 8])
def test_an_equation_is_visited_at_most_4_times(visits, depth):
    trace(nested(depth))
    assert 0 < visits.most() <= 4


def test_levels_of_control_flow_add_up(visits):
    """Not multiply: each two further levels cost the same."""
    totals = []
    for depth in (2, 2, 4, 6, 8):
        visits.of.clear()
        trace(nested(depth, number=len(totals)))
        totals.append(visits.of.total())
    steps = np.diff(totals[1:])  # the first one also looks at the rules of primitives
    assert steps.min() > 0 and steps.max() <= 1.1 * steps[0]


def calls_of(f):
    """How many functions Python calls, and C functions from Python, to trace a gradient."""
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        trace(f)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("many", [layers, blocks])
def test_1000_layers_trace_in_at_most_11_times_the_work_of_100(visits, many):
    trace(many(2))  # the modules that it imports
    work = []
    for count in (100, 1000):
        visits.of.clear()
        work.append((calls_of(many(count)), visits.of.total()))
    assert np.all(np.divide(work[1], work[0]) <= 11), work
    assert work[1][1] >= 1000
