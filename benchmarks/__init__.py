"""Ours beside JAX, measured in turns in one process: ``python -m benchmarks [case ...]``."""
