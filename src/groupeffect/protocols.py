"""The two roles that plug-ins can play: estimators and inference strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from groupeffect._types import Capability, FloatArray
from groupeffect.design.design import Design
from groupeffect.effects.effects import Effects
from groupeffect.panel.panel import Panel

if TYPE_CHECKING:
    from groupeffect.fitting import Fit
    from groupeffect.registry import EstimatorInfo

__all__ = ["Estimator", "Inference", "Uncertainty"]


@runtime_checkable
class Estimator(Protocol):
    """A frozen dataclass of options with one pure method."""

    info: ClassVar[EstimatorInfo]

    def estimate(self, panel: Panel, design: Design) -> Effects:
        """Estimates of a design on a panel; options never hold data, inputs are not changed."""
        ...


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What an inference strategy says about the k rows of a fit.

    Parameters
    ----------
    method : str
        Name and settings, for tables.
    interval : ndarray of shape (k, 2)
        Pointwise confidence interval, outcome units.
    p_value : ndarray of shape (k,)
        Two-sided p-value of no effect; nan where the strategy gives none.
    std_error : ndarray of shape (k,), optional
        Standard errors, outcome units.
    statistic : ndarray of shape (k,), optional
        Test statistic behind `p_value`.
    band : ndarray of shape (k, 2), optional
        Simultaneous confidence band over all rows.
    vcov : ndarray of shape (k, k), optional
        Covariance of the estimates.
    draws : ndarray of shape (b, k), optional
        Resampled estimates (or deviations), when the strategy makes any.
    n_clusters : int, optional
        Independent clusters.
    df : float, optional
        Degrees of freedom of the reference t distribution; None = normal.
    failed_draws : int
        Draws in which at least one row could not be estimated.
    notes : tuple of str
        What a reader must know.
    """

    method: str
    interval: FloatArray
    p_value: FloatArray
    std_error: FloatArray | None = None
    statistic: FloatArray | None = None
    band: FloatArray | None = None
    vcov: FloatArray | None = None
    draws: FloatArray | None = None
    n_clusters: int | None = None
    df: float | None = None
    failed_draws: int = 0
    notes: tuple[str, ...] = ()


@runtime_checkable
class Inference(Protocol):
    """A frozen dataclass of settings that turns a fit into uncertainty."""

    needs: ClassVar[frozenset[Capability]]

    def apply(self, fit: Fit, *, level: float) -> Uncertainty:
        """Uncertainty of every row of a fit at a confidence level between 0 and 1."""
        ...
