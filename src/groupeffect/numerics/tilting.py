"""Inverse probability tilting: odds that balance covariates exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.errors import OverlapError

__all__ = ["Tilting", "fit_tilting"]

MAX_STEPS = 200
GRADIENT_TOL = 1e-13
MAX_EXPONENT = 30.0


@dataclass(frozen=True, slots=True)
class Tilting:
    """Propensity whose odds give the untreated the covariate moments of the treated.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Fitted probabilities ``odds / (1 + odds)``.
    hessian : ndarray of shape (p, p)
        ``X' diag(w (1-D) odds) X / n``.
    """

    probability: FloatArray
    hessian: FloatArray


def fit_tilting(regressors: FloatArray, outcome: BoolArray, weight: FloatArray) -> Tilting:
    r"""Minimise :math:`\sum_i w_i\{(1-D_i)e^{X_i'\gamma} - D_iX_i'\gamma\}` by damped Newton steps.

    Parameters
    ----------
    regressors : ndarray of shape (n, p)
        Well-conditioned columns (see :func:`groupeffect.numerics.ols.orthonormal`), constant included.
    outcome : ndarray of bool, shape (n,)
        Treated.
    weight : ndarray of shape (n,)
        Mean one.

    Returns
    -------
    Tilting

    Raises
    ------
    OverlapError
        If no weights of the untreated reach the covariate means of the treated, so that no minimum exists.

    Notes
    -----
    The first-order condition is :math:`\sum_i w_i(1-D_i)e^{X_i'\gamma}X_i = \sum_i w_iD_iX_i`: the calibrated
    propensity of Graham, Pinto and Egel (2012), first step of the improved estimators of Sant'Anna and Zhao (2020).
    """
    n = len(weight)
    untreated = np.where(outcome, 0.0, weight)
    target = regressors.T @ np.where(outcome, weight, 0.0) / n
    share = float(weight[outcome].sum() / weight.sum())
    gamma = regressors.T @ weight * np.log(share / (1 - share)) / n

    def loss(at: FloatArray) -> tuple[float, FloatArray]:
        index = regressors @ at
        if np.abs(index).max() > MAX_EXPONENT:
            return np.inf, index
        return float(untreated @ np.exp(index) / n - target @ at), index

    value, index = loss(gamma)
    for _ in range(MAX_STEPS):
        odds = np.exp(index)
        tilted = untreated * odds
        gradient = regressors.T @ tilted / n - target
        hessian = (regressors * tilted[:, None]).T @ regressors / n
        if np.abs(gradient).max() < GRADIENT_TOL * max(1.0, float(np.abs(target).max())):
            return Tilting(odds / (1 + odds), hessian)
        values = np.linalg.eigvalsh(hessian)
        if values[0] < 1e-12 * values[-1]:
            break
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        moved, index_moved = loss(gamma - step)
        while moved > value + 1e-15 * abs(value) and size > 1e-10:
            size /= 2
            moved, index_moved = loss(gamma - size * step)
        if size <= 1e-10:  # rounding level: no step lowers the loss any more
            if np.abs(gradient).max() < 1e3 * GRADIENT_TOL * max(1.0, float(np.abs(target).max())):
                return Tilting(odds / (1 + odds), hessian)
            break
        gamma, value, index = gamma - size * step, moved, index_moved
    raise OverlapError(
        f"No weights of the {int((~outcome).sum())} untreated rows reach the covariate means of the "
        f"{int(outcome.sum())} treated ones: the tilted propensity has no solution.",
        hint="Use fewer covariates, a larger comparison pool, or method='reg'.",
    )
