r"""Regressions of outcome changes on joining, with an effect of each date: one for every time since joining.

At a date the *newly treated* and *clean* units (untreated until the outcome is taken) are compared; the regression
pools dates. Without covariates its coefficient is :math:`\sum_g \omega_g\delta_g`, a mean of differences of mean
changes with :math:`\omega_g \propto N_{1g}N_{0g}/(N_{1g}+N_{0g})` (weighting by variance) or :math:`N_{1g}` (each
treated unit once).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.errors import SingularDesignError

__all__ = ["Projection", "Stack", "project"]

COLLINEAR_TOL = 1e-11
"""Smallest eigenvalue of the correlations of covariates within dates that are not collinear."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Unit-dates of one regression.

    Parameters
    ----------
    change : ndarray of shape (n, E)
        Outcome less base; anything where `used` is False.
    joins : ndarray of bool, shape (n, E)
        Units that join at the date.
    used : ndarray of bool, shape (n, E)
        Unit-dates in the regression.
    covariates : ndarray of shape (n, E, p)
        Covariates.
    dates : ndarray of int, shape (E,)
        Which dates these are.
    """

    change: FloatArray
    joins: BoolArray
    used: BoolArray
    covariates: FloatArray
    dates: IntArray


@dataclass(frozen=True, slots=True)
class Projection:
    """A fitted regression.

    Parameters
    ----------
    coefficient : float
        Coefficient of joining.
    score : ndarray of shape (n,)
        Derivative of the coefficient in the log weight of each unit.
    weights : ndarray of shape (n, E)
        Weights of the changes in the coefficient.
    n_obs, n_regressors, n_dates, n_units : int
        Unit-dates, slopes, dates and units in the regression.
    n_treated, n_comparison : int
        Units that join, and that are compared with.
    """

    coefficient: float
    score: FloatArray
    weights: FloatArray
    n_obs: int
    n_regressors: int
    n_dates: int
    n_units: int
    n_treated: int
    n_comparison: int

    @property
    def small_sample(self) -> float:
        """Factor of the variance in R's ``fixest`` with units as clusters."""
        regressors = self.n_regressors + self.n_dates
        return self.n_units / (self.n_units - 1) * (self.n_obs - 1) / (self.n_obs - regressors)


def project(
    stack: Stack, unit_weight: FloatArray, *, equal: bool, known_weights: bool, idle_dates: bool
) -> Projection | None:
    """Regress changes on joining and effects of dates.

    Parameters
    ----------
    stack : Stack
    unit_weight : ndarray of shape (n,)
        Weights of units.
    equal : bool
        Weight dates so that each treated unit counts once; else by least squares.
    known_weights : bool
        Take the weights of the dates as known in the score.
    idle_dates : bool
        Keep dates at which nobody joins: they say something about slopes of covariates only.

    Returns
    -------
    Projection or None
        None if no date has both newly treated and clean units.

    Raises
    ------
    SingularDesignError
        If covariates are collinear, or explain joining.
    """
    weight = np.where(stack.used, unit_weight[:, None], 0.0)
    joins = stack.joins & stack.used
    treated = np.where(joins, weight, 0.0).sum(axis=0)
    clean = weight.sum(axis=0) - treated
    both = (treated > 0) & (clean > 0)
    if not both.any():
        return None
    kept = (clean > 0) if idle_dates and not equal else both
    used = stack.used & kept
    weight = np.where(kept, weight, 0.0)
    total = np.where(kept, treated + clean, 1.0)
    share = np.where(kept, treated, 0.0) / total
    if equal:
        weight = weight / np.where(kept, 1.0 - share, 1.0)
    change = np.where(used, stack.change, 0.0)
    change = np.where(used, change - (weight * change).sum(axis=0) / _sums(weight), 0.0)
    regressor = np.where(used, joins - share, 0.0)
    if stack.covariates.shape[2]:
        change, regressor = _without_covariates(change, regressor, stack.covariates, used, weight)
    product = weight * regressor
    size = float((product * regressor).sum())
    if size <= COLLINEAR_TOL * float((weight * used * share * (1 - share)).sum()):
        raise SingularDesignError(
            "Covariates explain completely who joins.", hint="Leave some of them out, or use covariates='none'."
        )
    coefficient = float((product * change).sum()) / size
    moved = product * (change - coefficient * regressor)
    score = moved.sum(axis=1) / size
    if equal and not known_weights:  # the weights of the dates depend on the shares of the newly treated
        by_date = moved.sum(axis=0) / np.where(kept, clean, 1.0)
        shift = np.where(used, unit_weight[:, None] * (joins - share), 0.0)
        score = score + shift @ by_date / size
    at_work = used & both
    return Projection(
        coefficient,
        score,
        product / size,
        n_obs=int(used.sum()),
        n_regressors=1 + stack.covariates.shape[2],
        n_dates=int(kept.sum()),
        n_units=int(used.any(axis=1).sum()),
        n_treated=int((joins & at_work).any(axis=1).sum()),
        n_comparison=int((at_work & ~joins).any(axis=1).sum()),
    )


def _sums(weight: FloatArray) -> FloatArray:
    total = weight.sum(axis=0)
    return np.where(total > 0, total, 1.0)


def _without_covariates(
    change: FloatArray, regressor: FloatArray, covariates: FloatArray, used: BoolArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Residuals of changes and regressor, both free of dates, from covariates free of dates."""
    mask = used[:, :, None]
    x = np.where(mask, covariates, 0.0)
    length = np.sqrt(np.einsum("ne,nep,nep->p", weight, x, x))
    x = np.where(mask, x - np.einsum("ne,nep->ep", weight, x) / _sums(weight)[:, None], 0.0)
    x = x / np.where(length > 0, length, 1.0)
    gram = np.einsum("ne,nep,neq->pq", weight, x, x)
    if np.linalg.eigvalsh(gram)[0] <= COLLINEAR_TOL:
        raise SingularDesignError(
            f"The {x.shape[2]} covariates are constant within dates, or follow from each other.",
            hint="Leave some of them out, or use covariates='none'.",
        )
    for _ in range(2):  # the second pass removes what rounding left
        change = change - x @ np.linalg.solve(gram, np.einsum("ne,nep,ne->p", weight, x, change))
        regressor = regressor - x @ np.linalg.solve(gram, np.einsum("ne,nep,ne->p", weight, x, regressor))
    return change, regressor
