"""The same analysis from a TOML file on the command line must give the same bytes as from Python."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from groupeffect.fitting import fit
from groupeffect.inference.base import strategies
from groupeffect.panel.read import read_panel
from groupeffect.protocols import Estimator
from groupeffect.registry import discover
from groupeffect.testing.outcomes import NotApplicable, need
from groupeffect.testing.panels import main_scenario, plain_design

__all__ = ["check_command_line", "toml_text"]

_PREFERRED: tuple[tuple[str, dict[str, object]], ...] = (
    ("ClusterRobust", {"by": "cluster"}),
    ("PlaceboUnits", {"draws": 20}),
    ("Jackknife", {}),
)


def check_command_line(estimator: Estimator) -> str:
    """Write data and options to files, run ``groupeffect fit``, and compare its JSON with Python's, byte by byte."""
    info = estimator.info
    if discover().get(info.name) is not type(estimator):
        raise NotApplicable("the estimator is not registered, so the command line does not know it")
    panel = main_scenario(info).panel
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "panel.csv"
        panel.to_frame().to_csv(data, index=False)
        again = read_panel(data, panel.columns)
        own = fit(estimator, again, plain_design(info)(again))
        known = strategies()
        name, settings = next(row for row in _PREFERRED if known[row[0]].needs <= own.effects.capabilities)
        expected = own.infer(known[name](**settings), level=0.9).to_json()
        spec = {
            "panel": {"file": data.name, **_columns(panel.columns.to_dict())},
            "design": _design(estimator, own.design.unit_ids[own.design.treated()].tolist(), own.design.cohort.min()),
            "estimator": {"name": info.name, **_options(estimator)},
            "inference": {"name": name, **settings, "level": 0.9},
        }
        config = Path(folder) / "study.toml"
        config.write_text(toml_text(spec), encoding="utf-8")
        command = [sys.executable, "-c", "from groupeffect.cli import main; main()", "fit", str(config), "--json"]
        run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    need(run.returncode == 0, f"groupeffect fit ended with code {run.returncode}: {run.stderr[-300:]}")
    need(run.stdout == expected, "the JSON of groupeffect fit differs from Result.to_json()")
    return f"{len(expected)} characters of JSON agree"


def _columns(roles: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in roles.items() if value is not None}


def _design(estimator: Estimator, treated: list[object], start: float) -> dict[str, object]:
    if "staggered" not in estimator.info.handles:
        return {"treated": treated, "start": float(start)}
    own = "not_yet_treated" if "not_yet_treated" in estimator.info.handles else "never_treated"
    return {"comparison": own}


def _options(estimator: Estimator) -> dict[str, object]:
    options = {item.name: getattr(estimator, item.name) for item in dataclasses.fields(estimator)}  # type: ignore[arg-type]
    given = {name: value for name, value in options.items() if value is not None}
    objects = [name for name, value in given.items() if not isinstance(value, (str, bool, int, float, tuple))]
    if objects:
        raise NotApplicable(f"option {', '.join(objects)} is an object, which no TOML file can name")
    return given


def toml_text(spec: Mapping[str, Mapping[str, object]]) -> str:
    """TOML text of sections with plain values."""
    lines = []
    for section, entries in spec.items():
        lines += [f"[{section}]", *(f"{name} = {_toml_value(value)}" for name, value in entries.items()), ""]
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, np.number)):
        return repr(value.item() if isinstance(value, np.number) else value)
    return json.dumps(value, ensure_ascii=False)
