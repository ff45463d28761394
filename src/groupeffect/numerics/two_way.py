"""Exact removal of unit and time effects, balanced or not, weighted or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.errors import SingularDesignError

__all__ = ["TwoWay", "WithinRegression", "two_way", "within_regression"]

ABSORBED_TOL = 1e-9
"""A regressor of which the effects leave less than this, relative to its length, is absorbed."""

COLLINEAR_TOL = 1e-11
"""Smallest eigenvalue of the correlations of regressors (without effects) that are not collinear."""


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Projection that removes unit and time effects.

    Parameters
    ----------
    weight : ndarray of shape (n, T)
        Weights; zero where a cell is not used.
    unit_total : ndarray of shape (n,)
        Sums of the weights by unit; one where a unit has none.
    inverse : ndarray of shape (T, T)
        Inverse of the normal equations of the time effects after the unit effects are eliminated, with the mean time
        effect of each connected component set to zero.
    n_unit_effects, n_time_effects : int
        Levels with at least one used cell.
    n_components : int
        Connected parts of the panel; each has a redundant level.
    """

    weight: FloatArray
    unit_total: FloatArray
    inverse: FloatArray
    n_unit_effects: int
    n_time_effects: int
    n_components: int

    @property
    def n_effects(self) -> int:
        """Linearly independent unit and time effects."""
        return self.n_unit_effects + self.n_time_effects - self.n_components

    def residuals(self, values: FloatArray) -> FloatArray:
        """Part of variables not explained by unit and time effects.

        Parameters
        ----------
        values : ndarray of shape (n, T) or (n, T, k)
            Variables; anything, nan included, where the weight is zero.

        Returns
        -------
        ndarray of the same shape
            Zero where the weight is zero.
        """
        stacked = values[:, :, None] if values.ndim == 2 else values
        used = (self.weight > 0)[:, :, None]
        rest = np.where(used, stacked, 0.0)
        for _ in range(2):  # the second pass removes what rounding left of large levels
            rest = np.where(used, self._sweep(rest), 0.0)
        return rest[:, :, 0] if values.ndim == 2 else rest

    def _sweep(self, values: FloatArray) -> FloatArray:
        share = self.weight / self.unit_total[:, None]
        centred = values - np.einsum("nt,ntk->nk", share, values)[:, None, :]
        time_effect = self.inverse @ np.einsum("nt,ntk->tk", self.weight, centred)
        unit_effect = share @ time_effect
        return np.asarray(centred - time_effect[None] + unit_effect[:, None, :])


def two_way(weight: FloatArray) -> TwoWay:
    r"""Prepare the removal of unit and time effects for given weights.

    Parameters
    ----------
    weight : ndarray of shape (n, T)
        Non-negative weights; zero where a cell is not used.

    Returns
    -------
    TwoWay

    Notes
    -----
    Eliminating the unit effects from the normal equations leaves the T x T system with matrix
    :math:`\mathrm{diag}(W'1) - W'\mathrm{diag}(W1)^{-1}W`, the Schur complement, which is solved directly: no iteration
    and no tolerance. Its null space are the constants on each connected part of the panel.
    """
    total = weight.sum(axis=1)
    unit_total = np.where(total > 0, total, 1.0)
    by_time = weight.sum(axis=0)
    matrix = np.diag(by_time) - weight.T @ (weight / unit_total[:, None])
    component = _components((weight > 0).T.astype(float) @ (weight > 0) > 0)
    used_times = by_time > 0
    scale = float(by_time[used_times].mean()) if used_times.any() else 1.0
    same = component[:, None] == component[None, :]
    sizes = same.sum(axis=1)
    filled = matrix + np.where(same, scale / sizes[:, None], 0.0)
    return TwoWay(
        weight,
        unit_total,
        np.asarray(np.linalg.inv(filled)),
        n_unit_effects=int((total > 0).sum()),
        n_time_effects=int(used_times.sum()),
        n_components=len(np.unique(component[used_times])),
    )


def _components(linked: BoolArray) -> FloatArray:
    """Label of the connected part of each time, for a symmetric T x T matrix of direct links."""
    label = np.arange(len(linked), dtype=float)
    reach = linked | np.eye(len(linked), dtype=bool)
    while True:
        lowest = np.where(reach, label[None, :], np.inf).min(axis=1)
        if np.array_equal(lowest, label):
            return label
        label = lowest


@dataclass(frozen=True, slots=True)
class WithinRegression:
    """Weighted least squares with unit and time effects.

    Parameters
    ----------
    coefficient : ndarray of shape (k,)
        Slopes of the regressors.
    residual : ndarray of shape (n, T)
        Residuals; zero where the weight is zero.
    regressors : ndarray of shape (n, T, k)
        Regressors without unit and time effects.
    inverse : ndarray of shape (k, k)
        Inverse of ``X' W X`` of `regressors`.
    weights : ndarray of shape (k, n, T)
        Weights on outcomes: ``(weights * outcome).sum(axis=(1, 2)) == coefficient``.
    """

    coefficient: FloatArray
    residual: FloatArray
    regressors: FloatArray
    inverse: FloatArray
    weights: FloatArray

    def unit_scores(self) -> FloatArray:
        """Change of the coefficients per relative change of each unit's weight, shape (n, k); columns sum to zero."""
        return np.asarray(np.einsum("knt,nt->nk", self.weights, self.residual))


def within_regression(
    outcome: FloatArray, regressors: FloatArray, effects: TwoWay, names: tuple[str, ...]
) -> WithinRegression:
    """Regress an outcome on regressors, unit effects and time effects.

    Parameters
    ----------
    outcome : ndarray of shape (n, T)
        Outcome; nan only where the weight is zero.
    regressors : ndarray of shape (n, T, k)
        Regressors; nan only where the weight is zero.
    effects : TwoWay
        Effects and weights.
    names : tuple of str
        Names of the regressors, for messages.

    Returns
    -------
    WithinRegression

    Raises
    ------
    SingularDesignError
        If a regressor is explained by the effects and the other regressors; the message names those involved.

    Notes
    -----
    By the theorem of Frisch, Waugh and Lovell the slopes are those of the regression of residuals on residuals. As the
    effects are re-estimated optimally for any weights, ``unit_scores`` is the exact derivative in the unit weights.
    """
    weight = effects.weight
    within = effects.residuals(regressors)
    size = np.sqrt(np.einsum("nt,ntk,ntk->k", weight, *[np.where(weight[:, :, None] > 0, regressors, 0.0)] * 2))
    size = np.where(size > 0, size, 1.0)
    scaled = within / size
    matrix = np.einsum("ntj,nt,ntk->jk", scaled, weight, scaled, optimize=True)
    _refuse_collinear(matrix, names)
    inverse = np.linalg.inv(matrix)
    partial = np.einsum("jk,ntk->jnt", inverse, scaled, optimize=True) * weight[None]
    centred = effects.residuals(outcome)
    slope = np.einsum("knt,nt->k", partial, centred)
    residual = centred - scaled @ slope
    slope = slope + np.einsum("knt,nt->k", partial, residual)  # one step of refinement
    residual = np.where(weight > 0, centred - scaled @ slope, 0.0)
    return WithinRegression(
        slope / size, residual, within, inverse / np.outer(size, size), partial / size[:, None, None]
    )


def _refuse_collinear(matrix: FloatArray, names: tuple[str, ...]) -> None:
    """Refuse a Gram matrix of regressors of unit length before the effects were removed."""
    left = np.diag(matrix)
    absorbed = left <= ABSORBED_TOL**2
    if absorbed.any():
        listed = ", ".join(name for name, flag in zip(names, absorbed, strict=True) if flag)
        raise SingularDesignError(
            f"Unit and time effects explain {listed} completely.",
            hint="Leave out what does not vary within units over time.",
        )
    length = np.sqrt(left)
    values, vectors = np.linalg.eigh(matrix / np.outer(length, length))
    null = values <= COLLINEAR_TOL
    if null.any():
        involved = np.abs(vectors[:, null]).max(axis=1) > 1e-4
        listed = ", ".join(name for name, flag in zip(names, involved, strict=True) if flag)
        raise SingularDesignError(
            f"{int(null.sum())} of {len(names)} regressors follow from the others and the effects; involved: {listed}.",
            hint="Leave some of them out.",
        )
