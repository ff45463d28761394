"""Imputation estimator of Borusyak, Jaravel and Spiess (2024)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.did._observed import KINDS, check_choice, observed_average
from groupeffect.did._untreated import Averages, Cells, Covariates, Sample, UntreatedFit, fit_untreated, make_sample
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights, Regression
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import EstimationError, NoPrePeriodError, SpecError
from groupeffect.numerics.cell_regression import CellRegression, cell_regression, unit_effects
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["Imputation"]

Variance: TypeAlias = Literal["conservative", "bjs", "leave_out", "derivative"]
VARIANCES = ("conservative", "bjs", "leave_out", "derivative")
_AVERAGES: dict[str, Averages] = {
    "conservative": "mean",
    "bjs": "squared",
    "leave_out": "leave_out",
    "derivative": "mean",
}


@register
@dataclass(frozen=True, slots=True)
class Imputation:
    r"""Effects as gaps between outcomes and what untreated outcomes would have been, imputed from untreated unit-times.

    Unit effects, time effects and covariates are fitted to untreated unit-times only. A cohort x time cell is the mean
    gap of its units. If effects may differ freely and errors are homoskedastic and uncorrelated, no other linear
    unbiased estimator has a smaller variance [1]_.

    Parameters
    ----------
    kind : {"cells", "event_study", "cohort", "static", "pretrends"}, default "cells"
        ``"cells"``: a row for each cohort and time; aggregate them with ``ge.by_event_time()`` and others, which give
        cells the share of their cohort.
        ``"event_study"``, ``"cohort"``, ``"static"``: averages by event time, by cohort, or of all treated cells, in
        which each observed treated unit-time counts once (with its weight), as the reference software has it. In a
        balanced panel these are ``ge.by_event_time()``, ``ge.by_cohort()`` and ``ge.overall()``; they differ where
        units are missing at some times.
        ``"pretrends"``: only the coefficients of `pretrends`, with the counts of their regression, so that
        ``ClusterRobust()`` uses its small-sample factor.
    pretrends : int or "all", default "all"
        Leads of treatment to estimate, by a separate regression of *untreated* outcomes: the given number of event
        times just before treatment (and before its anticipation), against all earlier ones; ``"all"`` is every event
        time but the last one before treatment, against that one; 0 for none. A coefficient is common to all cohorts, as
        in [1]_; with ``kind="cells"`` the row of each cohort at that event time shows it. The leads do not enter other
        rows.
    covariates : {"as_is", "by_time", "none"}, default "as_is"
        How the panel's covariates enter the fit: with one slope each, with a slope for each time (for covariates that
        do not vary over time), or not at all. As they are, covariates that are constant within units are absorbed by
        the unit effects; ``notes`` names them.
    unit_trends : bool, default False
        Fit a line in time to each unit instead of a constant. Units need two untreated times, and without a third they
        say nothing about time effects.
    variance : {"conservative", "bjs", "leave_out", "derivative"}, default "conservative"
        ``"conservative"``: that of [1]_, conditional on who is treated when: gaps deviate from the mean of their
        cohort x time cell, and cohort shares are fixed. Too large on average if effects differ within cells.
        ``"bjs"``: the same with means weighted by *squared* unit weights, exactly as in the paper and in the reference
        software; equal to ``"conservative"`` if unit weights are equal. With unequal weights the influence has not mean
        zero.
        ``"leave_out"``: as ``"bjs"``, with means over the other units of the cell; for small cohorts.
        ``"derivative"``: the derivative of the estimate in the unit weights, estimated cohort shares included; the same
        as `TwoStage`.

    Notes
    -----
    Time effects and covariates come from the comparison pool of the design; each treated unit, in the pool or not, is
    compared with its own untreated times. ``base_period`` makes no difference, because all untreated times serve as
    base; a baseline window is refused, and so are units that leave treatment. With anticipation the times concerned
    are imputed too and have rows. Leads use the untreated times of all units that take part.

    Contract: cells always have the exact derivative as influence, except with ``"bjs"`` (unequal weights) and
    ``"leave_out"``. Unless ``variance="derivative"``, aggregations hold cohort shares fixed (`Shares.fixed`), and so
    does the derivative check.

    References
    ----------
    .. [1] Borusyak, K., Jaravel, X. and Spiess, J. (2024). Revisiting event-study designs: robust and efficient
       estimation. Review of Economic Studies 91(6), 3253-3285.
    """

    kind: Literal["cells", "event_study", "cohort", "static", "pretrends"] = "cells"
    pretrends: int | Literal["all"] = "all"
    covariates: Covariates = "as_is"
    unit_trends: bool = False
    variance: Variance = "conservative"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="Imputation",
        label="Imputation (Borusyak-Jaravel-Spiess)",
        reference="borusyak2024",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("block", "covariates"),
        unbiased_under=("constant_effects", "parallel_trends", "heterogeneous_cohorts", "anticipation", "unbalanced"),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, (*KINDS, "pretrends"))
        check_choice("covariates", self.covariates, ("as_is", "by_time", "none"))
        check_choice("variance", self.variance, VARIANCES)
        if self.pretrends != "all" and (isinstance(self.pretrends, (str, bool)) or self.pretrends < 0):
            raise SpecError(f"pretrends={self.pretrends!r} is no number of leads.", hint="Use 0, 1, 2, ... or 'all'.")
        if self.kind == "pretrends" and self.pretrends == 0:
            raise SpecError("kind='pretrends' with pretrends=0 has no row.", hint="Use pretrends='all'.")

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Mean gaps and leads; see the class.

        Raises
        ------
        NoTreatedError, NoComparisonError
            If no treated cell can be estimated.
        NoPrePeriodError
            If ``kind="pretrends"`` and no lead is determined.
        DesignError
            If the design has a baseline window, or treated units leave treatment.
        SingularDesignError
            If covariates cannot be told from the effects in the untreated unit-times.
        EstimationError
            If averages over *other* units are asked for in a cell of one unit.
        """
        sample = make_sample(self.info.name, panel, design, self.covariates)
        if self.kind == "pretrends":
            return _only_leads(self, panel, design, sample)
        fitted = fit_untreated(panel, sample, unit_trends=self.unit_trends)
        cells = fitted.cells(in_sample=False)
        influence = fitted.influence(cells, _AVERAGES[self.variance])
        _refuse_lonely(influence, cells)
        effects = Effects(
            cells.index,
            cells.estimate,
            influence=Influence(influence, panel.unit_ids),
            shares=Shares(sample.cohorts, sample.unit_cohort, panel.unit_weight, fixed=self.variance != "derivative"),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=cells.unidentified,
            notes=_notes(self, fitted, cells),
        )
        counted = fitted.counted
        if self.pretrends != 0:
            leads = _leads(self, panel, design, sample)
            effects = _with_leads(effects, leads, panel, sample)
            counted = np.where(sample.untreated, sample.weight[:, None], counted)
        return observed_average(effects, self.kind, counted, sample.unit_cohort, sample.cohorts, panel.times)


@dataclass(frozen=True, slots=True)
class _Leads:
    """Leads of treatment: which cells they are about, and their regression."""

    event_times: FloatArray
    fit: CellRegression
    contrast: FloatArray
    notes: tuple[str, ...]

    @property
    def estimate(self) -> FloatArray:
        return np.asarray(self.contrast @ self.fit.coefficient)


def _leads(estimator: Imputation, panel: Panel, design: Design, sample: Sample) -> _Leads:
    """Regression of untreated outcomes on unit effects, time effects, covariates and leads."""
    used = sample.observed & (panel.times[None, :] + design.anticipation < design.cohort[:, None])
    elapsed = panel.times[None, :] - sample.cohorts[:, None]
    present = np.stack([used[sample.unit_cohort == g].any(axis=0) for g in range(len(sample.cohorts))])
    event_times = np.unique(elapsed[present])
    chosen = event_times[:-1] if estimator.pretrends == "all" else event_times[len(event_times) - estimator.pretrends :]
    if estimator.pretrends != "all" and estimator.pretrends > len(event_times):
        chosen = event_times
    leads = (elapsed[:, :, None] == chosen) & present[:, :, None]
    columns = np.concatenate([np.zeros((1, *leads.shape[1:])), leads])
    clock = np.repeat(np.eye(panel.n_times)[None], len(columns), axis=0)
    fit = cell_regression(
        np.where(used, panel.outcome, 0.0),
        sample.covariates,
        unit_effects(used, panel.times, lines=estimator.unit_trends),
        sample.weight,
        sample.unit_cohort + 1,
        np.concatenate([clock, columns], axis=2),
        sample.names,
    )
    contrast = np.eye(len(fit.coefficient))[panel.n_times : panel.n_times + len(chosen)]
    known = fit.estimable(contrast)
    notes: tuple[str, ...] = ()
    if not known.all():
        lost = ", ".join(f"{value:g}" for value in chosen[~known])
        notes = (f"leads {lost} are not determined: untreated times of other units are too few",)
    return _Leads(chosen[known], fit, contrast[known], notes)


def _with_leads(effects: Effects, leads: _Leads, panel: Panel, sample: Sample) -> Effects:
    """Add a row for each cohort and lead; rows of the same lead hold the same coefficient."""
    scores = panel.n_units * leads.fit.unit_scores(leads.contrast)
    where, index = _lead_index(leads, panel, sample)
    assert effects.influence is not None
    joined = _join(index, effects.index)
    order = np.lexsort((joined.time, joined.cohort))
    values = np.hstack([scores[:, where], effects.influence.values])[:, order]
    return replace(
        effects,
        index=_take(joined, order),
        estimate=np.concatenate([leads.estimate[where], effects.estimate])[order],
        influence=Influence(values, panel.unit_ids),
        notes=(*effects.notes, *leads.notes),
    )


def _lead_index(leads: _Leads, panel: Panel, sample: Sample) -> tuple[IntArray, EffectIndex]:
    """Which lead each row holds, and the keys of the rows."""
    where, cohort, time, treated, others = [], [], [], [], []
    used = leads.fit.effects.used
    for g, first in enumerate(sample.cohorts):
        rows = sample.unit_cohort == g
        for j, lead in enumerate(leads.event_times):
            t = np.flatnonzero(panel.times == first + lead)
            if len(t) and used[rows, t[0]].any():
                where.append(j)
                cohort.append(first)
                time.append(first + lead)
                treated.append(int(used[rows, t[0]].sum()))
                others.append(int(used[~rows, t[0]].sum()))
    keys = np.array(cohort), np.array(time)
    index = EffectIndex.build(
        term="att",
        cohort=keys[0],
        time=keys[1],
        event_time=keys[1] - keys[0],
        n_treated=np.array(treated, dtype=np.int64),
        n_comparison=np.array(others, dtype=np.int64),
    )
    return np.array(where, dtype=np.int64), index


def _join(first: EffectIndex, second: EffectIndex) -> EffectIndex:
    parts = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in EffectIndex.__slots__}
    return EffectIndex(**parts)


def _take(index: EffectIndex, order: AnyArray) -> EffectIndex:
    return EffectIndex(**{name: getattr(index, name)[order] for name in EffectIndex.__slots__})


def _only_leads(estimator: Imputation, panel: Panel, design: Design, sample: Sample) -> Effects:
    leads = _leads(estimator, panel, design, sample)
    if not len(leads.event_times):
        raise NoPrePeriodError(
            "No lead is determined by the untreated outcomes.",
            hint="Add earlier data or never-treated units, or use fewer leads: pretrends=1.",
        )
    fit, used = leads.fit, leads.fit.effects.used
    event_time = np.where(sample.unit_cohort >= 0, design.cohort, np.inf)
    elapsed = panel.times[None, :] - event_time[:, None]
    treated = [int((used & (elapsed == lead)).any(axis=1).sum()) for lead in leads.event_times]
    others = [int((used & (elapsed != lead)).any(axis=1).sum()) for lead in leads.event_times]
    index = EffectIndex.build(
        term="att",
        event_time=leads.event_times,
        n_treated=np.array(treated, dtype=np.int64),
        n_comparison=np.array(others, dtype=np.int64),
    )
    return Effects(
        index,
        leads.estimate,
        influence=Influence(panel.n_units * fit.unit_scores(leads.contrast), panel.unit_ids),
        weights=ImpliedWeights(partial(_lead_weights, estimator, panel, design)),
        regression=Regression(
            n_obs=int(used.sum()),
            n_regressors=len(leads.event_times) + len(sample.names),
            n_unit_effects=int(fit.effects.degrees.sum()),
            n_time_effects=int(used.any(axis=0).sum()),
        ),
        notes=leads.notes,
    )


def _lead_weights(estimator: Imputation, panel: Panel, design: Design) -> FloatArray:
    leads = _leads(estimator, panel, design, make_sample(estimator.info.name, panel, design, estimator.covariates))
    return leads.fit.outcome_weights(leads.contrast)


def _implied_weights(estimator: Imputation, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the rows before they are averaged, shape (k, n, T)."""
    sample = make_sample(estimator.info.name, panel, design, estimator.covariates)
    fitted = fit_untreated(panel, sample, unit_trends=estimator.unit_trends)
    cells = fitted.cells(in_sample=False)
    own = fitted.outcome_weights(cells)
    if estimator.pretrends == 0:
        return own
    leads = _leads(estimator, panel, design, sample)
    where, index = _lead_index(leads, panel, sample)
    joined = _join(index, cells.index)
    both = np.concatenate([leads.fit.outcome_weights(leads.contrast)[where], own])
    return both[np.lexsort((joined.time, joined.cohort))]


def _refuse_lonely(influence: FloatArray, cells: Cells) -> None:
    lonely: BoolArray = np.asarray(~np.isfinite(influence).all(axis=0))
    if lonely.any():
        where = zip(cells.index.cohort[lonely][:3], cells.index.time[lonely][:3], strict=True)
        raise EstimationError(
            f"{int(lonely.sum())} cells have one unit only: (cohort, time) "
            f"{', '.join(f'({g:g}, {t:g})' for g, t in where)}; there is no other unit to average over.",
            hint="Use variance='conservative'.",
        )


def _notes(estimator: Imputation, fitted: UntreatedFit, cells: Cells) -> tuple[str, ...]:
    notes = fitted.notes()
    if cells.unidentified:
        last = cells.index.event_time.max()
        notes.append(
            f"{len(cells.unidentified)} treated cohort-times cannot be imputed ({cells.unidentified[0].reason}); "
            f"the last identified event time is {last:g}"
        )
    if estimator.variance != "derivative":
        notes.append("standard errors are conditional on who is treated when: cohort shares are fixed")
    return tuple(notes)
