"""Cluster-robust standard errors from sums of the influence function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from groupeffect._types import Capability, FloatArray
from groupeffect.effects.effects import Regression
from groupeffect.errors import SpecError
from groupeffect.inference.base import cluster_labels, estimable, participating, warn_few_clusters
from groupeffect.inference.critical import critical_value, interval, p_value, ratio
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["ClusterRobust"]

Correction = Literal["auto", "none", "cr1"]


@dataclass(frozen=True, slots=True)
class ClusterRobust:
    r"""Analytic variance, robust to any dependence within clusters.

    Parameters
    ----------
    by : str, optional
        Attribute of the panel that names the clusters; None = each unit is its own cluster.
    correction : {"auto", "none", "cr1"}, default "auto"
        ``"none"``: no small-sample factor, normal critical values, as R's ``did``.
        ``"cr1"``: factor G/(G-1), for regressions times (N-1)/(N-K) with K counted as R's ``fixest`` does (unit fixed
        effects are nested in the clusters and not counted), and t critical values with G-1 degrees of freedom.
        ``"auto"``: ``"cr1"`` for regressions, ``"none"`` for the others.

    Notes
    -----
    The variance is :math:`n^{-2}\sum_c (\sum_{i \in c}\psi_i)^2`, with cluster *sums* of the influence.
    """

    by: str | None = None
    correction: Correction = "auto"
    needs: ClassVar[frozenset[Capability]] = frozenset({"influence"})

    def __post_init__(self) -> None:
        if self.correction not in ("auto", "none", "cr1"):
            raise SpecError(
                f"ClusterRobust(correction={self.correction!r}) is unknown.", hint="Use 'auto', 'none' or 'cr1'."
            )

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Standard errors, covariance and intervals of every row."""
        influence = fit.effects.influence
        assert influence is not None
        labels = cluster_labels(fit.panel, self.by)
        sums = influence.cluster_sums(labels)
        n_clusters = participating(sums)
        notes = warn_few_clusters(n_clusters, "use correction='cr1', Jackknife, or a randomisation test")
        corrected = self.correction == "cr1" or (self.correction == "auto" and fit.effects.regression is not None)
        factor = _small_sample(n_clusters, fit.effects.regression) if corrected else 1.0
        vcov = factor * (sums.T @ sums) / influence.n_units**2
        std_error = _std_error(vcov, estimable(fit))
        df = n_clusters - 1 if corrected else None
        statistic = ratio(fit.effects.estimate, std_error)
        return Uncertainty(
            method=f"cluster-robust by {self.by or 'unit'}" + (" (CR1)" if corrected else ""),
            interval=interval(fit.effects.estimate, std_error, critical_value(level, df)),
            p_value=p_value(statistic, df),
            std_error=std_error,
            statistic=statistic,
            vcov=vcov,
            n_clusters=n_clusters,
            df=df,
            notes=notes,
        )


def _small_sample(n_clusters: int, regression: Regression | None) -> float:
    factor = n_clusters / (n_clusters - 1)
    if regression is not None:
        k = regression.n_regressors + regression.n_time_effects
        factor *= (regression.n_obs - 1) / (regression.n_obs - k)
    return factor


def _std_error(vcov: FloatArray, has_error: FloatArray) -> FloatArray:
    return np.where(has_error, np.sqrt(np.diag(vcov)), np.nan)
