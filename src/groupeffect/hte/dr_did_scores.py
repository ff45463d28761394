"""Doubly robust difference-in-differences scores of treated schools, pooled over cohorts and times."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import AnyArray, FloatArray
from groupeffect.effects.influence import Influence
from groupeffect.errors import EstimationError, SingularDesignError, SpecError, WeakOverlapWarning
from groupeffect.hte._first_steps import first_step_moments
from groupeffect.hte._nuisance import (
    MAX_PROPENSITY,
    TRIM_PROPENSITY,
    Folds,
    Nuisances,
    PropensityModel,
    RegressionModel,
    cluster_folds,
    cross_fit,
)
from groupeffect.hte._stack import EventWindow, Modifiers, Stack, make_stack, read_modifiers

if TYPE_CHECKING:
    from groupeffect.design.design import Design
    from groupeffect.panel.panel import Panel

__all__ = ["DRScores", "Projection", "ScoreOptions", "dr_did_scores"]


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """Choices behind the scores.

    Parameters
    ----------
    regression : {"linear", "boosting"} or model, default "linear"
        Outcome change without treatment, fitted on comparison units: least squares, scikit-learn's histogram gradient
        boosting, or anything with ``fit`` and ``predict``.
    propensity : {"logit", "boosting"} or model, default "logit"
        Probability to belong to the cohort rather than to its comparison: anything with ``fit`` and ``predict_proba``.
    folds : int, default 5
        Folds of the cross-fitting.
    by : str, optional
        Attribute whose groups are never split by a fold (``"school_group"``); units without a label are groups of their
        own. None = units.
    seed : int, default 0
        Seed of the folds and of the models that need one.
    event_times : tuple of two floats, optional
        First and last event time that enter, both included; all from 0 on by default. A fixed window, such as
        ``(0, 1)``, keeps the length of exposure from passing for a difference between schools.

    Raises
    ------
    SpecError
        If a choice is unknown or out of range.
    """

    regression: RegressionModel = "linear"
    propensity: PropensityModel = "logit"
    folds: int = 5
    by: str | None = None
    seed: int = 0
    event_times: EventWindow | None = None

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise SpecError(f"folds={self.folds} is too few.", hint="Use 2 or more; 5 is usual.")
        for option, known, method in (
            ("regression", ("linear", "boosting"), "predict"),
            ("propensity", ("logit", "boosting"), "predict_proba"),
        ):
            value = getattr(self, option)
            is_model = hasattr(value, "fit") and hasattr(value, method) and not isinstance(value, type)
            if not is_model and value not in known:
                raise SpecError(
                    f"{option}={value!r} is unknown.",
                    hint=f"Use {known[0]!r}, {known[1]!r}, or a model with fit and {method}.",
                )
        if self.event_times is not None and not 0 <= self.event_times[0] <= self.event_times[1]:
            raise SpecError(
                f"event_times={self.event_times} is not a range of event times from 0 on.",
                hint="Write (first, last), for example (0, 2).",
            )


@dataclass(frozen=True, slots=True)
class Projection:
    """Coefficients of a linear projection of effects, with their influence.

    Parameters
    ----------
    coefficient : ndarray of shape (q,)
        Outcome units per unit of the basis.
    influence : ndarray of shape (n, q)
        By unit of the panel; columns have mean zero and ``coefficient - truth`` is approximately their mean.
    """

    coefficient: FloatArray
    influence: FloatArray


@dataclass(frozen=True, slots=True)
class DRScores:
    """Scores of treated units and everything needed to average or project them.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Score of each treated unit, outcome units; nan for units without one. ``weight @ values`` (nan as zero) is the
        average effect on the treated.
    weight : ndarray of shape (n,)
        Weight of each score; adds up to one.
    unit_ids : ndarray of shape (n,)
        Labels of the rows.
    nuisances : Nuisances
        Rows of units and blocks, with their cross-fitted first steps.
    treated_weight, comparison_weight : ndarray of shape (N,)
        Weights of the two sides; each adds up to one over all rows, and in each block to the same number.
    folds : Folds
        Folds of the units.
    modifiers : Modifiers
        Modifier columns.
    notes : tuple of str
        What was left out.
    """

    values: FloatArray
    weight: FloatArray
    unit_ids: AnyArray
    nuisances: Nuisances
    treated_weight: FloatArray
    comparison_weight: FloatArray
    folds: Folds
    modifiers: Modifiers
    notes: tuple[str, ...]

    @property
    def stack(self) -> Stack:
        """Rows of units and blocks."""
        return self.nuisances.stack

    @property
    def residual(self) -> FloatArray:
        """Outcome change minus the change expected without treatment, by row."""
        return self.stack.change - self.nuisances.expected

    @property
    def att(self) -> float:
        """Average effect on the treated, outcome units; every treated unit counts once, with its weight."""
        return float(self.weight @ np.nan_to_num(self.values))

    def project(self, basis: FloatArray) -> Projection:
        r"""Best linear projection of the effects on the treated on functions of their characteristics.

        Parameters
        ----------
        basis : ndarray of shape (N, q)
            Regressors by row of ``stack`` (a constant among them, if wanted), known for comparison rows too.

        Returns
        -------
        Projection

        Raises
        ------
        SingularDesignError
            If the regressors are collinear among treated rows.

        Notes
        -----
        With treated and comparison weights :math:`a, \omega` and residuals :math:`r`, the coefficients solve

        .. math:: \sum_i a_i z_i (r_i - z_i'\beta) - \sum_j \omega_j z_j r_j = 0,

        the doubly robust moment of effects on the treated multiplied by :math:`z`. A constant gives the average effect,
        indicators of groups their averages (GATES), other columns the projection of Semenova and Chernozhukov (2021).
        The moment is orthogonal to the first steps, so that their estimation matters to second order only. The
        influence holds what they contribute where they are linear and logit, and is then the exact derivative of the
        coefficient in each unit's log weight; other first steps are taken as known.
        """
        stack, a, omega, r = self.stack, self.treated_weight, self.comparison_weight, self.residual
        n, q = len(self.unit_ids), basis.shape[1]
        gram = basis.T @ (basis * a[:, None])
        scale = np.sqrt(np.diag(gram))
        if not (scale > 0).all() or np.linalg.cond(gram / np.outer(scale, scale)) > 1e12:
            raise SingularDesignError(
                f"The {q} regressors of the projection are collinear among the treated units.",
                hint="Leave out modifiers that are sums of others, or constant among treated units.",
            )
        weighted = basis * (omega * r)[:, None]
        beta: FloatArray = np.linalg.solve(gram, basis.T @ (a * r) - weighted.sum(axis=0))
        mass = np.bincount(stack.block, weights=omega, minlength=stack.n_blocks)
        correction = (
            np.column_stack(
                [np.bincount(stack.block, weights=weighted[:, k], minlength=stack.n_blocks) for k in range(q)]
            )
            / np.where(mass > 0, mass, 1.0)[:, None]
        )
        of_row = correction[stack.block]
        moment = a[:, None] * (basis * (r - basis @ beta)[:, None] - of_row) - (weighted - omega[:, None] * of_row)
        fold = self.folds.of_unit[stack.unit]
        moment += first_step_moments(self.nuisances, fold, basis, a, omega, correction)
        by_unit = np.column_stack([np.bincount(stack.unit, weights=moment[:, k], minlength=n) for k in range(q)])
        return Projection(beta, np.asarray(n * np.linalg.solve(gram, by_unit.T).T, dtype=np.float64))

    def influence(self) -> Influence:
        """Influence of ``att``, shape (n, 1)."""
        return Influence(self.project(np.ones((len(self.stack.unit), 1))).influence, self.unit_ids)


def dr_did_scores(
    panel: Panel,
    design: Design,
    options: ScoreOptions | None = None,
    *,
    modifiers: tuple[str, ...] | None = (),
) -> DRScores:
    r"""Doubly robust difference-in-differences scores, one per treated unit.

    Parameters
    ----------
    panel : Panel
        Its covariates, taken at the base period, are conditioned on.
    design : Design
        Cohorts, comparison pool, base period (last untreated time, or the mean over a baseline window).
    options : ScoreOptions, optional
        First steps, folds, window of event times.
    modifiers : tuple of str, optional
        Covariates or attributes that effects may vary with; they are conditioned on too. None = all covariates.

    Returns
    -------
    DRScores

    Raises
    ------
    NoComparisonError
        If no post-treatment cell has a comparison.
    TooFewClustersError
        If fewer than five clusters have treated units.
    OverlapError
        If more than one treated unit in twenty has no comparable unit; the feature that separates them is named. Fewer
        are left out, with a note and `WeakOverlapWarning`.
    EstimationError
        If a modifier is missing for units that take part or constant among treated units, or no cohort is large enough.
    SpecError
        If an option or the name of a modifier is unknown.

    Notes
    -----
    For cohort :math:`g` at times :math:`t \ge g` let :math:`\Delta Y` be the outcome at :math:`t` minus the base,
    :math:`D` membership of the cohort rather than of its comparison, :math:`m(X) = E[\Delta Y \mid X, D=0]` and
    :math:`\pi(X) = P(D=1 \mid X)`. Under parallel trends given :math:`X`, and overlap, the effect on the treated with
    :math:`X = x` is :math:`\tau_{gt}(x) = E[\Delta Y - m(X) \mid X=x, D=1]`, and for any function :math:`z` of
    :math:`X`

    .. math::

        E[D\,z\,\tau_{gt}(X)] = E\Bigl[z\,\Bigl(D - (1-D)\frac{\pi(X)}{1-\pi(X)}\Bigr)(\Delta Y - m(X))\Bigr],

    which stays true if one of :math:`m, \pi` is wrong and is flat in both at the truth: with :math:`z = 1` the score of
    Sant'Anna and Zhao [1]_ (the weights are those of Abadie [2]_). First steps are fitted without the unit's own fold
    (cross-fitting, [3]_); odds weights are normalised within each cohort and time. The score of a treated unit is the
    mean over its own times of :math:`\Delta Y - m(X)`, minus the odds-weighted mean residual of its comparison units,
    so that the weighted mean of the scores *is* the doubly robust average effect on the treated, ``overall("cohort")``
    in the words of the aggregations. An individual score is noisy (it holds the school's own shocks); averages and
    projections are what it is for.

    Holes: a unit enters at the times at which it is observed. If it is observed in part of a baseline window only, the
    mean over that part is corrected for the common course of comparison units.

    References
    ----------
    .. [1] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators. Journal of
       Econometrics 219(1), 101-122.
    .. [2] Abadie, A. (2005). Semiparametric difference-in-differences estimators. Review of Economic Studies 72(1),
       1-19.
    .. [3] Chernozhukov, V., Chetverikov, D., Demirer, M., Duflo, E., Hansen, C., Newey, W. and Robins, J. (2018).
       Double/debiased machine learning for treatment and structural parameters. Econometrics Journal 21(1), C1-C68.
    """
    options = ScoreOptions() if options is None else options
    columns = read_modifiers(panel, modifiers)
    folds = cluster_folds(panel, options.by, options.folds, options.seed)
    stack = make_stack(panel, design, columns, options.event_times)
    nuisances = cross_fit(
        stack,
        folds,
        panel.unit_ids,
        regression=options.regression,
        propensity=options.propensity,
        seed=options.seed,
    )
    return _assemble(panel, nuisances, folds, columns)


def _assemble(panel: Panel, nuisances: Nuisances, folds: Folds, modifiers: Modifiers) -> DRScores:
    stack, n = nuisances.stack, panel.n_units
    a = np.where(stack.treated & (nuisances.propensity < MAX_PROPENSITY), stack.weight, 0.0)
    a = a / a.sum()
    kept = ~stack.treated & (nuisances.propensity < TRIM_PROPENSITY)
    probability = np.where(kept, nuisances.propensity, 0.0)
    odds = np.where(kept, stack.weight * probability / (1 - probability), 0.0)
    share, total = (np.bincount(stack.block, weights=side, minlength=stack.n_blocks) for side in (a, odds))
    if (total[share > 0] <= 0).any():
        raise EstimationError(
            "A cohort has no comparison unit with a propensity between 0 and the trimming limit.",
            hint="Use fewer covariates or a wider comparison pool.",
        )
    omega = odds * (share / np.where(total > 0, total, 1.0))[stack.block]
    residual = stack.change - nuisances.expected
    pulled = np.bincount(stack.block, weights=omega * residual, minlength=stack.n_blocks)
    offset = pulled / np.where(share > 0, share, 1.0)
    by_unit = np.bincount(stack.unit, weights=a * (residual - offset[stack.block]), minlength=n)
    weight = np.asarray(np.bincount(stack.unit, weights=a, minlength=n), dtype=np.float64)
    values = np.where(weight > 0, by_unit / np.where(weight > 0, weight, 1.0), np.nan)
    return DRScores(
        values=values,
        weight=weight,
        unit_ids=panel.unit_ids,
        nuisances=nuisances,
        treated_weight=a,
        comparison_weight=omega,
        folds=folds,
        modifiers=modifiers,
        notes=(*stack.notes, *_left_out(stack, nuisances.propensity, panel.unit_ids)),
    )


def _left_out(stack: Stack, propensity: FloatArray, unit_ids: AnyArray) -> tuple[str, ...]:
    """Say what was left out for want of overlap, in notes and as warnings."""
    notes = []
    alone = np.unique(stack.unit[stack.treated & (propensity >= MAX_PROPENSITY)])
    if len(alone):
        units = ", ".join(str(unit) for unit in unit_ids[alone[:3]])
        notes.append(
            f"{len(alone)} treated units have no comparable unit (propensity {MAX_PROPENSITY} or more) in some or all "
            f"years and do not count there (first: {units})"
        )
    trimmed = int((~stack.treated & (propensity >= TRIM_PROPENSITY)).sum())
    if trimmed:
        notes.append(f"comparison units with a propensity of {TRIM_PROPENSITY} or more got no weight ({trimmed} rows)")
    for note in notes:
        warnings.warn(note, WeakOverlapWarning, stacklevel=5)
    return tuple(notes)
