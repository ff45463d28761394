"""Writing a synthetic reform as files: what the analyst gets, and the truth apart from it."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from groupeffect.errors import SpecError
from groupeffect.simulate.aggregates import (
    Attribute,
    att_by,
    att_by_subject,
    cost_effectiveness,
    dose_curve,
    exit_retention,
    export_curve,
    group_table,
    net_effect,
    optimal_targets,
    regression_discontinuity,
    ring_effect,
)
from groupeffect.simulate.codebook import header_names
from groupeffect.simulate.inequality import score_gaps
from groupeffect.simulate.power import mde_table
from groupeffect.simulate.scenarios import SCENARIOS

if TYPE_CHECKING:
    from groupeffect.simulate.schools import SchoolReform

__all__ = ["truth_summary", "truth_tables", "write_reform"]

Encoding: TypeAlias = Literal["utf-8", "utf-8-sig", "gb18030"]
Headers: TypeAlias = Literal["en", "zh"]

_BUDGET_PER_PUPIL = 100.0
_WEIGHTS = {
    "att_gt": "plain mean over the established schools of cohort g with a score at t",
    "att_event_time": "cells weighted by the cohort share p_g among established schools of the role",
    "overall": "cells since joining weighted by p_g (cells); by_subject and by_attribute the same within",
    "net": "school-years since joining weighted by pupils, the mean enrolment before the designation years",
    "ring": "exposed school-years equally",
    "exit_retention": "leavers equally",
    "score_gaps": "schools equally in sd and the gaps of means; pupils of the year in the others",
    "cost": "sum(pupils * cost) / sum(pupils * effect / 0.1) over the school-years since joining",
    "targets": "pupils times effect three years after joining; budget 100 yuan per pupil of the province and year",
    "mde": "2.8 times the exact sampling SD given the assignment",
}


def truth_tables(reform: SchoolReform) -> dict[str, pd.DataFrame]:
    """Every table of the truth, as written to ``truth/``.

    Returns
    -------
    dict of str to DataFrame
        ``school_year, att_gt, att_event_time, overall, by_attribute, by_subject, dose_curve, export_curve, net, ring,
        exit_retention, discontinuity, groups, score_gaps, official_cv, cost, targets, mde, scale, spending``.
    """
    truth, roles = reform.truth, ("member", "core")
    realised = reform.realised["ratio"].to_numpy()
    per_latent = float(reform.scale["slope"].mean())
    attributes: tuple[Attribute, ...] = ("model", "stage", "location", "county_id", "remote", "weak", "baseline")
    subgroups = [att_by(truth, name).assign(role="member") for name in attributes]
    subgroups += [att_by(truth, name, "core").assign(role="core") for name in ("compensated", "model", "location")]
    budget = _BUDGET_PER_PUPIL * float(truth.world.pupils.sum())
    return {
        "school_year": truth.school_year(),
        "att_gt": _stack({role: truth.att_gt(role) for role in roles}),
        "att_event_time": _stack({role: truth.att_event_time(role) for role in roles}),
        "overall": _stack({role: _overall(reform, role) for role in roles}),
        "by_attribute": pd.concat(subgroups, ignore_index=True),
        "by_subject": _stack({role: att_by_subject(truth, role) for role in roles}),
        "dose_curve": dose_curve(truth),
        "export_curve": export_curve(truth),
        "net": net_effect(truth),
        "ring": ring_effect(truth),
        "exit_retention": exit_retention(truth),
        "discontinuity": regression_discontinuity(truth),
        "groups": group_table(truth),
        "score_gaps": score_gaps(truth),
        "official_cv": reform.official_cv,
        "cost": cost_effectiveness(truth, realised),
        "targets": optimal_targets(truth, budget),
        "mde": mde_table(truth.world, per_latent),
        "scale": reform.scale,
        "spending": reform.realised,
    }


def _stack(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    frames = []
    for role, frame in parts.items():
        frame = frame.copy()
        frame.insert(0, "role", role)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _overall(reform: SchoolReform, role: str) -> pd.DataFrame:
    kinds: tuple[Literal["cells", "cohort", "event_time", "calendar_time"], ...]
    kinds = ("cells", "cohort", "event_time", "calendar_time")
    return pd.concat([reform.truth.overall(role, over=kind).assign(over=kind) for kind in kinds], ignore_index=True)


def truth_summary(reform: SchoolReform) -> dict[str, Any]:
    """Head of the truth, as written to ``truth/truth.json``: parameters, headline effects, meaning of the weights."""
    truth, world = reform.truth, reform.truth.world
    net = net_effect(truth)
    headline = {f"{role}_overall": _value(truth.overall(role)) for role in ("member", "core")}
    whole = net["time"].isna()
    headline |= {
        f"{term}_pupil_weighted": _value(net[whole & (net["term"] == term)]) for term in ("net", "member", "core")
    }
    return {
        "scenario": truth.scenario,
        "explanation": SCENARIOS[truth.scenario].explanation,
        "seed": world.seed,
        "unit": "pupil SD of the reference population",
        "latent_sd_per_unit": 1 / float(reform.scale["slope"].mean()),
        "years": [int(world.years[0]), int(world.years[-1])],
        "n_schools": world.population.n,
        "n_groups": world.assignment.groups.n,
        "n_reference_schools": int(world.reference.sum()),
        "headline": headline,
        "weights": _WEIGHTS,
        "parameters": asdict(world.parameters),
    }


def _value(rows: pd.DataFrame) -> float | None:
    return float(rows["estimate"].iloc[0]) if len(rows) else None


def write_reform(
    reform: SchoolReform,
    directory: str | os.PathLike[str],
    *,
    encoding: Encoding = "utf-8",
    headers: Headers = "en",
) -> tuple[Path, ...]:
    """Write a reform: five tables for the analyst, and the truth in a folder of its own.

    Files are ``schools.csv``, ``scores.csv``, ``membership.csv``, ``crosswalk.csv``, ``codebook.csv``, and
    ``truth/*.csv`` with ``truth/truth.json``. The same reform gives the same bytes.

    Parameters
    ----------
    reform : SchoolReform
    directory : path
        Made if it does not exist; files of the same name are replaced.
    encoding : {"utf-8", "utf-8-sig", "gb18030"}, default "utf-8"
        Encoding of the analyst's tables; the truth is always UTF-8.
    headers : {"en", "zh"}, default "en"
        ``"zh"`` writes the Chinese header of every column that has an alias which the reader knows.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    SpecError
        If `encoding` or `headers` is unknown.
    """
    if encoding not in ("utf-8", "utf-8-sig", "gb18030"):
        raise SpecError(f"encoding={encoding!r} is unknown.", hint="Use 'utf-8', 'utf-8-sig' or 'gb18030'.")
    if headers not in ("en", "zh"):
        raise SpecError(f"headers={headers!r} is unknown.", hint="Use 'en' or 'zh'.")
    folder = Path(directory)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    written = []
    for name in ("schools", "scores", "membership", "crosswalk", "codebook"):
        table: pd.DataFrame = getattr(reform, name)
        if headers == "zh" and name != "codebook":
            table = table.rename(columns=header_names(table.columns))
        written.append(_write_csv(table, folder / f"{name}.csv", encoding))
    for name, table in truth_tables(reform).items():
        written.append(_write_csv(table, folder / "truth" / f"{name}.csv", "utf-8"))
    path = folder / "truth" / "truth.json"
    text = json.dumps(truth_summary(reform), ensure_ascii=False, indent=2, allow_nan=False, default=_plain)
    path.write_bytes((text + "\n").encode())
    return (*written, path)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _write_csv(table: pd.DataFrame, path: Path, encoding: Encoding) -> Path:
    """Write comma-separated text: empty for missing, line feeds, quotes in the codebook only (others need none)."""
    import pyarrow as pa
    import pyarrow.csv

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    quoting = "needed" if path.stem == "codebook" else "none"
    pyarrow.csv.write_csv(arrow, buffer, pyarrow.csv.WriteOptions(include_header=False, quoting_style=quoting))
    head = ",".join(str(name) for name in table.columns) + "\n"
    data = head.encode() + buffer.getvalue()
    path.write_bytes(data if encoding == "utf-8" else data.decode("utf-8").encode(encoding))
    return path
