"""Frames that the figures draw: each can be written beside its figure and read by anybody.

``frame.attrs`` holds what is not in the rows: the name of the figure (``figure``), the unit of the outcome (``unit``),
the level of intervals (``level``) and, for some, counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from groupeffect.errors import ReportError

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.design.design import Design
    from groupeffect.fitting import Fit
    from groupeffect.panel.panel import Panel
    from groupeffect.reform.support import SupportMap
    from groupeffect.result import Result

__all__ = [
    "design_comparison_frame",
    "effect_distribution_frame",
    "event_study_frame",
    "missingness_frame",
    "support_map_frame",
    "synthetic_path_frame",
]

EVENT_STUDY = (
    "series",
    "event_time",
    "estimate",
    "conf_low",
    "conf_high",
    "band_low",
    "band_high",
    "n_treated",
    "n_comparison",
    "is_reference",
)
DESIGN_COMPARISON = ("role", "analysis", "estimate", "conf_low", "conf_high", "n_treated", "n_comparison")


def named(frame: pd.DataFrame, figure: str, **attrs: object) -> pd.DataFrame:
    """Mark a frame with the figure that it belongs to."""
    frame.attrs.update(attrs, figure=figure)
    return frame


def event_study_frame(results: Result | Mapping[str, Result]) -> pd.DataFrame:
    """Rows of an event study, of one result or of several by name ("member", "core", or any words).

    Parameters
    ----------
    results : Result or mapping of str to Result
        Aggregated with ``ge.by_event_time(...)``.

    Returns
    -------
    DataFrame
        Columns series, event_time, estimate, conf_low, conf_high, band_low, band_high, n_treated, n_comparison,
        is_reference; outcome units.

    Raises
    ------
    ReportError
        If a result has no event times, or more than one row for one.
    """
    import pandas as pd

    series = results if isinstance(results, Mapping) else {"other": results}
    frame = pd.concat([event_rows(result.tidy(), name) for name, result in series.items()], ignore_index=True)
    first = next(iter(series.values()))
    return named(frame, "event_study", level=first.level, unit=str(first.about.get("outcome_unit") or ""))


def event_rows(tidy: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one series from a tidy table; a row that is zero without an interval is the base period."""
    times = tidy["event_time"]
    if times.isna().any() or len(tidy) == 0:
        raise ReportError(
            f"Result {name!r} has {int(times.isna().sum())} of {len(tidy)} rows without an event time.",
            hint="Draw fit.aggregate(ge.by_event_time(-4, 5)).infer(...).",
        )
    if times.duplicated().any():
        raise ReportError(
            f"Result {name!r} has several rows for event time {times[times.duplicated()].iloc[0]:g}.",
            hint="Aggregate cells with ge.by_event_time(...) before drawing.",
        )
    width = (tidy["conf_high"] - tidy["conf_low"]).fillna(0.0)
    rows = tidy.assign(series=name, is_reference=(tidy["estimate"] == 0) & (width == 0))
    return rows.sort_values("event_time")[list(EVENT_STUDY)]


def support_map_frame(source: SupportMap | Fit | Design) -> pd.DataFrame:
    """Which cohort can be compared at which time.

    Parameters
    ----------
    source : SupportMap, Fit or Design
        A support map of the reform, or what one is made from (see ``reform.support_map``).

    Returns
    -------
    DataFrame
        Columns cohort, time, n_treated, n_comparison, status: "baseline", "selection" (when schools were picked),
        "before" joining, "identified", "no_comparison", or "not_observed" (no outcome of the cohort).
    """
    from groupeffect.reform.support import SupportMap, support_map

    found = source if isinstance(source, SupportMap) else support_map(source)
    frame = found.frame()
    after = frame["phase"] == "after"
    status = frame["phase"].astype(object)
    status[after] = np.where(frame["identified"][after], "identified", "no_comparison")
    status[after & (frame["n_treated"] == 0)] = "not_observed"
    frame["status"] = status
    return named(frame[["cohort", "time", "n_treated", "n_comparison", "status"]].copy(), "support_map")


def synthetic_path_frame(result: Result) -> pd.DataFrame:
    """Observed path of the treated average and its synthetic twin.

    Parameters
    ----------
    result : Result
        Of an estimator with a counterfactual, straight from ``infer`` (not read from a file).

    Returns
    -------
    DataFrame
        Columns time, observed, synthetic, gap, conf_low, conf_high (interval of the gap where the result has a row for
        the time, else nan), is_treated, n_treated, n_donors (donors with weight).

    Raises
    ------
    ReportError
        If the result has no counterfactual.
    """
    import pandas as pd

    path = None if result.fit is None else result.fit.effects.counterfactual
    if path is None or result.fit is None:
        raise ReportError(
            "This result has no path without treatment.",
            hint="Draw a result of ge.synth.SyntheticControl or SyntheticDiD that was not read from a file.",
        )
    design = result.fit.design
    start = float(design.cohort[design.treated()].min())
    frame = pd.DataFrame({"time": path.times, "observed": path.observed, "synthetic": path.synthetic})
    frame["gap"] = frame["observed"] - frame["synthetic"]
    tidy = result.tidy().dropna(subset=["time"])
    for name in ("conf_low", "conf_high"):
        frame[name] = frame["time"].map(dict(zip(tidy["time"], tidy[name], strict=True)))
    frame["is_treated"] = frame["time"] >= start
    frame["n_treated"] = int(design.treated().sum())
    frame["n_donors"] = int((path.omega > 1e-8).sum())
    unit = str(result.about.get("outcome_unit") or "")
    return named(frame, "synthetic_path", unit=unit, level=result.level)


def effect_distribution_frame(result: Result) -> pd.DataFrame:
    """Predicted effects of single units, sorted and without names, and their mean.

    Parameters
    ----------
    result : Result
        Of an estimator with unit-level predictions (``tau_hat``) or scores.

    Returns
    -------
    DataFrame
        Columns kind ("unit", then one row "mean"), value, conf_low, conf_high.

    Raises
    ------
    ReportError
        If the result has neither predictions nor scores.
    """
    scores = None if result.fit is None else result.fit.effects.scores
    if scores is None:
        raise ReportError(
            "This result has no effects of single units.",
            hint="Draw a result of ge.hte.DRLearner that was not read from a file.",
        )
    predicted = scores.values if scores.tau_hat is None else scores.tau_hat  # noqa: PD011
    low, high = result.uncertainty.interval[0]
    frame = distribution_of(predicted[np.isfinite(predicted)], float(result.estimate[0]), float(low), float(high))
    frame.attrs |= {"unit": str(result.about.get("outcome_unit") or ""), "level": result.level}
    return frame


def distribution_of(values: object, mean: float, low: float, high: float) -> pd.DataFrame:
    """Frame of an effect distribution from its numbers; see :func:`effect_distribution_frame`."""
    import pandas as pd

    ordered = np.sort(np.asarray(values, dtype=float))
    nan = np.full(len(ordered), np.nan)
    frame = pd.DataFrame(
        {
            "kind": ["unit"] * len(ordered) + ["mean"],
            "value": np.r_[ordered, mean],
            "conf_low": np.r_[nan, low],
            "conf_high": np.r_[nan, high],
        }
    )
    return named(frame, "effect_distribution")


def missingness_frame(panel: Panel) -> pd.DataFrame:
    """Share of units without an outcome, by first treated time and time.

    Parameters
    ----------
    panel : Panel
        The validated panel.

    Returns
    -------
    DataFrame
        Columns cohort (inf = never), time, n_units, n_missing, share_missing (0 to 1).
    """
    import pandas as pd

    rows = []
    for cohort in np.unique(panel.adoption):
        chosen = panel.adoption == cohort
        missing = (~np.isfinite(panel.outcome[chosen])).sum(axis=0)
        size = int(chosen.sum())
        counts = zip(panel.times.tolist(), missing.tolist(), strict=True)
        rows += [(float(cohort), time, size, n, n / size) for time, n in counts]
    frame = pd.DataFrame(rows, columns=["cohort", "time", "n_units", "n_missing", "share_missing"])
    return named(frame, "missingness")


def design_comparison_frame(results: Mapping[tuple[str, str], Result]) -> pd.DataFrame:
    """Overall effects of the same schools under several designs.

    Parameters
    ----------
    results : mapping of (role, analysis) to Result
        Roles "member", "core"; analyses "before_after", "last_year_base", "pre_designation"; first rows count.

    Returns
    -------
    DataFrame
        Columns role, analysis, estimate, conf_low, conf_high, n_treated, n_comparison; outcome units.
    """
    import pandas as pd

    rows = []
    for (role, analysis), result in results.items():
        first = result.tidy().iloc[0]
        rows.append((role, analysis, *(first[name] for name in DESIGN_COMPARISON[2:])))
    level = next(iter(results.values())).level if results else 0.95
    return named(pd.DataFrame(rows, columns=list(DESIGN_COMPARISON)), "design_comparison", level=level)
