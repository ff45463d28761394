"""Leave-one-cluster-out jackknife."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from groupeffect._types import BoolArray, Capability, FloatArray, IntArray
from groupeffect.effects.influence import cluster_codes
from groupeffect.errors import (
    DesignError,
    EstimationError,
    FailedDrawsError,
    GroupEffectWarning,
    TooFewClustersError,
)
from groupeffect.inference.base import cluster_labels, estimable, warn_few_clusters
from groupeffect.inference.critical import critical_value, interval, p_value, ratio
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["Jackknife"]


@dataclass(frozen=True, slots=True)
class Jackknife:
    r"""Standard errors from re-estimating without one cluster at a time (CV3).

    Parameters
    ----------
    by : str, optional
        Attribute of the panel that names the clusters; None = units.

    Notes
    -----
    The variance is
    :math:`\frac{G-1}{G}\sum_c(\hat\theta_{(-c)} - \hat\theta)(\hat\theta_{(-c)} - \hat\theta)'`, centred at the
    estimate (MacKinnon, Nielsen and Webb 2023), with t critical values on G-1 degrees of freedom. Rows that a
    deletion removes are nan in that draw and reported in ``failed_draws``; clusters that take no part in the design
    leave the estimate unchanged and count as zero deviations.
    """

    by: str | None = None
    needs: ClassVar[frozenset[Capability]] = frozenset({"refit"})

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Standard errors, covariance and intervals of every row."""
        labels = cluster_labels(fit.panel, self.by)
        codes, n_clusters = cluster_codes(labels)
        notes = warn_few_clusters(n_clusters, "use placebo units or a randomisation test")
        _check_treated(codes, fit.design.treated(), self.by)
        draws = np.vstack([_without(fit, codes != c) for c in range(n_clusters)])
        lost = np.isnan(draws[:, estimable(fit)]).any(axis=1)
        if lost.mean() > 0.5:
            raise FailedDrawsError(
                f"{int(lost.sum())} of {n_clusters} deletions left a row that cannot be estimated.",
                hint="Cluster at a lower level, or report fewer rows (by_event_time with a shorter range).",
            )
        deviations = draws - fit.effects.estimate
        counts = (~np.isnan(deviations)).sum(axis=0)
        centred = np.where(np.isnan(deviations), 0.0, deviations)
        vcov = centred.T @ centred * (n_clusters - 1) / n_clusters
        std_error = np.where(estimable(fit) & (counts > 1), np.sqrt(np.diag(vcov)), np.nan)
        df = n_clusters - 1
        statistic = ratio(fit.effects.estimate, std_error)
        return Uncertainty(
            method=f"jackknife by {self.by or 'unit'} (CV3)",
            interval=interval(fit.effects.estimate, std_error, critical_value(level, df)),
            p_value=p_value(statistic, df),
            std_error=std_error,
            statistic=statistic,
            vcov=vcov,
            draws=draws,
            n_clusters=n_clusters,
            df=df,
            failed_draws=int(lost.sum()),
            notes=notes,
        )


def _check_treated(codes: IntArray, treated: BoolArray, by: str | None) -> None:
    """Refuse when the one deletion that matters cannot be made."""
    if len(np.unique(codes[treated])) < 2:
        raise TooFewClustersError(
            f"All treated units are in one cluster ({by or 'unit'}); the estimate without it does not exist.",
            hint="Use PlaceboUnits, or cluster at a lower level.",
        )


def _without(fit: Fit, keep: FloatArray) -> FloatArray:
    """Estimates without some units, on the rows of the original fit; nan where a row is lost."""
    try:
        with warnings.catch_warnings():
            # a deletion repeats the warnings of the estimate, whose notes have them
            warnings.simplefilter("ignore", GroupEffectWarning)
            again = fit.rerun(panel=fit.panel.take_units(keep), design=fit.design.take_units(keep))
    except (EstimationError, DesignError):
        return np.full(len(fit.effects.index), np.nan)
    return on_rows_of(fit, again)


def on_rows_of(fit: Fit, again: Fit) -> FloatArray:
    """Estimates of a re-run arranged on the rows of the original fit; nan where a row is missing."""
    found = dict(zip(again.effects.index.keys(), again.effects.estimate.tolist(), strict=True))
    wanted = fit.effects.index.keys()
    return np.array([found.get(key, np.nan) for key in wanted])
