"""List every class of errors with its cause and fix: ``python -m jaxcore.errors [--markdown]``."""

import argparse

from jaxcore.errors.catalogue import markdown, plain


def main() -> None:
    """Print the catalogue."""
    parser = argparse.ArgumentParser(prog="python -m jaxcore.errors", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="as docs/errors.md has it")
    text = markdown() if parser.parse_args().markdown else plain()
    print(text.rstrip("\n"))


if __name__ == "__main__":
    main()
