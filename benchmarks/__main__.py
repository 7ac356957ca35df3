"""Run the named cases, or all: ``python -m benchmarks [case ...] [--list] [--without PEER ...]
[--markdown] [--picture SVG] [--json PATH]``.
"""

import argparse
import ast
import importlib
import importlib.util
from pathlib import Path

import rich.console

import jaxcore
from benchmarks import peers
from benchmarks.picture import write_picture
from benchmarks.report import environment, markdown_table, terminal_table, write_json

ENGINE = (
    "eager_op",
    "eager_grad",
    "jit_dispatch",
    "host_overhead",
    "trainer",
    "convolution",
    "cost",
    "interpret",
)
MODELS = ("gpt_step", "gpt_depth", "resnet", "modules", "libraries", "second_start", "gpu")
WORKS = ("mlp", "lstm", "llama", "vit", "wgan", "ppo", "hessian", "ode", "per_example")
MODULES = {
    **{name: f"benchmarks.{name}" for name in (*ENGINE, *MODELS)},
    **{name: f"benchmarks.works.{name}" for name in WORKS},
}


def described() -> str:
    """The cases, each with the first paragraph of what its file says of itself."""
    lines = []
    for name, module in MODULES.items():
        spec = importlib.util.find_spec(module)
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        lines.append(f"{name:14} {' '.join(text.split(chr(10) * 2)[0].split())}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", metavar="case", help="names from --list; all by default")
    parser.add_argument("--list", action="store_true", help="say what the cases are")
    parser.add_argument(
        "--without", nargs="*", default=[], metavar="PEER", help="such as torch.compile, NNX"
    )
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), metavar="PATH")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="draw the ratios as bars")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    if options.list:
        print(described())
        return
    if unknown := sorted(set(options.case) - set(MODULES)):
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(MODULES)}")

    jaxcore.cache.enable(False)  # what is compiled here is compiled for the first time
    peers.WITHOUT.update(options.without)
    console = rich.console.Console()
    rows = []
    for case in options.case or MODULES:
        with console.status(f"measuring {case}"):
            try:
                rows += importlib.import_module(MODULES[case]).run()
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in peers.LIBRARIES:
                    raise
                console.print(f"{case} is left out: it needs {error.name}")
    write_json(rows, options.json)
    facts = ", ".join(f"{name} {value}" for name, value in environment().items())
    if options.picture:
        write_picture(rows, facts, options.picture)
    if options.markdown:
        print(markdown_table(rows))
    else:
        console.print(terminal_table(rows))
    for line in filter(None, (peers.left_out(), facts, f"written to {options.json}")):
        console.print(line, soft_wrap=True)


if __name__ == "__main__":
    main()
