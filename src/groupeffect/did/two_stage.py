"""Two-stage difference-in-differences of Gardner (2022)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from groupeffect._types import FloatArray
from groupeffect.design.design import Design
from groupeffect.did._observed import KINDS, Kind, check_choice, observed_average
from groupeffect.did._untreated import Covariates, UntreatedFit, fit_untreated, make_sample
from groupeffect.effects.effects import Effects, ImpliedWeights
from groupeffect.effects.influence import Influence, Shares
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["TwoStage"]


@register
@dataclass(frozen=True, slots=True)
class TwoStage:
    r"""Effects from a regression of outcomes, freed of unit and time effects, on treatment.

    The first stage fits unit effects, time effects and covariates to untreated unit-times; the second averages what is
    left of the outcomes. After treatment the estimates are those of `Imputation`; the variance is that of both stages
    as one method-of-moments estimator, so it counts the estimation of the averages too.

    Parameters
    ----------
    kind : {"cells", "event_study", "cohort", "static"}, default "cells"
        The second stage. ``"cells"``: a row for each cohort and time; aggregate them with ``ge.by_event_time()`` and
        others, which give cells the share of their cohort. ``"event_study"``: dummies of event time;
        ``"cohort"``: of treatment in each cohort; ``"static"``: one dummy of treatment. There each observed unit-time
        counts once (with its weight), which is the same as ``ge.by_event_time()``, ``ge.by_cohort()`` and
        ``ge.overall()`` in a balanced panel, and differs where units are missing at some times.
    covariates : {"as_is", "by_time", "none"}, default "as_is"
        How the panel's covariates enter the first stage: with one slope each, with a slope for each time (for
        covariates that do not vary over time), or not at all. As they are, covariates that are constant within units
        are absorbed by the unit effects; ``notes`` names them.
    unit_trends : bool, default False
        Fit a line in time to each unit instead of a constant. Units need two untreated times, and without a third they
        say nothing about time effects.

    Notes
    -----
    Rows before treatment are means of first-stage *residuals*: the unit effects have been fitted to the same times, so
    these rows add up to about zero in each cohort and are smaller than differences from the last time before treatment.
    `Imputation` has leads from a regression of their own. The row of a cohort with one untreated time is zero by
    construction.

    The influence is the exact derivative of the estimates in the unit weights: the second-stage score less the
    first-stage score times the derivative of the second stage in the first. ``ClusterRobust()`` gives the standard
    errors of R's ``did2s``, without small-sample factor as there.

    Time effects and covariates come from the comparison pool of the design; each treated unit, in the pool or not, is
    compared with its own untreated times. ``base_period`` makes no difference, because all untreated times serve as
    base; a baseline window is refused, and so are units that leave treatment. Times of anticipation count as treated in
    the first stage.

    References
    ----------
    .. [1] Gardner, J. (2022). Two-stage differences in differences. arXiv:2207.05943.
    .. [2] Butts, K. and Gardner, J. (2022). did2s: Two-stage difference-in-differences. The R Journal 14(3), 162-173.
    """

    kind: Kind = "cells"
    covariates: Covariates = "as_is"
    unit_trends: bool = False

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="TwoStage",
        label="Two-stage (Gardner)",
        reference="gardner2022",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("block", "covariates"),
        unbiased_under=("constant_effects", "parallel_trends", "heterogeneous_cohorts", "anticipation", "unbalanced"),
        exact_tol=1e-9,
    )

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        check_choice("covariates", self.covariates, ("as_is", "by_time", "none"))

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Second-stage coefficients; see the class.

        Raises
        ------
        NoTreatedError, NoComparisonError
            If no treated cell can be estimated.
        DesignError
            If the design has a baseline window, or treated units leave treatment.
        SingularDesignError
            If covariates cannot be told from the effects in the untreated unit-times.
        """
        fitted = _first_stage(self, panel, design)
        sample, cells = fitted.sample, fitted.cells(in_sample=True)
        notes = fitted.notes()
        if cells.unidentified:
            notes.append(
                f"{len(cells.unidentified)} treated cohort-times cannot be estimated "
                f"({cells.unidentified[0].reason}); the last identified event time is {cells.index.event_time.max():g}"
            )
        effects = Effects(
            cells.index,
            cells.estimate,
            influence=Influence(fitted.influence(cells), panel.unit_ids),
            shares=Shares(sample.cohorts, sample.unit_cohort, panel.unit_weight),
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=cells.unidentified,
            notes=tuple(notes),
        )
        return observed_average(effects, self.kind, fitted.counted, sample.unit_cohort, sample.cohorts, panel.times)


def _first_stage(estimator: TwoStage, panel: Panel, design: Design) -> UntreatedFit:
    sample = make_sample(estimator.info.name, panel, design, estimator.covariates)
    return fit_untreated(panel, sample, unit_trends=estimator.unit_trends)


def _implied_weights(estimator: TwoStage, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the cells, shape (k, n, T)."""
    fitted = _first_stage(estimator, panel, design)
    return fitted.outcome_weights(fitted.cells(in_sample=True))
