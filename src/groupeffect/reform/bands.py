"""Cluster-robust standard errors with effective degrees of freedom and a simultaneous band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from groupeffect._types import Capability, FloatArray
from groupeffect.errors import SpecError
from groupeffect.inference.base import cluster_labels, estimable
from groupeffect.inference.cluster import ClusterRobust
from groupeffect.inference.critical import critical_value, interval, p_value
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["ClusterBand", "effective_df"]


@dataclass(frozen=True, slots=True)
class ClusterBand:
    r"""Analytic cluster-robust standard errors (CR1), t with effective degrees of freedom, and a sup-t band.

    Parameters
    ----------
    by : str, optional
        Attribute of the panel that names the clusters; None = units.
    draws : int, default 9999
        Normal draws for the band's critical value.
    seed : int, default 0
        Seed of the draws.

    Notes
    -----
    With hundreds of clusters a few can still carry the variance: the last school_groups to join are all that compares
    with those before them. The t distribution of each row therefore has the Satterthwaite degrees of freedom of a sum
    of squares, :math:`3 (\sum_c s_c^2)^2 / \sum_c s_c^4` with the cluster sums :math:`s_c` of its influence (G for G
    equal normal clusters), at least 2 and at most G-1; ``df`` is the smallest over rows.

    The band is ``estimate -+ c * std_error`` with c the `level` quantile of the largest absolute value of a normal
    vector with the estimated correlations [1]_, widened like the pointwise t, and never below it. It needs no
    resampling of units, which makes it cheap enough for every draw of a simulation.

    References
    ----------
    .. [1] Montiel Olea, J. L. and Plagborg-Moller, M. (2019). Simultaneous confidence bands: theory, implementation,
       and an application to SVARs. Journal of Applied Econometrics 34(1), 1-17.
    """

    by: str | None = None
    draws: int = 9999
    seed: int = 0
    needs: ClassVar[frozenset[Capability]] = frozenset({"influence"})

    def __post_init__(self) -> None:
        if self.draws < 100:
            raise SpecError(f"ClusterBand(draws={self.draws}) is too few.", hint="Use 9999.")

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Compute standard errors, covariance, pointwise intervals and the band."""
        found = ClusterRobust(self.by, correction="cr1").apply(fit, level=level)
        influence, error, vcov, statistic = fit.effects.influence, found.std_error, found.vcov, found.statistic
        assert influence is not None
        assert error is not None
        assert vcov is not None
        assert statistic is not None
        assert found.n_clusters is not None
        live = estimable(fit) & (error > 0)
        df = effective_df(influence.cluster_sums(cluster_labels(fit.panel, self.by)), found.n_clusters)
        pointwise = np.array([critical_value(level, value) for value in df])
        widest = pointwise
        if live.sum() > 1:
            correlation = vcov[np.ix_(live, live)] / np.outer(error[live], error[live])
            simultaneous = _largest(correlation, self.draws, self.seed, level) / critical_value(level)
            widest = pointwise * max(simultaneous, 1.0)
        low = float(df[live].min()) if live.any() else float(found.n_clusters - 1)
        return replace(
            found,
            method=f"{found.method}, at least {low:.0f} effective degrees of freedom, sup-t band",
            interval=_around(fit.effects.estimate, error, pointwise),
            p_value=np.array([float(p_value(row, value)) for row, value in zip(statistic, df, strict=True)]),
            df=low,
            band=_around(fit.effects.estimate, error, widest),
        )


def effective_df(sums: FloatArray, n_clusters: int) -> FloatArray:
    """Degrees of freedom of the variance of each row, from cluster sums of shape (n_clusters, k); see `ClusterBand`."""
    square = sums**2
    fourth = (square**2).sum(axis=0)
    found = 3.0 * square.sum(axis=0) ** 2 / np.where(fourth > 0, fourth, 1.0)
    return np.asarray(np.clip(found, min(2.0, n_clusters - 1.0), n_clusters - 1.0))


def _around(estimate: FloatArray, error: FloatArray, critical: FloatArray) -> FloatArray:
    rows = [interval(estimate[j : j + 1], error[j : j + 1], float(critical[j])) for j in range(len(estimate))]
    return np.vstack(rows) if rows else np.empty((0, 2))


def _largest(correlation: FloatArray, draws: int, seed: int, level: float) -> float:
    """Quantile of the largest absolute value of a normal vector."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    normal = np.random.default_rng(seed).standard_normal((draws, len(values)))
    return float(np.quantile(np.abs(normal @ root.T).max(axis=1), level, method="inverted_cdf"))
