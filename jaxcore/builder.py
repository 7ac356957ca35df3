"""Emitting StableHLO: what lowering rules and `lower` build a module with."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.backend import func_dialect, ir
from jaxcore.ir import Program, Var
from jaxcore.ops.avals import shaped

__all__ = ["Builder"]


class Builder:
    """Emits operations at the current insertion point.

    Lowering rules use `op` for most of what they do; types and attributes are cached for the
    module.
    """

    def __init__(self, ctx: Any, outlined: Collection[Program] = ()) -> None:
        self.ctx = ctx
        self.outlined = outlined
        module = ctx.module_context
        self.cache: dict[Any, Any] = module.cached_primitive_lowerings
        self.types: dict[Any, Any] = self.cache.setdefault("jaxcore_types", {})
        self.attributes: dict[Any, Any] = self.cache.setdefault("jaxcore_attributes", {})
        self.tokens: dict[Any, Any] = dict(ctx.tokens_in.items())
        self.local: dict[Any, Any] = {}  # constants and broadcasts that this block has already

    def type(self, aval: Any) -> Any:
        """The IR type of a value of type `aval`."""
        found = self.types.get(aval)
        if found is None:
            found = self.types[aval] = backend.ir_type(aval)
        return found

    def op(
        self,
        name: str,
        out: Sequence[Any],
        operands: Sequence[Any],
        /,
        regions: builtins.int = 0,
        **attributes: Any,
    ) -> Any:
        """Create ``stablehlo.name``-like operation `name` with results of types `out` (avals); the
        operation.
        """
        return ir.Operation.create(
            name,
            results=[self.type(a) for a in out],
            operands=operands,
            attributes=attributes,
            regions=regions,
        )

    def one(self, name: str, out: Any, *operands: Any, **attributes: Any) -> list[Any]:
        """`op` with a single result, as the list of values that a lowering rule returns."""
        return [
            ir.Operation.create(
                name, results=[self.type(out)], operands=operands, attributes=attributes
            ).results[0]
        ]

    def ints(self, values: Sequence[builtins.int]) -> Any:
        """A dense 64-bit integer array attribute."""
        key = tuple(values)
        found = self.attributes.get(key)
        if found is None:
            found = self.attributes[key] = ir.DenseI64ArrayAttr.get(list(key))
        return found

    def int(self, value: builtins.int) -> Any:
        """A 64-bit integer attribute."""
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)

    def parse(self, text: str) -> Any:
        """An attribute from its textual form, such as ``#stablehlo<comparison_direction GE>``."""
        found = self.attributes.get(text)
        if found is None:
            found = self.attributes[text] = ir.Attribute.parse(text)
        return found

    def constant(self, value: Any, aval: Any) -> Any:
        """A constant filled with the scalar `value`, of type `aval`; one in each block."""
        scalar = np.asarray(value, aval.dtype)
        key = (scalar.tobytes(), aval.dtype, aval.shape)
        found = self.local.get(key)
        if found is not None:
            return found
        if aval.shape == ():
            dense = self.attributes.get(key)
            if dense is None:
                bits = np.packbits(scalar, bitorder="little") if scalar.dtype == bool else scalar
                element = backend.ir_type(aval).element_type
                dense = ir.DenseElementsAttr.get(np.ascontiguousarray(bits), type=element, shape=[])
                self.attributes[key] = dense
            out = self.one("stablehlo.constant", aval, value=dense)[0]
        else:
            out = self.broadcast(self.constant(value, shaped((), aval.dtype)), (), aval)
        self.local[key] = out
        return out

    def broadcast(self, x: Any, dims: Sequence[builtins.int], out: Any) -> Any:
        """`x` with its axes at `dims` of a value of type `out`; one in each block."""
        dims = tuple(dims)
        key = (x, dims, out.shape)
        found = self.local.get(key)
        if found is None:
            found = self.local[key] = self.one(
                "stablehlo.broadcast_in_dim", out, x, broadcast_dimensions=self.ints(dims)
            )[0]
        return found

    def shape(self, aval: Any) -> tuple[builtins.int, ...]:
        """The shape that a value has in the module: a key is its bits."""
        return backend.physical_aval(aval).shape

    def rank(self, aval: Any) -> builtins.int:
        return len(self.shape(aval))

    def zeros(self, aval: Any) -> Any:
        """Zeros of the type of `aval` (of a key's bits)."""
        return self.constant(0, backend.physical_aval(aval))

    def region(self, op: Any, avals: Sequence[Any], body: Any, index: builtins.int = 0) -> None:
        """Fill region `index` of `op`: ``body(*arguments)`` gives the values to return."""
        block = op.regions[index].blocks.append(*[self.type(a) for a in avals])
        with self._inside(block):
            ir.Operation.create("stablehlo.return", operands=list(body(*block.arguments)))

    @contextmanager
    def _inside(self, block: Any) -> Iterator[None]:
        """Emit at the end of `block`; what it has already is no use outside it."""
        outside, self.local = self.local, {}
        try:
            with ir.InsertionPoint(block):
                yield
        finally:
            self.local = outside

    def operand_of(self, value: Any, name: str, **attributes: Any) -> Any:
        """What ``name(x, **attributes)`` was applied to, if `value` is its result; else None."""
        op = value.owner
        if isinstance(op, ir.Block) or op.name != name:
            return None
        same = all(op.attributes[key] == want for key, want in attributes.items())
        return op.operands[0] if same else None

    def program(self, program: Program, operands: Sequence[Any]) -> list[Any]:
        """Emit the equations of `program` here."""
        env: dict[Any, Any] = dict(zip(program.inputs, operands, strict=True))

        def read(x: Any) -> Any:
            return env[x] if type(x) is Var else self.constant(x.value, x.aval)

        for eq in program.equations:
            values = [read(x) for x in eq.inputs]
            avals_in = [x.aval for x in eq.inputs]
            avals_out = [v.aval for v in eq.outputs]
            primitive = eq.primitive
            rule = primitive.lower
            if rule is not None:
                out = rule(self, values, avals_in, avals_out, **eq.params)
            else:
                out = self.jax(primitive, values, avals_in, avals_out, eq.params)
            env.update(zip(eq.outputs, out, strict=True))
        return [read(x) for x in program.outputs]

    def jax(
        self,
        primitive: Any,
        operands: Sequence[Any],
        avals_in: Sequence[Any],
        avals_out: Sequence[Any],
        params: dict[str, Any],
    ) -> list[Any]:
        """Lower one operation by JAX's rule of the primitive that `primitive` mirrors."""
        out, tokens = backend.lower_with_jax(
            self.ctx.replace(tokens_in=backend.TokenSet(self.tokens)),
            primitive.jax,
            avals_in,
            avals_out,
            operands,
            primitive.jax_params(params),
        )
        self.tokens = dict(tokens.items())
        return out

    def function_of_jax(
        self, fun: Callable[..., Any], avals_in: Sequence[Any], operands: Sequence[Any]
    ) -> list[Any]:
        """Lower a function of JAX's primitives in place."""
        out, tokens = backend.lower_jaxpr(
            self.ctx.replace(tokens_in=backend.TokenSet(self.tokens)),
            backend.function_jaxpr(fun, avals_in),
            operands,
        )
        self.tokens = dict(tokens.items())
        return out

    def while_loop(
        self,
        avals: Sequence[Any],
        init: Sequence[Any],
        test: Callable[..., Sequence[Any]],
        step: Callable[..., Sequence[Any]],
        effects: Iterable[Any],
    ) -> list[Any]:
        """``while test(*values): values = step(*values)`` from `init`; `effects` are those of
        `step`.
        """
        order = backend.ordered_effects(effects)
        n = len(order)
        types = [*[backend.TOKEN] * n, *avals]
        tokens = [self.tokens[e] for e in order]
        loop = self.op("stablehlo.while", types, [*tokens, *init], regions=2)
        self.region(loop, types, lambda *v: test(*v[n:]), 0)
        self.region(loop, types, lambda *v: self._threaded(order, v, step), 1)
        return self._take_tokens(order, loop.results)

    def case(
        self,
        index: Any,
        avals: Sequence[Any],
        branches: Sequence[Callable[[], Sequence[Any]]],
        effects: Iterable[Any],
    ) -> list[Any]:
        """``branches[index]()``, of types `avals`; `effects` are those of all branches."""
        order = backend.ordered_effects(effects)
        types = [*[backend.TOKEN] * len(order), *avals]
        tokens = [self.tokens[e] for e in order]
        op = self.op("stablehlo.case", types, [index], regions=len(branches))
        for k, branch in enumerate(branches):
            self.region(op, [], lambda run=branch: self._threaded(order, tokens, run), k)
        return self._take_tokens(order, op.results)

    def _take_tokens(self, order: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """The tokens that lead `values` are those after the effects `order`; returns the rest."""
        self.tokens.update(zip(order, values, strict=False))
        return list(values)[len(order) :]

    def _threaded(
        self, order: Sequence[Any], values: Sequence[Any], run: Callable[..., Sequence[Any]]
    ) -> list[Any]:
        """``run(*values)`` in a region of its own, where the tokens of the effects `order` lead
        its arguments and its results.
        """
        outside = self.tokens
        self.tokens = dict(outside)
        try:
            results = run(*self._take_tokens(order, values))
            return [*(self.tokens[e] for e in order), *results]
        finally:
            self.tokens = outside

    def call(self, program: Program, operands: Sequence[Any]) -> list[Any]:
        """Call `program` as a private function of the module; small ones are emitted in place."""
        module = self.ctx.module_context
        unshared = program.effects and "tpu" in module.platforms  # a callback has its channel there
        if len(program.equations) <= 1 or unshared:
            return self.program(program, operands)
        order = backend.ordered_effects(program.effects)
        avals_out = [*[backend.TOKEN] * len(order), *program.out_avals]
        dims = self.ctx.dim_var_values
        given = [*dims, *(self.tokens[e] for e in order), *operands]
        name = self.function(program, dims)
        op = func_dialect.CallOp([self.type(a) for a in avals_out], name, given)
        if program in self.outlined:
            op.attributes["mhlo.frontend_attributes"] = ir.DictAttr.get(
                {"inlineable": ir.StringAttr.get("false")}
            )
        return self._take_tokens(order, op.results)

    def function(self, program: Program, dims: Sequence[Any] = ()) -> Any:
        """The name of the private function that `program` is in this module, emitted once.

        Its first arguments are `dims`: values that a lowering for several platforms depends on.
        """
        key = ("jaxcore", program, len(dims), backend.manual_context(self.ctx))
        function = self.cache.get(key)
        if function is None:
            module = self.ctx.module_context
            order = backend.ordered_effects(program.effects)
            tokens = [backend.TOKEN] * len(order)
            types = ir.FunctionType.get(
                [*(d.type for d in dims), *(self.type(a) for a in (*tokens, *program.in_avals))],
                [self.type(a) for a in (*tokens, *program.out_avals)],
            )
            with ir.InsertionPoint.at_block_begin(module.module.body):
                function = func_dialect.FuncOp(_symbol(program.name), types)
                function.attributes["sym_visibility"] = ir.StringAttr.get("private")
            module.symbol_table.insert(function)
            block = function.add_entry_block()
            outside, values = self.ctx, list(block.arguments)
            self.ctx = outside.replace(dim_var_values=tuple(values[: len(dims)]))
            with self._inside(block):
                run = lambda *values: self.program(program, values)
                func_dialect.ReturnOp(self._threaded(order, values[len(dims) :], run))
            self.ctx = outside
            self.cache[key] = function
        return ir.FlatSymbolRefAttr.get(function.name.value)


@lru_cache(4096)
def _symbol(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "block"
