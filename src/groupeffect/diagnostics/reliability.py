"""How much of the spread between units is lasting, not noise of single years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import AnyArray, BoolArray, FloatArray, IntArray
from groupeffect.effects.influence import cluster_codes, sum_by_code
from groupeffect.errors import DesignError

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Share of the variance between units that is lasting.

    Parameters
    ----------
    single_year : float
        For the outcome of one time.
    window_mean : float
        For the mean over the window.
    sd_between, sd_within : float
        Lasting standard deviation between units; standard deviation of one time around it. Outcome units.
    n_units, n_times : int
        Units and times used.
    """

    single_year: float
    window_mean: float
    sd_between: float
    sd_within: float
    n_units: int
    n_times: int


def reliability(outcome: FloatArray, area: AnyArray | None = None) -> Reliability:
    """Reliability from repeated outcomes of the same units.

    Parameters
    ----------
    outcome : ndarray of shape (n, T)
        Outcomes over a window without treatment; nan = not observed.
    area : ndarray of shape (n,), optional
        Labels of areas with yearly shocks of their own, which are no noise of single units.

    Returns
    -------
    Reliability

    Raises
    ------
    DesignError
        With fewer than two times, or fewer than two units seen twice.

    Notes
    -----
    Analysis of variance with unit and (area x) time effects: with :math:`s_e^2` the mean square within units (time
    means taken out) and :math:`s_a^2` the variance between unit means less :math:`s_e^2/m` (m the harmonic mean number
    of times), the reliability of one time is :math:`s_a^2/(s_a^2+s_e^2)`, and of the mean
    :math:`s_a^2/(s_a^2+s_e^2/m)`.
    """
    twice = np.isfinite(outcome).sum(axis=1) >= 2
    used, seen = outcome[twice], np.isfinite(outcome[twice])
    n, n_times = used.shape
    if n_times < 2 or n < 2:
        raise DesignError(
            f"Reliability needs two times and two units seen at both; there are {n_times} times and {n} units.",
            hint="Use a longer window.",
        )
    counts = seen.sum(axis=1)
    code, n_areas = (np.zeros(n, dtype=np.int64), 1) if area is None else cluster_codes(area[twice])
    filled = np.where(seen, used, 0.0)
    shock = _mean_by(np.where(seen, used - (filled.sum(axis=1) / counts)[:, None], 0.0), seen, code, n_areas)
    values = np.where(seen, used - shock[code], 0.0)
    means = values.sum(axis=1) / counts
    residual = np.where(seen, values - means[:, None], 0.0)
    within = float((residual**2).sum() / max(counts.sum() - n - n_areas * (n_times - 1), 1))
    m = n / float((1.0 / counts).sum())
    between = max(float(means.var(ddof=1)) - within / m, 0.0)
    total = between + within
    return Reliability(
        single_year=between / total if total > 0 else 1.0,
        window_mean=between / (between + within / m) if total > 0 else 1.0,
        sd_between=float(np.sqrt(between)),
        sd_within=float(np.sqrt(within)),
        n_units=n,
        n_times=n_times,
    )


def _mean_by(values: FloatArray, seen: BoolArray, code: IntArray, n_codes: int) -> FloatArray:
    """Mean of the observed values by code and time, shape (n_codes, T); zero where nothing is observed."""
    count = sum_by_code(seen.astype(float), code, n_codes)
    return np.asarray(sum_by_code(values, code, n_codes) / np.maximum(count, 1.0))
