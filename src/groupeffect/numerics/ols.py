"""Orthonormal regressors: every regression and propensity here is computed on them."""

from __future__ import annotations

import numpy as np

from groupeffect._types import FloatArray
from groupeffect.errors import SingularDesignError

__all__ = ["orthonormal", "solve_spd"]

RANK_TOL = 1e-9


def orthonormal(regressors: FloatArray, weight: FloatArray) -> FloatArray:
    """Basis of the column space with ``Q' diag(weight) Q / n = I``.

    Fitted values, propensities and influence functions do not depend on the basis; this one keeps their normal
    equations as well conditioned as they can be.

    Parameters
    ----------
    regressors : ndarray of shape (n, p)
        Columns, the constant among them.
    weight : ndarray of shape (n,)
        Non-negative weights.

    Returns
    -------
    ndarray of shape (n, p)

    Raises
    ------
    SingularDesignError
        If the columns are collinear on the rows with weight.
    """
    n = len(weight)
    root = np.sqrt(weight)[:, None]
    scale = np.sqrt((regressors**2 * weight[:, None]).mean(axis=0))
    if not np.all(scale > 0):
        raise SingularDesignError("A covariate is zero for every unit.", hint="Leave it out.")
    upper = np.linalg.qr(root * (regressors / scale), mode="r")
    pivots = np.abs(np.diag(upper))
    if len(pivots) < regressors.shape[1] or pivots.min() < RANK_TOL * pivots.max():
        raise SingularDesignError(
            f"The {regressors.shape[1]} regressors (constant included) are collinear over {n} units.",
            hint="Leave out covariates that are sums of others or constant within the cohort and its comparison.",
        )
    return np.asarray((regressors / scale) @ np.linalg.inv(upper) * np.sqrt(n))


def solve_spd(matrix: FloatArray, right: FloatArray, what: str) -> FloatArray:
    """Solve a symmetric positive definite system; refuse a singular one by name.

    Raises
    ------
    SingularDesignError
        If the reciprocal condition number is at rounding level.
    """
    values, vectors = np.linalg.eigh(matrix)
    if values[0] <= np.finfo(float).eps * len(values) * values[-1]:
        raise SingularDesignError(
            f"The regressors are collinear among {what}.", hint="Use fewer covariates or a wider comparison pool."
        )
    return np.asarray(vectors @ ((vectors.T @ right).T / values).T)
