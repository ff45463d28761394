"""How much of the spread between units is lasting, not noise of single years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, FloatArray
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


def reliability(outcome: FloatArray, units: BoolArray | None = None) -> Reliability:
    """Reliability from repeated outcomes of the same units.

    Parameters
    ----------
    outcome : ndarray of shape (n, T)
        Outcomes over a window without treatment; nan = not observed.
    units : ndarray of bool, shape (n,), optional
        Units to use.

    Returns
    -------
    Reliability

    Raises
    ------
    DesignError
        With fewer than two times, or fewer than two units seen twice.

    Notes
    -----
    Analysis of variance with unit and time effects: with :math:`s_e^2` the mean square within units (time means taken
    out) and :math:`s_a^2` the mean square between units less :math:`s_e^2/m` (m the harmonic mean number of times), the
    reliability of one time is :math:`s_a^2/(s_a^2+s_e^2)`, and of the mean :math:`s_a^2/(s_a^2+s_e^2/m)`.
    """
    used = outcome if units is None else outcome[units]
    seen = np.isfinite(used)
    used, seen = used[seen.sum(axis=1) >= 2], seen[seen.sum(axis=1) >= 2]
    n, n_times = used.shape
    if n_times < 2 or n < 2:
        raise DesignError(
            f"Reliability needs two times and two units seen at both; there are {n_times} times and {n} units.",
            hint="Use a longer window.",
        )
    values = used - np.nanmean(used, axis=0)
    counts = seen.sum(axis=1)
    means = np.nansum(values, axis=1) / counts
    residual = np.where(seen, values - means[:, None], 0.0)
    within = float((residual**2).sum() / max(counts.sum() - n - (n_times - 1), 1))
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
