"""Baseline balance: Hedges' g with the thresholds of the What Works Clearinghouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.design import Design, base_times
from groupeffect.errors import SpecError
from groupeffect.panel.panel import Panel

__all__ = ["BalanceRow", "Category", "baseline_balance", "hedges_g", "wwc_category"]

Category: TypeAlias = Literal["satisfied", "satisfied_with_adjustment", "not_satisfied"]

SATISFIED, ADJUSTABLE = 0.05, 0.25


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One baseline characteristic.

    Parameters
    ----------
    name : str
        Outcome or covariate.
    treated_mean, comparison_mean : float
        Means over the base times; each cohort against its own comparison units, cohorts weighted by their size.
    sd : float
        Standard deviation that the difference is divided by.
    g : float
        Standardised difference, Hedges' correction applied.
    category : {"satisfied", "satisfied_with_adjustment", "not_satisfied"}
        What Works Clearinghouse: up to 0.05, up to 0.25, above.
    n_treated, n_comparison : int
        Units.
    """

    name: str
    treated_mean: float
    comparison_mean: float
    sd: float
    g: float
    category: Category
    n_treated: int
    n_comparison: int


def wwc_category(g: float) -> Category:
    """Category of a standardised baseline difference (What Works Clearinghouse Standards Handbook 4.1)."""
    size = abs(g)
    if not np.isfinite(size):
        raise SpecError(f"The standardised difference is {g}.", hint="Check that both sides have observed values.")
    if size <= SATISFIED:
        return "satisfied"
    return "satisfied_with_adjustment" if size <= ADJUSTABLE else "not_satisfied"


def hedges_g(treated: FloatArray, comparison: FloatArray) -> float:
    """Standardised mean difference with the small-sample correction ``1 - 3 / (4 N - 9)``.

    Parameters
    ----------
    treated, comparison : ndarray
        Values of the units on either side; nan is left out.

    Returns
    -------
    float
        Difference of the means over the pooled standard deviation.

    Raises
    ------
    SpecError
        With fewer than two values on a side, or no spread.
    """
    a, b = treated[np.isfinite(treated)], comparison[np.isfinite(comparison)]
    sd = _pooled_sd(a, b)
    return float(_correction(len(a) + len(b)) * (a.mean() - b.mean()) / sd)


def _correction(n: int) -> float:
    return 1.0 - 3.0 / (4.0 * n - 9.0)


def _pooled_sd(a: FloatArray, b: FloatArray) -> float:
    if len(a) < 2 or len(b) < 2:
        raise SpecError(f"A standardised difference needs two values on each side; there are {len(a)} and {len(b)}.")
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
    if not pooled > 0:
        raise SpecError("The values do not vary, so no difference can be standardised.")
    return float(np.sqrt(pooled))


def baseline_balance(panel: Panel, design: Design, *, sd: float | None = None) -> tuple[BalanceRow, ...]:
    """Balance of the outcome and the covariates at the base times of a staggered design.

    Parameters
    ----------
    panel, design : Panel, Design
        On the same units.
    sd : float, optional
        Standard deviation for the outcome row: 1 for outcomes in pupil-level SD, the unit in which the thresholds are
        meant. None = pooled over the units on either side, within cohorts (for schools that is smaller, and g larger).

    Returns
    -------
    tuple of BalanceRow
        The outcome first, then the covariates (always with the pooled standard deviation of units).

    Raises
    ------
    SpecError
        If nothing is observed on a side, or (with a pooled standard deviation) fewer than two units are.
    """
    names = (panel.columns.outcome, *panel.columns.covariates)
    rows = []
    for k, name in enumerate(names):
        values = panel.outcome if k == 0 else panel.covariates[:, :, k - 1]
        rows.append(_row(name, values, panel, design, sd if k == 0 else None))
    return tuple(rows)


def _row(name: str, values: FloatArray, panel: Panel, design: Design, sd: float | None) -> BalanceRow:
    weight = panel.unit_weight
    size, treated_mean, comparison_mean = 0.0, 0.0, 0.0
    sides = np.zeros((2, panel.n_units), dtype=bool)
    spread: list[tuple[float, float]] = []
    for g in design.cohorts:
        own = _mean(values[:, base_times(design.times, g, design.anticipation, design.baseline)])
        treated, comparison = _sides(design, float(g), np.isfinite(own))
        if not treated.any() or not comparison.any():
            continue
        share = float(weight[treated].sum())
        size += share
        treated_mean += share * float(np.average(own[treated], weights=weight[treated]))
        comparison_mean += share * float(np.average(own[comparison], weights=weight[comparison]))
        sides |= np.array([treated, comparison])
        if sd is None:
            spread.append((share, _pooled_sd(own[treated], own[comparison]) ** 2))
    if size == 0:
        raise SpecError(f"{name!r} is not observed at the base times on both sides.", hint="Leave the covariate out.")
    n_treated, n_comparison = (int(side.sum()) for side in sides)
    scale = float(np.sqrt(sum(share * square for share, square in spread) / size)) if sd is None else sd
    g_value = _correction(n_treated + n_comparison) * (treated_mean - comparison_mean) / size / scale
    return BalanceRow(
        name,
        treated_mean / size,
        comparison_mean / size,
        scale,
        float(g_value),
        wwc_category(g_value),
        n_treated,
        n_comparison,
    )


def _sides(design: Design, cohort: float, seen: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Units of a cohort and the units that can be compared with them when they join."""
    later = design.cohort > cohort + design.anticipation
    if design.comparison == "never_treated":
        later = np.isinf(design.cohort)
    return np.asarray((design.cohort == cohort) & seen), np.asarray(design.comparison_pool & later & seen)


def _mean(values: FloatArray) -> FloatArray:
    """Row means without nan; nan for rows that are all nan."""
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    return np.where(count > 0, np.where(seen, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
