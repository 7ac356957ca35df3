"""Transformations of functions and of programs: one set of rules, run under a trace.

linearize   a function or program split into a primal part and a linear part
transpose   the linear part run backwards
vmap        batching
derivative  jvp, vjp, linearize
grad        grad, value_and_grad, stop_gradient
jacobian    jacfwd, jacrev, hessian
"""
