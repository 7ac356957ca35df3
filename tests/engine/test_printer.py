"""Programs as text: what a person reads when a program is printed."""

import inspect
import re

import jax
import numpy as np
import pytest

import jaxcore
from jaxcore import lax
from jaxcore.backend import ShapedArray
from jaxcore.ir import Equation, Literal, Program, Var
from jaxcore.primitive import Primitive
from jaxcore.printer import format_equation, format_program, format_type
from jaxcore.source import Source

X = np.ones(3, np.float32)
HERE = Source(None, 0, "")


def show(f, *args, **options):
    return format_program(jaxcore.make_jaxpr(f)(*args), **options)


def expect(text, wanted):
    assert text == inspect.cleandoc(wanted)


def test_a_program_reads_like_a_jaxpr():
    expect(
        show(lambda x, y: lax.mul(lax.sin(x), y), X, X),
        """
        { lambda ; a:f32[3] b:f32[3]. let
            c:f32[3] = sin a
            d:f32[3] = mul c b
          in (d,) }
        """,
    )


def test_str_of_a_program_is_its_text():
    program = jaxcore.make_jaxpr(lax.sin)(X)
    assert str(program) == format_program(program) == program.pretty()
    assert program.pretty(sources=True) == format_program(program, sources=True)


def test_no_inputs_no_equations_no_outputs():
    expect(
        show(lambda: ()),
        """
        { lambda ; . let
          in () }
        """,
    )
    expect(
        show(lambda x: (x, x), 1.0),
        """
        { lambda ; a:~f32[]. let
          in (a, a) }
        """,
    )


def test_unused_inputs_and_results():
    def f(x, y):
        return jax.lax.top_k(x, 2)[1]

    assert re.search(r"\{ lambda ; a:f32\[3\] b:f32\[3\]\. let", show(f, X, X))
    assert re.search(r"_:f32\[2\] c:i32\[2\] = top_k", show(f, X, X))


@pytest.mark.parametrize(
    "value, aval, text",
    [
        (np.float32(2), ShapedArray((), np.dtype(np.float32), weak_type=True), "2.0"),
        (np.float32(0.1), ShapedArray((), np.dtype(np.float32)), "0.1:f32[]"),
        (np.int32(-3), ShapedArray((), np.dtype(np.int32), weak_type=True), "-3"),
        (np.int32(3), ShapedArray((), np.dtype(np.int32)), "3:i32[]"),
        (np.uint8(3), ShapedArray((), np.dtype(np.uint8)), "3:u8[]"),
        (np.True_, ShapedArray((), np.dtype(np.bool_)), "True"),
        (np.float16(2), ShapedArray((), np.dtype(np.float16), weak_type=True), "2.0:~f16[]"),
        (np.float32("nan"), ShapedArray((), np.dtype(np.float32), weak_type=True), "nan"),
        (np.float32(-0.0), ShapedArray((), np.dtype(np.float32), weak_type=True), "-0.0"),
    ],
)
def test_literals(value, aval, text):
    program = Program([], [], [Literal(value, aval)], "f")
    assert f"in ({text},) }}" in str(program)


@pytest.mark.parametrize(
    "aval, text",
    [
        (jax.typeof(1.0), "~f32[]"),
        (ShapedArray((2, 3), np.dtype(np.int8)), "i8[2,3]"),
        (ShapedArray((0,), np.dtype(np.bool_)), "bool[0]"),
        (ShapedArray((), np.dtype(np.complex64)), "c64[]"),
        (jax.typeof(jax.numpy.zeros(2, jax.numpy.bfloat16)), "bf16[2]"),
    ],
)
def test_types(aval, text):
    assert format_type(aval) == text


def test_type_of_keys():
    assert format_type(jax.typeof(jax.random.key(0))) == "key<fry>[]"


def dense(w, x):
    with jaxcore.name_scope("dense"):
        return lax.tanh(lax.mul(w, x))


def model(ws, x):
    for i, w in enumerate(ws):
        with jaxcore.name_scope(f"layer_{i}"):
            x = jaxcore.block(dense, w, x, name="layer")
    return x


def test_twelve_equal_blocks_are_one_definition_and_twelve_calls():
    text = show(model, [X] * 12, X)
    assert text.count("{ lambda") == 2
    assert text.count("tanh") == 1
    assert text.count("call[layer]") == 12


def test_called_functions_stand_before_their_callers():
    expect(
        show(model, [X] * 2, X),
        """
        let
          layer = { lambda ; a:f32[3] b:f32[3]. let
              c:f32[3] = mul a b
              d:f32[3] = tanh c
            in (d,) }
        in { lambda ; a:f32[3] b:f32[3] c:f32[3]. let
            d:f32[3] = call[layer] a c
            e:f32[3] = call[layer] b d
          in (e,) }
        """,
    )


def test_different_functions_of_one_name_get_different_names():
    def f(x):
        x = jaxcore.block(lax.sin, x, name="my layer")
        x = jaxcore.block(lax.cos, x, name="my layer")
        return jaxcore.block(lax.sin, x, name="my layer")

    text = show(f, X)
    assert re.findall(r"call\[(\w+)\]", text) == ["my_layer", "my_layer_1", "my_layer"]
    assert text.count("my_layer = {") == 1 and text.count("my_layer_1 = {") == 1


def test_module_paths_and_sources_are_shown_on_request():
    with_paths = show(model, [X] * 2, X, paths=True)
    assert re.search(r"tanh c  # dense\n", with_paths)
    assert re.search(r"call\[layer\] b d  # layer_1\n", with_paths)
    with_sources = show(model, [X] * 2, X, sources=True)
    line = inspect.getsourcelines(dense)[1] + 2
    assert re.search(rf"tanh c  # test_printer\.py:{line}\n", with_sources)
    both = show(model, [X] * 2, X, paths=True, sources=True)
    assert re.search(rf"tanh c  # dense test_printer\.py:{line}\n", both)
    assert "#" not in show(model, [X] * 2, X)


def test_parameters_of_every_kind_are_short_and_free_of_addresses():
    def rule():
        """Stands for a function in a parameter."""

    odd = Primitive("odd", lambda x, **_: x)
    aval = ShapedArray((), np.dtype(np.float32))
    a, b = Var(aval), Var(aval)
    params = {
        "axis": 0,
        "shape": (3,),
        "dtype": np.dtype(np.float32),
        "kind": np.int8,
        "missing": None,
        "mode": jax.lax.Precision.HIGHEST,
        "table": np.arange(3),
        "large": np.zeros((3, 4)),
        "rule": rule,
        "thing": object(),
        "names": ["x", "y"],
    }
    text = str(Program([a], [Equation(odd, [a], [b], params, HERE)], [b], "f"))
    text = " ".join(text.split())
    assert (
        "odd[axis=0 shape=(3,) dtype=float32 kind=int8 mode=HIGHEST table=[0, 1, 2] "
        "large=float64[3, 4] rule=rule thing=<object object> names=['x','y']] a"
    ) in text


def test_functions_of_jax_are_defined_by_name():
    def f(x):
        return jax.lax.scan(lambda c, y: (jax.lax.sin(c), y), x, np.ones(4, np.float32))[0]

    text = show(f, 1.0)
    names = re.findall(r"^  (\w+) = \{ lambda", text, re.M)
    assert names, text
    assert all(text.count(f"{n} = ") == 1 for n in names)
    assert "sin" in text


def test_long_lines_are_wrapped():
    xs = [X] * 40
    text = show(lambda xs: lax.concatenate(xs, 0), xs)
    assert max(map(len, text.splitlines())) <= 101
    assert len(re.findall(r":f32\[3\]", text)) == 40
    assert "bn:f32[3]. let" in " ".join(text.split())


def test_one_equation():
    program = jaxcore.make_jaxpr(lambda x: lax.mul(lax.sin(x), x))(X)
    assert format_equation(program, program.equations[1]) == "c:f32[3] = mul b a"
