"""What is observed of whom and when: the frame behind the missingness and support picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groupeffect._types import FloatArray, IntArray
from groupeffect.panel.panel import Panel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["missingness_support"]


def missingness_support(panel: Panel) -> pd.DataFrame:
    """Units and observed outcomes by cohort and time.

    Parameters
    ----------
    panel : Panel
        Any panel.

    Returns
    -------
    DataFrame
        One row per cohort and time, cohorts in order, never treated last: ``cohort`` (first treated time, inf = never),
        ``label`` (text of the cohort), ``time``, ``event_time`` (nan = never treated), ``n_units``, ``n_observed``
        (outcome observed), ``n_complete`` (outcome and every covariate observed), ``share_observed`` (0-1),
        ``n_pupils`` (sum of the cell sizes of observed outcomes; nan if there are none) and ``status`` ("before",
        "treated", "after exit" if every unit of the cohort has left, "never").
    """
    import pandas as pd

    cohorts, code = np.unique(panel.adoption, return_inverse=True)
    observed = np.isfinite(panel.outcome)
    complete = observed & np.isfinite(panel.covariates).all(axis=2)
    n_units = np.bincount(code, minlength=len(cohorts)).astype(float)
    counts = _sum_by(observed.astype(float), code, len(cohorts))
    pupils = np.full(counts.shape, np.nan)
    if panel.cell_size is not None:
        pupils = _sum_by(np.where(observed, panel.cell_size, 0.0), code, len(cohorts))
    last_exit = np.array([panel.exit[code == k].max() for k in range(len(cohorts))])
    size = counts.shape
    cohort = np.repeat(cohorts, size[1])
    time = np.tile(panel.times, size[0])
    with np.errstate(invalid="ignore"):
        event_time = np.where(np.isfinite(cohort), time - cohort, np.nan)
    gone = time >= np.repeat(last_exit, size[1])
    status = np.select(
        [~np.isfinite(cohort), gone, time >= cohort], ["never", "after exit", "treated"], default="before"
    )
    return pd.DataFrame(
        {
            "cohort": cohort,
            "label": [f"{value:g}" if np.isfinite(value) else "never" for value in cohort],
            "time": time,
            "event_time": event_time,
            "n_units": np.repeat(n_units, size[1]).astype(int),
            "n_observed": counts.reshape(-1).astype(int),
            "n_complete": _sum_by(complete.astype(float), code, len(cohorts)).reshape(-1).astype(int),
            "share_observed": (counts / n_units[:, None]).reshape(-1),
            "n_pupils": pupils.reshape(-1),
            "status": status,
        }
    )


def _sum_by(values: FloatArray, code: IntArray, n: int) -> FloatArray:
    """Column sums of a (units x times) array within cohorts."""
    out = np.zeros((n, values.shape[1]))
    np.add.at(out, code, values)
    return out
