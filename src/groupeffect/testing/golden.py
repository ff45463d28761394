"""Golden bundles: numbers of a reference implementation, with their provenance, as declarative cases.

A bundle is a folder with ``expected.json`` (and data files). The file names the tool, its version and the data; each
case has the reference's own call, the same analysis in this package's words (columns, design, estimator, cluster), and
tables of expected numbers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.aggregation import Aggregation, by_calendar_time, by_cohort, by_event_time, overall
from groupeffect.design.design import staggered_design
from groupeffect.errors import GroupEffectWarning, SpecError
from groupeffect.fitting import Fit, fit
from groupeffect.inference.cluster import ClusterRobust
from groupeffect.panel.columns import Columns
from groupeffect.panel.panel import Panel
from groupeffect.panel.read import read_panel
from groupeffect.registry import find
from groupeffect.testing.outcomes import CheckReport, need, run_checks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GoldenBundle", "GoldenCase", "check_case", "read_bundle"]

_SCHEMES: dict[str, Callable[..., Aggregation]] = {
    "overall": overall,
    "by_event_time": by_event_time,
    "by_cohort": by_cohort,
    "by_calendar_time": by_calendar_time,
}


@dataclass(frozen=True, slots=True)
class GoldenBundle:
    """Cases of one reference tool on one family of data sets.

    Parameters
    ----------
    folder : Path
        Where the bundle lies.
    provenance : mapping
        Tool, version, origin and licence of the data.
    tolerance : mapping
        ``"estimate"`` and ``"std_error"``: largest distance relative to the largest number of a table; ``"reason"``.
    cases : tuple of GoldenCase
        All cases.
    """

    folder: Path
    provenance: Mapping[str, Any]
    tolerance: Mapping[str, Any]
    cases: tuple[GoldenCase, ...]

    def __getitem__(self, name: str) -> GoldenCase:
        return next(case for case in self.cases if case.name == name)


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One analysis and its expected numbers.

    Parameters
    ----------
    name : str
        Name of the case.
    call : str
        Call of the reference tool.
    data : mapping
        ``"file"`` (CSV, relative to `folder`), and optionally ``"without_rows"`` (positions of rows to leave out),
        ``"rows_as_units"`` (each row is a unit of its own), ``"balanced"`` (a policy of :meth:`Panel.balanced`).
    columns, design, options : mapping
        Arguments of ``Columns``, ``staggered_design`` and the estimator.
    estimator : str
        Name of a registered estimator.
    by : str, optional
        Cluster column.
    tables : mapping
        Expected numbers by table: ``"scheme"`` and ``"arguments"`` name the aggregation (null for an estimator's own
        rows); then keys of the rows, ``"estimate"``, ``"std_error"``, and the lower triangle by rows of the covariance:
        ``"vcov"`` with the case's clusters, ``"vcov_unit"`` with units as clusters. ``"mean_after"`` is the plain mean
        of the event times from 0 on.
    more : mapping
        Other numbers, for tests of their own.
    folder : Path
        Folder of the bundle.
    tolerance : mapping
        See `GoldenBundle`.
    """

    name: str
    call: str
    data: Mapping[str, Any]
    columns: Mapping[str, Any]
    design: Mapping[str, Any]
    options: Mapping[str, Any]
    estimator: str
    by: str | None
    tables: Mapping[str, Mapping[str, Any]]
    more: Mapping[str, Any]
    folder: Path
    tolerance: Mapping[str, Any]

    def panel(self) -> Panel:
        """The case's data as a panel."""
        frame = _frame(self.folder / self.data["file"]).drop(index=self.data.get("without_rows", []))
        columns: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self.columns.items()
        }
        if self.data.get("rows_as_units"):
            frame = frame.assign(row=np.arange(len(frame)))
        panel = read_panel(frame, Columns(**columns))
        return panel.balanced(self.data["balanced"]) if "balanced" in self.data else panel

    def fit(self) -> Fit:
        """Own rows of the case's estimator."""
        panel = self.panel()
        return fit(find(self.estimator)(**self.options), panel, staggered_design(panel, **self.design))

    def scheme(self, table: str) -> Aggregation | None:
        """Aggregation of a table; None for an estimator's own rows."""
        expected = self.tables[table]
        if expected["scheme"] is None:
            return None
        return _SCHEMES[expected["scheme"]](**expected.get("arguments", {}))


@cache
def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path)


def read_bundle(folder: Path) -> GoldenBundle:
    """Read a bundle.

    Parameters
    ----------
    folder : Path
        Folder with ``expected.json``.

    Returns
    -------
    GoldenBundle

    Raises
    ------
    SpecError
        If provenance or tolerance is missing.
    """
    body = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    missing = {"provenance", "tolerance", "cases"} - set(body)
    missing |= {"tool", "version", "data"} - set(body.get("provenance", {}))
    missing |= {"estimate", "std_error", "reason"} - set(body.get("tolerance", {}))
    if missing:
        raise SpecError(
            f"The golden bundle {folder.name} lacks {', '.join(sorted(missing))}.",
            hint="State the tool, its version, the data's origin, and tolerances with their reason.",
        )
    cases = tuple(
        GoldenCase(
            name=case["name"],
            call=case["call"],
            data=body["data"][case["data"]],
            columns=case["columns"],
            design=case["design"],
            options=case["options"],
            estimator=body["estimator"],
            by=case.get("by"),
            tables=case["tables"],
            more=case.get("more", {}),
            folder=folder,
            tolerance=body["tolerance"],
        )
        for case in body["cases"]
    )
    return GoldenBundle(folder, body["provenance"], body["tolerance"], cases)


def check_case(case: GoldenCase) -> CheckReport:
    """Compare every table of a case with ours.

    Parameters
    ----------
    case : GoldenCase

    Returns
    -------
    CheckReport
        One outcome per table.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupEffectWarning)
        cells = case.fit()
    return run_checks(case.name, [(name, partial(_check_table, case, name, cells)) for name in case.tables])


def _check_table(case: GoldenCase, name: str, cells: Fit) -> str:
    expected, scheme = case.tables[name], case.scheme(name)
    rows = cells if scheme is None else cells.aggregate(scheme)
    index, tolerance = rows.effects.index, case.tolerance
    for key in ("cohort", "time", "event_time"):
        if key in expected:
            need(np.array_equal(getattr(index, key), expected[key]), f"{key} is {getattr(index, key)}")
    u = ClusterRobust(by=case.by, correction="none").apply(rows, level=0.95)
    assert u.std_error is not None
    errors = {
        "estimate": (_distance(rows.effects.estimate, _floats(expected["estimate"])), tolerance["estimate"]),
        "std_error": (_distance(u.std_error, _floats(expected["std_error"])), tolerance["std_error"]),
    }
    for key, by in (("vcov", case.by), ("vcov_unit", None)):
        if key in expected:
            vcov = ClusterRobust(by=by, correction="none").apply(rows, level=0.95).vcov
            assert vcov is not None
            lower = vcov[np.tril_indices(len(vcov))]
            errors[key] = (_distance(lower, _floats(expected[key])), tolerance["std_error"])
    if "mean_after" in expected:
        errors |= _mean_after(rows, case, expected["mean_after"])
    for what, (error, allowed) in errors.items():
        need(error <= allowed, f"{what} differs by {error:.1e} of the largest value (allowed {allowed:g})")
    return ", ".join(f"{what} {error:.0e}" for what, (error, _) in errors.items())


def _mean_after(rows: Fit, case: GoldenCase, expected: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Plain mean of the event times from 0 on, with the standard error that the joint covariance gives."""
    after = rows.effects.index.event_time >= 0
    mean = after / after.sum()
    vcov = ClusterRobust(by=case.by, correction="none").apply(rows, level=0.95).vcov
    estimate, std_error = float(mean @ rows.effects.estimate), float(np.sqrt(mean @ vcov @ mean))
    return {
        "mean estimate": (abs(estimate / expected["estimate"] - 1), case.tolerance["estimate"]),
        "mean std_error": (abs(std_error / expected["std_error"] - 1), case.tolerance["std_error"]),
    }


def _floats(values: list[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _distance(ours: FloatArray, theirs: FloatArray) -> float:
    """Largest difference relative to the largest number; infinite if shapes or gaps differ."""
    if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return float("inf")
    known = ~np.isnan(theirs)
    return float(np.abs(ours[known] - theirs[known]).max() / np.abs(theirs[known]).max())
