"""The rules of this house that a machine can check."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"jaxcore": "jaxcore", "nn": "jaxcore.nn", "train": "jaxcore.train"}
FOLDERS = (*LAYERS, "tests", "examples", "benchmarks", "docs", ".ci")
TOP_LEVEL = (
    "pyproject.toml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    ".ci/run",
    "docs/api.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    *(f"{layer}/__init__.py" for layer in LAYERS),
)
MOST_LINES = 400


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The dotted name under which a file of one of the layers is imported."""
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([LAYERS[folder], *(part for part in rest if part != "__init__")])


def lines_matching(pattern: str, files: list[Path]) -> list[str]:
    """Each place where the pattern stands, as file:line: text."""
    found = re.compile(pattern)
    return [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if found.search(line)
    ]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each module that a file of a layer imports, absolute, and whether at the module's top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                base = [*base, *([child.module] if child.module else [])]
                for alias in child.names:
                    yield ".".join([*base, alias.name]), top
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from walk(child, top and not inner)

    return walk(tree, True)


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_repository_has_its_parts(name):
    assert (ROOT / name).is_file(), f"{name} is missing"


def test_ci_is_executable_and_runs_the_tests():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make test\b", script.read_text(), re.MULTILINE)


def test_no_file_is_long():
    files = python_files(*LAYERS, "tests", "examples", "benchmarks")
    lengths = {relative(path): len(path.read_text().splitlines()) for path in files}
    long = {name: length for name, length in lengths.items() if length > MOST_LINES}
    assert not long, f"one idea a file, {MOST_LINES} lines at most; split these by idea: {long}"


def test_private_names_of_jax_stand_in_one_folder():
    private = r"jax\._src|\bjaxlib\.|(from|import)\sjaxlib|jax\.interpreters|jax\.extend\.mlir"
    private += r"|from\sjax import interpreters|from\sjax\.extend import mlir|xla_[c]lient"
    files = [
        path
        for path in python_files(*LAYERS, "tests", "examples", "benchmarks")
        if not relative(path).startswith("jaxcore/backend/")
    ]
    found = lines_matching(private, files)
    assert not found, "take these through jaxcore/backend:\n" + "\n".join(found)


def test_layers_import_only_those_below():
    above = {"jaxcore": ("jaxcore.nn", "jaxcore.train"), "nn": ("jaxcore.train",), "train": ()}
    wrong = [
        f"{relative(path)} imports {name}"
        for layer, refused in above.items()
        for path in python_files(layer)
        for name, _ in imports(path)
        if any(name == other or name.startswith(other + ".") for other in refused)
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_declared_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.match(r"[\w-]+", text)[0].replace("-", "_") for text in requirements}

    distribution = {"sklearn": "scikit_learn"}
    core = names(project["dependencies"]) | {"jaxcore"} | set(sys.stdlib_module_names)
    extras = {name for extra in project["optional-dependencies"].values() for name in names(extra)}
    wrong = []
    for path in python_files(*LAYERS):
        for name, top in imports(path):
            package = name.split(".")[0]
            package = distribution.get(package, package)
            if package not in core and (top or package not in extras):
                wrong.append(f"{relative(path)} imports {name}")
    assert not wrong, "not a dependency (an extra may be imported in a function):\n" + "\n".join(
        wrong
    )


def test_the_text_is_about_the_product():
    unfinished = r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError($|\(\))"
    elsewhere = r"(^|[\s\"'`(=])/(home|root|tmp|work|farm|Users)/|\bissue #?\d+\b"
    hosts = r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org"
    files = [path for path in text_files() if path.name not in ("LICENSE", Path(__file__).name)]
    found = lines_matching(f"{unfinished}|{elsewhere}|{hosts}", files)
    assert not found, "\n".join(found)


def test_every_folder_of_a_layer_is_a_package():
    folders = {path.parent for path in python_files(*LAYERS)}
    bare = [
        relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()
    ]
    assert not bare, f"these need an __init__.py: {bare}"


@pytest.mark.parametrize(
    "name", [module_name(path) for path in python_files(*LAYERS) if path.name == "__init__.py"]
)
def test_exports_exist(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    missing = [public for public in exported if not hasattr(module, public)]
    assert not missing, f"{name}.__all__ names what {name} has not: {missing}"
    assert len(set(exported)) == len(exported), f"{name}.__all__ names something twice"


def test_no_star_imports():
    found = lines_matching(r"^\s*from \S+ import \*", python_files(*LAYERS))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("layer", ["nn", "train"])
def test_bare_names_are_refused(layer):
    """``import train`` must stay free for the user's own train.py."""
    code = f"import {layer}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "ImportError" in done.stderr and f"jaxcore.{layer}" in done.stderr, done.stderr


@pytest.mark.slow
def test_an_installed_copy_imports_from_outside(tmp_path):
    """What pip installs has every package, and needs nothing of the checkout."""
    source, target = tmp_path / "source", tmp_path / "target"
    unwanted = shutil.ignore_patterns("__pycache__")
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, source / layer, ignore=unwanted)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(install, check=True, timeout=300)

    modules = sorted({module_name(path) for path in python_files(*LAYERS)})
    code = f"import importlib\nfor name in {modules}:\n"
    code += f"    file = importlib.import_module(name).__file__\n    assert {str(target)!r} in file"
    environment = {**os.environ, "PYTHONPATH": str(target)}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=300
    )
