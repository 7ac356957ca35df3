"""Map the folders at the top of the repository into the one namespace ``jaxcore``.

Everything else stands in ``pyproject.toml``. Only this list has to be computed: setuptools'
own discovery takes a package's name from its folder, and here ``nn/`` is ``jaxcore.nn`` and
``train/`` is ``jaxcore.train``. Every folder below that holds a module is a package, so a new
subfolder needs no entry anywhere.
"""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
LAYERS = {"jaxcore": "jaxcore", "nn": "jaxcore.nn", "train": "jaxcore.train"}


def packages() -> dict[str, str]:
    """Return the folder of each package by its dotted name, as setuptools' ``package_dir``."""
    found = {}
    for folder, name in LAYERS.items():
        for module in sorted((ROOT / folder).rglob("*.py")):
            relative = module.parent.relative_to(ROOT / folder)
            found[".".join((name, *relative.parts))] = Path(folder, relative).as_posix()
    return found


PACKAGES = packages()
setup(packages=list(PACKAGES), package_dir=PACKAGES)
