"""Transformations of functions and of programs: one set of rules, run under a trace.

linearize   a function or program split into a primal part and a linear part
transpose   the linear part run backwards
vmap        batching
grad        jvp, vjp, grad, value_and_grad, linearize, stop_gradient
"""
