"""Cohort x time cells with their base times and comparison units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groupeffect._types import BoolArray, IntArray
from groupeffect.design.design import Design, base_times

__all__ = ["Cell", "comparison_units", "list_cells"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One effect: a cohort at a time, against base times and not-yet-treated units.

    Parameters
    ----------
    cohort : float
        First treated time of the cohort.
    time : int
        Position of the time in ``design.times``.
    base : ndarray of int
        Positions of the base times; their mean is the base outcome.
    threshold : float
        Comparison units must be treated strictly after this time.
    is_base : bool
        The cell is its own base period (universal base, or a window of one time): zero by construction.
    """

    cohort: float
    time: int
    base: IntArray
    threshold: float
    is_base: bool = False


def list_cells(design: Design) -> list[Cell]:
    """All cells of a staggered design, by cohort and time.

    With ``baseline="varying"`` a cell before treatment is the change from the time before it; with ``"universal"`` or a
    window it is the change from the base.
    """
    times, cells = design.times, []
    for g in design.cohorts:
        base = base_times(times, g, design.anticipation, design.baseline)
        if len(base) == 0:
            continue
        for t in range(len(times)):
            used = base
            if design.baseline == "varying" and times[t] < g:
                if t == 0:
                    continue
                if t <= base[-1]:
                    used = np.array([t - 1])
            last = max(times[t], times[used[-1]])
            is_base = len(used) == 1 and used[0] == t
            cells.append(Cell(float(g), t, used, float(last + design.anticipation), is_base))
    return cells


def comparison_units(design: Design, cell: Cell) -> BoolArray:
    """Mask of the units of the pool that compare in a cell."""
    if design.comparison == "never_treated":
        return np.asarray(design.comparison_pool & np.isinf(design.cohort))
    return np.asarray(design.comparison_pool & (design.cohort > cell.threshold) & (design.cohort != cell.cohort))
