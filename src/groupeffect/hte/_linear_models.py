"""Least squares and ridge logit with scikit-learn's interface, without its checks: small fits come by the hundred."""

from __future__ import annotations

import numpy as np

from groupeffect._types import AnyArray, FloatArray
from groupeffect.errors import ConvergenceError

__all__ = ["RIDGE", "LeastSquares", "RidgeLogit"]

RIDGE = 1e-4
"""Penalty on half the squared slopes of the logit, against a log likelihood with weights of mean one."""

MAX_STEPS = 200
GRADIENT_TOL = 1e-11


class LeastSquares:
    """Weighted least squares with a constant; the shortest solution if features are collinear."""

    coefficient: FloatArray

    def fit(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None) -> LeastSquares:
        """Fit on features of shape (n, p) and a target of shape (n,)."""
        root = np.ones(len(y)) if sample_weight is None else np.sqrt(sample_weight)
        regressors = _with_constant(X)
        self.coefficient = _solve(regressors * root[:, None], y * root)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Fitted values at features of shape (n, p)."""
        return np.asarray(_with_constant(X) @ self.coefficient)


class RidgeLogit:
    """Weighted logit with a constant and a trace of ridge, so that it exists under separation too.

    Separated sides then get propensities next to zero and one, and are refused for lack of overlap.
    """

    coefficient: FloatArray

    def fit(self, X: FloatArray, y: AnyArray, sample_weight: FloatArray | None = None) -> RidgeLogit:
        """Fit on features of shape (n, p), centred and scaled, and classes 0 and 1; weights should have mean one.

        Raises
        ------
        ConvergenceError
            If Newton's method does not converge.
        """
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        regressors = _with_constant(X)
        ridge = np.full(regressors.shape[1], RIDGE)
        ridge[0] = 0.0
        beta = np.zeros(regressors.shape[1])
        share = float(np.average(y, weights=weight))
        beta[0] = np.log(share / (1 - share))
        loss = _loss(beta, regressors, y, weight, ridge)
        for _ in range(MAX_STEPS):
            probability = _logistic(regressors @ beta)
            gradient = regressors.T @ (weight * (y - probability)) - ridge * beta
            if np.abs(gradient).max() <= GRADIENT_TOL * len(y):
                self.coefficient = beta
                return self
            curved = regressors * (weight * probability * (1 - probability))[:, None]
            step = _solve(curved.T @ regressors + np.diag(ridge), gradient)
            beta, loss = _descend(beta, step, loss, (regressors, y, weight, ridge))
        raise ConvergenceError(
            f"The propensity model did not converge in {MAX_STEPS} steps.", hint="Use fewer covariates or modifiers."
        )

    def predict_proba(self, X: FloatArray) -> FloatArray:
        """Probabilities of the two classes, shape (n, 2)."""
        probability = _logistic(_with_constant(X) @ self.coefficient)
        return np.column_stack([1 - probability, probability])


_Data = tuple[FloatArray, AnyArray, FloatArray, FloatArray]


def _descend(beta: FloatArray, step: FloatArray, loss: float, data: _Data) -> tuple[FloatArray, float]:
    """Take a Newton step, halved until the loss does not rise by more than rounding."""
    for halvings in range(30):
        candidate = beta + step / 2**halvings
        reached = _loss(candidate, *data)
        if reached <= loss + 1e-12 * abs(loss):
            return candidate, reached
    return candidate, reached


def _loss(beta: FloatArray, regressors: FloatArray, y: AnyArray, weight: FloatArray, ridge: FloatArray) -> float:
    index = regressors @ beta
    return float(weight @ (np.logaddexp(0.0, index) - y * index) + ridge @ beta**2 / 2)


def _logistic(index: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(index, -500, 500))))


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)


def _with_constant(features: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(features)), features])
