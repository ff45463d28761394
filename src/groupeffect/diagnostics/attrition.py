"""Who goes missing after treatment begins, and is that little enough? The boundary of the What Works Clearinghouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from groupeffect.design.design import Design
from groupeffect.errors import SpecError
from groupeffect.panel.panel import Panel

__all__ = ["Attrition", "attrition", "attrition_boundary"]

_CAUTIOUS: Final = (
    *(5.7, 5.8, 5.9, 5.9, 6.0, 6.1, 6.2, 6.3, 6.3, 6.3),
    *(6.3, 6.2, 6.2, 6.1, 6.0, 5.9, 5.9, 5.8, 5.7, 5.5),
    *(5.4, 5.3, 5.2, 5.1, 4.9, 4.8, 4.7, 4.5, 4.4, 4.3),
    *(4.1, 4.0, 3.8, 3.6, 3.5, 3.3, 3.2, 3.1, 2.9, 2.8),
    *(2.6, 2.5, 2.3, 2.1, 2.0, 1.8, 1.6, 1.5, 1.3, 1.2),
    *(1.0, 0.9, 0.7, 0.6, 0.4, 0.3, 0.2, 0.0),
)
"""Largest differential attrition (percentage points) at overall attrition of 0, 1, ... 57 %.

What Works Clearinghouse, Standards Handbook 4.1, table II.1, cautious assumption.
"""


@dataclass(frozen=True, slots=True)
class Attrition:
    """Outcomes that should have been observed after treatment began and were not.

    Parameters
    ----------
    overall, treated, comparison : float
        Share of unit-times not observed, 0 to 1.
    differential : float
        Absolute difference of the two shares.
    allowed : float
        Largest differential share that still counts as low attrition (cautious boundary); nan = none is.
    low : bool
        Whether attrition is low by that boundary.
    n_treated, n_comparison : int
        Unit-times that should have been observed.
    """

    overall: float
    treated: float
    comparison: float
    differential: float
    allowed: float
    low: bool
    n_treated: int
    n_comparison: int


def attrition_boundary(overall: float) -> float:
    """Largest differential attrition (share) that counts as low at an overall attrition (share).

    The cautious boundary of the handbook, for interventions that may themselves change who is observed.

    Parameters
    ----------
    overall : float
        Overall attrition, 0 to 1; rounded to whole per cent as in the handbook's table.

    Returns
    -------
    float
        nan from 58 % on: no differential is small enough.

    Raises
    ------
    SpecError
        If `overall` is not a share.
    """
    if not 0 <= overall <= 1:
        raise SpecError(f"overall={overall} is not a share between 0 and 1.", hint="Divide per cent by 100.")
    row = int(np.floor(100 * overall + 0.5))
    return _CAUTIOUS[row] / 100 if row < len(_CAUTIOUS) else float("nan")


def attrition(panel: Panel, design: Design) -> Attrition:
    """Attrition of a staggered design: unit-times since the first cohort of the design joined.

    Treated unit-times run from each unit's own joining; comparison unit-times from the first joining of the design to
    the unit's own (less the anticipation). Only units observed at least once before count: those never seen are no
    loss of the study.

    Parameters
    ----------
    panel, design : Panel, Design
        On the same units.

    Returns
    -------
    Attrition

    Raises
    ------
    SpecError
        If nothing is expected on one of the sides.
    """
    cohorts = design.cohorts
    times = panel.times
    seen = np.isfinite(panel.outcome)
    first = float(cohorts.min()) if len(cohorts) else np.inf
    known = seen[:, times < first].any(axis=1)
    treated = np.isin(design.cohort, cohorts) & known
    on_treated = treated[:, None] & (times >= design.cohort[:, None])
    waiting = (times >= first) & (times + design.anticipation < design.cohort[:, None])
    on_comparison = (design.comparison_pool & known)[:, None] & waiting
    n_treated, n_comparison = int(on_treated.sum()), int(on_comparison.sum())
    if not n_treated or not n_comparison:
        raise SpecError(
            f"Attrition needs unit-times on both sides; there are {n_treated} treated and {n_comparison} comparison "
            "ones.",
            hint="Check the design.",
        )
    lost_treated, lost_comparison = int((~seen & on_treated).sum()), int((~seen & on_comparison).sum())
    share_treated, share_comparison = lost_treated / n_treated, lost_comparison / n_comparison
    overall = (lost_treated + lost_comparison) / (n_treated + n_comparison)
    differential = abs(share_treated - share_comparison)
    allowed = attrition_boundary(overall)
    low = bool(differential <= allowed + 1e-12)
    return Attrition(overall, share_treated, share_comparison, differential, allowed, low, n_treated, n_comparison)
