"""House rules that can be read off the source."""

import ast
import inspect
from pathlib import Path

import pytest

import groupeffect as ge

ROOT = Path(ge.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def public_functions(tree):
    """Functions listed in ``__all__`` and public methods of classes listed there."""
    listed = {
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        for name in ast.literal_eval(node.value)
    }
    for node in tree.body:
        if getattr(node, "name", None) in listed:
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            yield from (item for item in members if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"))


def trees():
    for path in MODULES:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_no_keyword_catch_all_in_public_signatures():
    allowed = {("panel/panel.py", "with_attributes")}  # names there are the data's own
    found = {(path, node.name) for path, tree in trees() for node in public_functions(tree) if node.args.kwarg}
    assert found <= allowed


def test_no_verbose_option():
    found = [
        f"{path}: {node.name}"
        for path, tree in trees()
        for node in functions(tree)
        if "verbose" in {arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)}
    ]
    assert not found


def test_quantiles_of_distributions_live_in_one_place():
    found = [
        f"{path}:{node.lineno} {ast.unparse(node.func)}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("ppf", "isf")
        if not path.startswith("simulate/") and path != "inference/critical.py"
    ]
    assert not found, "use groupeffect.inference.critical"


def test_no_global_random_state():
    allowed = {"default_rng", "Generator", "SeedSequence", "SFC64", "PCG64", "RandomState"}  # instances with a seed
    found = [
        f"{path}:{node.lineno} np.random.{node.attr}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random" and node.attr not in allowed
    ]
    assert not found


def test_no_bare_except():
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not found


@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_an_estimator_has_one_method_that_computes(name):
    cls = ge.discover()[name]
    public = {key for key, value in vars(cls).items() if inspect.isfunction(value) and not key.startswith("_")}
    assert "estimate" in public
    assert public <= {"estimate", "holding"}
    assert list(inspect.signature(cls.estimate).parameters) == ["self", "panel", "design"]


@pytest.mark.parametrize("name", sorted(ge.discover()))
def test_estimators_return_no_standard_error(name):
    source = inspect.getsource(inspect.getmodule(ge.discover()[name]))
    assert "std_error" not in source
