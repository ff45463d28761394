"""Were treated and comparison units already apart before treatment? A joint test and an equivalence test.

A test that does not reject says little when it has little power; the equivalence test turns the burden round and asks
whether differences above a margin can be ruled out (Bilinski and Hatfield 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray
from groupeffect.errors import DesignError, SpecError
from groupeffect.inference.critical import lower_bound_p, one_sided_value, wald_p
from groupeffect.result import Result

__all__ = ["Equivalence", "PreTrends", "equivalence", "pretrends"]

RANK_TOL = 1e-9


@dataclass(frozen=True, slots=True)
class PreTrends:
    """Joint test that all pre-treatment rows are zero.

    Parameters
    ----------
    statistic : float
        Wald statistic.
    rank : int
        Rows that vary independently (numerator degrees of freedom).
    df : float or None
        Denominator degrees of freedom of the F reference distribution; None = chi-squared.
    p_value : float
        Small = the rows are not all zero.
    n_rows : int
        Rows tested.
    largest : float
        Largest absolute estimate among them, outcome units.
    """

    statistic: float
    rank: int
    df: float | None
    p_value: float
    n_rows: int
    largest: float


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether all rows are shown to lie within a margin of zero.

    Parameters
    ----------
    margin : float
        Largest difference that would not matter, outcome units.
    p_value : float
        Two one-sided tests, the largest over rows; small = every row lies within the margin.
    smallest_margin : float
        The smallest margin at which all rows would pass at this level, outcome units.
    equivalent : bool
        Whether ``smallest_margin < margin``.
    level : float
        Level of each one-sided test.
    n_rows : int
        Rows tested.
    """

    margin: float
    p_value: float
    smallest_margin: float
    equivalent: bool
    level: float
    n_rows: int


def pre_rows(result: Result) -> BoolArray:
    """Rows before treatment that are not zero by construction and have a standard error, shape (k,)."""
    index = result.index
    with np.errstate(invalid="ignore"):
        before = (index.event_time < 0) | (index.time < index.cohort)
    error = result.uncertainty.std_error
    if error is None:
        return np.zeros(len(index), dtype=bool)
    return np.asarray(before & ~index.is_reference & np.isfinite(error) & (error > 0))


def pretrends(result: Result, rows: BoolArray | None = None) -> PreTrends:
    """Joint Wald test of the pre-treatment rows.

    Parameters
    ----------
    result : Result
        Event study or cohort x time cells, from a strategy that gives a covariance matrix.
    rows : ndarray of bool, shape (k,), optional
        Rows to test; by default all before treatment.

    Returns
    -------
    PreTrends

    Raises
    ------
    DesignError
        If no row is left to test.
    SpecError
        If the result has no covariance matrix.

    Notes
    -----
    With q independent rows and G clusters the reference distribution of :math:`W (G-q) / (q (G-1))` is F(q, G-q), the
    Hotelling adjustment, because the covariance is estimated from G cluster sums. Rows that are linear combinations of
    others (the years of a baseline window add up to zero) count once.
    """
    used = pre_rows(result) if rows is None else np.asarray(rows, dtype=bool) & np.isfinite(result.estimate)
    if not used.any():
        hint = "Ask for earlier event times, or add earlier data."
        raise DesignError("There is no pre-treatment row to test.", hint=hint)
    vcov = result.uncertainty.vcov
    if vcov is None:
        raise SpecError(
            f"{result.uncertainty.method} gives no covariance matrix.", hint="Use ClusterRobust or MultiplierBootstrap."
        )
    estimate = result.estimate[used]
    statistic, rank = _wald(estimate, vcov[np.ix_(used, used)])
    clusters = result.uncertainty.n_clusters
    df = None if clusters is None or clusters <= rank else float(clusters - rank)
    scaled = statistic if df is None or clusters is None else statistic * df / (clusters - 1)
    return PreTrends(
        statistic=statistic,
        rank=rank,
        df=df,
        p_value=wald_p(scaled, rank, df),
        n_rows=int(used.sum()),
        largest=float(np.abs(estimate).max()),
    )


def _wald(estimate: FloatArray, vcov: FloatArray) -> tuple[float, int]:
    values, vectors = np.linalg.eigh((vcov + vcov.T) / 2)
    kept = values > RANK_TOL * max(float(values.max()), np.finfo(float).tiny)
    score = vectors[:, kept].T @ estimate
    return float((score**2 / values[kept]).sum()), int(kept.sum())


def equivalence(result: Result, margin: float, *, rows: BoolArray | None = None, level: float = 0.95) -> Equivalence:
    """Two one-sided tests that every row lies within ``-margin`` to ``margin``.

    Parameters
    ----------
    result : Result
        Rows with standard errors.
    margin : float
        Largest difference that would not matter, outcome units.
    rows : ndarray of bool, shape (k,), optional
        Rows to test; by default all before treatment.
    level : float, default 0.95
        Level of each one-sided test; the joint claim needs no correction (intersection-union).

    Returns
    -------
    Equivalence

    Raises
    ------
    SpecError
        If the margin is not positive.
    DesignError
        If no row is left to test.
    """
    if not margin > 0:
        raise SpecError(f"margin={margin} is not positive.", hint="Give the largest difference that would not matter.")
    used = pre_rows(result) if rows is None else np.asarray(rows, dtype=bool)
    error = result.uncertainty.std_error
    if error is None or not used.any():
        raise DesignError("There is no row with a standard error to test.", hint="Ask for earlier event times.")
    df = result.uncertainty.df
    size, error = np.abs(result.estimate[used]), error[used]
    reach = float((size + one_sided_value(level, df) * error).max())
    p_values = [
        lower_bound_p(-s, e, -margin, df) if e > 0 else float(s >= margin) for s, e in zip(size, error, strict=True)
    ]
    return Equivalence(margin, max(p_values), reach, reach < margin, level, int(used.sum()))
