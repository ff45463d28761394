"""Efficient estimation for random treatment timing of Roth and Sant'Anna (2023)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.design.design import Design
from groupeffect.did._rollout import Moments, Rows, Target, adjusted_rows, make_moments, make_rows
from groupeffect.effects.effects import Effects, ImpliedWeights
from groupeffect.effects.influence import Influence, Shares
from groupeffect.errors import SpecError
from groupeffect.panel.panel import Panel
from groupeffect.registry import EstimatorInfo, register, staggered_features

__all__ = ["StaggeredRollout"]

Method: TypeAlias = Literal["efficient", "callaway_santanna", "sun_abraham"]
Variance: TypeAlias = Literal["derivative", "neyman", "design"]

SMALL_COHORT = 5


@register
@dataclass(frozen=True, slots=True)
class StaggeredRollout:
    r"""Effects when the *timing* of treatment is as good as random, with the least variance.

    If timing is random, cohorts have the same expected outcomes before treatment, so any multiple :math:`\beta` of the
    difference before treatment may be taken off the difference after it. Difference-in-differences takes
    :math:`\beta = 1`; the efficient estimator takes the multiple that minimises the variance. Without random timing
    (parallel trends only) every :math:`\beta` but one is biased.

    Parameters
    ----------
    method : {"efficient", "callaway_santanna", "sun_abraham"}, default "efficient"
        ``"efficient"``: the estimated multiple with the least variance. ``"callaway_santanna"``: one, with the
        comparison of the design. ``"sun_abraham"``: one, compared with the cohort that joins last or never only.
    target : {"cells", "by_event_time", "overall", "overall_by_cohort", "overall_by_calendar_time"}, default "cells"
        What is estimated with one multiple. ``"cells"``: each cohort and time has its own; aggregate them as usual.
        The others estimate an aggregation directly, with the multiple that is best for it: the averages by event time,
        of all treated cells, of cohort means, of calendar times. With a fixed multiple the two ways agree.
    variance : {"derivative", "neyman", "design"}, default "derivative"
        ``"derivative"``: the derivative of the estimate in unit weights, for units drawn from a population.
        ``"neyman"``: units are fixed and timing is random; cohort sizes and the multiple are taken as known, and sums
        of squares are divided by the cohort's units less one. ``"design"``: the same, less an estimated lower bound of
        the variance of effects that earlier outcomes explain. With ``ClusterRobust()`` the last two are columns
        ``se_neyman`` and ``se`` of R's ``staggered``. ``"design"`` scales each column of the influence, so it holds for
        standard errors of the rows themselves: such cells are not aggregated further; choose `target` instead.

    Notes
    -----
    With :math:`\hat\theta_0 = \sum_g a_g'\bar Y_g` the difference of means after treatment and
    :math:`\hat X = \sum_g b_g'\bar Y_g` the difference of the same cohorts in the base period, the estimate is
    :math:`\hat\theta_0 - \beta\hat X` with
    :math:`\beta = \sum_g b_g'\hat\Omega_g a_g / \sum_g b_g'\hat\Omega_g b_g` and :math:`\hat\Omega_g` the variance of
    the cohort's mean outcomes (section 2 of [1]_, with the scalar :math:`\hat X` that R uses by default).

    Choose ``base_period="universal"`` for event studies as in R's ``staggered``. Before treatment that package (1.2.3)
    counts cohorts whose event time lies before the first time with a base difference and no difference to take it
    from; here they take no part. With anticipation the base period
    moves back and comparison units join later; a baseline window is averaged.

    Weighted cohort means have variance :math:`\sum w_i^2\varepsilon_i^2 / (\sum w_i)^2` times
    :math:`n_g/(n_g - 1)`, with :math:`n_g` the number of *units*: a unit of weight two is not two units.

    A cohort of one unit has no variance of its own: it adds nothing to standard errors, and a note names it (R drops
    such cohorts). Fisher's test of no effect for any unit follows from re-assigning join times with
    `Design.reassign` and re-estimating: compare estimates divided by their standard errors; see [1]_.

    In unbalanced panels means are taken over the units observed at each time (random timing justifies comparing levels;
    R drops incomplete units, as ``panel.balanced("drop_units")`` does). Estimates move with unit constants unless
    :math:`\beta = 1` in a balanced panel. Covariates are not used; a note says so.

    References
    ----------
    .. [1] Roth, J. and Sant'Anna, P. H. C. (2023). Efficient estimation for staggered rollout designs.
       Journal of Political Economy Microeconomics 1(4), 669-709.
    """

    method: Method = "efficient"
    target: Target = "cells"
    variance: Variance = "derivative"

    info: ClassVar[EstimatorInfo] = EstimatorInfo(
        name="StaggeredRollout",
        label="Roth-Sant'Anna",
        reference="roth2023",
        family="did",
        provides=frozenset({"influence", "refit", "weights"}),
        handles=staggered_features("block", "baseline_window"),
        unbiased_under=("constant_effects", "parallel_trends", "heterogeneous_cohorts", "anticipation", "unbalanced"),
        exact_tol=1e-9,
        varies_with=frozenset({"unit_constants", "unit_constants_with_holes", "duplication"}),
    )

    def __post_init__(self) -> None:
        choices = {
            "method": ("efficient", "callaway_santanna", "sun_abraham"),
            "target": ("cells", "by_event_time", "overall", "overall_by_cohort", "overall_by_calendar_time"),
            "variance": ("derivative", "neyman", "design"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SpecError(f"{name}={getattr(self, name)!r} is unknown.", hint=f"Use one of {', '.join(known)}.")

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Effects of joining; see the class.

        Raises
        ------
        NoComparisonError
            If no post-treatment cell has a comparison.
        """
        moments, rows = _prepare(self, panel, design)
        fitted = adjusted_rows(moments, rows, fixed=_FIXED[self.method])
        values = fitted.derivative(moments, rows) if self.variance == "derivative" else fitted.neyman(moments)
        if self.variance == "design":
            values = values * fitted.design_factor(moments, panel.times)
        estimate, reference = fitted.estimate.copy(), rows.index.is_reference
        estimate[reference] = 0.0
        values[:, reference] = 0.0
        shares = None
        if self.target == "cells" and self.variance != "design":
            shares = Shares(rows.cohorts, moments.place(rows.cohorts), panel.unit_weight, self.variance == "neyman")
        return Effects(
            rows.index,
            estimate,
            influence=Influence(values, panel.unit_ids),
            shares=shares,
            weights=ImpliedWeights(partial(_implied_weights, self, panel, design)),
            unidentified=rows.unidentified,
            notes=_notes(panel, moments, rows),
        )


_FIXED = {"efficient": None, "callaway_santanna": 1.0, "sun_abraham": 1.0}


def _prepare(estimator: StaggeredRollout, panel: Panel, design: Design) -> tuple[Moments, Rows]:
    moments = make_moments(panel, design)
    last_only = estimator.method == "sun_abraham"
    return moments, make_rows(panel, design, moments, target=estimator.target, last_only=last_only)


def _implied_weights(estimator: StaggeredRollout, panel: Panel, design: Design) -> FloatArray:
    """Weights on outcomes that reproduce the rows, shape (k, n, T)."""
    moments, rows = _prepare(estimator, panel, design)
    fitted = adjusted_rows(moments, rows, fixed=_FIXED[estimator.method])
    coefficient = np.where(rows.index.is_reference[:, None, None], 0.0, fitted.coefficient)
    out = np.zeros((len(rows.index), *panel.outcome.shape))
    for g, members in enumerate(moments.members):
        out[:, members] = coefficient[:, g, None, :] * moments.ratio[members]
    return out


def _notes(panel: Panel, moments: Moments, rows: Rows) -> tuple[str, ...]:
    notes = ["the estimate rests on treatment timing that is as good as random, not on parallel trends alone"]
    if panel.columns.covariates:
        notes.append(f"covariates are not used: {', '.join(panel.columns.covariates)}")
    holes = int((~np.isfinite(panel.outcome)).sum())
    if holes:
        notes.append(f"{holes} of {panel.outcome.size} unit-times are not observed; means are over the units observed")
    small = sorted({f"{g:g}" for g, n in zip(moments.cohort, moments.count, strict=True) if n < SMALL_COHORT})
    if small:
        notes.append(
            f"cohorts with fewer than {SMALL_COHORT} units, whose variances are poorly known: {', '.join(small)}"
        )
    lonely = [f"{g:g}" for g in np.unique(moments.cohort) if moments.count[moments.cohort == g].sum() == 1]
    if lonely:
        notes.append(f"cohorts of one unit add nothing to standard errors, which are too small: {', '.join(lonely)}")
    if rows.unidentified:
        last = float(np.nanmax(rows.index.event_time, initial=-np.inf))
        ending = f"; the last identified event time is {last:g}" if np.isfinite(last) else ""
        notes.append(f"{len(rows.unidentified)} treated cohort-times have no comparison and are not estimated{ending}")
    return tuple(notes)
