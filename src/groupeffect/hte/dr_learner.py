"""Doubly robust learner of effects on treated schools as a function of what they were before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.design import Design
from groupeffect.effects.effects import EffectIndex, Effects, Scores
from groupeffect.effects.influence import Influence
from groupeffect.errors import SpecError
from groupeffect.hte._effect_function import FinalModel, check_final, out_of_fold_effects
from groupeffect.hte._nuisance import PropensityModel, RegressionModel
from groupeffect.hte._stack import EventWindow
from groupeffect.hte.dr_did_scores import DRScores, Projection, ScoreOptions, dr_did_scores
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["DRLearner"]


@register
@dataclass(frozen=True, slots=True)
class DRLearner:
    r"""Average effect on treated schools, how it varies with their characteristics, and a predicted effect for each.

    Parameters
    ----------
    modifiers : tuple of str, optional
        Covariates (taken at the base period) or attributes that effects may vary with. Worded attributes become one
        indicator per level but the first. None = all covariates of the panel; ``()`` = the average only.
    final : {"linear", "forest"} or model, default "linear"
        Last stage of econml's learner: least squares, an honest forest, or anything with ``fit`` and ``predict``.
    regression : {"linear", "boosting"} or model, default "linear"
        Outcome change without treatment.
    propensity : {"logit", "boosting"} or model, default "logit"
        Probability to belong to a cohort rather than to its comparison.
    folds : int, default 5
        Folds of the cross-fitting.
    by : str, optional
        Attribute whose groups are never split by a fold. None = units.
    seed : int, default 0
        Seed of the folds and of models that need one.
    event_times : tuple of two floats, optional
        First and last event time that enter, both included; all from 0 on by default.

    Notes
    -----
    The rows, all in outcome units:

    - ``att``: mean of the doubly robust scores over treated units (each counts once), see
      :func:`groupeffect.hte.dr_did_scores`.
    - ``projection:<modifier>``: slope of the best linear projection of the effects on all modifiers together, per
      standard deviation among treated units (per unit for indicators), the projection of Semenova and Chernozhukov
      [3]_. It is defined whether or not effects are linear.

    The predicted effect of each treated unit stands in ``effects.scores.tau_hat``, from a learner that did not see the
    unit's fold; the scores in ``effects.scores.values`` (both nan for untreated units). Predictions are made fold by
    fold, so that they differ a little between folds for equal modifiers.

    *Why econml on stacked changes.* econml's doubly robust learner expects independent rows with one treatment and
    ignorability. Parallel trends give that for outcome *changes* of one cohort and its comparison, not for outcomes
    stacked over years. So its rows are units within such blocks, the outcome is the change from the base period, the
    treatment is membership of the cohort, and the first steps are fitted block by block; folds follow clusters. It then
    forms the pseudo-outcomes of Kennedy [1]_ and regresses them on the modifiers. Rows are weighted with the
    propensity, so that the target is the effect on the *treated*. A comparison unit stands in several blocks, therefore
    econml's own standard errors are not used: inference comes from the influence of the scores, which sums a unit over
    its rows.

    *How to read the influence.* With the default first steps it is the exact derivative of the estimate in each unit's
    weight. Other first steps are taken as known; the moments are orthogonal to them, so that this is right to first
    order and standard errors are valid, but the derivative check of the contract suite does not apply. Estimates depend
    on the folds, hence on ``seed`` and the labels of units, by an amount that is small against the standard error.

    References
    ----------
    .. [1] Kennedy, E. H. (2023). Towards optimal doubly robust estimation of heterogeneous causal effects. Electronic
       Journal of Statistics 17(2), 3008-3049.
    .. [2] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators. Journal of
       Econometrics 219(1), 101-122.
    .. [3] Semenova, V. and Chernozhukov, V. (2021). Debiased machine learning of conditional average treatment effects
       and other causal functions. Econometrics Journal 24(2), 264-289.
    """

    modifiers: tuple[str, ...] | None = None
    final: FinalModel = "linear"
    regression: RegressionModel = "linear"
    propensity: PropensityModel = "logit"
    folds: int = 5
    by: str | None = None
    seed: int = 0
    event_times: EventWindow | None = None

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="DRLearner",
        label="Doubly robust learner",
        reference="kennedy2023",
        family="hte",
        provides=frozenset({"influence", "refit", "scores"}),
        handles=staggered_features("covariates", "baseline_window"),
        unbiased_under=("constant_effects", "parallel_trends", "covariate_trends"),
        exact_tol=1e-8,
        influence_tol=0.3,
        varies_with=frozenset({"unit_labels", "duplication"}),
    )

    def __post_init__(self) -> None:
        if isinstance(self.modifiers, str):
            raise SpecError(f"modifiers={self.modifiers!r} is one word.", hint=f"Write ({self.modifiers!r},).")
        for name in ("modifiers", "event_times"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        check_final(self.final)
        _ = self._options

    @property
    def _options(self) -> ScoreOptions:
        return ScoreOptions(self.regression, self.propensity, self.folds, self.by, self.seed, self.event_times)

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Average effect and its projection on the modifiers; see the class.

        Raises
        ------
        SpecError
            If a modifier or the cluster column is unknown.
        EstimationError
            If a modifier is constant among treated units or missing for units that take part, or no cohort is large
            enough.
        OverlapError
            If treated units have no comparable unit.
        TooFewClustersError
            If fewer than five clusters have treated units.
        """
        scores = dr_did_scores(panel, design, self._options, modifiers=self.modifiers)
        terms, parts, counts = (
            ["att"],
            [scores.project(np.ones((len(scores.stack.unit), 1)))],
            [int((scores.weight > 0).sum())],
        )
        tau_hat = None
        if scores.modifiers.names:
            terms += [f"projection:{name}" for name in scores.modifiers.names]
            parts.append(_slopes(scores))
            counts += [counts[0]] * len(scores.modifiers.names)
            by_row = out_of_fold_effects(scores, self._options, self.final)
            tau_hat = _by_unit(scores, by_row, panel.n_units)
        n_comparison = len(np.unique(scores.stack.unit[scores.comparison_weight > 0]))
        return Effects(
            EffectIndex.build(
                term=np.array(terms),
                n_treated=np.array(counts),
                n_comparison=np.full(len(terms), n_comparison),
            ),
            np.concatenate([part.coefficient for part in parts]),
            influence=Influence(np.column_stack([part.influence for part in parts]), panel.unit_ids),
            scores=Scores(scores.values, panel.unit_ids, tau_hat),
            unidentified=scores.stack.unidentified,
            notes=scores.notes,
        )


def _slopes(scores: DRScores) -> Projection:
    """Slopes per standard deviation, with the influence of the estimated standard deviations."""
    stack, a = scores.stack, scores.treated_weight
    centre = a @ stack.modifiers
    deviation = stack.modifiers - centre
    spread = np.sqrt(a @ deviation**2)
    scale = np.where(scores.modifiers.indicator, 1.0, spread)
    basis = np.column_stack([np.ones(len(a)), deviation / scale])
    fitted = scores.project(basis)
    slope, influence = fitted.coefficient[1:], fitted.influence[:, 1:]
    n = len(scores.unit_ids)
    for k in np.flatnonzero(~scores.modifiers.indicator):
        # a slope per standard deviation is slope times standard deviation, and the latter is estimated too
        moment = a * (deviation[:, k] ** 2 - spread[k] ** 2) / (2 * spread[k] ** 2)
        influence[:, k] += slope[k] * n * np.bincount(stack.unit, weights=moment, minlength=n)
    return Projection(slope, influence)


def _by_unit(scores: DRScores, by_row: FloatArray, n_units: int) -> FloatArray:
    """Predicted effect of treated units; nan for the others."""
    rows = np.flatnonzero(scores.stack.treated)
    out = np.full(n_units, np.nan)
    out[scores.stack.unit[rows]] = by_row[rows]
    return out
