"""What the estimation of the first steps adds to the influence of averages and projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.hte._linear_models import RIDGE

if TYPE_CHECKING:
    from groupeffect.hte._nuisance import Nuisances

__all__ = ["first_step_moments"]


def first_step_moments(
    nuisances: Nuisances,
    fold: IntArray,
    basis: FloatArray,
    treated_weight: FloatArray,
    comparison_weight: FloatArray,
    correction: FloatArray,
) -> FloatArray:
    r"""How the projection's moment moves with the log weight of each row, through the first steps fitted on it.

    Parameters
    ----------
    nuisances : Nuisances
        First steps; those without coefficients (boosting, forests, ...) are taken as known.
    fold : ndarray of int, shape (N,)
        Fold of each row.
    basis : ndarray of shape (N, q)
        Regressors :math:`z` of the projection.
    treated_weight, comparison_weight : ndarray of shape (N,)
        Weights :math:`a` and :math:`\omega`.
    correction : ndarray of shape (n_blocks, q)
        Weighted mean of :math:`z r` over the comparison rows of each block.

    Returns
    -------
    ndarray of shape (N, q)

    Notes
    -----
    With features :math:`f`, a change model :math:`f'\gamma` and a logit :math:`f'\delta` fitted without fold :math:`k`,
    the moment moves with them by

    .. math::

        \partial_\gamma = \sum_{i \in k} (\omega_i - a_i) z_i f_i', \qquad
        \partial_\delta = -\sum_{j \in k} \omega_j (z_j r_j - c) f_j',

    and they move with the weight of a row outside the fold by the usual influence of weighted least squares and of the
    logit. Both sums are near zero because the moment is orthogonal to the first steps; in samples of a few hundred
    units what is left of them is worth having.
    """
    stack = nuisances.stack
    out = np.zeros_like(basis)
    features = np.column_stack([np.ones(len(stack.unit)), stack.features])
    residual = stack.change - nuisances.expected
    for block in range(stack.n_blocks):
        rows = np.flatnonzero(stack.block == block)
        for k in np.unique(fold[rows]):
            train, test = rows[fold[rows] != k], rows[fold[rows] == k]
            f, f_test, z = features[train], features[test], basis[test]
            own, weight = stack.treated[train], stack.weight[train]
            omega = comparison_weight[test]
            if nuisances.change_coefficient is not None:
                slope = (z * (omega - treated_weight[test])[:, None]).T @ f_test
                miss = stack.change[train] - f @ nuisances.change_coefficient[block, k]
                out[train] += _least_squares(f, miss, np.where(own, 0.0, weight)) @ slope.T
            if nuisances.logit_coefficient is not None:
                slope = -((z * residual[test][:, None] - correction[block]) * omega[:, None]).T @ f_test
                out[train] += _logit(f, own.astype(float), weight, nuisances.logit_coefficient[block, k]) @ slope.T
    return out


def _least_squares(features: FloatArray, residual: FloatArray, weight: FloatArray) -> FloatArray:
    """How least-squares coefficients move with the log weight of each row, shape (n, p)."""
    weighted = features * weight[:, None]
    return np.asarray((weighted * residual[:, None]) @ np.linalg.pinv(features.T @ weighted))


def _logit(features: FloatArray, treated: FloatArray, weight: FloatArray, coefficient: FloatArray) -> FloatArray:
    """How logit coefficients move with the log weight of each row, shape (n, p); the ridge is that of the fit."""
    n = len(weight)
    weight = weight / weight.mean()
    probability = 1 / (1 + np.exp(-(features @ coefficient)))
    ridge = np.full(len(coefficient), RIDGE)
    ridge[0] = 0.0
    hessian = (features * (weight * probability * (1 - probability))[:, None]).T @ features + np.diag(ridge)
    # weights are scaled to mean one before the fit, so a heavier row weakens the ridge for all
    score = features * (treated - probability)[:, None] - ridge * coefficient / n
    return np.asarray((score * weight[:, None]) @ np.linalg.pinv(hessian))
