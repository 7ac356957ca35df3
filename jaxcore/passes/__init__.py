"""Passes over programs.

simplify   the passes that follow by name, before a program is looked up or lowered:
pieces       "stack": arrays taken apart and put together again
fold         "fold": scalars that are known, and operations that change nothing
dead         "dead": unused results and operands of calls, scans and branches
common       "cse": common subexpressions
scalars    calls of functions that differ in scalars only become calls of one function
effects    a program without what it does for an effect alone
weak       whether two programs differ in weak types only
residuals  the fewest bytes that a function keeps for its derivative
remat      what a checkpoint keeps, and what it computes again
forms      how XLA sees a call: inline, outlined, or in a loop
roll       chains of equal calls as loops; stacks: values stacked and taken apart
"""
