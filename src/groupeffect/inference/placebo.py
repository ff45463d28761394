"""Placebo treatments of untreated units."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from groupeffect._types import BoolArray, Capability, FloatArray, IntArray
from groupeffect.design.design import Design
from groupeffect.effects.effects import Counterfactual
from groupeffect.errors import (
    DesignError,
    EstimationError,
    FailedDrawsError,
    InferenceError,
    PoorPreFitWarning,
    SpecError,
)
from groupeffect.inference.base import estimable
from groupeffect.inference.critical import critical_value, interval, p_value, ratio
from groupeffect.inference.jackknife import on_rows_of
from groupeffect.numerics.threads import one_blas_thread
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["PlaceboUnits"]

DRAWS = 200
"""Random draws when several units are treated and no number is given."""


@dataclass(frozen=True, slots=True)
class PlaceboUnits:
    r"""Variance and rank p-values from pretending that untreated units were treated.

    The treated units are set aside; as many donors as there are treated units get their treatment, and the estimator
    runs again on the donors that are left.

    Parameters
    ----------
    draws : int, optional
        Number of random placebo groups. None: with one treated unit every donor once, otherwise 200.
    seed : int, default 0
        Seed of the random groups; one stream per draw, so results do not depend on the order of work. Not used when
        every donor takes its turn.

    Notes
    -----
    *Standard error*: the standard deviation of the placebo estimates (denominator: number of draws), algorithm 4 of
    Arkhangelsky et al. (2021); it presumes that treated units are as noisy as donors. *Interval*: the estimate plus and
    minus normal critical values times the standard error.

    *p-value*: with one treated unit and every donor in turn, a rank among all units, the treated one included. A row
    that covers the times S has the statistic :math:`\{\mathrm{mean}_{t \in S}\,gap_t^2\}^{1/2} / RMSPE_{pre}`; its
    p-value is the share of units with a statistic at least as large. For a single number over all treated times this
    is the ratio of post- to pre-treatment RMSPE of Abadie, Diamond and Hainmueller (2010); its smallest value is one
    over the number of units. Rows before treatment get none. In all other cases the p-value is the normal one of the
    estimate over the standard error. The ``method`` of the result says which was used.

    References
    ----------
    Abadie, A., Diamond, A. and Hainmueller, J. (2010). Synthetic control methods for comparative case studies. Journal
    of the American Statistical Association 105, 493-505.
    Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S. (2021). Synthetic
    difference-in-differences. American Economic Review 111, 4088-4118.
    """

    draws: int | None = None
    seed: int = 0
    needs: ClassVar[frozenset[Capability]] = frozenset({"refit", "counterfactual"})

    def __post_init__(self) -> None:
        if self.draws is not None and self.draws < 2:
            raise SpecError(
                f"PlaceboUnits(draws={self.draws}) is too few.", hint="Use 100 or more, or None for every donor once."
            )

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Run the placebos and give standard errors, intervals and p-values of every row.

        Raises
        ------
        InferenceError
            If there are not more donors than treated units, or fewer than two placebo runs are possible.
        FailedDrawsError
            If more than half of the placebo runs cannot be estimated.
        """
        groups = self._groups(fit.design)
        estimates, paths = _run(fit, groups)
        lost = np.isnan(estimates[:, estimable(fit)]).any(axis=1)
        if lost.mean() > 0.5:
            raise FailedDrawsError(
                f"{int(lost.sum())} of {len(groups)} placebo runs left a row that cannot be estimated.",
                hint="Look at the donors: holes, or too few of them.",
            )
        usable = estimable(fit) & ((~np.isnan(estimates)).sum(axis=0) > 1)
        std_error = np.full(len(usable), np.nan)
        std_error[usable] = np.nanstd(estimates[:, usable], axis=0)
        statistic = ratio(fit.effects.estimate, std_error)
        every_donor = self.draws is None and int(fit.design.treated().sum()) == 1
        p_values, notes = p_value(statistic), tuple[str, ...]()
        if every_donor:
            statistic, p_values, notes = _ranks(fit, paths)
        how = f"each of {len(groups)} donors" if every_donor else f"{len(groups)} random groups, seed {self.seed}"
        kind = "rank of RMSPE ratio" if every_donor else "normal"
        return Uncertainty(
            method=f"placebo units ({how}); interval normal, p-value {kind}",
            interval=interval(fit.effects.estimate, std_error, critical_value(level)),
            p_value=p_values,
            std_error=std_error,
            statistic=statistic,
            vcov=_covariance(estimates),
            draws=estimates,
            failed_draws=int(lost.sum()),
            notes=notes,
        )

    def _groups(self, design: Design) -> list[IntArray]:
        """Rows of the units treated in each placebo run."""
        treated = design.treated()
        donors = np.flatnonzero(design.comparison_pool & ~treated)
        size = int(treated.sum())
        if len(donors) <= size or len(donors) < 3:
            raise InferenceError(
                f"{size} treated units and {len(donors)} donors: placebo runs need more donors than treated units, and "
                "three or more.",
                hint="Widen the donor pool, or use Jackknife when several units are treated.",
            )
        if self.draws is None and size == 1:
            return [donors[[j]] for j in range(len(donors))]
        streams = np.random.SeedSequence(self.seed).spawn(self.draws or DRAWS)
        return [np.random.default_rng(stream).choice(donors, size=size, replace=False) for stream in streams]


def _run(fit: Fit, groups: list[IntArray]) -> tuple[FloatArray, list[Counterfactual | None]]:
    """Estimates (nan where a run failed) and paths of the placebo runs."""
    estimates = np.full((len(groups), len(fit.effects.index)), np.nan)
    paths: list[Counterfactual | None] = []
    cohorts = fit.design.cohort[fit.design.treated()]
    with one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorPreFitWarning)
        for row, group in enumerate(groups):
            try:
                again = fit.rerun(design=_pretend(fit.design, group, cohorts))
            except (EstimationError, DesignError):
                paths.append(None)
                continue
            estimates[row] = on_rows_of(fit, again)
            paths.append(again.effects.counterfactual)
    return estimates, paths


def _pretend(design: Design, group: IntArray, cohorts: FloatArray) -> Design:
    """Design in which the units of a group have the first treated times of the treated units, who take no part."""
    cohort = np.full(len(design.cohort), np.inf)
    cohort[group] = cohorts
    return design.reassign(cohort, design.comparison_pool & np.isinf(cohort) & ~design.treated())


def _ranks(fit: Fit, paths: list[Counterfactual | None]) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """RMSPE ratios of the treated unit by row, their rank p-values, and a sentence about the whole path."""
    covered, whole = _times_of_rows(fit)
    everything = np.vstack([covered, whole])
    own = fit.effects.counterfactual
    assert own is not None  # `needs` holds "counterfactual"
    statistic = _rmspe_ratio(own, everything)
    others = np.array([_rmspe_ratio(path, everything) for path in paths if path is not None])
    rank = 1 + (others >= statistic * (1 - 1e-12)).sum(axis=0)
    n_units = 1 + len(others)
    p_values = np.where(np.isnan(statistic), np.nan, rank / n_units)
    notes = (
        f"post/pre RMSPE ratio {statistic[-1]:.4g}, rank {rank[-1]} of {n_units}: p = {p_values[-1]:.3g}"
        f" (smallest possible {1 / n_units:.3g})",
    )
    return statistic[:-1], p_values[:-1], notes


def _times_of_rows(fit: Fit) -> tuple[BoolArray, BoolArray]:
    """Treated times that each row covers, shape (k, T), and all reported treated times, shape (T,)."""
    design, index = fit.design, fit.effects.index
    times = design.times
    start = float(design.cohort[design.treated()].min())
    post = design.effect_times & (times >= start)
    own_time = np.where(np.isnan(index.time), start + index.event_time, index.time)
    single = ~np.isnan(own_time)
    covered = np.where(single[:, None], times == own_time[:, None], True) & post
    return np.asarray(covered), np.asarray(post)


def _rmspe_ratio(path: Counterfactual, covered: BoolArray) -> FloatArray:
    """Root mean squared gap over each set of times over that before treatment; nan for empty sets."""
    square = (path.observed - path.synthetic) ** 2
    counts = covered.sum(axis=1)
    mean = np.where(covered, square, 0.0).sum(axis=1) / np.maximum(counts, 1)
    size = np.where(counts > 0, np.sqrt(mean), np.nan)
    return np.asarray(size / path.pre_rmspe) if path.pre_rmspe > 0 else np.where(size > 0, np.inf, size)


def _covariance(estimates: FloatArray) -> FloatArray:
    """Covariance of the complete placebo runs, denominator their number."""
    complete = estimates[~np.isnan(estimates).any(axis=1)]
    if len(complete) == 0:
        return np.full((estimates.shape[1], estimates.shape[1]), np.nan)
    centred = complete - complete.mean(axis=0)
    return np.asarray(centred.T @ centred / len(complete))
