"""Influence functions labelled by unit, and the influence of estimated cohort shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, FloatArray, IntArray
from groupeffect.errors import InferenceError

__all__ = ["Influence", "Shares"]


@dataclass(frozen=True, slots=True)
class Influence:
    """How much each unit moves each estimate.

    Parameters
    ----------
    values : ndarray of shape (n, k)
        ``estimate - truth`` is the mean of a column over all n units plus a remainder; columns have mean zero.
    unit_ids : ndarray of shape (n,)
        Labels of the rows. Rows are always matched by label, never by position.

    Notes
    -----
    At unit weights of one, ``values[i, k] / n`` is the derivative of estimate k in the weight of unit i.
    """

    values: FloatArray
    unit_ids: AnyArray

    @property
    def n_units(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def map(self, matrix: FloatArray) -> Influence:
        """Influence of ``matrix @ estimate`` for a matrix of shape (m, k)."""
        return Influence(self.values @ matrix.T, self.unit_ids)

    def aligned(self, unit_ids: AnyArray) -> FloatArray:
        """Rows in the order of `unit_ids`; units that are not here get zeros, scaled to the new number of units.

        Raises
        ------
        InferenceError
            If a unit of this influence is not among `unit_ids`.
        """
        if len(unit_ids) == self.n_units and np.array_equal(unit_ids, self.unit_ids):
            return self.values
        order = np.argsort(unit_ids, kind="stable")
        place = np.searchsorted(unit_ids, self.unit_ids, sorter=order)
        found = np.take(order, np.minimum(place, len(unit_ids) - 1))
        if not np.array_equal(unit_ids[found], self.unit_ids):
            raise InferenceError("An influence function has units that the panel does not have.")
        rows = np.zeros((len(unit_ids), self.values.shape[1]))
        rows[found] = self.values * (len(unit_ids) / self.n_units)
        return rows

    def __add__(self, other: Influence) -> Influence:
        return Influence(self.values + other.aligned(self.unit_ids), self.unit_ids)

    def cluster_sums(self, labels: AnyArray) -> FloatArray:
        """Sums (never means) of the rows by cluster, shape (n_clusters, k), clusters in sorted order."""
        codes, n_clusters = cluster_codes(labels)
        if n_clusters == self.n_units:
            return self.values
        return sum_by_code(self.values, codes, n_clusters)


def cluster_codes(labels: AnyArray) -> tuple[IntArray, int]:
    """Integer codes 0..G-1 of cluster labels, and G."""
    if labels.dtype.kind in "iufb":
        levels, codes = np.unique(labels, return_inverse=True)
    else:
        levels, codes = np.unique(labels.astype(str), return_inverse=True)
    return codes.astype(np.int64), len(levels)


def sum_by_code(values: FloatArray, codes: IntArray, n_codes: int) -> FloatArray:
    """Column sums by code; shape (n_codes, k)."""
    columns = [np.bincount(codes, weights=values[:, j], minlength=n_codes) for j in range(values.shape[1])]
    return np.column_stack(columns) if columns else np.empty((n_codes, 0))


@dataclass(frozen=True, slots=True)
class Shares:
    """Estimated shares of the cohorts, the weights in every aggregation.

    Parameters
    ----------
    cohorts : ndarray of shape (G,)
        First treated times.
    unit_cohort : ndarray of int, shape (n,)
        Position of each unit's cohort in `cohorts`; -1 for units of no cohort.
    unit_weight : ndarray of shape (n,)
        Weights with which units count.
    fixed : bool, default False
        Take the shares as given: their estimation adds nothing to the influence. Some methods state their variance
        conditional on who is treated when.
    """

    cohorts: FloatArray
    unit_cohort: IntArray
    unit_weight: FloatArray
    fixed: bool = False

    @property
    def values(self) -> FloatArray:
        """Weighted share of each cohort in all units, shape (G,)."""
        counted = self.unit_cohort >= 0
        sums = np.bincount(self.unit_cohort[counted], weights=self.unit_weight[counted], minlength=len(self.cohorts))
        return np.asarray(sums / self.unit_weight.sum())

    def influence(self, derivative: FloatArray) -> FloatArray:
        """Influence, shape (n, m), of estimates whose derivative in the shares is `derivative`, shape (G, m).

        Only for derivatives with ``shares @ derivative == 0`` (weights that are ratios of shares), where the influence
        of the total weight cancels. Zero for fixed shares.
        """
        if self.fixed:
            return np.zeros((len(self.unit_weight), derivative.shape[1]))
        padded = np.vstack([derivative, np.zeros((1, derivative.shape[1]))])
        scale = self.unit_weight / self.unit_weight.mean()
        return np.asarray(scale[:, None] * padded[self.unit_cohort])
