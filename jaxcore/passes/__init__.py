"""Passes over programs.

scalars   calls of functions that differ in scalars only become calls of one function
"""
