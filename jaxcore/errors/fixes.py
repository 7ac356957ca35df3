"""What to do about an error whose message does not say it: by class, and by the message's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxcore.errors import classes

__all__ = ["documented_fix", "fix_for"]


@dataclass(frozen=True, slots=True)
class _Fix:
    kind: type[Exception]
    words: str
    text: str


_LATER = "a value that is known only when the program runs"

# The first row that fits counts.
_FIXES = [
    _Fix(
        classes.TracerBoolConversionError,
        "",
        "use jaxcore.numpy.where or jaxcore.lax.cond for a choice that depends on the value, or "
        "mark the argument static (jit(..., static_argnames=...)) if it is a plain Python value.",
    ),
    _Fix(
        classes.TracerArrayConversionError,
        "",
        "call the function of jaxcore.numpy instead of numpy's, or do this outside the traced "
        "function.",
    ),
    _Fix(
        classes.TracerIntegerConversionError,
        "",
        "mark the argument static (jit(..., static_argnames=...)) if it sets a shape or the "
        "length of a Python loop; index a jaxcore.numpy array instead of a list; use "
        f"jaxcore.lax.fori_loop for a loop over {_LATER}.",
    ),
    _Fix(
        classes.NonConcreteBooleanIndexError,
        "",
        "use jaxcore.numpy.where(mask, x, other), whose result has a fixed shape, or pass "
        "size=... to jaxcore.numpy.nonzero and index with what it returns.",
    ),
    _Fix(
        classes.ConcretizationTypeError,
        r"size argument|specify a (concrete|static) value|total_repeat_length",
        "give the result a fixed size (size=..., total_repeat_length=...), because shapes must be "
        "known while tracing.",
    ),
    _Fix(
        classes.ConcretizationTypeError,
        r"arange|linspace|jnp\.eye|[Ss]hapes must|axis|num",
        "mark the argument static (jit(..., static_argnames=...)): what sets a shape must be known "
        "while tracing.",
    ),
    _Fix(
        classes.ConcretizationTypeError,
        "",
        "keep the value an array (x.astype(...) instead of float(x) or int(x), jaxcore.numpy "
        "instead of math), use jaxcore.numpy.where or jaxcore.lax.cond for a choice that depends "
        "on it, or return it and convert it outside the traced function.",
    ),
    _Fix(
        classes.UnexpectedTracerError,
        "",
        "return the value from the function instead of storing it in a list, attribute or global.",
    ),
    _Fix(
        TypeError,
        r"immutable|item assignment",
        "write x = x.at[index].set(value), which returns a new array.",
    ),
    _Fix(
        TypeError,
        r"Cannot concatenate|concatenat",
        "the arrays are given as one list, of equal rank, and agree in every dimension but the one "
        "being joined; reshape or pad them.",
    ),
    _Fix(
        ValueError,
        r"All input arrays must have the same shape",
        "stack arrays of one shape; jaxcore.numpy.concatenate joins along an axis they have.",
    ),
    _Fix(
        TypeError,
        r"requires arguments to have the same dtypes",
        "convert one of them with x.astype(...), or use the function of jaxcore.numpy, which "
        "promotes.",
    ),
    _Fix(
        TypeError,
        r"PRNG key (data|seed)|expects random keys",
        "make a key of an integer with jaxcore.random.key(0), and pass the key.",
    ),
    _Fix(
        TypeError,
        r"does not accept dtypes? .*key<|keys have no arithmetic",
        "keys are no numbers: make new ones with jaxcore.random.split or fold_in, and draw numbers "
        "with jaxcore.random.normal and its kin.",
    ),
    _Fix(
        ValueError,
        r"accepts a single key",
        "split the key and pass one of them, or map over them with jaxcore.vmap.",
    ),
    _Fix(
        TypeError,
        r"does not accept dtype",
        "convert the operand with x.astype(...) to one of the dtypes that the operation takes.",
    ),
    _Fix(
        TypeError,
        r"dot_general|contracting dimensions|matmul",
        "the dimensions that are summed over must have equal sizes; transpose or reshape one of "
        "the operands.",
    ),
    _Fix(
        ValueError,
        r"[Ee]insum|Einstein|label|subscript",
        "each letter must stand for one size in all operands, and there is one letter for each "
        "dimension.",
    ),
    _Fix(
        Exception,
        r"conv_general_dilated|conv_|dimension_numbers|feature_group_count",
        "the filter's input features must be the operand's channels divided by "
        "feature_group_count; check dimension_numbers ('NCHW', 'OIHW', 'NCHW' by default).",
    ),
    _Fix(
        Exception,
        r"[Ii]ncompatible shapes for broadcasting|could not be broadcast|requested shape",
        "shapes are aligned from the right and must be equal or 1 along each axis; reshape, or add "
        "an axis with x[:, None].",
    ),
    _Fix(
        Exception,
        r"axis .*out of bounds|axes? .* out of (bounds|range)|repeated axis|duplicate",
        "count axes from 0 to ndim - 1, or from -1 backwards, and name each once.",
    ),
    _Fix(
        ValueError,
        r"size not equal to one|squeeze",
        "only axes of size 1 can be left out; use x[0] to take one element, reshape to merge axes.",
    ),
    _Fix(
        ValueError,
        r"equal division",
        "the axis must divide evenly; give the places to cut instead of a number, or use "
        "array_split.",
    ),
    _Fix(
        ValueError,
        r"truth value of an array",
        "use & | ~ or jaxcore.numpy.logical_and and its kin by element, any() or all() for one "
        "answer, jaxcore.numpy.where for a choice.",
    ),
    _Fix(
        IndexError,
        r"Slice entries must be static|static integers",
        "use jaxcore.lax.dynamic_slice, whose start may be traced and whose size is fixed, or mask "
        "with jaxcore.numpy.where.",
    ),
    _Fix(
        IndexError,
        r"Too many indices|too many indices",
        "give at most one index for each dimension; add an axis with None.",
    ),
    _Fix(
        TypeError,
        r"[Ii]ndexer must have integer|string indexing",
        "index with integers, slices, masks or arrays of integers: x[i.astype(int)].",
    ),
    _Fix(
        TypeError,
        r"non-tuple sequence",
        "write x[jaxcore.numpy.array(indices)] for a list of positions, x[i, j] for one of each "
        "dimension.",
    ),
    _Fix(
        TypeError,
        r"iteration over a 0-d|len\(\) of unsized",
        "a scalar has no axis; index the array it came from, or reshape it to (1,).",
    ),
    _Fix(
        TypeError,
        r"data type .* not understood|[Cc]annot interpret",
        "name a dtype of jaxcore.numpy, such as jaxcore.numpy.float32 or 'bfloat16'.",
    ),
    _Fix(
        TypeError,
        r"cannot be interpreted as an integer|[Ss]hapes must be|not iterable|__index__",
        "sizes, axes and repetitions are Python integers, a shape is a tuple of them.",
    ),
    _Fix(
        ValueError,
        r"must be a float dtype|must be an? (unsigned )?int",
        "ask for a dtype of that kind, and convert the result with x.astype(...).",
    ),
    _Fix(
        ValueError,
        r"__contains__",
        "write jaxcore.numpy.any(x == value).",
    ),
    _Fix(
        AttributeError,
        r"has no attribute",
        "a traced value has the methods of an array and no others; a NumPy or torch method has "
        "its counterpart in jaxcore.numpy.",
    ),
    _Fix(
        ValueError,
        r"n, n\]|square",
        "the last two dimensions must be equal; transpose or slice the matrix.",
    ),
    _Fix(
        ValueError,
        r"pad_width",
        "give one pair (before, after), or one for each dimension.",
    ),
    _Fix(
        Exception,
        r"dynamic_slice|dynamic_update_slice|slice_sizes|slice indices|update shape",
        "give one start index for each dimension, and a size that fits into the operand.",
    ),
    _Fix(
        ValueError,
        r"no leading axis|rank at least 1|at least one dimension",
        "add a leading axis, or leave the argument out of what is mapped over.",
    ),
    _Fix(
        Exception,
        r"\b1-?[dD]\b|1-dimensional|one-dimensional|at least 2D|rank at least|more than 2 dim"
        r"|1d or 2d|only support|must have rank",
        "reshape the array to that rank, or map over its further dimensions with jaxcore.vmap.",
    ),
    _Fix(
        ValueError,
        r"single ellipsis",
        "write ... once; it stands for all dimensions that are not named.",
    ),
    _Fix(
        IndexError,
        r"boolean index did not match",
        "a mask has the sizes of the dimensions that it indexes.",
    ),
    _Fix(
        ValueError,
        r"must have a leading axis",
        "pass what is the same in every step through the carry, or capture it in the body.",
    ),
    _Fix(
        ValueError,
        r"leading sizes|neither xs nor length",
        "give arrays of one leading size, or length alone.",
    ),
    _Fix(
        TypeError,
        r"pair \(carry, y\)",
        "return carry, None where nothing is to be stacked.",
    ),
    _Fix(
        TypeError,
        r"boolean scalar",
        "compare (x > 0), and reduce an array with jaxcore.numpy.any or all.",
    ),
    _Fix(
        TypeError,
        r"not a valid JAX type",
        "convert it to an array, leave it out, or mark the argument static.",
    ),
    _Fix(
        TypeError,
        r"must be (a function|functions)|callable",
        "pass the function itself, not what it returns.",
    ),
    _Fix(
        TypeError,
        r"branches .* same structure",
        "return the same dicts, tuples and lists from every branch.",
    ),
    _Fix(
        ValueError,
        r"at least one branch",
        "give a list with at least one function.",
    ),
    _Fix(
        TypeError,
        r"predicate|index must be an integer scalar|takes? .*positional argument"
        r"|missing \d+ required|not callable",
        "check the number, the order and the types of the arguments.",
    ),
    _Fix(
        Exception,
        r"must be integer|integer type|not supported for input types|must be square|core dimension",
        "convert the operand with x.astype(...), and check the shapes that the function expects.",
    ),
    _Fix(
        Exception,
        r"permutation|[Ii]nconsistent number of elements|non-negative sizes|Invalid order|expected "
        r"one of|'order' argument",
        "check this argument against the function's documentation.",
    ),
    _Fix(
        ValueError,
        r"pytree structure error|Custom node type mismatch|Dict key mismatch|arity mismatch"
        r"|structure of",
        "the trees must have the same keys and nesting; optimiser state belongs to the parameters "
        "that it was initialised with.",
    ),
    _Fix(
        OverflowError,
        "",
        "use a float, a smaller number, or enable x64 (JAX_ENABLE_X64=1).",
    ),
]


def fix_for(error: Exception) -> str:
    """What to do about `error`; empty where its message says it, or nothing general can be said."""
    documented, message = documented_fix(type(error)), str(error)
    if documented:  # an error of ours, of which the words below would be guesses
        return "" if documented.startswith("the message") else documented
    for row in _FIXES:
        if isinstance(error, row.kind) and re.search(row.words, message):
            return row.text
    return ""


def documented_fix(kind: type[BaseException]) -> str:
    """What the docstring of a class of errors, or of its base, says after ``Fix:``."""
    for base in kind.__mro__:
        _, found, fix = (base.__dict__.get("__doc__") or "").partition("Fix:")
        if found:
            return " ".join(fix.split())
    return ""
