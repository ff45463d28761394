"""Outcomes without treatment, fitted to untreated unit-times, and the gaps of the others to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.did._requests import refuse_exits, refuse_window
from groupeffect.did._two_way_terms import covariate_columns
from groupeffect.effects.effects import EffectIndex, Unidentified
from groupeffect.errors import NoComparisonError, NoTreatedError
from groupeffect.numerics.cell_regression import CellRegression, UnitEffects, cell_regression, unit_effects
from groupeffect.panel.panel import Panel

__all__ = ["Averages", "Cells", "Covariates", "Sample", "UntreatedFit", "fit_untreated", "make_sample"]

Averages: TypeAlias = Literal["mean", "squared", "leave_out"]
Covariates: TypeAlias = Literal["as_is", "by_time", "none"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Who takes part, and which unit-times are untreated.

    Parameters
    ----------
    takes_part : ndarray of bool, shape (n,)
        Treated units and units of the comparison pool.
    observed : ndarray of bool, shape (n, T)
        Outcome and covariates are observed and the unit takes part.
    untreated : ndarray of bool, shape (n, T)
        Observed, before treatment and anticipation.
    fitted : ndarray of bool, shape (n, T)
        Untreated cells of the comparison pool: time effects and covariates are fitted to them.
    cohorts : ndarray of shape (G,)
        First treated times.
    unit_cohort : ndarray of int, shape (n,)
        Position of each unit's cohort; -1 for units not treated within the panel.
    covariates : ndarray of shape (n, T, p)
        Columns of the regression; zero where not observed.
    names, absorbed : tuple of str
        Names of the columns, and covariates left out because they are constant within units.
    weight : ndarray of shape (n,)
        Unit weights with mean one.
    """

    takes_part: BoolArray
    observed: BoolArray
    untreated: BoolArray
    fitted: BoolArray
    cohorts: FloatArray
    unit_cohort: IntArray
    covariates: FloatArray
    names: tuple[str, ...]
    absorbed: tuple[str, ...]
    weight: FloatArray


def make_sample(name: str, panel: Panel, design: Design, covariates: Covariates) -> Sample:
    """Sample of an estimator that fits untreated outcomes.

    Parameters
    ----------
    name : str
        Name of the estimator, for messages.
    panel, design : Panel, Design
    covariates : {"as_is", "by_time", "none"}
        How covariates enter.

    Returns
    -------
    Sample

    Raises
    ------
    NoTreatedError, NoComparisonError
        If no outcome of a treated unit, or of an untreated unit of the pool, is observed.
    DesignError
        If the design has a baseline window or treated units leave treatment.
    """
    refuse_window(name, design, "all untreated times")
    treated = design.treated()
    if not treated.any():
        raise NoTreatedError("No unit is treated within the panel.", hint="Check the cohorts of the design.")
    pool = design.comparison_pool.copy()
    if design.comparison == "never_treated":
        pool &= np.isinf(design.cohort)
    takes_part = treated | pool
    refuse_exits(name, panel, design, takes_part)
    own = panel.covariates if covariates != "none" else panel.covariates[:, :, :0]
    observed = takes_part[:, None] & np.isfinite(panel.outcome) & np.isfinite(own).all(axis=2)
    before = panel.times[None, :] + design.anticipation < design.cohort[:, None]
    untreated = observed & before
    fitted = untreated & pool[:, None]
    if not fitted.any():
        raise NoComparisonError(
            "No untreated outcome of a unit of the comparison pool is observed.",
            hint="Use comparison='not_yet_treated', widen the comparison pool, or check for holes.",
        )
    named = panel.columns.covariates if covariates != "none" else ()
    added = covariate_columns(
        own, observed, named, panel.times, by_time=covariates == "by_time", at=np.asarray(fitted.any(axis=0))
    )
    cohorts = np.unique(design.cohort[treated])
    place = np.minimum(np.searchsorted(cohorts, design.cohort), len(cohorts) - 1)
    return Sample(
        takes_part=takes_part,
        observed=observed,
        untreated=untreated & fitted.any(axis=0),
        fitted=fitted,
        cohorts=cohorts,
        unit_cohort=np.where(treated, place, -1),
        covariates=added.stacked(panel.outcome.shape),
        names=tuple(added.names),
        absorbed=added.absorbed,
        weight=panel.unit_weight / panel.unit_weight.mean(),
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """Cohort x time cells: means of the gaps between outcomes and fitted untreated outcomes.

    Parameters
    ----------
    cohort, time : ndarray of int, shape (k,)
        Positions of cohort and time.
    estimate : ndarray of shape (k,)
    contrast : ndarray of shape (k, K + p)
        Derivative of the estimates in the coefficients of the untreated fit.
    index : EffectIndex
    unidentified : tuple of Unidentified
        Treated cells without estimate.
    """

    cohort: IntArray
    time: IntArray
    estimate: FloatArray
    contrast: FloatArray
    index: EffectIndex
    unidentified: tuple[Unidentified, ...]


@dataclass(frozen=True)
class UntreatedFit:
    """Regression of untreated outcomes on unit effects (or lines), time effects and covariates.

    Time effects and covariates come from the comparison pool; the effect of each unit from its own untreated times.

    Parameters
    ----------
    sample : Sample
    times : ndarray of shape (T,)
    fit : CellRegression
        One coefficient per time, then covariates.
    own : UnitEffects
        Unit effects of all units that take part, from all their untreated cells.
    outcome : ndarray of shape (n, T)
        Outcome, zero where not observed.
    """

    sample: Sample
    times: FloatArray
    fit: CellRegression
    own: UnitEffects
    outcome: FloatArray

    @cached_property
    def counted(self) -> FloatArray:
        """Weight of each unit-time in its cell, shape (n, T); zero where none can be fitted or there is no cohort."""
        member = (self.sample.unit_cohort >= 0) & self.own.known
        return np.where(self.sample.observed & member[:, None], self.sample.weight[:, None], 0.0)

    @cached_property
    def gaps(self) -> FloatArray:
        """Outcomes minus fitted untreated outcomes, shape (n, T); of use where `counted` is positive."""
        n_times = len(self.times)
        rest = self.outcome - self.fit.coefficient[:n_times] - self.sample.covariates @ self.fit.coefficient[n_times:]
        return self.own.beyond(rest)

    def cells(self, *, in_sample: bool) -> Cells:
        """Means of the gaps by cohort and time; with `in_sample` also at the untreated times."""
        sample = self.sample
        x_gaps = self.own.beyond(sample.covariates)
        fixed = (self.own.degrees[:, None] >= self.own.used.sum(axis=1)[:, None]) & sample.untreated
        found: list[tuple[int, int, float, FloatArray]] = []
        counts: list[tuple[int, int, bool]] = []
        lost: list[Unidentified] = []
        for g, cohort in enumerate(sample.cohorts):
            rows = sample.unit_cohort == g
            weight, total = self.counted[rows], self.counted[rows].sum(axis=0)
            share = weight / np.where(total > 0, total, 1.0)
            spread = np.zeros_like(self.counted)
            spread[rows] = share
            contrast = -np.column_stack([self.own.contrast(spread, rows), np.einsum("nt,ntp->tp", share, x_gaps[rows])])
            means = (share * self.gaps[rows]).sum(axis=0)
            seen, inside = weight > 0, sample.untreated[rows].any(axis=0)
            zero = inside & (total > 0) & (fixed[rows] | ~seen).all(axis=0)
            contrast[zero] = 0.0
            known = self.fit.estimable(contrast)
            for t, time in enumerate(self.times):
                if inside[t] and not in_sample:
                    continue
                if total[t] == 0 or not known[t]:
                    if time >= cohort:
                        lost.append(Unidentified(float(cohort), float(time), _reason(sample, t, total[t])))
                    continue
                found.append((g, t, 0.0 if zero[t] else float(means[t]), contrast[t]))
                others = int((sample.fitted[:, t] & ~rows).sum())
                counts.append((int(seen[:, t].sum()), others, bool(zero[t])))
        return self._assemble(found, counts, lost)

    def _assemble(
        self,
        found: list[tuple[int, int, float, FloatArray]],
        counts: list[tuple[int, int, bool]],
        lost: list[Unidentified],
    ) -> Cells:
        code = np.array([item[0] for item in found], dtype=np.int64)
        time = np.array([item[1] for item in found], dtype=np.int64)
        cohort = self.sample.cohorts[code] if found else np.empty(0)
        when = self.times[time] if found else np.empty(0)
        if not (when >= cohort).any():
            raise NoComparisonError(
                f"No treated cell can be estimated. First reason: {lost[0].reason if lost else 'none is observed'}.",
                hint="Use comparison='not_yet_treated', widen the comparison pool, or add earlier data.",
            )
        index = EffectIndex.build(
            term="att",
            cohort=cohort,
            time=when,
            event_time=when - cohort,
            n_treated=np.array([item[0] for item in counts], dtype=np.int64),
            n_comparison=np.array([item[1] for item in counts], dtype=np.int64),
            is_reference=np.array([item[2] for item in counts]),
        )
        estimate, contrast = np.array([item[2] for item in found]), np.stack([item[3] for item in found])
        return Cells(code, time, estimate, contrast, index, tuple(lost))

    def influence(self, cells: Cells, averages: Averages = "mean") -> FloatArray:
        r"""Influence of cells, shape (n, k).

        Parameters
        ----------
        cells : Cells
        averages : {"mean", "squared", "leave_out"}
            What the gap of a unit is compared with: the mean of its cell (the result is then the derivative of the
            estimate in the unit weights), the mean weighted by squared unit weights, or that mean over the other units.

        Returns
        -------
        ndarray of shape (n, k)
        """
        n = len(self.outcome)
        influence = n * self.fit.unit_scores(cells.contrast)
        for g in range(len(self.sample.cohorts)):
            rows, columns = self.sample.unit_cohort == g, np.flatnonzero(cells.cohort == g)
            if len(columns) == 0:
                continue
            weight, gaps = self.counted[rows][:, cells.time[columns]], self.gaps[rows][:, cells.time[columns]]
            own = _deviations(gaps, weight, averages) * weight / weight.sum(axis=0)
            influence[np.ix_(rows, columns)] += n * own
        influence[:, cells.index.is_reference] = 0.0
        return influence

    def outcome_weights(self, cells: Cells) -> FloatArray:
        """Weights on outcomes that reproduce the cells, shape (k, n, T)."""
        out = self.fit.outcome_weights(cells.contrast)
        for j, (g, t) in enumerate(zip(cells.cohort, cells.time, strict=True)):
            weight = np.where(self.sample.unit_cohort == g, self.counted[:, t], 0.0)
            weight = weight / weight.sum()
            out[j, :, t] += weight
            for part in self.own.basis:
                out[j] -= (weight * part[:, t])[:, None] * np.where(self.own.used, part, 0.0)
        out[cells.index.is_reference] = 0.0
        return out

    def notes(self) -> list[str]:
        """Say what a reader must know about the sample."""
        sample, notes = self.sample, []
        if sample.absorbed:
            listed = ", ".join(sample.absorbed)
            notes.append(f"covariates constant within units are absorbed by the unit effects: {listed}")
        holes = int((sample.takes_part[:, None] & ~sample.observed).sum())
        if holes:
            notes.append(f"{holes} unit-times are not observed (or have no covariates) and are left out")
        without = (sample.unit_cohort >= 0) & ~self.own.known
        if without.any():
            least = len(self.own.basis)
            notes.append(
                f"{int(without.sum())} treated units are left out: fewer than {least} untreated times are observed"
            )
        idle = int((~sample.takes_part).sum())
        if idle:
            notes.append(f"{idle} of {len(sample.takes_part)} units are neither treated nor in the comparison pool")
        return notes


def _reason(sample: Sample, t: int, total: float) -> str:
    if total == 0:
        return "no unit of the cohort is observed then and often enough before treatment"
    if not sample.fitted[:, t].any():
        return "no comparison unit is untreated by then"
    return "the observed untreated times do not connect this time with the cohort's times before treatment"


def _deviations(gaps: FloatArray, weight: FloatArray, averages: Averages) -> FloatArray:
    """Gaps minus their average in each column."""
    scale = weight if averages == "mean" else weight**2
    share = scale / scale.sum(axis=0)
    rest = gaps - (share * gaps).sum(axis=0)
    if averages == "leave_out":
        rest = rest / np.where(share < 1, 1.0 - share, np.nan)
    return np.asarray(rest)


def fit_untreated(panel: Panel, sample: Sample, *, unit_trends: bool) -> UntreatedFit:
    """Fit untreated outcomes.

    Parameters
    ----------
    panel : Panel
    sample : Sample
    unit_trends : bool
        A line in time for each unit instead of a constant.

    Returns
    -------
    UntreatedFit

    Raises
    ------
    SingularDesignError
        If covariates cannot be told from the effects in the untreated unit-times.
    """
    n, n_times = panel.outcome.shape
    outcome = np.where(sample.observed, panel.outcome, 0.0)
    level = outcome[sample.observed].mean()  # taken out so that rounding does not depend on it
    outcome = np.where(sample.observed, outcome - level, 0.0)
    fit = cell_regression(
        outcome,
        sample.covariates,
        unit_effects(sample.fitted, panel.times, lines=unit_trends),
        sample.weight,
        np.zeros(n, dtype=np.int64),
        np.eye(n_times)[None],
        sample.names,
    )
    own = unit_effects(sample.untreated, panel.times, lines=unit_trends)
    return UntreatedFit(sample, panel.times, fit, own, outcome)
