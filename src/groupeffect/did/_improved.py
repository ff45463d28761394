"""Further panel 2x2 blocks: improved doubly robust, unnormalised weighting, two-way fixed effects."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.did._two_by_two import MAX_PROPENSITY, TRIM_PROPENSITY, BlockResult, panel_block
from groupeffect.errors import OverlapError, SpecError
from groupeffect.numerics.logit import fit_logit
from groupeffect.numerics.ols import orthonormal, solve_spd
from groupeffect.numerics.tilting import fit_tilting

__all__ = ["FURTHER_METHODS", "FurtherMethod", "further_panel_block"]

FurtherMethod: TypeAlias = Literal["dr_improved", "ipw_unnormalised", "twfe"]
FURTHER_METHODS: tuple[FurtherMethod, ...] = ("dr_improved", "ipw_unnormalised", "twfe")


def further_panel_block(
    change: FloatArray, treated: BoolArray, covariates: FloatArray, weight: FloatArray, *, method: FurtherMethod
) -> BlockResult:
    r"""Effect of treatment on the treated from outcome changes, by methods that are rarer in use.

    Parameters
    ----------
    change : ndarray of shape (n, m)
        Outcome at each time minus outcome in the base period, outcome units.
    treated : ndarray of bool, shape (n,)
        Units of the treated side.
    covariates : ndarray of shape (n, p)
        Without a constant.
    weight : ndarray of shape (n,)
        Positive; only their ratios matter.
    method : {"dr_improved", "ipw_unnormalised", "twfe"}
        ``"dr_improved"``: tilted propensity that balances the covariates exactly, and regression of the change among
        comparison units with odds weights; also its standard error is right if only one of the two models is.
        ``"ipw_unnormalised"``: Horvitz-Thompson weighting (Abadie 2005).
        ``"twfe"``: regression with unit and time effects. Covariates of one value per unit are absorbed by the unit
        effects, so this is the plain difference of mean changes and adjusts for nothing.

    Returns
    -------
    BlockResult
        For ``"ipw_unnormalised"`` the weights of the comparison units need not sum to -1.

    Raises
    ------
    OverlapError
        If a propensity reaches `MAX_PROPENSITY`, or the propensity model has no solution.
    SingularDesignError
        If covariates are collinear, among all units or among comparison units.

    Notes
    -----
    ``"dr_improved"`` is equation 3.1 of Sant'Anna and Zhao (2020) with the first steps of their section 3.1. When no
    unit is trimmed, the tilted odds make the derivatives in both first steps zero; they are computed all the same.

    References
    ----------
    .. [1] Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators.
       Journal of Econometrics 219(1), 101-122.
    .. [2] Abadie, A. (2005). Semiparametric difference-in-differences estimators.
       Review of Economic Studies 72(1), 1-19.
    """
    if method not in FURTHER_METHODS:
        raise SpecError(f"method={method!r} is unknown.", hint=f"Use one of {', '.join(FURTHER_METHODS)}.")
    if method == "twfe":
        return panel_block(change, treated, covariates[:, :0], weight, method="reg")
    w = weight / weight.mean()
    basis = orthonormal(np.column_stack([np.ones(len(w)), covariates]), w)
    block = _improved if method == "dr_improved" else _horvitz_thompson
    return block(change, treated, basis, w)


def _improved(change: FloatArray, treated: BoolArray, basis: FloatArray, w: FloatArray) -> BlockResult:
    n, p = basis.shape
    tilting = fit_tilting(basis, treated, w)
    odds, kept = _odds(tilting.probability, treated)
    score = np.where(treated, w, -w * odds)[:, None] * basis
    by_odds = np.where(treated, 0.0, w * odds)
    used = by_odds[:, None] * basis
    inverse = solve_spd(used.T @ basis / n, np.eye(p), "the comparison units")
    residual = change - basis @ (inverse @ (used.T @ change) / n)
    in_treated = np.where(treated, w, 0.0)
    in_treated = in_treated / in_treated.mean()
    in_comparison = np.where(kept, by_odds, 0.0)
    in_comparison = in_comparison / in_comparison.mean()
    mean_treated, mean_comparison = in_treated @ residual / n, in_comparison @ residual / n
    on_fit = used @ (inverse @ ((in_treated - in_comparison) @ basis / n))
    moved = in_comparison[:, None] * (residual - mean_comparison) + on_fit[:, None] * residual
    on_propensity = score @ np.linalg.solve(tilting.hessian, basis.T @ moved / n)
    influence = in_treated[:, None] * (residual - mean_treated) - moved - on_propensity
    weights = (in_treated - in_comparison - on_fit) / n
    return BlockResult(mean_treated - mean_comparison, influence, weights, _trimmed(treated, kept))


def _horvitz_thompson(change: FloatArray, treated: BoolArray, basis: FloatArray, w: FloatArray) -> BlockResult:
    n = len(w)
    logit = fit_logit(basis, treated, w)
    odds, kept = _odds(logit.probability, treated)
    share = float(w[treated].sum() / n)
    weights = w * np.where(treated, 1.0, np.where(kept, -odds, 0.0)) / (share * n)
    estimate = weights @ change
    parts = n * weights[:, None] * change
    on_propensity = basis.T @ np.where(treated[:, None], 0.0, parts) / n
    score = (w * (treated - logit.probability))[:, None] * basis
    influence = (
        parts - (w * treated / share)[:, None] * estimate + score @ np.linalg.solve(logit.hessian, on_propensity)
    )
    return BlockResult(estimate, influence, weights, _trimmed(treated, kept))


def _odds(probability: FloatArray, treated: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Odds of all units, and which comparison units keep their weight."""
    highest = float(probability.max())
    if highest >= MAX_PROPENSITY:
        raise OverlapError(
            f"The largest propensity is {highest:.4f}: some treated units have no comparable unit.",
            hint="Use fewer covariates, a larger comparison pool, or method='reg'.",
        )
    return probability / (1 - probability), ~treated & (probability < TRIM_PROPENSITY)


def _trimmed(treated: BoolArray, kept: BoolArray) -> int:
    return int((~treated).sum() - kept.sum())
