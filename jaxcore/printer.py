"""Programs as text."""
def format_program(program):
    return repr(program)
