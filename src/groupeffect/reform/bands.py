"""Cluster-robust standard errors together with a simultaneous band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from groupeffect._types import Capability, FloatArray
from groupeffect.errors import SpecError
from groupeffect.inference.base import estimable
from groupeffect.inference.cluster import ClusterRobust
from groupeffect.inference.critical import critical_value, interval
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["ClusterBand"]


@dataclass(frozen=True, slots=True)
class ClusterBand:
    """Analytic cluster-robust standard errors (CR1, t) with a plug-in sup-t band.

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
    The band is ``estimate -+ c * std_error`` with c the `level` quantile of the largest absolute value of a normal
    vector with the estimated correlations [1]_, and never below the pointwise critical value. It needs no resampling of
    units, which makes it cheap enough for every draw of a simulation.

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
        error, vcov = found.std_error, found.vcov
        assert error is not None
        assert vcov is not None
        live = estimable(fit) & (error > 0)
        critical = critical_value(level, found.df)
        if live.any():
            correlation = vcov[np.ix_(live, live)] / np.outer(error[live], error[live])
            critical = max(critical, _largest(correlation, self.draws, self.seed, level))
        return replace(
            found,
            method=f"{found.method}, sup-t band",
            band=interval(fit.effects.estimate, error, critical),
        )


def _largest(correlation: FloatArray, draws: int, seed: int, level: float) -> float:
    """Quantile of the largest absolute value of a normal vector."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    normal = np.random.default_rng(seed).standard_normal((draws, len(values)))
    return float(np.quantile(np.abs(normal @ root.T).max(axis=1), level, method="inverted_cdf"))
