"""Right-hand side of a two-way fixed effects regression: treatment and covariates as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.design import Design
from groupeffect.errors import DesignError, NoComparisonError, NoTreatedError
from groupeffect.panel.panel import Panel

__all__ = ["CovariateColumns", "Terms", "covariate_columns", "make_terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Regressors and the cells they are used on.

    Parameters
    ----------
    takes_part : ndarray of bool, shape (n,)
        Units in the regression.
    used : ndarray of bool, shape (n, T)
        Observed cells of those units.
    weight : ndarray of shape (n, T)
        Unit weights (mean one over units that take part), zero on cells not used.
    regressors : ndarray of shape (n, T, k)
        Treatment columns first, then covariates.
    names : tuple of str
        Names of the k columns.
    n_treatment : int
        Columns of treatment.
    cohort : ndarray of shape (n,)
        First treated time, inf for units not treated within the panel.
    event_time : ndarray of shape (n, T)
        Time since treatment; -inf for units not treated within the panel.
    event_times : ndarray
        Event times with a row (references included); empty for a static regression.
    references : tuple of float
        Event times without a coefficient.
    absorbed : tuple of str
        Covariates left out because they are constant within units.
    """

    takes_part: BoolArray
    used: BoolArray
    weight: FloatArray
    regressors: FloatArray
    names: tuple[str, ...]
    n_treatment: int
    cohort: FloatArray
    event_time: FloatArray
    event_times: FloatArray
    references: tuple[float, ...]
    absorbed: tuple[str, ...]

    @property
    def n_never(self) -> int:
        """Observed units that are not treated within the panel."""
        return int((np.isinf(self.cohort) & self.used.any(axis=1)).sum())

    @property
    def cohorts(self) -> FloatArray:
        """First treated times of units that take part."""
        return np.unique(self.cohort[self.takes_part & np.isfinite(self.cohort)])

    def n_treated_units(self, cells: BoolArray) -> int:
        """Units with a used cell among those marked."""
        return int((cells & self.used).any(axis=1).sum())


def make_terms(
    panel: Panel,
    design: Design,
    takes_part: BoolArray,
    *,
    references: tuple[float, ...] | None,
    covariates: Literal["as_is", "by_time", "none"],
) -> Terms:
    """Regressors of a static (``references=None``) or event-study regression.

    Parameters
    ----------
    panel : Panel
        Data.
    design : Design
        Cohorts.
    takes_part : ndarray of bool, shape (n,)
        Units in the regression.
    references : tuple of float, optional
        Event times without a coefficient.
    covariates : {"as_is", "by_time", "none"}
        How covariates enter.

    Returns
    -------
    Terms

    Raises
    ------
    NoTreatedError, NoComparisonError
        If no treated or no untreated cell is observed.
    DesignError
        If a reference is not an observed event time.
    """
    own = panel.covariates if covariates != "none" else panel.covariates[:, :, :0]
    used = takes_part[:, None] & np.isfinite(panel.outcome) & np.isfinite(own).all(axis=2)
    cohort = np.where(design.treated() & takes_part, design.cohort, np.inf)
    event_time = panel.times[None, :] - cohort[:, None]
    treated = event_time >= 0
    if not (used & treated).any():
        raise NoTreatedError("No outcome of a treated unit is observed.", hint="Check for holes in the panel.")
    if not (used & ~treated).any():
        raise NoComparisonError("No untreated outcome is observed.", hint="Check for holes in the panel.")
    event_times = np.empty(0)
    if references is None:
        columns, names = [treated.astype(float)], ["treated"]
    else:
        event_times = np.unique(event_time[used & np.isfinite(event_time)])
        _check_references(references, event_times)
        kept = [e for e in event_times if e not in references]
        columns = [(event_time == e).astype(float) for e in kept]
        names = [f"event time {e:g}" for e in kept]
    n_treatment = len(columns)
    named = panel.columns.covariates if covariates != "none" else ()
    added = covariate_columns(own, used, named, panel.times, by_time=covariates == "by_time")
    columns += added.columns
    names += added.names
    return Terms(
        takes_part=takes_part,
        used=used,
        weight=np.where(used, (panel.unit_weight / panel.unit_weight[takes_part].mean())[:, None], 0.0),
        regressors=np.stack(columns, axis=2),
        names=tuple(names),
        n_treatment=n_treatment,
        cohort=cohort,
        event_time=event_time,
        event_times=event_times,
        references=references or (),
        absorbed=added.absorbed,
    )


@dataclass(frozen=True, slots=True)
class CovariateColumns:
    """Covariates as columns of a regression with unit effects.

    Parameters
    ----------
    columns : list of ndarray of shape (n, T)
        Zero on cells not used.
    names : list of str
        Names of the columns.
    absorbed : tuple of str
        Covariates left out because they are constant within units.
    """

    columns: list[FloatArray]
    names: list[str]
    absorbed: tuple[str, ...]

    def stacked(self, shape: tuple[int, int]) -> FloatArray:
        """Columns as an array of shape (n, T, p)."""
        return np.stack(self.columns, axis=2) if self.columns else np.empty((*shape, 0))


def covariate_columns(
    values: FloatArray,
    used: BoolArray,
    names: tuple[str, ...],
    times: FloatArray,
    *,
    by_time: bool,
    at: BoolArray | None = None,
) -> CovariateColumns:
    """Columns of covariates, as they are or with an effect that differs at each time.

    Parameters
    ----------
    values : ndarray of shape (n, T, p)
        Covariates; nan only on cells not used.
    used : ndarray of bool, shape (n, T)
        Cells used.
    names : tuple of str
        Names of the covariates.
    times : ndarray of shape (T,)
        Times.
    by_time : bool
        One column for each time instead of one.
    at : ndarray of bool, shape (T,), optional
        Times that get a column; by default those with a used cell.

    Returns
    -------
    CovariateColumns
    """
    chosen = np.flatnonzero(used.any(axis=0) if at is None else at)
    columns: list[FloatArray] = []
    labels: list[str] = []
    absorbed: list[str] = []
    for j, name in enumerate(names):
        own = np.where(used, values[:, :, j], 0.0)
        constant = _constant_within(own, used)
        if by_time:
            for t in chosen[:-1] if constant else chosen:  # all of them would sum to a constant of each unit
                column = np.zeros_like(own)
                column[:, t] = own[:, t]
                columns.append(column)
                labels.append(f"{name} at {times[t]:g}")
        elif constant:
            absorbed.append(name)
        else:
            columns.append(own)
            labels.append(name)
    return CovariateColumns(columns, labels, tuple(absorbed))


def _check_references(references: tuple[float, ...], event_times: FloatArray) -> None:
    missing = [f"{value:g}" for value in references if value not in event_times]
    if missing:
        raise DesignError(
            f"Reference event time {', '.join(missing)} is not observed for any treated unit.",
            hint=f"Observed event times run from {event_times[0]:g} to {event_times[-1]:g}.",
        )


def _constant_within(values: FloatArray, used: BoolArray) -> bool:
    """Whether a covariate is constant over the used cells of every unit."""
    highest = np.where(used, values, -np.inf).max(axis=1)
    lowest = np.where(used, values, np.inf).min(axis=1)
    return bool((highest[used.any(axis=1)] == lowest[used.any(axis=1)]).all())
