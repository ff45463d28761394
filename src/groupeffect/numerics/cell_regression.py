"""Least squares with unit effects when regressors depend on unit group and time only: solved from sums over cells.

With the unit effects (or unit lines) projected out, the normal equations of such regressors need the units only through
one T x T matrix and one vector of length T for each group of units: time effects, cohort x time cells and leads of
treatment cost the same however many units there are. Covariates that vary freely add their own cross products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groupeffect._types import BoolArray, FloatArray, IntArray
from groupeffect.errors import SingularDesignError

__all__ = ["CellRegression", "UnitEffects", "cell_regression", "unit_effects"]

ABSORBED_TOL = 1e-9
"""A regressor of which the unit effects leave less than this, relative to its length, is absorbed."""

NULL_TOL = 1e-10
"""Eigenvalues of the correlations of regressors below this are directions that the data do not determine."""

ESTIMABLE_TOL = 1e-7
"""Largest share of a contrast that may lie in such a direction."""


@dataclass(frozen=True, slots=True)
class UnitEffects:
    """Mean, or line in time, of each unit over its used cells.

    Parameters
    ----------
    used : ndarray of bool, shape (n, T)
        Cells that the means or lines are fitted to.
    basis : tuple of ndarray of shape (n, T)
        Functions that are orthonormal over the used cells of a unit and defined at all times: a constant, and for lines
        the centred time. Zero for a unit with too few used cells.
    """

    used: BoolArray
    basis: tuple[FloatArray, ...]

    @property
    def known(self) -> BoolArray:
        """Units whose mean or line is determined, shape (n,)."""
        return np.asarray(np.logical_and.reduce([(part != 0).any(axis=1) for part in self.basis]))

    @property
    def degrees(self) -> IntArray:
        """Number of coefficients fitted for each unit, shape (n,)."""
        return np.asarray(sum((part != 0).any(axis=1).astype(np.int64) for part in self.basis))

    def beyond(self, values: FloatArray) -> FloatArray:
        """Values minus the fitted means or lines, at all times.

        Parameters
        ----------
        values : ndarray of shape (n, T) or (n, T, p)
            Finite everywhere; what stands outside the used cells is not fitted.

        Returns
        -------
        ndarray of the same shape
        """
        rest = values
        for part in self.basis:
            own = np.where(self.used, part, 0.0)
            if values.ndim == 2:
                rest = rest - part * np.einsum("nt,nt->n", own, values)[:, None]
            else:
                rest = rest - part[:, :, None] * np.einsum("nt,ntp->np", own, values)[:, None, :]
        return rest

    def within(self, values: FloatArray) -> FloatArray:
        """Residuals on the used cells, zero elsewhere."""
        used = self.used if values.ndim == 2 else self.used[:, :, None]
        return np.where(used, self.beyond(np.where(used, values, 0.0)), 0.0)

    def contrast(self, weight: FloatArray, rows: BoolArray) -> FloatArray:
        """Weighted sum over some units of the map from a unit's values to its values minus mean or line.

        Parameters
        ----------
        weight : ndarray of shape (n, T)
            Weight of each unit and time.
        rows : ndarray of bool, shape (n,)
            Units to add.

        Returns
        -------
        ndarray of shape (T, T)
            Row t applied to values that are the same for all units gives the weighted sum at time t.
        """
        own, used = weight[rows], self.used[rows]
        total = np.diag(own.sum(axis=0))
        for part in self.basis:
            total = total - (own * part[rows]).T @ np.where(used, part[rows], 0.0)
        return np.asarray(total)


def unit_effects(used: BoolArray, times: FloatArray, *, lines: bool = False) -> UnitEffects:
    """Prepare unit means, or unit lines.

    Parameters
    ----------
    used : ndarray of bool, shape (n, T)
        Cells to fit.
    times : ndarray of shape (T,)
        Times.
    lines : bool, default False
        Fit a line in time to each unit instead of a mean.

    Returns
    -------
    UnitEffects
    """
    count = used.sum(axis=1)
    level = np.where(count > 0, 1.0 / np.sqrt(np.maximum(count, 1)), 0.0)
    constant = np.repeat(level[:, None], used.shape[1], axis=1)
    if not lines:
        return UnitEffects(used, (constant,))
    centred = times - times.mean()
    middle = (used @ centred) / np.maximum(count, 1)
    distance = centred[None, :] - middle[:, None]
    length = np.sqrt(np.where(used, distance**2, 0.0).sum(axis=1))
    slope = np.where((count > 1)[:, None], distance / np.where(length > 0, length, 1.0)[:, None], 0.0)
    return UnitEffects(used, (constant, slope))


@dataclass(frozen=True, slots=True)
class CellRegression:
    """Weighted least squares with unit effects, cell regressors and covariates.

    Parameters
    ----------
    coefficient : ndarray of shape (K + p,)
        Of the cell regressors, then of the covariates; a least-squares solution if not all are determined.
    inverse : ndarray of shape (K + p, K + p)
        Generalised inverse of the normal equations.
    null : ndarray of shape (K + p, d)
        Orthonormal directions that the data do not determine, of regressors with the length one.
    scale : ndarray of shape (K + p,)
        Lengths of the regressors without unit effects.
    residual : ndarray of shape (n, T)
        Zero outside the used cells.
    covariates : ndarray of shape (n, T, p)
        Without unit effects; zero outside the used cells.
    effects : UnitEffects
    weight : ndarray of shape (n,)
    group : ndarray of int, shape (n,)
    design : ndarray of shape (C, T, K)
    """

    coefficient: FloatArray
    inverse: FloatArray
    null: FloatArray
    scale: FloatArray
    residual: FloatArray
    covariates: FloatArray
    effects: UnitEffects
    weight: FloatArray
    group: IntArray
    design: FloatArray

    def estimable(self, contrast: FloatArray) -> BoolArray:
        """Which rows of a matrix of shape (k, K + p) are determined by the data."""
        if not self.null.shape[1]:
            return np.ones(len(contrast), dtype=bool)
        size = np.linalg.norm(contrast / self.scale, axis=1)
        left = np.abs(contrast / self.scale @ self.null).max(axis=1)
        return np.asarray(left <= ESTIMABLE_TOL * size)

    def unit_scores(self, contrast: FloatArray) -> FloatArray:
        """Change of ``contrast @ coefficient`` per relative change of each unit's weight, shape (n, k).

        Unit effects and coefficients are fitted by least squares, so this is the exact derivative.
        """
        slope = contrast @ self.inverse
        k = self.design.shape[2]
        pull = self.weight[:, None] * self.residual
        if len(self.design) == 1:
            scores = pull @ (self.design[0] @ slope[:, :k].T)
        else:
            scores = np.empty((len(pull), len(contrast)))
            for code, columns in enumerate(self.design):
                rows = self.group == code
                scores[rows] = pull[rows] @ (columns @ slope[:, :k].T)
        if self.covariates.shape[2]:
            scores += np.einsum("nt,ntp->np", pull, self.covariates) @ slope[:, k:].T
        return np.asarray(scores)

    def outcome_weights(self, contrast: FloatArray) -> FloatArray:
        """Weights on the outcomes that give ``contrast @ coefficient``, shape (k, n, T)."""
        slope = contrast @ self.inverse
        k = self.design.shape[2]
        out = np.empty((len(contrast), *self.residual.shape))
        for j, row in enumerate(slope):
            path = self.effects.within((self.design @ row[:k])[self.group])
            out[j] = self.weight[:, None] * (path + self.covariates @ row[k:])
        return out


def cell_regression(
    outcome: FloatArray,
    covariates: FloatArray,
    effects: UnitEffects,
    weight: FloatArray,
    group: IntArray,
    design: FloatArray,
    names: tuple[str, ...] = (),
) -> CellRegression:
    r"""Regress an outcome on unit effects, functions of group and time, and covariates.

    Parameters
    ----------
    outcome : ndarray of shape (n, T)
        Outcome; nan only outside the used cells.
    covariates : ndarray of shape (n, T, p)
        Covariates; nan only outside the used cells.
    effects : UnitEffects
        Unit effects and the used cells.
    weight : ndarray of shape (n,)
        Unit weights.
    group : ndarray of int, shape (n,)
        Group of each unit, 0..C-1.
    design : ndarray of shape (C, T, K)
        Value of each of the K cell regressors in each group at each time.
    names : tuple of str
        Names of the covariates, for messages.

    Returns
    -------
    CellRegression
        Cell regressors need not be independent; ask ``estimable`` before a coefficient is used.

    Raises
    ------
    SingularDesignError
        If a covariate is explained by the effects, the cell regressors and the other covariates.

    Notes
    -----
    With :math:`M_i` the projection off the effects of unit i on its used cells and :math:`D_c` the cell regressors of
    group c, the normal equations are :math:`\sum_c D_c' (\sum_{i \in c} w_i M_i) D_c`, borne out by the theorem of
    Frisch, Waugh and Lovell; only :math:`\sum_{i \in c} w_i M_i` depends on the units.
    """
    used, k, p = effects.used, design.shape[2], covariates.shape[2]
    y, x = effects.within(outcome), effects.within(covariates)
    matrix = np.zeros((k + p, k + p))
    weights = np.where(used, weight[:, None], 0.0)
    for code, columns in enumerate(design):
        rows = group == code
        matrix[:k, :k] += columns.T @ effects.contrast(weights, rows) @ columns
        if p:
            matrix[:k, k:] += columns.T @ np.einsum("n,ntp->tp", weight[rows], x[rows])
    matrix[k:, :k] = matrix[:k, k:].T
    matrix[k:, k:] = np.einsum("n,ntp,ntq->pq", weight, x, x, optimize=True) if p else matrix[k:, k:]
    solved = _inverse(matrix, k, names, np.concatenate(_lengths(weights, group, design, covariates)))
    fit = CellRegression(np.zeros(k + p), *solved, y, x, effects, weight, group, design)
    coefficient, residual = np.zeros(k + p), y
    for _ in range(2):  # the second pass removes what rounding left
        step = fit.inverse @ _moments(fit, residual)
        coefficient = coefficient + step
        residual = residual - effects.within((design @ step[:k])[group]) - x @ step[k:]
    return replace(fit, coefficient=coefficient, residual=residual)


def _moments(fit: CellRegression, values: FloatArray) -> FloatArray:
    """Cross products of all regressors with values that have no unit effects, shape (K + p,)."""
    pull = fit.weight[:, None] * values
    cells = sum(columns.T @ pull[fit.group == code].sum(axis=0) for code, columns in enumerate(fit.design))
    return np.concatenate([np.asarray(cells), np.einsum("nt,ntp->p", pull, fit.covariates)])


def _lengths(
    weights: FloatArray, group: IntArray, design: FloatArray, covariates: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weighted sums of squares of cell regressors and covariates, before unit effects are taken out."""
    totals = np.stack([weights[group == code].sum(axis=0) for code in range(len(design))])
    cells = np.einsum("ct,ctk->k", totals, design**2)
    seen = np.where((weights > 0)[:, :, None], covariates, 0.0)
    return np.asarray(cells), np.asarray(np.einsum("nt,ntp,ntp->p", weights, seen, seen))


def _inverse(
    matrix: FloatArray, k: int, names: tuple[str, ...], level: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Generalised inverse, null directions and lengths; refuses covariates that are not determined."""
    diagonal = np.diag(matrix).copy()
    absorbed = diagonal <= ABSORBED_TOL**2 * level
    if absorbed[k:].any():
        listed = ", ".join(name for name, flag in zip(names, absorbed[k:], strict=True) if flag)
        raise SingularDesignError(
            f"Unit effects explain {listed} completely in the untreated unit-times.",
            hint="Leave out what does not vary within units before treatment.",
        )
    absorbed[:k] |= diagonal[:k] <= 1e-13 * level[:k]  # differences of sums: rounding is relative to the sums
    scale = np.sqrt(np.where(absorbed, np.maximum(level, 1.0), diagonal))
    solid = np.where(np.logical_or.outer(absorbed, absorbed), 0.0, matrix / np.outer(scale, scale))
    values, vectors = np.linalg.eigh(solid)
    lost = values <= NULL_TOL
    involved = np.abs(vectors[k:, lost]).max(axis=1, initial=0.0) > 1e-4
    if involved.any():
        listed = ", ".join(name for name, flag in zip(names, involved, strict=True) if flag)
        raise SingularDesignError(
            f"Covariates follow from each other and from the effects in the unit-times used; involved: {listed}.",
            hint="Leave some of them out.",
        )
    kept = vectors[:, ~lost] / scale[:, None]
    return np.asarray((kept / values[~lost]) @ kept.T), np.asarray(vectors[:, lost]), scale
