"""Interaction-weighted event study of Sun and Abraham (2021)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.did._observed import KINDS, Kind, check_choice, observed_average
from groupeffect.did._requests import refuse_exits, refuse_window
from groupeffect.did._two_way_terms import CovariateColumns, covariate_columns
from groupeffect.did._untreated import Covariates
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights, Regression, Unidentified
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import DesignError, EstimationError, NoComparisonError, NoTreatedError, SpecError
from groupeffect.numerics.cell_regression import CellRegression, cell_regression, unit_effects
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["SunAbraham"]


@register
@dataclass(frozen=True, slots=True)
class SunAbraham:
    r"""Event study with one coefficient for each cohort and time, so that no cohort serves as comparison for another.

    The outcome is regressed on unit effects, time effects and an indicator of each cohort at each time but a reference
    before treatment. Comparison units are those never treated; if there is none, the last cohort, at the times before
    it joins.

    Parameters
    ----------
    kind : {"cells", "event_study", "cohort", "static"}, default "cells"
        ``"cells"``: a row for each cohort and time; aggregate them with ``ge.by_event_time()`` and others, which give
        cells the share of their cohort. ``"event_study"``, ``"cohort"``, ``"static"``: averages by event time, by
        cohort, or of all treated cells, in which each observed unit-time counts once (with its weight), as R's
        ``fixest`` has it. These are ``ge.by_event_time()``, ``ge.by_cohort()`` and ``ge.overall()`` in a balanced
        panel, and differ where units are missing at some times.
    reference : float or tuple of float, optional
        Event times without a coefficient; a row of zeros stands for each. By default the last observed time of each
        cohort before treatment and its anticipation.
    covariates : {"as_is", "by_time", "none"}, default "as_is"
        How the panel's covariates enter: with one slope each, with a slope for each time (for covariates that do not
        vary over time), or not at all. As they are, covariates that are constant within units are absorbed by the unit
        effects; ``notes`` names them.
    shares : {"estimated", "fixed"}, default "estimated"
        Whether averages over cohorts count that cohort shares are estimated, as the variance in [1]_ does. ``"fixed"``
        takes them as given, as ``fixest`` does: standard errors are then a little smaller if effects differ between
        cohorts (the mean of mpdta: 0.0118 instead of 0.0120).

    Notes
    -----
    ``ClusterRobust(correction="auto")`` gives the standard errors of ``fixest`` (with ``shares="fixed"``) with its
    default small-sample factor, in which unit effects are nested in clusters and not counted.

    In a design with ``comparison="not_yet_treated"`` the comparison is narrower than the design allows: units that join
    later do not serve (`Imputation` and `CallawaySantAnna` use them), and ``notes`` says so. ``base_period`` makes no
    difference. If the last cohort is the comparison, its effects, and all effects from its joining on, are not
    identified. A baseline window, and units that leave treatment, are refused.

    Contract: cells have the exact derivative as influence; with ``shares="fixed"`` aggregations hold cohort shares
    fixed (`Shares.fixed`), and so does the derivative check.

    References
    ----------
    .. [1] Sun, L. and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous
       treatment effects. Journal of Econometrics 225(2), 175-199.
    """

    kind: Kind = "cells"
    reference: float | tuple[float, ...] | None = None
    covariates: Covariates = "as_is"
    shares: Literal["estimated", "fixed"] = "estimated"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="SunAbraham",
        label="Sun-Abraham",
        reference="sun2021",
        family="did",
        provides=frozenset({"influence", "regression", "refit", "weights"}),
        handles=staggered_features("block", "covariates"),
        unbiased_under=("constant_effects", "parallel_trends", "heterogeneous_cohorts", "anticipation", "unbalanced"),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        check_choice("covariates", self.covariates, ("as_is", "by_time", "none"))
        check_choice("shares", self.shares, ("estimated", "fixed"))
        given = self.references
        if given is not None and (not given or not all(value < 0 for value in given)):
            raise SpecError(
                f"reference={self.reference!r} is no event time before treatment.", hint="Use -1, or (-2, -1)."
            )

    @property
    def references(self) -> tuple[float, ...] | None:
        """Event times without a coefficient; None for the last time before treatment."""
        if self.reference is None:
            return None
        given = self.reference if isinstance(self.reference, tuple) else (self.reference,)
        return tuple(sorted({float(value) for value in given}))

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Coefficients of cohort x time indicators; see the class.

        Raises
        ------
        NoTreatedError, NoComparisonError
            If there is no treated or no comparison unit, or no treated cell can be estimated.
        DesignError
            If the design has a baseline window, treated units leave treatment, or a reference is not before treatment
            and its anticipation.
        SingularDesignError
            If covariates cannot be told from the effects.
        EstimationError
            If there are not more observations than coefficients.
        """
        terms = _terms(self, panel, design)
        fit = _regress(panel, terms)
        known = fit.estimable(terms.contrast)
        kept = np.flatnonzero(terms.is_reference | known)
        index, lost = _rows(panel, terms, kept, known)
        estimate = np.where(terms.is_reference, 0.0, terms.contrast @ fit.coefficient)[kept]
        influence = panel.n_units * fit.unit_scores(terms.contrast[kept])
        influence[:, index.is_reference] = 0.0
        effects = Effects(
            index,
            estimate,
            influence=Influence(influence, panel.unit_ids),
            shares=Shares(terms.cohorts, terms.unit_cohort, panel.unit_weight, fixed=self.shares == "fixed"),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            regression=_counts(terms, fit),
            unidentified=lost,
            notes=_notes(self, panel, design, terms, lost),
        )
        return observed_average(effects, self.kind, terms.counted, terms.unit_cohort, terms.cohorts, panel.times)


@dataclass(frozen=True, slots=True)
class _Terms:
    """Units, unit-times and regressors.

    Parameters
    ----------
    used : ndarray of bool, shape (n, T)
        Unit-times in the regression.
    compared : ndarray of bool, shape (n,)
        Comparison units.
    last : float
        First treated time of the comparison units; inf if they are never treated within the panel.
    cohorts : ndarray of shape (G,)
        First treated times of the other cohorts.
    unit_cohort : ndarray of int, shape (n,)
        Position of each unit's cohort; -1 for comparison units and those that take no part.
    cohort, time : ndarray of int, shape (k,)
        Positions of cohort and time of each cell with an observation.
    is_reference : ndarray of bool, shape (k,)
        Cells without a coefficient.
    contrast : ndarray of shape (k, K + p)
        Picks the coefficient of each cell; rows of zeros for references.
    design : ndarray of shape (1 + G, T, K)
        Time effects and cells, for the comparison units and each cohort.
    covariates : CovariateColumns
    weight : ndarray of shape (n,)
    """

    used: BoolArray
    compared: BoolArray
    last: float
    cohorts: FloatArray
    unit_cohort: IntArray
    cohort: IntArray
    time: IntArray
    is_reference: BoolArray
    contrast: FloatArray
    design: FloatArray
    covariates: CovariateColumns
    weight: FloatArray

    @property
    def counted(self) -> FloatArray:
        """Weight of each unit-time in its cell, shape (n, T)."""
        return np.where(self.used & (self.unit_cohort >= 0)[:, None], self.weight[:, None], 0.0)


def _terms(estimator: SunAbraham, panel: Panel, design: Design) -> _Terms:
    refuse_window(estimator.info.name, design, "the last time before treatment")
    treated, compared, last = _sides(design)
    refuse_exits(estimator.info.name, panel, design, treated | compared)
    own = panel.covariates if estimator.covariates != "none" else panel.covariates[:, :, :0]
    clean = panel.times[None, :] + design.anticipation < np.where(compared, design.cohort, last)[:, None]
    observed = np.isfinite(panel.outcome) & np.isfinite(own).all(axis=2)
    used = (treated | compared)[:, None] & observed & clean
    if not (used & compared[:, None]).any():
        raise NoComparisonError("No outcome of a comparison unit is observed.", hint="Check for holes in the panel.")
    cohorts = np.unique(design.cohort[treated])
    place = np.minimum(np.searchsorted(cohorts, design.cohort), len(cohorts) - 1)
    unit_cohort = np.where(treated, place, -1)
    present = np.stack([used[unit_cohort == g].any(axis=0) for g in range(len(cohorts))])
    is_reference = _reference_cells(estimator, panel.times, cohorts, present, design.anticipation)
    cohort, time = np.nonzero(present)
    free = ~is_reference[cohort, time]
    n_times, n_cells = panel.n_times, int(free.sum())
    columns = np.zeros((1 + len(cohorts), n_times, n_times + n_cells))
    columns[:, :, :n_times] = np.eye(n_times)
    position = n_times + np.arange(n_cells)
    columns[1 + cohort[free], time[free], position] = 1.0
    names = panel.columns.covariates if estimator.covariates != "none" else ()
    added = covariate_columns(own, used, names, panel.times, by_time=estimator.covariates == "by_time")
    contrast = np.zeros((len(cohort), n_times + n_cells + len(added.names)))
    contrast[np.flatnonzero(free), position] = 1.0
    weight = panel.unit_weight / panel.unit_weight.mean()
    return _Terms(used, compared, last, cohorts, unit_cohort, cohort, time, ~free, contrast, columns, added, weight)


def _sides(design: Design) -> tuple[BoolArray, BoolArray, float]:
    """Treated units, comparison units, and the first treated time of the latter (inf: not within the panel)."""
    pool, cohort, end = design.comparison_pool, design.cohort, design.times[-1]
    if not design.treated().any():
        raise NoTreatedError("No unit is treated within the panel.", hint="Check the cohorts of the design.")
    never = pool & (np.isinf(cohort) if design.comparison == "never_treated" else cohort > end)
    if never.any():
        return design.treated(), never, np.inf
    last = float(cohort[pool].max()) if pool.any() and design.comparison != "never_treated" else -np.inf
    treated = np.asarray(cohort < last)
    if not treated.any():
        raise NoComparisonError(
            "No unit of the comparison pool is never treated or joins after the first cohort.",
            hint="Widen the comparison pool, or add units that join later or never.",
        )
    return treated, np.asarray(pool & (cohort == last)), last


def _reference_cells(
    estimator: SunAbraham, times: FloatArray, cohorts: FloatArray, present: BoolArray, anticipation: float
) -> BoolArray:
    """Cells without a coefficient, shape (G, T)."""
    elapsed = times[None, :] - cohorts[:, None]
    before = present & (elapsed + anticipation < 0)
    if estimator.references is None:
        latest = np.where(before, elapsed, -np.inf).max(axis=1, keepdims=True)
        return np.asarray(before & (elapsed == latest))
    if max(estimator.references) + anticipation >= 0:
        raise DesignError(
            f"Reference {max(estimator.references):g} lies within the {anticipation:g} time units of anticipation.",
            hint=f"Use reference={-1 - anticipation:g}, or leave it out.",
        )
    return np.asarray(before & np.isin(elapsed, estimator.references))


def _regress(panel: Panel, terms: _Terms) -> CellRegression:
    fit = cell_regression(
        panel.outcome,
        terms.covariates.stacked(panel.outcome.shape),
        unit_effects(terms.used, panel.times),
        terms.weight,
        terms.unit_cohort + 1,
        terms.design,
        tuple(terms.covariates.names),
    )
    counts = _counts(terms, fit)
    if counts.n_obs <= counts.n_regressors + counts.n_time_effects + counts.n_unit_effects - 1:
        raise EstimationError(
            f"{counts.n_obs} observations for {counts.n_unit_effects} unit effects, {counts.n_time_effects} time "
            f"effects and {counts.n_regressors} coefficients.",
            hint="Use covariates='none' or more data.",
        )
    return fit


def _counts(terms: _Terms, fit: CellRegression) -> Regression:
    n_times = int(terms.used.any(axis=0).sum())
    rank = len(fit.coefficient) - fit.null.shape[1]
    return Regression(
        n_obs=int(terms.used.sum()),
        n_regressors=rank - (n_times - 1),
        n_unit_effects=int(terms.used.any(axis=1).sum()),
        n_time_effects=n_times,
    )


def _rows(
    panel: Panel, terms: _Terms, kept: IntArray, known: BoolArray
) -> tuple[EffectIndex, tuple[Unidentified, ...]]:
    """Keys of the rows, and treated cells without one."""
    cohort, time = terms.cohorts[terms.cohort], panel.times[terms.time]
    after = kept[(time[kept] >= cohort[kept])]
    if not len(after):
        raise NoComparisonError(
            "No treated cell can be estimated: no cohort has both a reference and a treated time that comparison units "
            "share.",
            hint="Use another reference, or add comparison units or earlier data.",
        )
    lost = [
        Unidentified(float(cohort[j]), float(time[j]), "no reference time of the cohort, or no comparison, is observed")
        for j in np.flatnonzero(~known & ~terms.is_reference)
        if time[j] >= cohort[j]
    ]
    if np.isfinite(terms.last):
        lost += [
            Unidentified(float(g), float(t), "no comparison unit joins later or never")
            for g in (*terms.cohorts, terms.last)
            for t in panel.times[panel.times >= g]
            if not ((cohort == g) & (time == t)).any()
        ]
    treated = np.array(
        [terms.used[terms.unit_cohort == terms.cohort[j], terms.time[j]].sum() for j in kept], dtype=np.int64
    )
    others = terms.used[terms.compared].sum(axis=0)
    index = EffectIndex.build(
        term="att",
        cohort=cohort[kept],
        time=time[kept],
        event_time=(time - cohort)[kept],
        n_treated=treated,
        n_comparison=others[terms.time[kept]],
        is_reference=terms.is_reference[kept],
    )
    return index, tuple(lost)


def _implied_weights(estimator: SunAbraham, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the cells, shape (k, n, T)."""
    terms = _terms(estimator, panel, design)
    fit = _regress(panel, terms)
    return fit.outcome_weights(terms.contrast[terms.is_reference | fit.estimable(terms.contrast)])


def _notes(
    estimator: SunAbraham, panel: Panel, design: Design, terms: _Terms, lost: tuple[Unidentified, ...]
) -> tuple[str, ...]:
    notes = []
    number = int(terms.compared.sum())
    if np.isfinite(terms.last):
        notes.append(
            f"no unit of the pool is never treated: the {number} units of the last cohort {terms.last:g} are the "
            "comparison, at the times before they join"
        )
    elif design.comparison == "not_yet_treated" and (terms.unit_cohort >= 0).any() and len(terms.cohorts) > 1:
        notes.append(
            f"comparison with the {number} units not treated within the panel only: units that join later do not serve"
        )
    if lost:
        notes.append(f"{len(lost)} treated cohort-times are not estimated ({lost[0].reason})")
    if terms.covariates.absorbed:
        listed = ", ".join(terms.covariates.absorbed)
        notes.append(f"covariates constant within units are absorbed by the unit effects: {listed}")
    takes_part = terms.compared | (terms.unit_cohort >= 0)
    holes = int((takes_part[:, None] & ~np.isfinite(panel.outcome)).sum())
    if holes:
        notes.append(f"{holes} unit-times are not observed and are left out")
    idle = int((~takes_part).sum())
    if idle:
        notes.append(f"{idle} of {panel.n_units} units are neither treated nor comparison units")
    if estimator.shares == "fixed":
        notes.append("cohort shares are taken as given in standard errors of averages")
    return tuple(notes)
