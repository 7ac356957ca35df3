"""Primitives, a family a file; each record holds its result type and its derivative, batching and
lowering rules.

basic      literals, zeros, conversions the transformations themselves need
call       calls of shared functions
custom     custom_jvp; custom_vjp in its own file
foreign    JAX primitives without a record of ours, by JAX's own rules
"""
