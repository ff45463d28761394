"""Weighted logit by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.errors import OverlapError

__all__ = ["Logit", "fit_logit"]

MAX_STEPS = 50
MAX_INDEX = 30.0


@dataclass(frozen=True, slots=True)
class Logit:
    """Maximum-likelihood logit.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Fitted probabilities.
    hessian : ndarray of shape (p, p)
        ``X' diag(w p (1-p)) X / n``.
    """

    probability: FloatArray
    hessian: FloatArray


def fit_logit(regressors: FloatArray, outcome: BoolArray, weight: FloatArray) -> Logit:
    """Maximise the weighted logit likelihood.

    Parameters
    ----------
    regressors : ndarray of shape (n, p)
        Well-conditioned columns (see :func:`groupeffect.numerics.ols.orthonormal`), constant included.
    outcome : ndarray of bool, shape (n,)
    weight : ndarray of shape (n,)

    Returns
    -------
    Logit

    Raises
    ------
    OverlapError
        If the regressors separate the two outcomes, so that no maximum exists.
    """
    n = len(regressors)
    share = float(weight[outcome].sum() / weight.sum())
    # start at the constant-only fit, projected on the columns (a constant is among them)
    beta = regressors.T @ weight * np.log(share / (1 - share)) / n
    target = regressors.T @ (weight * outcome) / n
    for _ in range(MAX_STEPS):
        index = regressors @ beta
        probability = 1.0 / (1.0 + np.exp(-np.clip(index, -MAX_INDEX, MAX_INDEX)))
        weighted = weight * probability
        gradient = target - regressors.T @ weighted / n
        hessian = (regressors * (weighted * (1 - probability))[:, None]).T @ regressors / n
        values = np.linalg.eigvalsh(hessian)
        if values[0] < 1e-10 * max(values[-1], 1e-12) or values[-1] < 1e-10:
            break
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if np.abs(step).max() < 1e-10 * (1 + np.abs(beta).max()):
            # one step past tolerance: Newton is quadratic, so what is left is rounding
            index = regressors @ beta
            probability = 1.0 / (1.0 + np.exp(-np.clip(index, -MAX_INDEX, MAX_INDEX)))
            hessian = (regressors * (weight * probability * (1 - probability))[:, None]).T @ regressors / n
            return Logit(probability, hessian)
    raise OverlapError(
        f"The covariates separate treated from comparison units ({int(outcome.sum())} of {n} are treated): the "
        "propensity model has no maximum.",
        hint="Use fewer covariates, a larger comparison pool, or method='reg'.",
    )
