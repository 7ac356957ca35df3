"""Operations outside `jit`: one cached executable for each operation, and for each program that
repeats.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.ir import Literal, Program, Var, param_key
from jaxcore.primitive import Primitive

__all__ = ["execute", "remember", "run"]

_LIMIT = 4096


def run(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """Apply one primitive to concrete values."""
    from jaxcore.ops.call import call_p

    if primitive is call_p:
        return execute(params["program"], args)
    key = (param_key(params), backend.trace_context()) if params else None
    function = primitive.eager_memo.get(key)
    if function is None:
        function = _function(primitive, args, params)
        if len(primitive.eager_memo) > _LIMIT:
            primitive.eager_memo.clear()
        primitive.eager_memo[key] = function
    try:
        return function(*args)  # a tracer among them is a leak, which the cache miss reports
    except backend.NonFinite as error:
        from jaxcore.debug import non_finite_operation

        raise non_finite_operation(error, primitive.name) from None
    except (RuntimeError, ValueError) as error:
        refuse_deleted(error, args, primitive.name)
        raise


def refuse_deleted(error: Exception, args: Sequence[Any], name: str) -> None:
    """Raise in our words what the runtime says of an operand whose memory is gone."""
    if "deleted" in str(error):
        for i, x in enumerate(args):
            if isinstance(x, jax.Array) and not isinstance(x, backend.Tracer) and x.is_deleted():
                raise errors.deleted(x, f"Operand {i} of {name}") from None


def _function(
    primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> Callable[..., list[Any]]:
    """What applies `primitive` to concrete values: an executable, or a call of Python at once."""
    from jaxcore.jit import jit
    from jaxcore.trace import aval_of, bind

    effects, theirs = primitive.effects, primitive.jax
    if theirs is not None and effects is not None and effects([aval_of(x) for x in args], params):
        bind_now = partial(theirs.bind, **params)
        return bind_now if theirs.multiple_results else lambda *args: [bind_now(*args)]

    def operation(*args: Any) -> list[Any]:
        if backend.at_top_level():  # under jax.disable_jit: one operation is compiled all the same
            with jax.disable_jit(False):
                return compiled(*args)
        out = bind(primitive, *args, **params)
        return out if primitive.multiple_results else [out]

    operation.__name__ = operation.__qualname__ = primitive.name
    compiled: Callable[..., list[Any]] = jit(operation).dispatch
    return compiled


# Programs are interned weakly; the executables that eager code runs keep theirs alive, the least
# recent goes first.
_recent: OrderedDict[int, tuple[Program, Callable[..., list[Any]]]] = OrderedDict()


_remembered: OrderedDict[int, Program] = OrderedDict()


def remember(program: Program) -> Program:
    """Keep `program` and what is memoised on it for the next time this derivative is taken."""
    if id(program) not in _remembered:
        _remembered[id(program)] = program
        if len(_remembered) > _LIMIT:
            _remembered.popitem(last=False)
    return program


def execute(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run `program` on concrete values as one executable."""
    if not program.equations:
        env = dict(zip(program.inputs, args, strict=True))
        return [_array(env[x] if type(x) is Var else x) for x in program.outputs]  # type: ignore[index]
    entry = _recent.get(id(program))
    if entry is None:
        entry = _recent[id(program)] = (program, _program_function(program))
        if len(_recent) > _LIMIT:
            _recent.popitem(last=False)
    try:
        return entry[1](*args)
    except backend.NonFinite as error:
        from jaxcore.debug import non_finite_call

        raise non_finite_call(error, program.name, program, args) from None
    except (RuntimeError, ValueError) as error:
        refuse_deleted(error, args, program.name)
        raise


def _array(x: Any) -> Any:
    """A value that no executable made, as one that an executable would have made."""
    if isinstance(x, Literal):
        from jaxcore.trace import literal_value

        x = literal_value(x)
    if isinstance(x, jax.Array) or getattr(x, "dtype", None) == backend.float0:
        return x
    return jax.numpy.asarray(x)


def _program_function(program: Program) -> Callable[..., list[Any]]:
    from jaxcore.jit import jit_program

    return jit_program(program)
