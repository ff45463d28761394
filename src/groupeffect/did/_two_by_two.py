"""Panel 2x2 blocks: one cohort against one comparison set, for several outcome changes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.errors import OverlapError
from groupeffect.numerics.logit import Logit, fit_logit
from groupeffect.numerics.ols import orthonormal, solve_spd

__all__ = ["MAX_PROPENSITY", "TRIM_PROPENSITY", "BlockResult", "Method", "panel_block"]

Method: TypeAlias = Literal["dr", "ipw", "reg"]

MAX_PROPENSITY = 0.999
"""A fitted propensity at or above this means that there is no overlap."""

TRIM_PROPENSITY = 0.995
"""Comparison units with a propensity at or above this get no weight."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Effects of one block.

    Parameters
    ----------
    estimate : ndarray of shape (m,)
        One effect per outcome change, outcome units.
    influence : ndarray of shape (n, m)
        Mean zero; ``estimate - truth`` is approximately its mean over the n units of the block.
    weights : ndarray of shape (n,)
        Weights on the outcome changes: ``weights @ change == estimate``; +1 in total on treated units, -1 on others.
    n_trimmed : int
        Comparison units without weight because their propensity is too high.
    """

    estimate: FloatArray
    influence: FloatArray
    weights: FloatArray
    n_trimmed: int = 0


def panel_block(
    change: FloatArray, treated: BoolArray, covariates: FloatArray, weight: FloatArray, *, method: Method
) -> BlockResult:
    r"""Effect of treatment on the treated from outcome changes, with covariates.

    Parameters
    ----------
    change : ndarray of shape (n, m)
        Outcome at each time minus outcome in the base period, outcome units.
    treated : ndarray of bool, shape (n,)
    covariates : ndarray of shape (n, p)
        Without a constant; p = 0 gives the difference of mean changes with every method.
    weight : ndarray of shape (n,)
        Positive; only their ratios matter.
    method : {"dr", "ipw", "reg"}
        Doubly robust (consistent if the propensity or the outcome model is right), normalised inverse probability
        weighting, or outcome regression.

    Returns
    -------
    BlockResult

    Raises
    ------
    OverlapError
        If a propensity reaches `MAX_PROPENSITY`.
    SingularDesignError
        If covariates are collinear, among all units or among comparison units.

    Notes
    -----
    With :math:`w_1 = wD/E[wD]`, odds weights :math:`w_0 \propto w(1-D)p/(1-p)` and :math:`m(X)` the weighted least
    squares fit of the change among comparison units, the doubly robust estimate is
    :math:`\sum_i (w_{1i} - w_{0i})(\Delta Y_i - m(X_i))`, equation 3.1 of Sant'Anna and Zhao (2020) with logit and
    least squares as first steps; ``"ipw"`` has :math:`m = 0` and ``"reg"`` has :math:`w_0` on the fit only. The
    influence functions are their equations for the generic estimated-parameter case and equal the derivative of the
    estimate in each unit's weight.
    """
    w = weight / weight.mean()
    if covariates.shape[1] == 0:
        return _difference_of_means(change, treated, w)
    basis = orthonormal(np.column_stack([np.ones(len(w)), covariates]), w)
    if method == "reg":
        return _regression(change, treated, basis, w)
    logit = fit_logit(basis, treated, w)
    highest = float(logit.probability.max())
    if highest >= MAX_PROPENSITY:
        raise OverlapError(
            f"The largest propensity is {highest:.4f}: some treated units have no comparable unit.",
            hint="Use fewer covariates, a larger comparison pool, or method='reg'.",
        )
    return _propensity_weighted(change, treated, basis, w, logit, augmented=method == "dr")


def _difference_of_means(change: FloatArray, treated: BoolArray, w: FloatArray) -> BlockResult:
    n = len(w)
    in_treated, in_comparison = np.where(treated, w, 0.0), np.where(treated, 0.0, w)
    in_treated = in_treated / in_treated.sum()
    in_comparison = in_comparison / in_comparison.sum()
    mean_treated, mean_comparison = in_treated @ change, in_comparison @ change
    weights = in_treated - in_comparison
    influence = (n * weights)[:, None] * (change - np.where(treated[:, None], mean_treated, mean_comparison))
    return BlockResult(mean_treated - mean_comparison, influence, weights)


def _comparison_regression(
    change: FloatArray, treated: BoolArray, basis: FloatArray, w: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Residuals of the comparison regression on all units, and the parts of its influence.

    Returns residuals (n, m), weighted basis of the comparison units (n, p) and the inverse of its moment matrix (p, p).
    """
    n = len(w)
    used = np.where(treated, 0.0, w)[:, None] * basis
    inverse = solve_spd(used.T @ basis / n, np.eye(basis.shape[1]), "the comparison units")
    beta = inverse @ (used.T @ change) / n
    return change - basis @ beta, used, inverse


def _regression(change: FloatArray, treated: BoolArray, basis: FloatArray, w: FloatArray) -> BlockResult:
    n = len(w)
    residual, used, inverse = _comparison_regression(change, treated, basis, w)
    in_treated = np.where(treated, w, 0.0)
    in_treated = in_treated / in_treated.mean()
    estimate = in_treated @ residual / n
    mean_basis = in_treated @ basis / n
    on_fit = used @ (inverse @ mean_basis)
    influence = in_treated[:, None] * (residual - estimate) - on_fit[:, None] * residual
    return BlockResult(estimate, influence, (in_treated - on_fit) / n)


def _propensity_weighted(
    change: FloatArray, treated: BoolArray, basis: FloatArray, w: FloatArray, logit: Logit, *, augmented: bool
) -> BlockResult:
    n = len(w)
    probability = np.minimum(logit.probability, 1 - 1e-6)
    kept = ~treated & (probability < TRIM_PROPENSITY)
    n_trimmed = int((~treated).sum() - kept.sum())
    in_treated = np.where(treated, w, 0.0)
    in_comparison = np.where(kept, w * probability / (1 - probability), 0.0)
    in_treated = in_treated / in_treated.mean()
    in_comparison = in_comparison / in_comparison.mean()
    on_fit = np.zeros(n)
    residual = change
    if augmented:
        residual, used, inverse = _comparison_regression(change, treated, basis, w)
        imbalance = (in_treated - in_comparison) @ basis / n
        on_fit = used @ (inverse @ imbalance)
    mean_treated, mean_comparison = in_treated @ residual / n, in_comparison @ residual / n
    centred = residual - mean_comparison
    # derivative of the comparison mean in the propensity coefficients, times their influence
    slope = (in_comparison[:, None] * basis).T @ centred / n
    score = (w * (treated - logit.probability))[:, None] * basis
    on_propensity = score @ np.linalg.solve(logit.hessian, slope)
    influence = (
        in_treated[:, None] * (residual - mean_treated)
        - in_comparison[:, None] * centred
        - on_propensity
        - on_fit[:, None] * residual
    )
    weights = (in_treated - in_comparison - on_fit) / n
    return BlockResult(mean_treated - mean_comparison, influence, weights, n_trimmed)
