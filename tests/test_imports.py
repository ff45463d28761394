"""Imports run one way, and ``import groupeffect`` is quick and light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import groupeffect

ROOT = Path(groupeffect.__file__).parent

ORDER = [
    {"errors", "_types", "provenance"},
    {"numerics"},
    {"panel"},
    {"microdata"},
    {"design"},
    {"effects"},
    {"protocols"},
    {"registry"},
    {"did", "synth", "hte"},
    {"result"},
    {"fitting"},
    {"inference"},
    {"diagnostics", "sensitivity"},
    {"reform"},
    {"simulate"},
    {"report"},
    {"testing"},
    {"pipeline"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(ORDER) for name in layer}
NARROW = {"simulate": {"errors", "_types", "numerics", "panel", "design"}}
"""Layers that may use less than all that lies below: the truth of a simulation never depends on an estimator."""
UPWARD = {("fitting", "inference"): "a refusal lists the strategies that would work; imported when it is raised"}
"""Exceptions, each with its reason."""

WHOLE = {"pipeline", "cli"}
"""Layers that write analyses as users do, with ``import groupeffect as ge``."""

HEAVY = (
    "pandas",
    "scipy",
    "econml",
    "dowhy",
    "sklearn",
    "matplotlib",
    "seaborn",
    "statsmodels",
    "linearmodels",
    "numba",
    "pyarrow",
    "typer",
    "rich",
)


def modules():
    return sorted(path for path in ROOT.rglob("*.py"))


def layer(path):
    inside = path.relative_to(ROOT)
    return inside.parts[0].removesuffix(".py")


def imported_layers(path):
    """Layers of this package that a module imports anywhere, functions included; type-checking blocks are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    package = ("groupeffect", *path.relative_to(ROOT).parts[:-1])
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "groupeffect" else [base]
        else:
            continue
        found += [(name.split(".")[1], node.lineno) for name in names if name.startswith("groupeffect.")]
        if "groupeffect" in names:
            found.append(("groupeffect", node.lineno))
    return found


def test_imports_run_one_way():
    faults = []
    for path in modules():
        own = layer(path)
        for target, line in imported_layers(path):
            place = f"{path.relative_to(ROOT)}:{line} imports {target}"
            if own == "__init__" or target == own or (own, target) in UPWARD:
                continue
            if target == "groupeffect":
                faults += [] if own in WHOLE else [f"{place}: name the module instead"]
            elif RANK[target] >= RANK[own]:
                faults.append(f"{place}, which lies above or beside {own}")
            elif target not in NARROW.get(own, RANK):
                faults.append(f"{place}; {own} may use only {sorted(NARROW[own])}")
    assert not faults, "\n".join(faults)


def test_every_layer_is_in_the_order():
    found = {layer(path) for path in modules()} - {"__init__"}
    assert found <= set(RANK)


def test_exceptions_are_used():
    used = {(layer(path), target) for path in modules() for target, _ in imported_layers(path)}
    assert set(UPWARD) <= used


def test_the_reader_of_imports_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "design" / "bad.py"
    path.parent.mkdir()
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from groupeffect.cli import app\n"
        "def f():\n    from groupeffect.report.figures import g\n"
        "import groupeffect.fitting\n"
        "from ..effects import effects\n"
    )
    assert sorted(imported_layers(path)) == [("effects", 7), ("fitting", 6), ("report", 5)]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_loads_nothing_heavy():
    loaded = run(f"import sys, groupeffect; print(*(name for name in {HEAVY!r} if name in sys.modules))")
    assert loaded == []


def test_import_takes_less_than_half_a_second():
    code = "import time; start = time.process_time(); import groupeffect; print(time.process_time() - start)"
    assert min(float(run(code)[0]) for _ in range(3)) < 0.5


def test_public_errors_load_nothing_heavy():
    code = f"""
import sys, groupeffect as ge
ge.errors.PanelError, ge.by_event_time(-4, 5), ge.overall(), ge.baseline_window(2016, 2019), ge.Columns("u", "t", "y")
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    assert run(code) == []


def test_command_line_help_loads_no_estimator():
    code = f"""
import sys
sys.argv = ["groupeffect", "--help"]
from groupeffect.cli import main
try:
    main()
except SystemExit:
    pass
print("loaded:", *(name for name in {HEAVY[:-2]!r} if name in sys.modules))
"""
    output = run(code)
    assert output[output.index("loaded:") + 1 :] == []


def test_every_public_name_resolves():
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    assert sorted(listed) == sorted(groupeffect.__all__)
    for name in groupeffect.__all__:
        assert getattr(groupeffect, name) is not None


@pytest.mark.parametrize("family", ["did", "synth", "hte", "testing"])
def test_family_stubs_are_sorted_and_resolve(family):
    package = getattr(groupeffect, family)
    for name in package.__all__:
        assert getattr(package, name) is not None
