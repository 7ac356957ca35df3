"""Passes over programs.

scalars    calls of functions that differ in scalars only become calls of one function
effects    a program without what it does for an effect alone
residuals  the fewest bytes that a function keeps for its derivative
remat      what a checkpoint keeps, and what it computes again
forms      how XLA sees a call: inline, outlined, or in a loop
roll       chains of equal calls as loops; stacks: values stacked and taken apart
"""
