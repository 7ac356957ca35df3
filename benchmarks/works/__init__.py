"""Works that ours and JAX's run from the same code, one a file."""
