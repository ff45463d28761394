"""Two-way fixed effects regression, kept as the warning example."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.design.design import Design
from groupeffect.did._requests import refuse_exits, refuse_window
from groupeffect.did._two_way_terms import Terms, make_terms
from groupeffect.effects.effects import EffectIndex, Effects, ImpliedWeights, Regression
from groupeffect.effects.influence import Influence
from groupeffect.errors import (
    AlreadyTreatedError,
    DesignError,
    EstimationError,
    NoComparisonError,
    NoTreatedError,
    SpecError,
)
from groupeffect.numerics.two_way import TwoWay, WithinRegression, two_way, within_regression
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register

__all__ = ["TWFE"]

Covariates: TypeAlias = Literal["as_is", "by_time", "none"]

AGREEMENT_TOL = 1e-6
"""Largest distance of linearmodels' coefficients from the exact solution, relative to the outcome within units."""

ROUNDING_TOL = 1e-12
"""The same relative to the level of the outcome."""

ZERO_WEIGHT = 1e-10
"""Weights smaller than this, relative to the largest, count as zero."""


@register
@dataclass(frozen=True, slots=True)
class TWFE:
    """Regression of the outcome on treatment with unit and time effects, as generations of studies have run it.

    With staggered adoption and effects that change over time or differ between cohorts this is *not* an average effect:
    units that joined earlier serve as comparison for later ones, and some treated cells get negative weight. The notes
    of a fit say how many. Use it to show what goes wrong, next to an estimator with clean comparisons.

    Parameters
    ----------
    kind : {"static", "event_study"}, default "static"
        One coefficient of "treated by now", or one for each time since treatment.
    reference : float or tuple of float, default -1
        Event times without a coefficient (event study only); a row of zeros stands for each. Units never treated are
        always part of the reference. Without any such unit two references are needed.
    covariates : {"as_is", "by_time", "none"}, default "as_is"
        How the panel's covariates enter: as they are, with an effect that differs at each time, or not at all. As they
        are, covariates that are constant within units are absorbed by the unit effects; they are left out and named in
        ``notes``.
    solver : {"linearmodels", "within"}, default "linearmodels"
        What computes the coefficients: :class:`linearmodels.PanelOLS`, compared with the exact solution on every fit,
        or the exact solution alone, which agrees to rounding and is some forty times faster on small panels (for
        strategies that estimate again and again).

    Notes
    -----
    ``ClusterRobust(correction="auto")`` gives the standard errors of R's ``fixest`` with its default small-sample
    factor, in which unit effects are nested in clusters and not counted.

    Units that join after the last time count as never treated. Treated units outside the comparison pool of the design
    serve as comparison all the same, because a regression cannot be told otherwise; the notes say so. A design with
    ``comparison="never_treated"`` and more than one cohort, anticipation (unless the references of an event study lie
    before it), a baseline window, and units that leave treatment are refused.

    ``n_treated`` counts units with an observed treated cell of the row, ``n_comparison`` units never treated.

    References
    ----------
    .. [1] de Chaisemartin, C. and D'Haultfoeuille, X. (2020). Two-way fixed effects estimators with heterogeneous
       treatment effects. American Economic Review 110(9), 2964-2996.
    .. [2] Goodman-Bacon, A. (2021). Difference-in-differences with variation in treatment timing.
       Journal of Econometrics 225(2), 254-277.
    .. [3] Sun, L. and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous
       treatment effects. Journal of Econometrics 225(2), 175-199.
    """

    kind: Literal["static", "event_study"] = "static"
    reference: float | tuple[float, ...] = -1
    covariates: Covariates = "as_is"
    solver: Literal["linearmodels", "within"] = "linearmodels"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="TWFE",
        label="Two-way fixed effects",
        reference="dechaisemartin2020",
        family="did",
        provides=frozenset({"influence", "regression", "refit", "weights"}),
        handles=frozenset(
            {"staggered", "block", "covariates", "unbalanced", "unit_weight", "universal_base", "not_yet_treated"}
        ),
        unbiased_under=("constant_effects",),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        if self.kind not in ("static", "event_study"):
            raise SpecError(f"kind={self.kind!r} is unknown.", hint="Use 'static' or 'event_study'.")
        if self.covariates not in ("as_is", "by_time", "none"):
            raise SpecError(f"covariates={self.covariates!r} is unknown.", hint="Use 'as_is', 'by_time' or 'none'.")
        if self.solver not in ("linearmodels", "within"):
            raise SpecError(f"solver={self.solver!r} is unknown.", hint="Use 'linearmodels' or 'within'.")
        if not self.references or any(not np.isfinite(value) for value in self.references):
            raise SpecError(f"reference={self.reference!r} names no event time.", hint="Use -1, or (-4, -1).")

    @property
    def references(self) -> tuple[float, ...]:
        """Event times without a coefficient."""
        given = self.reference if isinstance(self.reference, tuple) else (self.reference,)
        return tuple(sorted({float(value) for value in given}))

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Coefficients of treatment; see the class.

        Raises
        ------
        NoTreatedError, AlreadyTreatedError, NoComparisonError
            If no coefficient of treatment exists.
        DesignError
            If the design asks for something that this regression cannot do, or units leave treatment.
        SingularDesignError
            If treatment or covariates are collinear with the effects.
        """
        terms, effects, exact = _regress(self, panel, design)
        coefficient = exact.coefficient
        if self.solver == "linearmodels":
            coefficient = _linearmodels(panel, terms)
            _compare(coefficient, exact, terms, panel.outcome)
        k = terms.n_treatment
        influence = panel.n_units * exact.unit_scores()[:, :k]
        estimate = coefficient[:k]
        if self.kind == "event_study":
            place = np.searchsorted(terms.event_times, [*self.references])
            estimate = np.insert(estimate, place - np.arange(len(place)), 0.0)
            influence = np.insert(influence, place - np.arange(len(place)), 0.0, axis=1)
        return Effects(
            _index(self, terms),
            estimate,
            influence=Influence(influence, panel.unit_ids),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            regression=Regression(
                n_obs=int(terms.used.sum()),
                n_regressors=len(terms.names),
                n_unit_effects=effects.n_unit_effects,
                n_time_effects=effects.n_time_effects,
            ),
            notes=_notes(self, panel, design, terms, exact),
        )


def _regress(estimator: TWFE, panel: Panel, design: Design) -> tuple[Terms, TwoWay, WithinRegression]:
    """Terms of the regression and its exact solution."""
    _refuse_design(estimator, design)
    takes_part = _participants(design)
    refuse_exits("TWFE", panel, design, takes_part)
    terms = make_terms(
        panel,
        design,
        takes_part,
        references=estimator.references if estimator.kind == "event_study" else None,
        covariates=estimator.covariates,
    )
    effects = two_way(terms.weight)
    left = int(terms.used.sum()) - effects.n_effects - len(terms.names)
    if left <= 0:
        raise EstimationError(
            f"{int(terms.used.sum())} observations for {effects.n_effects} unit and time effects and "
            f"{len(terms.names)} coefficients.",
            hint="Use fewer coefficients (kind='static', covariates='none') or more data.",
        )
    return terms, effects, within_regression(panel.outcome, terms.regressors, effects, terms.names)


def _refuse_design(estimator: TWFE, design: Design) -> None:
    refuse_window("TWFE", design, "all earlier times")
    late = estimator.kind == "static" or max(estimator.references) >= -design.anticipation
    if design.anticipation > 0 and late:
        last = -1 - design.anticipation
        raise DesignError(
            f"TWFE takes the {design.anticipation:g} time units of anticipation as untreated.",
            hint=f"Use TWFE(kind='event_study', reference={last:g}), or CallawaySantAnna.",
        )
    n_cohorts = len(np.unique(design.cohort[design.treated()]))
    if design.comparison == "never_treated" and n_cohorts > 1:
        raise DesignError(
            f"TWFE cannot compare {n_cohorts} cohorts with never-treated units only: every unit serves as comparison.",
            hint="Use comparison='not_yet_treated', or CallawaySantAnna.",
        )


def _participants(design: Design) -> BoolArray:
    """Units in the regression: those treated, and untreated members of the comparison pool."""
    treated = design.treated()
    untreated = ~treated & design.comparison_pool
    if design.comparison == "never_treated":
        untreated &= np.isinf(design.cohort)
    if not treated.any():
        raise NoTreatedError("No unit is treated within the panel.", hint="Check the cohorts of the design.")
    if (design.cohort[treated] <= design.times[0]).all():
        raise AlreadyTreatedError(
            f"All {int(treated.sum())} treated units are treated from the first time {design.times[0]:g} on.",
            hint="Add earlier data; an effect needs a time before treatment.",
        )
    pool = design.comparison_pool & (design.cohort > design.cohort[treated].min())
    if not pool.any():
        raise NoComparisonError(
            "No unit of the comparison pool is untreated when the first cohort joins.",
            hint="Widen the comparison pool, or add units that join later or never.",
        )
    return np.asarray(treated | untreated)


def _linearmodels(panel: Panel, terms: Terms) -> FloatArray:
    """Coefficients of PanelOLS with entity and time effects, shape (k,)."""
    import pandas as pd
    from linearmodels.panel import PanelOLS

    rows, columns = np.nonzero(terms.used)
    index = pd.MultiIndex.from_arrays([rows, columns], names=["unit", "time"])
    size = _scales(terms)
    outcome = pd.DataFrame({"outcome": panel.outcome[rows, columns]}, index=index)
    regressors = pd.DataFrame(terms.regressors[rows, columns] / size, index=index, columns=list(terms.names))
    weights = terms.weight[rows, columns]
    model = PanelOLS(
        outcome,
        regressors,
        weights=None if np.ptp(weights) == 0 else pd.DataFrame({"weight": weights}, index=index),
        entity_effects=True,
        time_effects=True,
        check_rank=False,  # checked by name before
    )
    fitted = model.fit(cov_type="unadjusted", low_memory=False)
    return np.asarray(fitted.params.to_numpy(dtype=float) / size)


def _scales(terms: Terms) -> FloatArray:
    values = terms.regressors[terms.used]
    return np.asarray(np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny))


def _compare(coefficient: FloatArray, exact: WithinRegression, terms: Terms, outcome: FloatArray) -> None:
    """Refuse coefficients that do not solve the normal equations."""
    weight = terms.weight
    moved = np.sqrt(np.einsum("nt,ntk->k", weight, exact.regressors**2)) * (coefficient - exact.coefficient)
    within = exact.residual + exact.regressors @ exact.coefficient
    length = float(np.sqrt((weight * within**2).sum()))
    level = float(np.sqrt((weight * np.where(terms.used, outcome, 0.0) ** 2).sum()))
    gap = float(np.abs(moved).max())
    if gap > AGREEMENT_TOL * length + ROUNDING_TOL * level:
        raise EstimationError(
            f"linearmodels' coefficients differ from the exact solution by {gap:.1e} (length of the outcome without "
            f"unit and time effects: {length:.1e}).",
            hint="Rescale covariates that are very large or nearly collinear.",
        )


def _index(estimator: TWFE, terms: Terms) -> EffectIndex:
    if estimator.kind == "static":
        return EffectIndex.build(
            term="att",
            n_treated=np.array([terms.n_treated_units(terms.event_time >= 0)]),
            n_comparison=np.array([terms.n_never]),
        )
    return EffectIndex.build(
        term="att",
        event_time=terms.event_times,
        n_treated=np.array([terms.n_treated_units(terms.event_time == e) for e in terms.event_times]),
        n_comparison=np.full(len(terms.event_times), terms.n_never),
        is_reference=np.isin(terms.event_times, estimator.references),
    )


def _implied_weights(estimator: TWFE, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the coefficients, shape (k, n, T)."""
    terms, _, exact = _regress(estimator, panel, design)
    own = exact.weights[: terms.n_treatment]
    if estimator.kind == "static":
        return own
    out = np.zeros((len(terms.event_times), *panel.outcome.shape))
    out[~np.isin(terms.event_times, estimator.references)] = own
    return out


def _notes(estimator: TWFE, panel: Panel, design: Design, terms: Terms, exact: WithinRegression) -> tuple[str, ...]:
    weights = exact.weights[: terms.n_treatment]
    notes = [_negative_weights(weights[0], terms)] if estimator.kind == "static" else _contamination(weights, terms)
    if terms.absorbed:
        notes.append(f"covariates constant within units are absorbed by the unit effects: {', '.join(terms.absorbed)}")
    outside = int((design.treated() & ~design.comparison_pool).sum())
    if outside:
        notes.append(
            f"{outside} treated units outside the comparison pool serve as comparison all the same: a regression uses "
            "every unit"
        )
    if not terms.n_never:
        notes.append("no unit is never treated: all comparisons are between units that join at different times")
    holes = int((terms.takes_part[:, None] & ~terms.used).sum())
    if holes:
        notes.append(f"{holes} unit-times are not observed (or have no covariates) and are left out")
    idle = int((~terms.takes_part).sum())
    if idle:
        notes.append(f"{idle} of {panel.n_units} units are neither treated nor in the comparison pool")
    return tuple(notes)


def _negative_weights(weights: FloatArray, terms: Terms) -> str:
    """Report how many treated cells enter the static coefficient with a negative weight, and their sum."""
    own = weights[terms.used & (terms.event_time >= 0)]
    negative = own < -ZERO_WEIGHT * np.abs(own).max()
    text = f"{int(negative.sum())} of {len(own)} treated unit-times enter with a negative weight"
    if negative.any():
        text += f" (sum {own[negative].sum():.4f}, all others {own[~negative].sum():.4f})"
    return text + "; the coefficient is an average effect only if effects are equal over units and times"


def _contamination(weights: FloatArray, terms: Terms) -> list[str]:
    """Report by how much coefficients hold effects of other event times, as in proposition 3 of Sun and Abraham."""
    times = [e for e in terms.event_times if e not in terms.references]
    worst, where = 0.0, float("nan")
    for e, own in zip(times, weights, strict=True):
        other = own * (terms.event_time != e) * ~np.isin(terms.event_time, terms.references)
        total = float(sum(np.abs(other[terms.cohort == g].sum(axis=0)).sum() for g in terms.cohorts))
        if total > worst:
            worst, where = total, float(e)
    if worst < ZERO_WEIGHT:
        return []
    return [
        f"coefficients also hold effects of other event times: absolute weights on them sum to up to {worst:.2f} "
        f"(event time {where:g}); they cancel only if effects by event time are equal in all cohorts"
    ]
