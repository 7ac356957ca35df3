"""Values asked for while tracing, loops and branches, keys, arguments of transformations."""

import math

from promises.mistakes import N, W, X, jax, np, table

ROWS, mistake = table()


@mistake(jax.errors.TracerBoolConversionError, "total float32[] > 0 int", "jaxcore.lax.cond")
def python_if(m):
    def f(x):
        total = m.numpy.sum(x)
        if total > 0:  # wrong
            return x
        return -x

    m.jit(f)(X)


@mistake(ValueError, "bool[2,8]", "logical_and")
def and_of_arrays(m):
    def f(x):
        return (x > 0) and (x < 1)  # wrong

    m.jit(f)(X)


@mistake(jax.errors.ConcretizationTypeError, "x.sum() float32[]", "x.astype(...)")
def float_of_a_tracer(m):
    def f(x):
        return x * float(x.sum())  # wrong

    m.jit(f)(X)


@mistake(jax.errors.ConcretizationTypeError, "total float32[]", "instead of math")
def math_function(m):
    def f(x):
        total = x.sum()
        return math.sqrt(total)  # wrong

    m.jit(f)(X)


@mistake(jax.errors.ConcretizationTypeError, "x.sum() float32[]")
def item(m):
    def f(x):
        return x.sum().item()  # wrong

    m.jit(f)(X)


@mistake(jax.errors.TracerArrayConversionError, "x float32[2,8]", "jaxcore.numpy instead of numpy")
def numpy_function(m):
    def f(x):
        return np.sin(x)  # wrong

    m.jit(f)(X)


@mistake(jax.errors.TracerIntegerConversionError, "n ~int32[]", "static", "fori_loop")
def python_range(m):
    def f(n, x):
        for _ in range(n):  # wrong
            x = x * 2
        return x

    m.jit(f)(3, X)


@mistake(jax.errors.TracerIntegerConversionError, "i ~int32[]")
def list_of_layers(m):
    def f(i, x):
        return [x, -x][i]  # wrong

    m.jit(f)(1, X)


@mistake(TypeError, "n ~int32[]", "static_argnames")
def shape_from_an_argument(m):
    def f(n):
        return m.numpy.zeros((n, 2))  # wrong

    m.jit(f)(3)


@mistake(jax.errors.ConcretizationTypeError, "n ~int32[]", "static_argnames")
def range_from_an_argument(m):
    def f(n):
        return m.numpy.arange(n)  # wrong

    m.jit(f)(3)


@mistake(jax.errors.ConcretizationTypeError, "x float32[2,8]", "size=")
def size_known_later(m):
    def f(x):
        return m.numpy.nonzero(x)  # wrong

    m.jit(f)(X)


@mistake(TypeError, "float32[]", "iteration over a 0-d array")
def loop_over_a_scalar(m):
    def f(x):
        return [row for row in x.sum()]  # noqa: C416  # wrong

    m.jit(f)(X)


@mistake(TypeError, "'.3f'", "debug.print")
def formatted_tracer(m):
    def f(x):
        return x, print(f"{x.sum():.3f}")  # wrong

    m.jit(f)(X)


@mistake(jax.errors.UnexpectedTracerError, "float32[2,8]", "kept.append(m.numpy.sin(x))")
def leaked_tracer(m):
    kept = []

    def f(x):
        kept.append(m.numpy.sin(x))
        return x

    m.jit(f)(X)
    m.jit(lambda y: y + kept[0])(X)  # wrong


@mistake(TypeError, "carry['h']: in float32[3], out float32[4]", "made by dot_general at")
def scan_carry(m):
    def body(carry, x):
        h = carry["h"] @ np.ones((3, 4), np.float32)
        return {"h": h}, x

    m.lax.scan(body, {"h": m.numpy.zeros(3)}, N)  # wrong


@mistake(TypeError, "n int32[3]", "h = x @ w", "carry: in float32[2], out float32[]")
def scan_carry_inside_jit(m):
    def body(x, n):
        w = m.numpy.ones(2)
        h = x @ w
        return h, n

    def f(n):
        return m.lax.scan(body, m.numpy.zeros(2), n)  # wrong

    m.jit(f)(N)


@mistake(TypeError, "PyTreeDef")
def scan_structure(m):
    def f(x):
        return m.lax.scan(lambda carry, x: ((carry, carry), x), 0.0, x)  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]")
def scan_without_output(m):
    def f(x):
        return m.lax.scan(lambda carry, x: carry + x.sum(), 0.0, x)  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]", "w float32[9,4]", "leading")
def scan_sizes(m):
    def f(x, w):
        return m.lax.scan(lambda carry, xs: (carry, xs), 0.0, (x, w))  # wrong

    m.jit(f)(X, W)


@mistake(TypeError, "x float32[2,8]", "float32[2,8]", "boolean scalar")
def while_condition(m):
    def f(x):
        return m.lax.while_loop(lambda x: x > 0, lambda x: x - 1, x)  # wrong

    m.jit(f)(X)


@mistake(TypeError, "in float32[2,8], out float32[8]", "made by squeeze at")
def fori_loop_carry(m):
    def f(x):
        return m.lax.fori_loop(0, 3, lambda i, x: x[0], x)  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]", "float32[2,8]", "float32[]")
def branches_of_other_shapes(m):
    def f(x):
        return m.lax.cond(x[0, 0] > 0, lambda x: x, lambda x: x.sum(), x)  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]", "bool[2,8]", "where")
def predicate_of_an_array(m):
    def f(x):
        return m.lax.cond(x > 0, lambda x: x, lambda x: -x, x)  # wrong

    m.jit(f)(X)


@mistake(ValueError, "lax.scan")
def gradient_of_a_while_loop(m):
    def f(x):
        return m.lax.while_loop(lambda x: x < 3.0, lambda x: x * 2, x)

    m.grad(f)(1.0)  # wrong


@mistake(TypeError, "seed", "jaxcore.random.key(0)")
def seed_in_place_of_a_key(m):
    seed = 0
    m.random.normal(seed, (3,))  # wrong


@mistake(ValueError, "keys key<fry>[2]", "vmap")
def many_keys_in_place_of_one(m):
    keys = m.random.split(m.random.key(0))
    m.random.normal(keys, (3,))  # wrong


@mistake(TypeError, "key key<fry>[] + 1 int")
def arithmetic_on_a_key(m):
    def f(key):
        return m.random.normal(key + 1)  # wrong

    m.jit(f)(m.random.key(0))


@mistake(TypeError, "argument x of loss", "~int32[]", "1.0 instead of 1")
def gradient_of_an_integer(m):
    def loss(x):
        return x * 2.0

    m.grad(loss)(3)  # wrong


@mistake(TypeError, "float32[2,8]", "mean or sum")
def gradient_of_a_vector(m):
    def loss(x):
        return x * 2.0

    m.grad(loss)(X)  # wrong


@mistake(TypeError, "params['name']", "'resnet'")
def text_in_the_parameters(m):
    def loss(params):
        return params["w"].sum()

    m.grad(loss)({"w": X, "name": "resnet"})  # wrong


@mistake(ValueError, "axis 0 of x float32[2,8] has size 2", "axis 0 of w float32[9,4] has size 9")
def mapped_sizes(m):
    def f(x, w):
        return x

    m.vmap(f)(X, W)  # wrong


@mistake(ValueError, "argument w", "~float32[]", "in_axes=None")
def mapped_scalar(m):
    def f(x, w):
        return x * w

    m.vmap(f)(X, 2.0)  # wrong


@mistake(TypeError, "x float32[8] @ w float32[9,4]")
def shape_inside_vmap(m):
    def f(x, w):
        return x @ w  # wrong

    m.vmap(f, in_axes=(0, None))(X, W)


@mistake(TypeError, "h float32[2,8] @ w float32[9,4]")
def shape_inside_a_gradient(m):
    def loss(w, x):
        h = m.numpy.tanh(x)
        return (h @ w).sum()  # wrong

    m.jit(m.value_and_grad(loss))(W, X)


@mistake(ValueError, "static argument shape", "[2, 3]", "a tuple instead of a list")
def unhashable_static_argument(m):
    def f(x, shape):
        return x.reshape(shape)

    m.jit(f, static_argnames="shape")(X[:, :3], shape=[2, 3])  # wrong


@mistake(TypeError, "Argument mode of f", "'train'", "static_argnames")
def text_that_is_not_static(m):
    def f(x, mode):
        return x if mode == "train" else -x

    m.jit(f)(X, "train")  # wrong


@mistake(TypeError, "The value that f returns at ['name']", "'layer'")
def text_in_the_result(m):
    def f(x):
        return {"x": x, "name": "layer"}

    m.jit(f)(X)  # wrong


@mistake(ValueError, "no argument named 'train'")
def static_argument_that_is_not_there(m):
    def f(x):
        return x

    m.jit(f, static_argnames="train")(X)  # wrong


@mistake(ValueError, "float32[2,8]", "got float32[3]")
def cotangent_of_another_type(m):
    _, back = m.vjp(lambda x: x * 2, X)
    back(np.ones(3, np.float32))  # wrong


@mistake(TypeError, "primal x", "~float32[]", "~int32[]")
def tangent_of_another_type(m):
    def f(x):
        return x * 2

    m.jvp(f, (1.0,), (1,))  # wrong


@mistake(Exception, "state['w'] of step", "float32[3]", "state = step(start, 1.0)")
def donated_array_used_again(m):
    def step(state, x):
        return {"w": state["w"] + x}

    step = m.jit(step, donate_argnums=0)
    start = {"w": m.numpy.zeros(3)}
    state = step(start, 1.0)
    state = step(state, 1.0)
    step(start, 1.0)  # wrong


@mistake(Exception, "Argument x of add", "donated as state to the call of step", "step, donate")
def donated_array_in_an_operation(m):
    def step(state):
        return state + 1.0

    x = m.numpy.zeros(3)
    m.jit(step, donate_argnums=0)(x)
    m.numpy.add(x, 1.0)  # wrong
