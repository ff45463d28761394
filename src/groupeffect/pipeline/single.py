"""One estimator from a TOML file: the same objects as in Python, named in text."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from groupeffect.design.aggregation import Aggregation, by_calendar_time, by_cohort, by_event_time, overall
from groupeffect.design.baseline import baseline_window
from groupeffect.design.design import block_design, staggered_design
from groupeffect.errors import SpecError, Violation
from groupeffect.fitting import fit
from groupeffect.inference.base import strategies
from groupeffect.panel.columns import Columns
from groupeffect.panel.read import read_panel
from groupeffect.registry import find
from groupeffect.result import Result

__all__ = ["fit_file"]

_SECTIONS = ("panel", "design", "estimator", "aggregation", "inference")
_SCHEMES = {
    "overall": overall,
    "by_event_time": by_event_time,
    "by_cohort": by_cohort,
    "by_calendar_time": by_calendar_time,
}
_STAGGERED = ("comparison", "anticipation", "base_period")
_BLOCK = ("treated", "start", "donors")


def fit_file(path: str | Path) -> Result:
    """Result of the estimator, data and options named in a TOML file.

    Parameters
    ----------
    path : path
        File with the sections ``[panel]`` (``file`` and the roles of `Columns`), ``[design]`` (options of
        `staggered_design`, or ``treated`` and ``start`` of `block_design`; ``base_period = [2016, 2019]`` is a baseline
        window), ``[estimator]`` (``name`` and its options), optional ``[aggregation]`` (``name`` and options) and
        ``[inference]`` (``name`` and options; ``level``).

    Returns
    -------
    Result
        The same as from Python.

    Raises
    ------
    SpecError
        If a section or option is unknown; every fault is listed.
    """
    source = Path(path)
    if not source.is_file():
        raise SpecError(f"There is no file {source}.")
    try:
        spec = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{source} is not valid TOML: {error}.") from error
    _check_sections(spec)
    panel_spec, design_spec = dict(spec["panel"]), dict(spec.get("design", {}))
    file = source.parent / panel_spec.pop("file")
    panel = read_panel(file, Columns(**_tuples(panel_spec)))
    if "treated" in design_spec:
        design = block_design(panel, **design_spec)
    else:
        if isinstance(design_spec.get("base_period"), list):
            design_spec["base_period"] = baseline_window(*design_spec["base_period"])
        design = staggered_design(panel, **design_spec)
    estimator = _make(find(spec["estimator"]["name"]), spec["estimator"])
    fitted = fit(estimator, panel, design)
    if "aggregation" in spec:
        fitted = fitted.aggregate(_scheme(spec["aggregation"]))
    inference = dict(spec["inference"])
    level = inference.pop("level", 0.95)
    return fitted.infer(_make(strategies()[inference["name"]], inference), level=level)


def _check_sections(spec: Mapping[str, Any]) -> None:
    faults = [_unknown(name, _SECTIONS, "section") for name in spec if name not in _SECTIONS]
    needed = ("panel", "estimator", "inference")
    faults += [Violation("study_file", f"section [{name}] is missing") for name in needed if name not in spec]
    panel = spec.get("panel", {})
    roles = ("file", *(item.name for item in fields(Columns)))
    faults += [_unknown(name, roles, "[panel] entry") for name in panel if name not in roles]
    faults += [
        Violation("study_file", f"[panel] needs {name!r}")
        for name in ("file", "unit", "time", "outcome")
        if "panel" in spec and name not in panel
    ]
    design = spec.get("design", {})
    options = _BLOCK if "treated" in design else _STAGGERED
    faults += [_unknown(name, options, "[design] entry") for name in design if name not in options]
    faults += _faults_of_choice(spec.get("inference"), "inference", strategies())
    faults += _faults_of_choice(spec.get("aggregation"), "aggregation", _SCHEMES)
    if "estimator" in spec and "name" not in spec["estimator"]:
        faults.append(Violation("study_file", "[estimator] needs a name"))
    if faults:
        raise SpecError(f"The file has {len(faults)} faults.", violations=faults)


def _faults_of_choice(section: Any, title: str, known: Mapping[str, Any]) -> list[Violation]:
    if section is None:
        return []
    if "name" not in section:
        return [Violation("study_file", f"[{title}] needs a name", hint=f"Known: {', '.join(known)}.")]
    if section["name"] not in known:
        return [_unknown(section["name"], tuple(known), f"[{title}] name")]
    return []


def _unknown(name: str, known: tuple[str, ...], what: str) -> Violation:
    close = get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    return Violation("study_file", f"unknown {what} {name!r}", hint=hint)


def _make(kind: type, section: Mapping[str, Any]) -> Any:
    """Object of a frozen dataclass from its options in a section."""
    options = {name: value for name, value in section.items() if name != "name"}
    known = tuple(item.name for item in fields(kind))
    faults = [_unknown(name, known, f"option of {kind.__name__}") for name in options if name not in known]
    if faults:
        raise SpecError(f"{kind.__name__} has no such options.", violations=faults)
    return kind(**_tuples(options))


def _tuples(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in section.items()}


def _scheme(section: Mapping[str, Any]) -> Aggregation:
    options = {name: value for name, value in section.items() if name != "name"}
    try:
        return _SCHEMES[section["name"]](**options)  # type: ignore[operator,no-any-return]
    except TypeError as error:
        raise SpecError(f"[aggregation] {section['name']}: {error}.") from error
