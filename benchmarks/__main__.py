"""Run the named cases, or all: ``python -m benchmarks [case ...] [--markdown]
[--picture SVG] [--json PATH]``.
"""

import argparse
import importlib
from pathlib import Path

import rich.console

import jaxcore
from benchmarks.picture import write_picture
from benchmarks.report import environment, markdown_table, terminal_table, write_json

CASES = (
    "eager_op",
    "eager_grad",
    "jit_dispatch",
    "host_overhead",
    "gpt_step",
    "gpt_depth",
    "resnet",
    "second_start",
    "cost",
    "interpret",
    "modules",
)


def main() -> None:
    """Measure, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", metavar="case", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), metavar="PATH")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="draw the ratios as bars")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    if unknown := sorted(set(options.case) - set(CASES)):
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}")

    jaxcore.cache.enable(False)  # what is compiled here is compiled for the first time
    console = rich.console.Console()
    rows = []
    for case in options.case or CASES:
        with console.status(f"measuring {case}"):
            rows += importlib.import_module(f"benchmarks.{case}").run()
    write_json(rows, options.json)
    facts = ", ".join(f"{name} {value}" for name, value in environment().items())
    if options.picture:
        write_picture(rows, facts, options.picture)
    if options.markdown:
        print(markdown_table(rows))
    else:
        console.print(terminal_table(rows))
    console.print(f"{facts}\nwritten to {options.json}", soft_wrap=True)


if __name__ == "__main__":
    main()
