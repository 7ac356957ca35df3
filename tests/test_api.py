"""Every public name of JAX is here or left out for a reason, and docs/api.md says which."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import defaultdict

import api_table
import jax
import pytest
from api_table import SPACES, is_native, kinds, module_of, page, parse, public_names

import jaxcore
from jaxcore.namespaces import LEFT_OUT, NAMESPACES

NEWEST = jax.__version_info__ >= (0, 12)
# Parameters of JAX's that ours do not take, and why.
REFUSED_BY_JAX = {"concrete", "reduce_axes"}  # JAX raises for any value but the default
NOT_TAKEN = {
    ("", "linearize"): {"in_nzs"},  # for JAX's own use
    ("", "vjp"): {"in_nzs", "saveable_args"},
}


@pytest.mark.parametrize("space", SPACES)
def test_every_name_is_here_or_left_out(space):
    ours = module_of("jaxcore", space)
    for name in public_names(space):
        path = f"{space}.{name}".lstrip(".")
        assert hasattr(ours, name) != (path in LEFT_OUT), path
        assert (name in dir(ours)) != (path in LEFT_OUT), path


def test_every_namespace_is_here_or_left_out():
    found = set()
    for parent in ("", *(s for s in SPACES if hasattr(module_of("jax", s), "__path__"))):
        if parent == "experimental.sparse" or parent.startswith("experimental.pallas"):
            continue  # their own files; what they export is in the parent
        for module in pkgutil.iter_modules(module_of("jax", parent).__path__):
            if not module.name.startswith("_"):
                found.add(f"{parent}.{module.name}".lstrip("."))
    missing = found - NAMESPACES - set(LEFT_OUT)
    assert not missing, missing


@pytest.mark.parametrize("path", sorted(LEFT_OUT))
def test_what_is_left_out_is_absent(path):
    space, _, name = path.rpartition(".")
    with pytest.raises(AttributeError, match="jaxcore leaves out"):
        getattr(module_of("jaxcore", space), name)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"jaxcore.{path}")


@pytest.mark.skipif(not NEWEST, reason="some names left out are in newer versions of jax alone")
def test_nothing_is_left_out_that_jax_has_not():
    only_older = {"cloud_tpu_init", "experimental.control_deps", "experimental.cur_qdd"}
    only_older |= {"experimental.shard_alike"}
    found = {f"{s}.{n}".lstrip(".") for s in SPACES for n in public_names(s)}
    for parent in ("", "experimental"):
        modules = pkgutil.iter_modules(module_of("jax", parent).__path__)
        found |= {f"{parent}.{m.name}".lstrip(".") for m in modules}
    assert set(LEFT_OUT) - found == only_older


def test_the_page_is_what_the_packages_say():
    text = api_table.PAGE.read_text(encoding="utf-8")
    if NEWEST:
        assert text == page(), "write docs/api.md anew: python tests/api_table.py"
        return
    stated = parse(text)
    for space, found in kinds().items():
        for name, kind in found.items():
            if name in stated.get(space, {}):
                assert stated[space][name] == kind, (space, name)


def test_the_page_can_be_read_back():
    stated = parse(page())
    for space, found in kinds().items():
        assert stated.get(space, {}) == {n: k for n, k in found.items() if k != "left out"}


def test_one_function_of_jax_is_one_function_here():
    """Where JAX gives a function under several paths and we have it natively, all give ours."""
    places = defaultdict(list)
    for space in SPACES:
        for name, theirs in public_names(space).items():
            if callable(theirs) and f"{space}.{name}".lstrip(".") not in LEFT_OUT:
                places[id(theirs)].append((space, name))
    for paths in places.values():
        ours = [getattr(module_of("jaxcore", space), name) for space, name in paths]
        assert len({is_native(x) for x in ours}) == 1, paths


def parameters(function):
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


def disagreements(theirs, ours):
    """How the parameters of ours do not take what JAX's take."""
    positional = [
        p.name for p in ours.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    kinds = {p.kind for p in ours.values()}
    any_position, any_keyword = (
        getattr(inspect.Parameter, kind) in kinds for kind in ("VAR_POSITIONAL", "VAR_KEYWORD")
    )
    for i, p in enumerate(theirs):
        mine = ours.get(p.name)
        if p.kind is p.VAR_KEYWORD:
            if not any_keyword:
                yield f"takes no {p}"
        elif p.kind is p.POSITIONAL_ONLY:
            if i >= len(positional) and not any_position:
                yield f"takes no {p.name} at {i}"
        elif mine is None:
            if not any_keyword:
                yield f"takes no {p.name}"
        elif p.kind is p.POSITIONAL_OR_KEYWORD and positional[i : i + 1] != [p.name]:
            yield f"takes {p.name} at another place"
        elif p.default is not p.empty and mine.default is mine.empty:
            yield f"requires {p.name}"


@pytest.mark.parametrize("space", SPACES)
def test_native_functions_take_the_arguments_of_jax(space):
    wrong = []
    for name, theirs in public_names(space).items():
        ours = getattr(module_of("jaxcore", space), name, None)
        if ours is None or ours is theirs or not is_native(ours) or inspect.isclass(ours):
            continue
        if isinstance(theirs, jax.numpy.ufunc):
            continue  # called as (*operands, out=None, where=None), of which JAX takes operands
        a, b = parameters(theirs), parameters(ours)
        if a is None or b is None or any(p.kind is p.VAR_POSITIONAL for p in a.values()):
            continue
        skipped = REFUSED_BY_JAX | NOT_TAKEN.get((space, name), set())
        asked = [p for p in a.values() if p.name not in skipped and not p.name.startswith("_")]
        wrong += [f"{space}.{name} {why}" for why in disagreements(asked, b)]
    assert not wrong, "\n".join(wrong)


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError):
        _ = jaxcore.numpy.no_such_function
    with pytest.raises(AttributeError):
        _ = jaxcore.experimental.ode.jax  # a module that JAX's file imports
    with pytest.raises(AttributeError):
        _ = jaxcore.lax._private
    with pytest.raises(AttributeError, match="tree_map"):
        _ = jaxcore.tree_map  # JAX's own message says what took its place
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("jaxcore.no_such_namespace")


def test_namespaces_import_in_every_form():
    import jaxcore.scipy.sparse.linalg as sparse
    from jaxcore.lax import linalg
    from jaxcore.scipy.stats import norm

    assert linalg.cholesky is jax.lax.linalg.cholesky
    assert norm.pdf is jaxcore.scipy.stats.norm.pdf
    assert sparse.cg is importlib.import_module("jax.scipy.sparse.linalg").cg
    assert jaxcore.ops.segment_sum is jax.ops.segment_sum


def test_importing_is_lazy():
    """Nothing of the long tail is imported before it is used."""
    code = "import sys, jaxcore\n"
    code += "late = ('jax.experimental.sparse', 'jax.experimental.pallas', 'jaxcore.nn',\n"
    code += "        'jaxcore.train', 'jaxcore.scipy.linalg', 'optax', 'scipy')\n"
    code += "loaded = [name for name in late if name in sys.modules]\n"
    code += "assert not loaded, loaded\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
