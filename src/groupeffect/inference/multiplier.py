"""Multiplier bootstrap of influence functions, with simultaneous bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from groupeffect._types import Capability, FloatArray
from groupeffect.errors import SpecError
from groupeffect.inference.base import cluster_labels, estimable, participating, warn_few_clusters
from groupeffect.inference.critical import NORMAL_IQR, critical_value, interval, p_value, ratio
from groupeffect.numerics.random import rademacher_sums
from groupeffect.numerics.threads import one_blas_thread
from groupeffect.protocols import Uncertainty

if TYPE_CHECKING:
    from groupeffect.fitting import Fit

__all__ = ["MultiplierBootstrap"]


@dataclass(frozen=True, slots=True)
class MultiplierBootstrap:
    r"""Random signs on the influence function, one per cluster (Callaway and Sant'Anna 2021, algorithm 1).

    Parameters
    ----------
    by : str, optional
        Attribute of the panel that names the clusters; None = units.
    draws : int, default 999
        Bootstrap draws.
    seed : int, default 0
        Seed; draws come in blocks with one spawned stream each, so results do not depend on block size or workers.
    std_error : {"iqr", "sd"}, default "iqr"
        Standard error from the interquartile range of the draws over that of a normal variable, as R's ``did``, or
        their standard deviation.

    Notes
    -----
    The band has the critical value :math:`c`, the `level` quantile over draws of :math:`\max_k |t_k^*|`: all rows that
    have a standard error are covered together.
    """

    by: str | None = None
    draws: int = 999
    seed: int = 0
    std_error: Literal["iqr", "sd"] = "iqr"
    needs: ClassVar[frozenset[Capability]] = frozenset({"influence"})

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise SpecError(f"MultiplierBootstrap(draws={self.draws}) is too few.", hint="Use 999 or more.")
        if self.std_error not in ("iqr", "sd"):
            raise SpecError(f"std_error={self.std_error!r} is unknown.", hint="Use 'iqr' or 'sd'.")

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Standard errors, pointwise intervals and the simultaneous band."""
        influence = fit.effects.influence
        assert influence is not None
        sums = influence.cluster_sums(cluster_labels(fit.panel, self.by))
        n_clusters = participating(sums)
        notes = warn_few_clusters(n_clusters, "use Jackknife or a randomisation test")
        with one_blas_thread():  # the products are narrow: a second thread would mostly wait
            draws = rademacher_sums(sums, self.draws, self.seed) / influence.n_units
        live = estimable(fit)
        std_error = np.where(live, _spread(draws, self.std_error), np.nan)
        statistic = ratio(fit.effects.estimate, std_error)
        pointwise = critical_value(level)
        with np.errstate(invalid="ignore", divide="ignore"):
            sizes = np.abs(draws[:, live] / std_error[live])
        largest = np.nanmax(sizes, axis=1) if live.any() else np.array([pointwise])
        simultaneous = float(np.quantile(largest, level, method="inverted_cdf"))
        return Uncertainty(
            method=f"multiplier bootstrap by {self.by or 'unit'}, {self.draws} draws",
            interval=interval(fit.effects.estimate, std_error, pointwise),
            p_value=p_value(statistic),
            std_error=std_error,
            statistic=statistic,
            band=interval(fit.effects.estimate, std_error, max(simultaneous, pointwise)),
            vcov=np.cov(draws, rowvar=False, ddof=0).reshape(draws.shape[1], draws.shape[1]),
            draws=draws,
            n_clusters=n_clusters,
            notes=notes,
        )


def _spread(draws: FloatArray, kind: str) -> FloatArray:
    if kind == "sd":
        return np.asarray(draws.std(axis=0, ddof=1))
    lower, upper = np.quantile(draws, [0.25, 0.75], axis=0, method="inverted_cdf")
    return np.asarray((upper - lower) / NORMAL_IQR)
