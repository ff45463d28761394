"""The only place with quantiles of a distribution."""

from __future__ import annotations

import numpy as np
from scipy import stats

from groupeffect._types import FloatArray

__all__ = ["NORMAL_IQR", "critical_value", "interval", "p_value", "ratio"]

NORMAL_IQR = float(stats.norm.ppf(0.75) - stats.norm.ppf(0.25))
"""Interquartile range of a standard normal variable."""


def critical_value(level: float, df: float | None = None) -> float:
    """Two-sided critical value of the normal (``df=None``) or t distribution."""
    tail = 0.5 + level / 2
    return float(stats.norm.ppf(tail) if df is None else stats.t.ppf(tail, df))


def ratio(estimate: FloatArray, std_error: FloatArray) -> FloatArray:
    """``estimate / std_error``; nan where the standard error is zero or nan."""
    safe = np.where(std_error > 0, std_error, np.nan)
    return np.asarray(estimate / safe)


def p_value(statistic: FloatArray, df: float | None = None) -> FloatArray:
    """Two-sided p-value of a normal or t statistic."""
    size = np.abs(statistic)
    return np.asarray(2 * (stats.norm.sf(size) if df is None else stats.t.sf(size, df)))


def interval(estimate: FloatArray, std_error: FloatArray, critical: float) -> FloatArray:
    """``estimate -+ critical * std_error``, shape (k, 2); nan where there is no standard error."""
    half = critical * np.where(std_error > 0, std_error, np.nan)
    return np.column_stack([estimate - half, estimate + half])


def lower_bound_p(estimate: float, std_error: float, null: float, df: float | None = None) -> float:
    """One-sided p-value of ``truth <= null`` against ``truth > null``."""
    statistic = (estimate - null) / std_error
    return float(stats.norm.sf(statistic) if df is None else stats.t.sf(statistic, df))


def wald_p(statistic: float, rank: int, df: float | None = None) -> float:
    """P-value of a Wald statistic of some rank: chi-squared, or with `df` F distributed ``statistic / rank``."""
    if rank == 0:
        return float("nan")
    return float(stats.chi2.sf(statistic, rank) if df is None else stats.f.sf(statistic / rank, rank, df))


def one_sided_value(level: float, df: float | None = None) -> float:
    """One-sided critical value of the normal or t distribution."""
    return float(stats.norm.ppf(level) if df is None else stats.t.ppf(level, df))
